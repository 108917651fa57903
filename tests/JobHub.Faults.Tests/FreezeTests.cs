using JobHub.AppHost.LocalHosting;
using JobHub.Faults.Tests.Hubs;
using JobHub.Faults.Tests.Ledger;
using JobHub.Faults.Tests.Proxy;
using JobHub.Faults.Tests.Runs;
using JobHub.Testing;
using Xunit.Abstractions;

namespace JobHub.Faults.Tests;

/// <summary>A worker that does not answer for longer than its lease, and comes back.</summary>
public class FreezeTests(ITestOutputHelper output)
{
    private const int Stop = 19;

    [Fact]
    public async Task Worker_FrozenPastItsLease_ItsLateResultsAreRefusedAndCounted()
    {
        var port = LoopbackPort.Free();
        await using var proxy = await FaultProxy.StartAsync(new Uri($"http://127.0.0.1:{port}"), 1, 0);
        await using var hub = await FaultHub.StartAsync(new HubOptions
        {
            ApiPort = port, Slots = 2, Environment = new Dictionary<string, string?> { ["JobHub__Worker__Api"] = proxy.Address.AbsoluteUri },
        });
        await WordCount.UploadAsync(hub);
        var text = new WordCount(201, 30_000);
        await using var watch = new HubWatch(hub);
        // Reports are on their way when the worker freezes, and arrive when its lease is over and its tasks are free again.
        var hold = proxy.Hold = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var id = await hub.SubmitAsync(text.Job(hub, maps: 4));
        watch.Add(id, text.Lines);
        await Eventually.TrueAsync(() => proxy.Held > 0, "a report on its way");
        hub.Process.Signal("worker", Stop);
        await Eventually.TrueAsync(async () => await hub.CountAsync("SELECT count(*) FROM attempt WHERE outcome = 4 AND NOT reported") > 0, "a lease that ran out");
        proxy.Hold = null;
        hold.SetResult();
        await Eventually.TrueAsync(() => proxy.Answers.GetValueOrDefault("Lost") > 0, "a refused report");
        hub.Process.Signal("worker", Unix.Continue);
        await hub.EndAsync(id);

        var checker = new LedgerChecker(hub);
        var findings = await checker.CheckAsync(new Dictionary<string, WordCount?> { [id] = text }, watch);
        output.WriteLine($"seed 201, jobs 1, faults FreezeWorker=1, lost {checker.Lost}, doubled {checker.Doubled}, duplicate starts {checker.DuplicateStarts}, fenced {hub.Refused}");
        Assert.True(findings.Count == 0, string.Join('\n', findings));
        Assert.Equal(proxy.Answers["Lost"], hub.Refused);
        Assert.True(checker.DuplicateStarts > 0);
        Assert.Equal(0, await hub.CountAsync("SELECT count(*) FROM attempt a JOIN task t ON t.id = a.task_id AND t.winner = a.token WHERE a.outcome = 4"));
    }

    [Fact]
    public async Task Job_WhenWorkerAndApiFreezeAtRandomMoments_EndsWithTheRightResult()
    {
        await using var hub = await FaultHub.StartAsync();
        var times = FaultHub.IsLong ? 20 : 1;
        await new FaultRun(hub, 202, output).RunAsync(new Dictionary<FaultKind, int> { [FaultKind.FreezeWorker] = times, [FaultKind.FreezeApi] = times });
    }
}
