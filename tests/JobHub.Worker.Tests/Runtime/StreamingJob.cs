using System.Diagnostics;
using System.Text;
using JobHub.Testing;
using JobHub.Worker.Executors.Processes;
using Microsoft.Extensions.Options;

namespace JobHub.Worker.Tests.Runtime;

/// <summary>A folder with programs and a text, and the runs over them. Removed at the end.</summary>
public sealed class StreamingJob : IDisposable
{
    public const string Tokenise = "#!/usr/bin/mawk -f\n{ for (i = 1; i <= NF; i++) print $i \"\\t1\" }\n";
    public const string Sum = "#!/usr/bin/mawk -f\nBEGIN { FS = \"\\t\" }\n{ c[$1] += $2 }\nEND { for (w in c) print w \"\\t\" c[w] }\n";
    public const string Cat = "#!/bin/sh\nexec cat\n";

    private int _runs;

    public StreamingJob() => Folder = Directory.CreateTempSubdirectory("jobhub-streaming-").FullName;

    public string Folder { get; }

    public Launcher Launcher { get; } = new(Options.Create(new ProcessOptions { RunAs = "" }), TimeProvider.System);

    public string Program(string name, string text)
    {
        var path = Path.Combine(Folder, name);
        if (File.Exists(path)) return path;
        // Written by another process: a file this process has open for writing while it forks cannot be executed.
        Shell($"cat > '{path}' && chmod 755 '{path}'", Encoding.UTF8.GetBytes(text));
        return path;
    }

    public string Text(byte[] bytes)
    {
        var path = Path.Combine(Folder, $"text-{Guid.NewGuid():N}");
        File.WriteAllBytes(path, bytes);
        return path;
    }

    public LocalMapReduce Job(string mapper, string reducer, int partitions = 1, string? combiner = null, long bufferBytes = 160L << 20, bool gzip = false,
        bool compress = false)
    {
        var folder = Path.Combine(Folder, $"run-{++_runs}");
        Directory.CreateDirectory(folder);
        return new LocalMapReduce(folder, Launcher)
        {
            Mapper = Program($"m{StringComparer.Ordinal.GetHashCode(mapper)}", mapper), Reducer = Program($"r{StringComparer.Ordinal.GetHashCode(reducer)}", reducer),
            Combiner = combiner is null ? null : Program($"c{StringComparer.Ordinal.GetHashCode(combiner)}", combiner), Partitions = partitions, BufferBytes = bufferBytes, Gzip = gzip,
            Compress = compress,
        };
    }

    /// <summary>What the usual tools say, as "word\tcount" lines in byte order.</summary>
    public static string ExpectedWordCount(byte[] text)
    {
        var counted = Encoding.Latin1.GetString(Shell("tr -s '[:space:]' '\\n' | grep -v '^$' | LC_ALL=C sort | uniq -c", text));
        return Sorted(counted.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line =>
        {
            var parts = line.TrimStart().Split(' ', 2);
            return $"{parts[1]}\t{parts[0]}";
        }));
    }

    public static string Sorted(byte[] lines) => Sorted(Encoding.Latin1.GetString(lines).Split('\n', StringSplitOptions.RemoveEmptyEntries));

    public static byte[] Shell(string command, byte[] input)
    {
#pragma warning disable RS0030 // The reference tools, not a program of a job.
        using var shell = Process.Start(new ProcessStartInfo("/bin/sh", ["-c", command])
        {
            RedirectStandardInput = true, RedirectStandardOutput = true, UseShellExecute = false, Environment = { ["LC_ALL"] = "C" },
        })!;
#pragma warning restore RS0030
        var write = Task.Run(() =>
        {
            try
            {
                shell.StandardInput.BaseStream.Write(input);
                shell.StandardInput.Close();
            }
            catch (IOException)
            {
                // It has read enough.
            }
        });
        using var output = new MemoryStream();
        shell.StandardOutput.BaseStream.CopyTo(output);
        write.GetAwaiter().GetResult();
        shell.WaitForExit();
        return output.ToArray();
    }

    public void Dispose()
    {
        Launcher.Dispose();
        Directory.Delete(Folder, recursive: true);
    }

    private static string Sorted(IEnumerable<string> lines) => string.Join('\n', lines.Order(StringComparer.Ordinal));
}
