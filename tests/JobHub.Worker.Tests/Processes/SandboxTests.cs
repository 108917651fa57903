using System.Diagnostics;
using System.Net.Sockets;
using System.Text;
using JobHub.Worker.Executors.Processes;
using Xunit;
using Xunit.Abstractions;

namespace JobHub.Worker.Tests.Processes;

/// <summary>One set of promises for every step of the ladder that isolates.</summary>
public sealed class SandboxTests(ITestOutputHelper output)
{
    private static LauncherHost Host(string step) => new(new KeyValuePair<string, string?>("JobHub:Worker:Isolation", step));

    private static ProgramStart Shell(LauncherHost host, string script, params string[] arguments) =>
        host.Program("/bin/sh", ["-c", script, "sh", .. arguments]) with { Sandbox = true };

    [Fact]
    public void Ladder_OnThisMachine_TakesTheHighestStep()
    {
        using var host = new LauncherHost();
        Assert.Equal(IsolationLevel.Bubblewrap, host.Launcher.Isolation);
        using var plain = Host("plain");
        Assert.Equal(IsolationLevel.Plain, plain.Launcher.Isolation);
    }

    [Theory]
    [InlineData("bubblewrap")]
    [InlineData("unshare")]
    public async Task Program_InASandbox_SeesOnlyItsOwn(string step)
    {
        using var host = Host(step);
        var other = host.Scratch.Create("other");
        await File.WriteAllTextAsync(Path.Combine(other, "secret"), "secret");
        var hostTmp = Path.Combine("/tmp", $"jobhub-test-{Guid.NewGuid():N}");
        await File.WriteAllTextAsync(hostTmp, "");
        try
        {
            var (exit, text, errors) = await host.RunAsync(Shell(
                host,
                "set -e; pwd; echo x > made; echo y > /tmp/made; test ! -e \"$1\"; test ! -e \"$2\"; test ! -e /proc/$3; ls -A /tmp; ls -A /root; ! cat /proc/net/route | grep -q eth; cat /sys/class/net/*/operstate >/dev/null; tr '\\0' '\\n' < /proc/$$/environ | sort; grep NoNewPrivs /proc/self/status",
                other, hostTmp, Environment.ProcessId.ToString()));
            output.WriteLine(text + errors);
            Assert.Equal((0, ""), (exit.Code, errors));
            var lines = text.Split('\n', StringSplitOptions.RemoveEmptyEntries);
            Assert.Equal(host.Folder, lines[0]);
            Assert.Equal("made", lines[1]);
            Assert.StartsWith("JOBHUB_ATTEMPT=", lines[2], StringComparison.Ordinal);
            Assert.DoesNotContain(lines, line => line.StartsWith("HOME=", StringComparison.Ordinal));
            Assert.Equal("NoNewPrivs:\t1", lines[^1]);
            Assert.True(File.Exists(Path.Combine(host.Folder, "made")));
        }
        finally
        {
            File.Delete(hostTmp);
            host.Scratch.Remove(other);
        }
    }

    [Theory]
    [InlineData("bubblewrap", false)]
    [InlineData("unshare", false)]
    [InlineData("bubblewrap", true)]
    public async Task Network_OnlyWhenAskedFor_IsThere(string step, bool network)
    {
        using var host = Host(step);
        var (_, text, _) = await host.RunAsync(Shell(host, "readlink /proc/self/ns/net") with { Network = network });
        Assert.Equal(network, text.Trim() == new FileInfo("/proc/self/ns/net").LinkTarget);
    }

    [Theory]
    [InlineData("bubblewrap")]
    [InlineData("unshare")]
    public async Task Program_InASandbox_TellsSignalsAndRefusals(string step)
    {
        using var host = Host(step);
        Assert.Equal(9, (await host.RunAsync(Shell(host, "kill -9 $$"))).Exit.Signal);
        Assert.Equal(5, (await host.RunAsync(Shell(host, "exit 5"))).Exit.Code);
        var start = host.Program("/nowhere/program") with { Sandbox = true };
        var refused = Assert.Throws<ProgramStartException>(() => host.Launcher.Start(start));
        Assert.Contains("does not exist", refused.Message, StringComparison.Ordinal);
        await host.Launcher.EndAllAsync(start.Token, TimeSpan.Zero, default);
    }

    [Theory]
    [InlineData("bubblewrap")]
    [InlineData("unshare")]
    public async Task EndAll_OfASandbox_EndsWhatHidesInIt(string step)
    {
        using var host = Host(step);
        var name = $"1000.{Random.Shared.Next(100000, 999999)}";
        var start = Shell(host, $"(env -i setsid /bin/sh -c 'trap \"\" TERM; exec /bin/sleep {name} >&- 2>&-' &); sleep 0.2");
        using var program = host.Launcher.Start(start);
        Assert.Equal(0, (await program.Exit).Code);
        Assert.True(Sleeps(name));
        await host.Launcher.EndAllAsync(start.Token, TimeSpan.FromSeconds(1), default);
        Assert.False(Sleeps(name));
    }

    [Theory]
    [InlineData("bubblewrap")]
    [InlineData("unshare")]
    public async Task SocketPrograms_OfOneSlot_ShareTmpWithTheWorkerAndStartCheaply(string step)
    {
        const int Count = 300;
        using var host = Host(step);
        var tmp = host.Scratch.Create("tmp");
        using var listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        listener.Bind(new UnixDomainSocketEndPoint(Path.Combine(tmp, "map.sock")));
        host.Scratch.Give(Path.Combine(tmp, "map.sock"));
        listener.Listen(64);
        var script = "use Socket; socket(S, AF_UNIX, SOCK_STREAM, 0); connect(S, pack_sockaddr_un('/tmp/map.sock')) or die $!; syswrite(S, $ARGV[0])";
        var start = host.Program("/usr/bin/perl", ["-e", script, "hello"]) with { Sandbox = true, TmpFolder = tmp, MergeStderr = true };
        using (var program = host.Launcher.Start(start))
        {
            var buffer = new byte[16];
            using var accepted = await listener.AcceptAsync();
            Assert.Equal("hello", Encoding.ASCII.GetString(buffer, 0, await accepted.ReceiveAsync(buffer)));
            Assert.Equal(0, (await program.Exit).Code);
        }

        var clock = Stopwatch.StartNew();
        for (var i = 0; i < Count; i++)
        {
            using var program = host.Launcher.Start(start with { File = "/bin/true" });
            Assert.Equal(0, (await program.Exit).Code);
        }

        output.WriteLine($"{step}: {Count / clock.Elapsed.TotalSeconds:F0} starts/s one after the other");
        await host.Launcher.EndAllAsync(start.Token, TimeSpan.FromSeconds(1), default);
        host.Scratch.Remove(tmp);
    }

    private static bool Sleeps(string name) => Directory.EnumerateDirectories("/proc").Any(path =>
    {
        try
        {
            return int.TryParse(Path.GetFileName(path), out _) && File.ReadAllText(Path.Combine(path, "cmdline")).Contains(name, StringComparison.Ordinal) &&
                File.ReadAllText(Path.Combine(path, "comm")).StartsWith("sleep", StringComparison.Ordinal);
        }
        catch (IOException)
        {
            return false;
        }
    });
}
