using System.Text;
using JobHub.Engine.Attempts;
using JobHub.Engine.Protocol;
using Xunit;

namespace JobHub.Worker.Tests.Agent;

public sealed class AgentLoopTests
{
    [Fact]
    public async Task Command_ThatPrintsAndSucceeds_IsReportedWithItsOutput()
    {
        await using var hub = await LoopHub.StartAsync();
        await using var worker = await new LoopWorker(hub.Address).StartAsync();
        var spec = hub.Add("echo out; echo err >&2");

        await Eventually.TrueAsync(() => hub.Results.ContainsKey(spec.Token));

        var result = hub.Results[spec.Token];
        Assert.Equal((AttemptOutcome.Succeeded, 0), (result.Outcome, result.ExitCode));
        Assert.Equal("out\nerr\n", Encoding.UTF8.GetString(result.Log!.Inline!));
        Assert.Empty(Directory.GetFileSystemEntries(worker.Scratch));
    }

    [Fact]
    public async Task Command_ThatFails_IsReportedWithItsExitCode()
    {
        await using var hub = await LoopHub.StartAsync();
        await using var worker = await new LoopWorker(hub.Address).StartAsync();
        var (code, signal) = (hub.Add("exit 3"), hub.Add("kill -9 $$"));

        await Eventually.TrueAsync(() => hub.Results.Count == 2);

        Assert.Equal((AttemptOutcome.Failed, "exit-code", 3), (hub.Results[code.Token].Outcome, hub.Results[code.Token].Error!.Type, hub.Results[code.Token].ExitCode));
        Assert.Equal((AttemptOutcome.Failed, "signal", 9), (hub.Results[signal.Token].Outcome, hub.Results[signal.Token].Error!.Type, hub.Results[signal.Token].Signal));
    }

    [Fact]
    public async Task Command_WithLongOutput_SendsTheLogBeforeTheResult()
    {
        await using var hub = await LoopHub.StartAsync();
        await using var worker = await new LoopWorker(hub.Address).StartAsync();
        var spec = hub.Add("seq 1 20000");

        await Eventually.TrueAsync(() => hub.Results.ContainsKey(spec.Token));

        var expected = string.Concat(Enumerable.Range(1, 20000).Select(i => $"{i}\n"));
        Assert.Equal(expected, Encoding.UTF8.GetString(hub.Logs[spec.Token]));
        Assert.Equal((expected.Length, $"logs/{spec.Token}"), (hub.Results[spec.Token].Log!.Size, hub.Results[spec.Token].Log!.Key));
    }

    [Fact]
    public async Task Command_OverItsTime_IsTimedOut()
    {
        await using var hub = await LoopHub.StartAsync();
        await using var worker = await new LoopWorker(hub.Address).StartAsync();
        var spec = hub.Add("sleep 1000", timeout: 0.3);

        await Eventually.TrueAsync(() => hub.Results.ContainsKey(spec.Token));

        Assert.Equal((AttemptOutcome.TimedOut, "timeout"), (hub.Results[spec.Token].Outcome, hub.Results[spec.Token].Error!.Type));
    }

    [Fact]
    public async Task Worker_ToldToExit_BeginsToStopAndReportsWhatRanAsInterrupted()
    {
        await using var hub = await LoopHub.StartAsync();
        await using var worker = await new LoopWorker(hub.Address).StartAsync();
        var spec = hub.Add("echo ready; sleep 1000");
        await Eventually.TrueAsync(() => hub.Live.ContainsKey(spec.Token));
        Assert.False(worker.IsStopping);

        hub.TellToExit = true;
        await Eventually.TrueAsync(() => worker.IsStopping);
        await worker.StopAsync();

        Assert.Equal(AttemptOutcome.Interrupted, hub.Results[spec.Token].Outcome);
        Assert.Equal([1], hub.Ended);
    }

