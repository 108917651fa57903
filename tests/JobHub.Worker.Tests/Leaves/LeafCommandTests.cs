using System.Runtime.CompilerServices;
using JobHub.Engine.Attempts;
using JobHub.Engine.Protocol;
using JobHub.Worker.Executors.Processes;
using JobHub.Worker.Tests.Agent;
using JobHub.Worker.Tests.Trees;
using Microsoft.Extensions.Options;
using Xunit;

namespace JobHub.Worker.Tests.Leaves;

/// <summary>Commands of farm jobs, as a worker's agent runs them.</summary>
public sealed class LeafCommandTests
{
    // Before anything reads the worker's environment, which it does once.
    [ModuleInitializer]
    internal static void SetWorkersEnvironment()
    {
        foreach (var (name, value) in ((string, string)[])[
            ("STUDIO_ROOT", "/net/studio"), ("STUDIO_TMP", "/var"), ("STUDIO_A", "worker-a"), ("STUDIO_B", "worker-b"), ("ConnectionStrings__test", "Host=secret"), ("JobHub__Test", "secret")])
        {
            Environment.SetEnvironmentVariable(name, value);
        }
    }

    private static Func<AttemptSpec, AttemptSpec> Leaf(string dir = "", string user = "", string pattern = "", params (string Name, string Value)[] environment) => spec => spec with
    {
        Command = new CommandSpec(spec.Command!.Command, null, false, null, new LeafSpec(dir, user, pattern)), Environment = environment.ToDictionary(e => e.Name, e => e.Value),
    };

    [Fact]
    public async Task Command_InTheWorkersView_HasItsEnvironmentFilesAndNoInput()
    {
        var shared = Path.Combine("/var/tmp", $"jobhub-test-{Guid.NewGuid():N}");
        try
        {
            await using var run = await TreeRun.StartAsync("bubblewrap");
            var spec = await run.DoAsync($"echo $STUDIO_ROOT $SHOT; cat; echo kept > {shared}; env; printf '\\377\\n'", Leaf(environment: ("SHOT", "sh010")));
            var log = run.Hub.LogOf(spec);
            Assert.Equal(AttemptOutcome.Succeeded, run.ResultOf(spec).Outcome);
            Assert.StartsWith("/net/studio sh010\n", log, StringComparison.Ordinal);
            Assert.DoesNotContain("ecret", log, StringComparison.Ordinal);
            Assert.Equal((byte)0xff, run.ResultOf(spec).Log!.Inline![^2]);
            Assert.Equal("kept\n", await File.ReadAllTextAsync(shared));
        }
        finally { File.Delete(shared); }
    }

    [Theory]
    [InlineData("")]
    [InlineData(".")]
    public async Task Dir_EmptyOrDot_IsTheScratchFolder(string dir)
    {
        await using var run = await TreeRun.StartAsync("plain");
        var spec = await run.DoAsync("pwd; ls -A; echo x > made", Leaf(dir));
        Assert.Equal($"{Path.Combine(run.Scratch, spec.Token.ToString("N"))}\n", run.Hub.LogOf(spec));
    }

    [Fact]
    public async Task Dir_NamedByTheEnvironment_IsWhereTheCommandRuns()
    {
        await using var run = await TreeRun.StartAsync("plain");
        var spec = await run.DoAsync("pwd", Leaf("$(STUDIO_TMP)/$(SHOW)", environment: ("SHOW", "tmp")));
        Assert.Equal("/var/tmp\n", run.Hub.LogOf(spec));
    }

    [Theory]
    [InlineData("/no/such/folder", "'/no/such/folder' does not exist")]
    [InlineData("missing", "'missing' does not exist")]
    [InlineData("/etc/passwd", "'/etc/passwd' does not exist on this worker. It is a file.")]
    [InlineData("/net/$(SHOW)/x", "'/net/dune/x' ('/net/$(SHOW)/x') does not exist")]
    public async Task Dir_ThatIsMissing_FailsTheAttemptAndSaysSoInTheLog(string dir, string reason)
    {
        await using var run = await TreeRun.StartAsync("plain");
        var spec = await run.DoAsync("echo ran", Leaf(dir, environment: ("SHOW", "dune")));
        var result = run.ResultOf(spec);
        Assert.Equal((AttemptOutcome.Failed, "start-failed"), (result.Outcome, result.Error!.Type));
        Assert.Contains(reason, result.Error.Message, StringComparison.Ordinal);
        Assert.Equal($"jobhub: {result.Error.Message}\n", run.Hub.LogOf(spec));
    }

