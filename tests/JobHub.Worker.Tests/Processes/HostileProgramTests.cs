using Xunit;

namespace JobHub.Worker.Tests.Processes;

public sealed class HostileProgramTests
{
    [Theory]
    [InlineData("bubblewrap", true, true)]
    [InlineData("unshare", true, true)]
    [InlineData("plain", false, true)]
    [InlineData("bubblewrap", true, false)]
    [InlineData("unshare", true, false)]
    [InlineData("plain", false, false)]
    public async Task MemoryBomb_AboveItsLimit_IsKilledAsOutOfMemory(string step, bool sandbox, bool groups)
    {
        using var host = new LauncherHost(new KeyValuePair<string, string?>[] { new("JobHub:Worker:Isolation", step), new("JobHub:Worker:Cgroups", groups.ToString()) });
        // The shell is small; its child in the background is not.
        var start = host.Shell("perl -e 'my $x = \"a\" x (1 << 28); sleep 1000' & wait") with { Sandbox = sandbox, MemoryLimitBytes = 100 << 20 };
        using var program = host.Launcher.Start(start);
        var exit = await program.Exit;
        Assert.True(exit.OutOfMemory);
        Assert.True(exit.PeakMemoryBytes >= 100 << 20);
        await host.Launcher.EndAllAsync(start.Token, TimeSpan.Zero, default);
    }

    [Fact]
    public async Task Program_BelowItsLimitThatCrashes_IsNotOutOfMemory()
    {
        using var host = new LauncherHost();
        var (exit, _, _) = await host.RunAsync(host.Shell("kill -SEGV $$") with { MemoryLimitBytes = 1 << 30 });
        Assert.Equal((11, false), (exit.Signal, exit.OutOfMemory));
    }

    [Theory]
    [InlineData("bubblewrap", true)]
    [InlineData("plain", false)]
    public async Task ForkBomb_AtTheEnd_LeavesNothing(string step, bool sandbox)
    {
        using var host = new LauncherHost(new KeyValuePair<string, string?>("JobHub:Worker:Isolation", step));
        var mark = $"4{Random.Shared.Next(10000, 99999)}.5";
        // Sessions of their own, deaf to TERM, and each replaced by another as it goes: 40 at a time.
        var script = $"i=0; while [ $i -lt 40 ]; do setsid sh -c 'trap \"\" TERM; while :; do sleep {mark} & sleep 0.05; kill $!; done' & i=$((i+1)); done; echo ready";
        var start = host.Shell(script) with { Sandbox = sandbox, MergeStderr = true };
        using var program = host.Launcher.Start(start);
        LauncherHost.Read(program, new byte[64]);
        await program.Exit;
        await host.Launcher.EndAllAsync(start.Token, TimeSpan.FromMilliseconds(50), default);
        Assert.DoesNotContain(Directory.GetDirectories("/proc"), path => int.TryParse(Path.GetFileName(path), out _) && Text(Path.Combine(path, "cmdline")).Contains(mark, StringComparison.Ordinal));
    }

    [Fact]
    public async Task Orphan_WithoutItsEnvironmentBesideAnOlderAttempt_EndsWithTheAttemptInWhoseFolderItStands()
    {
        using var host = new LauncherHost();
        var older = host.Shell("echo ready; exec sleep 1000") with { WorkingFolder = host.Scratch.Create("older") };
        using var other = host.Launcher.Start(older);
        LauncherHost.Read(other, new byte[64]);
        var folder = host.Scratch.Create("younger");
        var start = host.Shell("(env -i setsid sh -c 'echo $$ > pid; while :; do echo x >> w; rm -f w; done' >/dev/null 2>&1 &); while ! test -s pid; do sleep 0.01; done") with { WorkingFolder = folder };
        Assert.Equal(0, (await host.RunAsync(start)).Exit.Code);
        Assert.False(LauncherHost.Runs(int.Parse(await File.ReadAllTextAsync(Path.Combine(folder, "pid")), System.Globalization.CultureInfo.InvariantCulture)));
        Assert.True(LauncherHost.Runs(other.Pid));
        await host.Launcher.EndAllAsync(older.Token, TimeSpan.Zero, default);
    }

    [Fact]
    public async Task Stop_OfAProgramThatHangs_EndsItWithinTheGrace()
    {
        using var host = new LauncherHost();
        var start = host.Shell("sleep 1000") with { Sandbox = true };
        using var program = host.Launcher.Start(start);
        await program.StopAsync(TimeSpan.FromSeconds(30));
        Assert.Equal(15, (await program.Exit).Signal);
        await host.Launcher.EndAllAsync(start.Token, TimeSpan.Zero, default);
    }

    [Fact]
    public async Task Output_OfProgramsThatNeverStopPrinting_EndsWithThem()
    {
        using var host = new LauncherHost();
        var start = host.Program("/usr/bin/yes") with { Sandbox = true };
        using var program = host.Launcher.Start(start);
        LauncherHost.Read(program, new byte[1 << 16]);
        await host.Launcher.EndAllAsync(start.Token, TimeSpan.FromSeconds(10), default);
        Assert.Equal(15, (await program.Exit).Signal);
    }

    private static string Text(string path)
    {
        try
        {
            return File.ReadAllText(path);
        }
        catch (IOException)
        {
            return "";
        }
    }
}