    [Fact]
    public async Task Command_ThatIgnoresSigterm_IsCanceledAfterTheGrace()
    {
        await using var hub = await LoopHub.StartAsync();
        await using var worker = await new LoopWorker(hub.Address, grace: TimeSpan.FromMilliseconds(300)).StartAsync();
        var spec = hub.Add("trap '' TERM; echo ready; while :; do sleep 1; done");
        await Eventually.TrueAsync(() => hub.Live.ContainsKey(spec.Token));
        Assert.Equal("ready\n", hub.Live[spec.Token]);

        hub.Orders.Enqueue(new StopOrder(spec.Token, StopReason.CancelRequested));
        await Eventually.TrueAsync(() => hub.Results.ContainsKey(spec.Token));

        Assert.Equal(AttemptOutcome.Canceled, hub.Results[spec.Token].Outcome);
        Assert.Empty(Directory.GetFileSystemEntries(worker.Scratch));
    }

    [Fact]
    public async Task Answers_ThatAreLost_CostNothingAndDoubleNothing()
    {
        await using var hub = await LoopHub.StartAsync();
        hub.LoseClaimAnswers = 2;
        hub.LoseCompleteAnswers = 2;
        var spec = new[] { hub.Add("echo a"), hub.Add("echo b"), hub.Add("echo c") };
        await using var worker = await new LoopWorker(hub.Address).StartAsync();

        await Eventually.TrueAsync(() => spec.All(s => hub.Results.ContainsKey(s.Token)) && hub.Completions > 2);

        Assert.All(spec, s => Assert.Equal(AttemptOutcome.Succeeded, hub.Results[s.Token].Outcome));
        Assert.Equal(1, hub.Sessions);
    }

    [Fact]
    public async Task Session_ThatTheHubEnded_StopsItsAttemptsAndAnotherFollows()
    {
        await using var hub = await LoopHub.StartAsync();
        await using var worker = await new LoopWorker(hub.Address).StartAsync();
        var lost = hub.Add("sleep 1000");
        await Eventually.TrueAsync(() => hub.LastRenew?.Started.Contains(lost.Token) == true);

        hub.GoneUpTo = 1;
        await Eventually.TrueAsync(() => hub.Sessions >= 2);
        var next = hub.Add("true");
        await Eventually.TrueAsync(() => hub.Results.ContainsKey(next.Token));

        Assert.False(hub.Results.ContainsKey(lost.Token));
    }

    [Fact]
    public async Task Lease_ThatCannotBeRenewed_FencesTheWorker()
    {
        await using var hub = await LoopHub.StartAsync();
        hub.LeaseSeconds = 2;
        await using var worker = await new LoopWorker(hub.Address, grace: TimeSpan.FromMinutes(10)).StartAsync();
        var lost = hub.Add("trap '' TERM; sleep 1000");
        await Eventually.TrueAsync(() => hub.LastRenew?.Started.Contains(lost.Token) == true);

        hub.RefuseRenews = true;
        await Eventually.TrueAsync(() => Directory.GetFileSystemEntries(worker.Scratch).Length == 0);
        await Eventually.TrueAsync(() => hub.Sessions >= 2);

        Assert.False(hub.Results.ContainsKey(lost.Token));
    }

    [Fact]
    public async Task Worker_ThatStops_InterruptsWhatRunsAndEndsItsSession()
    {
        await using var hub = await LoopHub.StartAsync();
        await using var worker = await new LoopWorker(hub.Address, slots: 1).StartAsync();
        var running = hub.Add("sleep 1000");
        await Eventually.TrueAsync(() => hub.LastRenew?.Started.Contains(running.Token) == true);

        await worker.StopAsync();

        Assert.Equal((AttemptOutcome.Interrupted, "worker-stopping"), (hub.Results[running.Token].Outcome, hub.Results[running.Token].Error!.Type));
        Assert.Equal([1L], hub.Ended);
    }

    [Fact]
    public async Task ManyTinyCommands_AllEndOnce()
    {
        await using var hub = await LoopHub.StartAsync();
        await using var worker = await new LoopWorker(hub.Address).StartAsync();
        var all = Enumerable.Range(0, 300).Select(i => hub.Add($"echo {i}")).ToArray();

        await Eventually.TrueAsync(() => hub.Results.Count == all.Length);

        for (var i = 0; i < all.Length; i++) Assert.Equal($"{i}\n", Encoding.UTF8.GetString(hub.Results[all[i].Token].Log!.Inline!));
        Assert.True(hub.Completions < all.Length);
    }
}
