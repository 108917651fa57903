using System.Diagnostics;
using System.Security.Cryptography;
using System.Text;
using JobHub.Worker.Executors.Processes;
using Xunit;
using Xunit.Abstractions;

namespace JobHub.Worker.Tests.Processes;

public sealed class LauncherTests(ITestOutputHelper output) : IDisposable
{
    private readonly LauncherHost host = new();

    [Theory]
    [InlineData("exit 0", 0, null)]
    [InlineData("exit 37", 37, null)]
    [InlineData("kill -9 $$", null, 9)]
    [InlineData("kill -15 $$", null, 15)]
    public async Task Program_WhenItEnds_TellsCodeOrSignal(string script, int? code, int? signal)
    {
        var (exit, _, _) = await host.RunAsync(host.Shell(script));
        Assert.Equal((code, signal, false), (exit.Code, exit.Signal, exit.OutOfMemory));
    }

    [Fact]
    public async Task Program_WithStreamsAndArguments_GetsThemByteExact()
    {
        var start = host.Program("/usr/bin/printf", ["%s|%s\\n", "a b"]) with { RawArguments = [new byte[] { 0xff, 0xfe, (byte)'x' }] };
        using var program = host.Launcher.Start(start);
        var bytes = new byte[64];
        var count = LauncherHost.Read(program, bytes);
        Assert.Equal([.. "a b|"u8, 0xff, 0xfe, (byte)'x', (byte)'\n'], bytes[..count]);
        Assert.Equal(0, (await program.Exit).Code);
        await host.Launcher.EndAllAsync(start.Token, TimeSpan.Zero, default);
        var (_, both, errors) = await host.RunAsync(host.Shell("echo out; echo err >&2; cat"));
        Assert.Equal(("out\n", "err\n"), (both, errors));
        Assert.Equal("out\nerr\n", (await host.RunAsync(host.Shell("echo out; echo err >&2") with { MergeStderr = true })).Out);
    }

    [Fact]
    public async Task Cat_Given100Megabytes_GivesThemBack()
    {
        var start = host.Program("/bin/cat") with { PipeStdin = true };
        using var program = host.Launcher.Start(start);
        var written = Task.Run(() =>
        {
            using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
            using var stdin = new FileStream(program.Stdin!, FileAccess.Write, 0, isAsync: false);
            var block = new byte[1 << 20];
            var random = new Random(5);
            for (var i = 0; i < 100; i++)
            {
                random.NextBytes(block);
                hash.AppendData(block);
                stdin.Write(block);
            }

            return hash.GetHashAndReset();
        });
        using var stdout = new FileStream(program.Stdout, FileAccess.Read, 0, isAsync: false);
        var read = await SHA256.HashDataAsync(stdout);
        Assert.Equal(await written, read);
        Assert.Equal(0, (await program.Exit).Code);
        await host.Launcher.EndAllAsync(start.Token, TimeSpan.Zero, default);
    }

    [Fact]
    public async Task Stdin_WhenTheProgramStopsReading_ThrowsIOException()
    {
        var start = host.Shell("exec 0<&-; echo closed; exec sleep 30") with { PipeStdin = true };
        using var program = host.Launcher.Start(start);
        LauncherHost.Read(program, new byte[64]);
        using var stdin = new FileStream(program.Stdin!, FileAccess.Write, 0, isAsync: false);
        Assert.Throws<IOException>(() => stdin.Write(new byte[1024]));
        await program.StopAsync(TimeSpan.FromSeconds(5));
        Assert.Equal(15, (await program.Exit).Signal);
        await host.Launcher.EndAllAsync(start.Token, TimeSpan.Zero, default);
    }

