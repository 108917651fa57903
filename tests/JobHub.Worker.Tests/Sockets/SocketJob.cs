using System.Buffers.Binary;
using System.Diagnostics;
using System.Text;
using JobHub.Engine.Protocol;
using JobHub.Engine.Tasks;
using JobHub.Testing;
using JobHub.Worker.Executors.Processes;
using JobHub.Worker.Runtime;
using JobHub.Worker.Runtime.Sockets;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Xunit;

namespace JobHub.Worker.Tests.Sockets;

/// <summary>A launcher, programs, and whole jobs of socket programs over small texts. Leaves nothing behind, which it checks.</summary>
public sealed class SocketJob : IDisposable
{
    private readonly string _root = Path.Combine("/var/tmp", $"jobhub-sockets-{Guid.NewGuid():N}");
    private readonly ServiceProvider _provider;
    private int _files;

    public SocketJob()
    {
        Directory.CreateDirectory(Files, (UnixFileMode)0b111_101_101);
        _provider = new ServiceCollection().AddLogging()
            .AddProgramLauncher(new ConfigurationBuilder().AddInMemoryCollection([new("JobHub:Worker:ScratchRoot", Path.Combine(_root, "scratch"))]).Build())
            .BuildServiceProvider();
        Launcher = _provider.GetRequiredService<IProgramLauncher>();
        Scratch = _provider.GetRequiredService<ScratchFolders>();
    }

    public IProgramLauncher Launcher { get; }

    public int Slots { get; init; } = 2;

    public BytesSink Log { get; } = new();

    private ScratchFolders Scratch { get; }

    private string Files => Path.Combine(_root, "files");

    public static string Sample(string path)
    {
        var folder = AppContext.BaseDirectory;
        while (!File.Exists(Path.Combine(folder, "JobHub.sln")))
        {
            folder = Path.GetDirectoryName(folder)!;
        }

        return Path.Combine(folder, "samples", path);
    }

    /// <summary>A Perl program; `$map` and `$reduce` are functions that connect and answer, see the preamble.</summary>
    public string Perl(string body) => Script($$"""
        #!/usr/bin/perl
        use strict; use warnings; use Socket;
        sub to { my ($path, $text) = @_; socket(my $s, AF_UNIX, SOCK_STREAM, 0) or die; connect($s, pack_sockaddr_un($path)) or die "$path: $!"; while (length $text) { my $n = syswrite($s, $text); defined $n or die; substr($text, 0, $n) = ''; } close $s; }
        sub map_to { to('/tmp/map.sock', $_[0]); }
        sub listening { socket(my $s, AF_UNIX, SOCK_STREAM, 0) or die; bind($s, pack_sockaddr_un("/tmp/reduce-input-$ARGV[0].sock")) or die; listen($s, 1) or die; return $s; }
        sub message { my $s = $_[0]; accept(my $c, $s) or die; local $/; return scalar <$c>; }
        sub answer { my ($message, $value) = @_; $message =~ /^\{"key":(\{.*?"value":\d+\}),"value":/s or die $message; to('/tmp/reduce.sock', "{\"key\":$1,\"value\":$value}"); }
        {{body}}
        """);

    public string Script(string text)
    {
        var path = Path.Combine(Files, $"program-{Interlocked.Increment(ref _files)}");
        // Written by another process: what this process has open for writing while it forks cannot be executed.
        Shell("cat > \"$0\" && chmod 755 \"$0\"", text, path);
        return path;
    }

    public string Compile(string source)
    {
        var path = Path.Combine(Files, $"program-{Interlocked.Increment(ref _files)}");
        Shell("cc -O2 -o \"$0\" \"$1\" && chmod 755 \"$0\"", "", path, source);
        return path;
    }

    public string Copy(string program) => Script(File.ReadAllText(program));

    public static string Shell(string script, string input, params string[] arguments)
    {
        using var shell = Process.Start(new ProcessStartInfo("/bin/sh", ["-c", script, .. arguments])
        {
            RedirectStandardInput = true, RedirectStandardOutput = true, UseShellExecute = false, Environment = { ["LC_ALL"] = "C" },
        })!;
        var writing = Task.Run(() =>
        {
            shell.StandardInput.BaseStream.Write(Encoding.Latin1.GetBytes(input));
            shell.StandardInput.Close();
        });
        using var output = new MemoryStream();
        shell.StandardOutput.BaseStream.CopyTo(output);
        shell.WaitForExit();
        writing.Wait();
        Assert.Equal(0, shell.ExitCode);
        return Encoding.Latin1.GetString(output.ToArray());
    }

