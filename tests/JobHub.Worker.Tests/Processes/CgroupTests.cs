using System.Diagnostics;
using Xunit;

namespace JobHub.Worker.Tests.Processes;

/// <summary>Limits kept by the kernel, where the machine lets this process make groups; where it does not, samples keep the same promises.</summary>
public sealed class CgroupTests
{
    private static readonly string Prefix = $"jobhub-{Environment.ProcessId}-";

    private static string[] Groups(string prefix) => Directory.Exists("/sys/fs/cgroup")
        ? Directory.GetDirectories("/sys/fs/cgroup", prefix + "*", new EnumerationOptions { RecurseSubdirectories = true, IgnoreInaccessible = true, AttributesToSkip = FileAttributes.None }) : [];

    private static int Attempts() => Groups(Prefix).Sum(folder => Directory.GetDirectories(folder).Length);

    [Theory]
    [InlineData("bubblewrap", true)]
    [InlineData("plain", false)]
    public async Task Group_OfAnAttempt_HoldsAllItsProgramsAndGoesWithIt(string step, bool sandbox)
    {
        using var host = new LauncherHost(new KeyValuePair<string, string?>("JobHub:Worker:Isolation", step));
        var start = host.Shell("cat /proc/self/cgroup; (setsid cat /proc/self/cgroup)") with { Sandbox = sandbox, MemoryLimitBytes = 100 << 20, Cpus = 1 };
        using var program = host.Launcher.Start(start);
        var text = await LauncherHost.Text(program.Stdout);
        Assert.Equal(0, (await program.Exit).Code);
        if (Groups(Prefix).Length > 0)
        {
            Assert.Equal(1, Attempts() > 0 ? 1 : 0);
            Assert.Equal(2, text.Split('\n').Count(line => line.Contains(":memory:", StringComparison.Ordinal) && line.Contains(start.Token.ToString("N"), StringComparison.Ordinal)));
        }

        await host.Launcher.EndAllAsync(start.Token, TimeSpan.Zero, default);
        Assert.Equal(0, Attempts());
    }

    [Fact]
    public async Task Programs_WithoutALimit_HaveNoGroup()
    {
        using var host = new LauncherHost();
        var start = host.Shell("cat /proc/self/cgroup");
        var (_, text, _) = await host.RunAsync(start);
        Assert.DoesNotContain(start.Token.ToString("N"), text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Bomb_ThatSpreadsOverManyProcesses_IsOutOfMemoryAndLeavesNoGroup()
    {
        using var host = new LauncherHost();
        var start = host.Shell("for i in 1 2 3 4 5 6 7 8; do perl -e 'my $x = \"a\" x (30 << 20); sleep 1000' & done; wait -n; exit 9") with { MemoryLimitBytes = 100 << 20, Sandbox = true, MergeStderr = true };
        start = start with { File = "/bin/bash" };
        using var program = host.Launcher.Start(start);
        var exit = await program.Exit;
        Assert.True(exit.OutOfMemory);
        await host.Launcher.EndAllAsync(start.Token, TimeSpan.Zero, default);
        Assert.Equal(0, Attempts());
    }

    [Theory]
    [InlineData("exit 37", 37, null)]
    [InlineData("kill -11 $$", null, 11)]
    [InlineData("perl -e 'my $x = \"a\" x (40 << 20)'; exit 0", 0, null)]
    public async Task Program_BehindTheGate_TellsHowItEnded(string script, int? code, int? signal)
    {
        using var host = new LauncherHost();
        var (exit, _, _) = await host.RunAsync(host.Shell(script) with { MemoryLimitBytes = 200 << 20 });
        Assert.Equal((code, signal, false), (exit.Code, exit.Signal, exit.OutOfMemory));
    }

    [Fact]
    public async Task Groups_OfAWorkerThatWasKilled_AreRemovedByTheNext()
    {
        var root = Path.Combine("/var/tmp", $"jobhub-test-{Guid.NewGuid():N}");
        Directory.CreateDirectory(root);
        try
        {
            using var worker = Process.Start(new ProcessStartInfo("dotnet", ["exec", typeof(CgroupTests).Assembly.Location, root, "plain", "31111.5"])
                { UseShellExecute = false, RedirectStandardInput = true, RedirectStandardOutput = true })!;
            Assert.NotNull(await worker.StandardOutput.ReadLineAsync());
            worker.Kill();
            await worker.WaitForExitAsync();
            await LauncherHost.EventuallyAsync(() => Directory.GetFileSystemEntries(root).Length == 0, "the guard is done");
            using (new LauncherHost()) Assert.Empty(Groups($"jobhub-{worker.Id}-"));
        }
        finally { Directory.Delete(root, true); }
    }
}