    [Fact]
    public async Task Program_BesideTheMarks_HasOnlyTheGivenEnvironmentAndDefaultSignals()
    {
        var start = host.Program("/usr/bin/env");
        var (_, text, _) = await host.RunAsync(start);
        Assert.Equal([$"JOBHUB_ATTEMPT={start.Token}", $"JOBHUB_WORKER={host.Scratch.Instance}", "PATH=/usr/local/bin:/usr/bin:/bin"], text.Split('\n', StringSplitOptions.RemoveEmptyEntries).Order());
        (_, text, _) = await host.RunAsync(host.Program("/bin/cat", ["/proc/self/status"]));
        Assert.Contains("NoNewPrivs:\t1", text, StringComparison.Ordinal);
        Assert.Contains("SigBlk:\t0000000000000000", text, StringComparison.Ordinal);
        // Signals 32 and 33 are libc's own.
        var ignored = text.Split('\n').Single(line => line.StartsWith("SigIgn:", StringComparison.Ordinal))[8..];
        Assert.Equal(0, Convert.ToInt64(ignored, 16) & 0x7fffffff);
        Assert.Contains("CapEff:\t0000000000000000", text, StringComparison.Ordinal);
        Assert.Contains("CapPrm:\t0000000000000000", text, StringComparison.Ordinal);
        if (!Environment.IsPrivilegedProcess) return;
        Assert.Contains("Uid:\t65534\t65534\t65534\t65534", text, StringComparison.Ordinal);
        Assert.Contains("Gid:\t65534\t65534\t65534\t65534", text, StringComparison.Ordinal);
        Assert.Contains("Groups:\t \n", text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("/nowhere/program", null, "does not exist")]
    [InlineData("no-such-program-on-path", null, "PATH")]
    [InlineData("plain.txt", "text without a first line", "not executable")]
    [InlineData("garbage", "neither script nor binary", "neither a program")]
    [InlineData("orphan.sh", "#!/no/such/interpreter\n", "'/no/such/interpreter' does not exist")]
    [InlineData("dos.sh", "#!/bin/sh\r\n", "'/bin/sh\\r' does not exist")]
    public void Program_ThatCannotBeExecuted_SaysWhy(string name, string? content, string reason)
    {
        var path = name;
        if (content is not null)
        {
            path = Path.Combine(host.Folder, name);
            File.WriteAllText(path, content);
            File.SetUnixFileMode(path, name == "plain.txt" ? (UnixFileMode)0x1a4 : (UnixFileMode)0x1ed);
        }

        var refused = Assert.Throws<ProgramStartException>(() => host.Launcher.Start(host.Program(path)));
        Assert.Contains(reason, refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Script_WithAnInterpreterLine_Runs()
    {
        var path = Path.Combine(host.Folder, "script");
        await File.WriteAllTextAsync(path, "#!/bin/sh\necho \"$1\"\n");
        File.SetUnixFileMode(path, (UnixFileMode)0x1ed);
        Assert.Equal("word\n", (await host.RunAsync(host.Program(path, ["word"]))).Out);
    }

    [Fact]
    public async Task EndAll_WhenAProgramIgnoresTheTerm_KillsItAfterTheGrace()
    {
        var start = host.Shell("trap '' TERM; echo ready; while :; do sleep 1; done");
        using var program = host.Launcher.Start(start);
        LauncherHost.Read(program, new byte[64]);
        await host.Launcher.EndAllAsync(start.Token, TimeSpan.FromMilliseconds(200), default);
        Assert.Equal(9, (await program.Exit).Signal);
    }

    [Theory]
    [InlineData("setsid sh -c 'sleep 1000 & echo $!; exec >&-' & wait")]
    [InlineData("(setsid sh -c 'trap \"\" TERM; sleep 1000 >&- 2>&- & echo $!' &) ; sleep 0.1")]
    [InlineData("(env -i setsid /bin/sh -c '/bin/sleep 1000 >&- 2>&- & echo $!' &) ; sleep 0.1")]
    [InlineData("sleep 1000 >&- 2>&- & echo $!")]
    public async Task EndAll_AfterAGoodEndWithProcessesLeft_EndsThem(string script)
    {
        var start = host.Shell(script) with { MergeStderr = true };
        using var program = host.Launcher.Start(start);
        var bytes = new byte[64];
        var pid = int.Parse(Encoding.ASCII.GetString(bytes, 0, LauncherHost.Read(program, bytes)));
        Assert.Equal(0, (await program.Exit).Code);
        Assert.True(LauncherHost.Runs(pid));
        await host.Launcher.EndAllAsync(start.Token, TimeSpan.FromMilliseconds(100), default);
        // One without its environment belongs to the last of the attempts that can have begun it; other tests run beside this one.
        await LauncherHost.EventuallyAsync(() => !LauncherHost.Runs(pid), "it is gone");
    }

    [Fact]
    public async Task Starts_64AtOnce_LeakNoDescriptors()
    {
        await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => Task.Run(() => host.RunAsync(host.Program("/bin/true")))));
        var before = Directory.GetFiles("/proc/self/fd").Length;
        var runs = await Task.WhenAll(Enumerable.Range(0, 64).Select(_ => Task.Run(() => host.RunAsync(host.Program("/bin/ls", ["/proc/self/fd"]) with { PipeStdin = true }))));
        // 0, 1, 2 and the folder that ls itself reads.
        Assert.All(runs, run => Assert.Equal("0\n1\n2\n3\n", run.Out));
        await LauncherHost.EventuallyAsync(() => Directory.GetFiles("/proc/self/fd").Length <= before + 8, "descriptors are closed");
    }

    [Fact]
    public async Task StartRate_IsPrinted()
    {
        const int Count = 3000;
        var left = Count;
        var clock = Stopwatch.StartNew();
        var cpu = Environment.CpuUsage.TotalTime;
        await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => Task.Run(async () =>
        {
            while (Interlocked.Decrement(ref left) >= 0)
            {
                var start = host.Program("/bin/true");
                using var program = host.Launcher.Start(start);
                await program.Exit;
                await host.Launcher.EndAllAsync(start.Token, TimeSpan.Zero, default);
            }
        })));
        output.WriteLine($"{Count / clock.Elapsed.TotalSeconds:F0} starts/s, each with its end checked; {(Environment.CpuUsage.TotalTime - cpu).TotalMicroseconds / Count:F0} us of this process each");
    }

    public void Dispose() => host.Dispose();
}