    [Fact]
    public async Task Names_InACommand_AreReplacedFromTheJobThenTheWorkerAndElseLeftToTheShell()
    {
        await using var run = await TreeRun.StartAsync("plain");
        var spec = await run.DoAsync("echo $(STUDIO_A) $(STUDIO_B) $(echo shell) $(NESTED) '$(UNKNOWN_NAME)' '$(', '$()' '$(STUDIO_A'",
            Leaf(environment: [("STUDIO_A", "job-a"), ("NESTED", "'$(STUDIO_B)'")]));
        Assert.Equal("job-a worker-b shell $(STUDIO_B) $(UNKNOWN_NAME) $(, $() $(STUDIO_A\n", run.Hub.LogOf(spec));
    }

    [Fact]
    public async Task Progress_PrintedInPieces_IsToldWhileItRuns()
    {
        await using var run = await TreeRun.StartAsync("plain");
        var spec = run.Hub.AddTree("printf 'done 0.'; printf '25 of 1\\n'; sleep 1000", Leaf(pattern: "done %one of 1"));
        await Eventually.TrueAsync(() => run.Hub.LastRenew?.Progress.Any(p => p.Token == spec.Token && p.Fraction == 0.25) == true);
        run.Hub.Orders.Enqueue(new StopOrder(spec.Token, StopReason.CancelRequested));
        await Eventually.TrueAsync(() => run.Hub.Results.ContainsKey(spec.Token));
    }

    [Theory]
    [InlineData(StopReason.Paused, "paused")]
    [InlineData(StopReason.Restarted, "restarted")]
    public async Task Command_PausedOrRestarted_IsEndedAndReportedAsInterrupted(StopReason reason, string type)
    {
        await using var run = await TreeRun.StartAsync("plain");
        var spec = run.Hub.AddTree("echo $$; sleep 1000 & wait", Leaf());
        await Eventually.TrueAsync(() => run.Hub.Live.ContainsKey(spec.Token));
        run.Hub.Orders.Enqueue(new StopOrder(spec.Token, reason));
        await Eventually.TrueAsync(() => run.Hub.Results.ContainsKey(spec.Token));
        Assert.Equal((AttemptOutcome.Interrupted, type), (run.ResultOf(spec).Outcome, run.ResultOf(spec).Error!.Type));
        Assert.False(Directory.Exists($"/proc/{run.Hub.LogOf(spec).Trim()}"));
    }

    [Fact]
    public async Task Sandbox_SwitchedOn_LeavesOnlyScratchAndTheWritablePaths()
    {
        var (open, closed) = (Directory.CreateDirectory($"/var/tmp/jobhub-test-{Guid.NewGuid():N}"), Directory.CreateDirectory($"/var/tmp/jobhub-test-{Guid.NewGuid():N}"));
        foreach (var folder in (DirectoryInfo[])[open, closed]) File.SetUnixFileMode(folder.FullName, (UnixFileMode)0x1ff);
        try
        {
            await using var run = await TreeRun.StartAsync("bubblewrap", ("Farm:Sandbox", "true"), ("Farm:WritablePaths:0", open.FullName), ("Farm:WritablePaths:1", "/no/such/folder"));
            var spec = await run.DoAsync($"echo 1 > a && echo 2 > {open}/b && ! (echo 3 > {closed}/c) 2>/dev/null && ls -A /tmp && pwd", Leaf());
            Assert.Equal(AttemptOutcome.Succeeded, run.ResultOf(spec).Outcome);
            Assert.Equal((1, 0), (open.GetFiles().Length, closed.GetFiles().Length));
            // A folder of the job's choice is not made writable by being chosen.
            var inside = await run.DoAsync("pwd; echo 4 > d", Leaf(closed.FullName));
            Assert.Equal("exit-code", run.ResultOf(inside).Error!.Type);
            Assert.StartsWith(closed.FullName, run.Hub.LogOf(inside), StringComparison.Ordinal);
            Assert.Empty(closed.GetFiles());
            var hidden = await run.DoAsync("ls", Leaf("/tmp/.."));
            Assert.Equal(AttemptOutcome.Succeeded, run.ResultOf(hidden).Outcome);
        }
        finally
        {
            open.Delete(true);
            closed.Delete(true);
        }
    }