    /// <summary>All maps, then all reduces: the reducers' objects, one a partition.</summary>
    public async Task<string[]> RunAsync(string mapper, string reducer, byte[] text, int partitions = 1, long splitSize = long.MaxValue, CancellationToken ct = default)
    {
        var maps = await MapAsync(mapper, text, partitions, splitSize, ct);
        var results = new string[partitions];
        for (var partition = 0; partition < partitions; partition++)
        {
            results[partition] = await ReduceAsync(reducer, maps, partition, ct);
        }

        return results;
    }

    public async Task<(string Path, byte[] Offsets)[]> MapAsync(string mapper, byte[] text, int partitions = 1, long splitSize = long.MaxValue, CancellationToken ct = default)
    {
        var input = Path.Combine(Files, $"text-{Interlocked.Increment(ref _files)}");
        await File.WriteAllBytesAsync(input, text, ct);
        var maps = new List<(string, byte[])>();
        for (long start = 0; start < text.Length || start == 0; start += splitSize)
        {
            var output = Path.Combine(Files, $"map-{Interlocked.Increment(ref _files)}");
            var result = await RunAsync(new SocketMapBody(), new LocalAttemptStore(), Spec(TaskKind.Map) with
            {
                Map = new MapSpec
                {
                    Mapper = Program(mapper), Input = new ObjectGrant(input, null), InputPath = input, ObjectSize = text.Length, Start = start,
                    End = splitSize > text.Length - start ? text.Length : start + splitSize, Partitions = partitions, Output = new OutputGrant(output, null, null, Durable: false),
                },
            }, ct);
            maps.Add((output, result.PartitionOffsets!));
            if (splitSize == long.MaxValue)
            {
                break;
            }
        }

        return [.. maps];
    }

    public async Task<string> ReduceAsync(string reducer, (string Path, byte[] Offsets)[] maps, int partition = 0, CancellationToken ct = default)
    {
        var output = Path.Combine(Files, $"reduce-{Interlocked.Increment(ref _files)}");
        var runs = maps.Select((map, i) =>
        {
            var start = BinaryPrimitives.ReadInt64LittleEndian(map.Offsets.AsSpan(partition * 8));
            var end = BinaryPrimitives.ReadInt64LittleEndian(map.Offsets.AsSpan((partition + 1) * 8));
            return new MapRun(i, 1, new ObjectGrant(map.Path, null), start, end - start);
        });
        await RunAsync(new SocketReduceBody(), new LocalAttemptStore { Runs = [.. runs.Where(run => run.Length > 0)] }, Spec(TaskKind.Reduce) with
        {
            Reduce = new ReduceSpec { Reducer = Program(reducer), Partition = partition, Maps = maps.Length, Output = new OutputGrant(output, null, null, Durable: true) },
        }, ct);
        return await File.ReadAllTextAsync(output, ct);
    }

    public void Dispose()
    {
        _provider.Dispose();
        Assert.All(Directory.GetFileSystemEntries(Path.Combine(_root, "scratch")), left => Assert.Fail($"Left behind: {left}"));
        Directory.Delete(_root, recursive: true);
    }

    private static AttemptSpec Spec(TaskKind kind) =>
        new() { Token = Guid.NewGuid(), TaskId = 1, JobId = Guid.NewGuid(), Attempt = 1, Kind = kind, Index = 0, TaskName = "job-x-0" };

    private static ProgramSpec Program(string path) => new(Path.GetFileName(path), ProgramType.Executable, 0, "", new ObjectGrant(path, null));

    private async Task<BodyResult> RunAsync(IAttemptBody body, IAttemptStore store, AttemptSpec spec, CancellationToken ct)
    {
        var scratch = Scratch.Create(spec.Token.ToString("N"));
        var context = new AttemptContext
        {
            Spec = spec, Store = store, Launcher = Launcher, ScratchFolder = scratch, Log = Log, SocketSlots = Slots, BufferBytes = 32 << 20, Grace = TimeSpan.FromSeconds(2),
        };
        try
        {
            return await body.RunAsync(context, ct);
        }
        finally
        {
            await Launcher.EndAllAsync(spec.Token, TimeSpan.FromSeconds(1), CancellationToken.None);
            Scratch.Remove(scratch);
        }
    }
}
