using System.Diagnostics;
using JobHub.Benchmarks.Measuring;
using JobHub.Testing;
using JobHub.Worker.Executors.Processes;
using Microsoft.Extensions.Options;

namespace JobHub.Benchmarks.Runtime;

/// <summary>
/// The MapReduce data path over local files, two slots, in this process, beside a peer that runs the same programs: interleaved pairs, medians of wall and CPU seconds
/// (ours: this process and its programs). Inputs are generated once into the temporary folder's jobhub-bench.
/// </summary>
internal static class StreamingComparison
{
    private const string CountWords = "#!/usr/bin/mawk -f\n{ for (i = 1; i <= NF; i++) c[$i]++ }\nEND { for (w in c) print w \"\\t\" c[w] }\n";
    private const string Tokenise = "#!/usr/bin/mawk -f\n{ for (i = 1; i <= NF; i++) print $i \"\\t1\" }\n";
    private const string Sum = "#!/usr/bin/mawk -f\nBEGIN { FS = \"\\t\" }\n{ c[$1] += $2 }\nEND { for (w in c) print w \"\\t\" c[w] }\n";
    private const string Cat = "#!/bin/sh\nexec cat\n";
    private const long SplitSize = 64 << 20;
    private static readonly string Folder = Path.Combine(Path.GetTempPath(), "jobhub-bench");

    /// <summary>Mappers that count within their split.</summary>
    public static Task<Table> WordCountAsync(Arguments arguments) => RunAsync(arguments, "word count, mawk mapper that counts in its split, mawk reducer", CountWords, Sum, sorting: false);

    /// <summary>Mappers that print every word: all of the text goes through the sort.</summary>
    public static Task<Table> TokeniseAsync(Arguments arguments) => RunAsync(arguments, "word count, mawk mapper that prints each word, mawk reducer", Tokenise, Sum, sorting: false);

    /// <summary>100-byte lines, `cat` on both sides.</summary>
    public static Task<Table> SortAsync(Arguments arguments) => RunAsync(arguments, "sort of 100-byte records, cat and cat", Cat, Cat, sorting: true);

    private static async Task<Table> RunAsync(Arguments arguments, string title, string mapperText, string reducerText, bool sorting)
    {
        Directory.CreateDirectory(Folder);
        var size = 1_000_000L * arguments.Number("mb", sorting ? 1000 : 525);
        var slots = arguments.Number("slots", 2);
        var input = Path.Combine(Folder, $"{(sorting ? "records" : "words")}-{size}");
        if (!File.Exists(input)) Generate(input, size, sorting);
        var mapper = Program("mapper", mapperText);
        var reducer = Program("reducer", reducerText);
        var peer = sorting
            ? $"LC_ALL=C sort --parallel={slots} -S 4G -T '{Folder}' -o '{Folder}/peer' '{input}'"
            : $"parallel --will-cite --pipepart -a '{input}' --block 64M -j{slots} '{mapper}' | '{reducer}' > '{Folder}/peer'";
        using var launcher = new Launcher(Options.Create(new ProcessOptions { RunAs = "" }), TimeProvider.System);
        var table = new Table($"{title}, {size / 1e6:F0} MB, {slots} slots, in one process", "MB/s", sorting ? "0.8 × sort" : "0.9 × parallel");
        var own = new List<double>();
        var maps = new List<double>();
        await table.InterleaveAsync(arguments.Number("runs", 5),
            (sorting ? "LC_ALL=C sort --parallel" : "GNU parallel --pipepart", true, () => MegabytesAsync(size, () => Task.Run(() => Shell(peer)))),
            ("JobHub", false, async () =>
            {
                var run = Path.Combine(Folder, $"run-{Guid.NewGuid():N}");
                Directory.CreateDirectory(run);
                try
                {
                    string[] outputs = [];
                    var before = Environment.CpuUsage.TotalTime;
                    var sample = await MegabytesAsync(size, async () =>
                    {
                        var clock = Stopwatch.StartNew();
                        var job = new LocalMapReduce(run, launcher) { Mapper = mapper, Reducer = reducer, Partitions = 2, Slots = slots };
                        await job.MapAsync(input, SplitSize);
                        maps.Add(clock.Elapsed.TotalSeconds);
                        outputs = await job.ReduceAsync();
                    });
                    own.Add((Environment.CpuUsage.TotalTime - before).TotalSeconds);
                    if (own.Count == 1)
                    {
                        // A fast wrong answer is worth nothing.
                        Shell($"set -o pipefail; LC_ALL=C sort -m {string.Join(' ', outputs.Select(o => sorting ? o : $"<(LC_ALL=C sort {o})"))} | cmp - <(LC_ALL=C sort {(sorting ? "-m" : "")} '{Folder}/peer')");
                    }

                    return sample;
                }
                finally
                {
                    Directory.Delete(run, recursive: true);
                }
            }));
        table.Notes.Add($"JobHub's map phase {maps.Order().ElementAt(maps.Count / 2):F2} s; CPU of its own process, without the programs, {own.Order().ElementAt(own.Count / 2):F2} s; "
            + $"its peak memory {Process.GetCurrentProcess().PeakWorkingSet64 / 1e6:F0} MB. Output checked against the peer's.");
        return table;
    }

    private static async Task<Sample> MegabytesAsync(long size, Func<Task> run)
    {
        var sample = await Sample.RateAsync(size, run);
        return sample with { Value = sample.Value / 1e6 };
    }

    private static string Program(string name, string text)
    {
        var path = Path.Combine(Folder, $"{name}-{text.Length}");
        File.WriteAllText(path, text);
        File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        return path;
    }

    private static void Shell(string command)
    {
        using var shell = Process.Start(new ProcessStartInfo("/bin/bash", ["-c", command]) { UseShellExecute = false })!;
        shell.WaitForExit();
        if (shell.ExitCode != 0) throw new InvalidOperationException($"It ended with {shell.ExitCode}: {command}");
    }

    private static void Generate(string path, long size, bool records)
    {
        var random = new Random(1);
        var words = new byte[50_000][];
        for (var i = 0; i < words.Length; i++)
        {
            var word = new byte[2 + random.Next(9)];
            foreach (ref var b in word.AsSpan()) b = (byte)('a' + random.Next(26));
            words[i] = word;
        }

        using var file = new FileStream(path + ".new", FileMode.Create, FileAccess.Write, FileShare.None, 1 << 20);
        var line = new byte[200];
        while (file.Length < size)
        {
            var used = 0;
            if (records)
            {
                for (; used < 99; used++) line[used] = (byte)(' ' + 1 + random.Next(94));
            }
            else
            {
                // Words by Zipf's law, near enough.
                while (used < 70)
                {
                    var word = words[(int)Math.Pow(words.Length, random.NextDouble()) - 1];
                    word.CopyTo(line, used);
                    used += word.Length;
                    line[used++] = (byte)' ';
                }
            }

            line[used++] = (byte)'\n';
            file.Write(line, 0, used);
        }

        file.Dispose();
        File.Move(path + ".new", path);
    }
}