    [Fact]
    public async Task Sandbox_DirThatIsHiddenInIt_FailsWithThatReason()
    {
        var hidden = Directory.CreateDirectory($"/tmp/jobhub-test-{Guid.NewGuid():N}");
        try
        {
            await using var run = await TreeRun.StartAsync("bubblewrap", ("Farm:Sandbox", "true"));
            var spec = await run.DoAsync("ls", Leaf(hidden.FullName));
            Assert.Contains("WritablePaths", run.ResultOf(spec).Error!.Message, StringComparison.Ordinal);
        }
        finally { hidden.Delete(); }
    }

    [Theory]
    [InlineData("unshare")]
    [InlineData("plain")]
    public async Task Sandbox_ThatCannotBeMade_IsNeverLeftOut(string step)
    {
        await using var run = await TreeRun.StartAsync(step, ("Farm:Sandbox", "true"));
        var spec = await run.DoAsync("echo ran", Leaf());
        Assert.Equal("start-failed", run.ResultOf(spec).Error!.Type);
        Assert.DoesNotContain("ran\n", run.Hub.LogOf(spec), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("sudo -n -u {user}")]
    [InlineData("sudo -n -- {command}")]
    [InlineData("sudo -u {user} {command} {command}")]
    [InlineData("sudo -u {user} sh -c '{command}'")]
    [InlineData("no-such-program {user} {command}")]
    [InlineData("{user} {command}")]
    public async Task RunAs_ThatIsNoTemplate_IsRefusedAtStart(string template) =>
        await Assert.ThrowsAsync<OptionsValidationException>(() => TreeRun.StartAsync("plain", ("Farm:RunAs", template)));

    [Fact]
    public async Task RunAs_AUserOfTheMachine_RunsTheCommandAsThatUserWithItsEnvironmentAndNothingOfTheJobBefore()
    {
        const string template = "setpriv --reuid {user} --regid {user} --clear-groups --reset-env {command}";
        if (!Environment.IsPrivilegedProcess)
        {
            await Assert.ThrowsAsync<OptionsValidationException>(() => TreeRun.StartAsync("plain", ("Farm:RunAs", template)));
            return;
        }

        await using var run = await TreeRun.StartAsync("plain", ("Farm:RunAs", template));
        var spec = await run.DoAsync("id -un; id -u; pwd; echo \"$SHOT\"; touch made; ls -A; echo 'a\"b'; exit 4",
            Leaf(user: "daemon", environment: [("SHOT", "it's $HOME `x`"), ("LD_PRELOAD", "/no/such.so"), ("PATH", "/usr/bin:/bin")]));
        Assert.True(run.ResultOf(spec).ExitCode == 4, run.Hub.LogOf(spec));
        var lines = run.Hub.LogOf(spec).Split('\n').Where(l => !l.Contains("ld.so", StringComparison.Ordinal)).ToArray();
        Assert.Equal(["daemon", "1", Path.Combine(run.Scratch, spec.Token.ToString("N")), "it's $HOME `x`", "made", "a\"b"], lines[..6]);

        var nobody = await run.DoAsync("id -un", Leaf());
        Assert.Equal("nobody\n", run.Hub.LogOf(nobody));
        // Ended whole, though its environment was thrown away on the way.
        var stopped = run.Hub.AddTree("echo $$; setsid sleep 1000 & sleep 1000", s => Leaf(user: "daemon")(s) with { TimeoutSeconds = 0.5 });
        await Eventually.TrueAsync(() => run.Hub.Results.ContainsKey(stopped.Token));
        Assert.Equal(AttemptOutcome.TimedOut, run.ResultOf(stopped).Outcome);
        Assert.DoesNotContain(ProcTable.All(), pid => ProcTable.HasMark(pid, System.Text.Encoding.ASCII.GetBytes($"JOBHUB_ATTEMPT={stopped.Token}")));
    }

    [Theory]
    [InlineData("root")]
    [InlineData("no-such-user-here")]
    [InlineData("-u root")]
    [InlineData("daemon;id")]
    [InlineData("daemon\n")]
    [InlineData("0")]
    public async Task RunAs_AUserItIsNotFor_FailsTheAttempt(string user)
    {
        if (!Environment.IsPrivilegedProcess) return;
        await using var run = await TreeRun.StartAsync("plain", ("Farm:RunAs", "setpriv --reuid {user} --clear-groups {command}"));
        var spec = await run.DoAsync("id", Leaf(user: user));
        Assert.Equal("start-failed", run.ResultOf(spec).Error!.Type);
        Assert.Equal($"jobhub: {run.ResultOf(spec).Error!.Message}\n", run.Hub.LogOf(spec));
    }
}
