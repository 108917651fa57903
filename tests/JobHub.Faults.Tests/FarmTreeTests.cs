using System.Net;
using System.Text.Json;
using JobHub.AppHost.LocalHosting;
using JobHub.Faults.Tests.Hubs;
using JobHub.Faults.Tests.Ledger;
using JobHub.Faults.Tests.Proxy;
using JobHub.Faults.Tests.Runs;
using JobHub.Testing;
using Xunit.Abstractions;

namespace JobHub.Faults.Tests;

/// <summary>Trees of jobs while what carries them is killed, frozen or cut off, and while they are changed as subtrees: every leaf ends once, and every count is right whenever it is read.</summary>
public class FarmTreeTests(ITestOutputHelper output)
{
    private const int FrozenSignal = 19;

    [Fact]
    public async Task Tree_WhenProcessesAreKilled_EndsEachLeafOnceWithTheRightCounts()
    {
        const int seed = 801;
        await using var hub = await FaultHub.StartAsync(new HubOptions { Slots = 3 });
        await using var spare = await SpareWorker.StartAsync(hub.Process, "spare", 2);
        var tree = await FarmTree.MakeAsync(hub, seed, groups: 2, subgroups: 2, leaves: FaultHub.IsLong ? 800 : 40);
        await using var events = new HubWatch(hub);
        await using var watch = new FarmWatch(tree, onlyForward: true);
        var random = new Random(seed);
        foreach (var victim in Enumerable.Repeat((string[])["worker", "api", "postgres"], FaultHub.IsLong ? 20 : 1).SelectMany(v => v))
        {
            await Eventually.TrueAsync(async () => await hub.CountAsync("SELECT count(*) FROM live WHERE session_id IS NOT NULL") > 0 || await hub.CountAsync("SELECT count(*) FROM live") == 0, "leaves that run");
            // The moment is part of the fault.
            await Task.Delay(TimeSpan.FromMilliseconds(random.Next(20, 700)));
            await hub.Process.WaitRestartedAsync(victim, await hub.Process.KillAsync(victim));
        }

        await CheckAsync(hub, tree, events, watch, $"seed {seed}, kills of worker, api and postgres");
    }

    [Fact]
    public async Task Tree_WhenAWorkerFreezesPastItsLease_RunsItsLeavesElsewhereAndCountsThemOnce()
    {
        await using var hub = await FaultHub.StartAsync(new HubOptions { Slots = 3 });
        await using var spare = await SpareWorker.StartAsync(hub.Process, "spare", 2);
        var tree = await FarmTree.MakeAsync(hub, 804, groups: 2, subgroups: 2, leaves: 30, work: 0.2);
        await using var events = new HubWatch(hub);
        await using var watch = new FarmWatch(tree, onlyForward: true);
        await Eventually.TrueAsync(async () => await hub.CountAsync($"SELECT count(*) FROM live l JOIN worker_session s ON s.id = l.session_id WHERE s.worker = '{Environment.MachineName}'") > 0, "leaves on the worker");
        hub.Process.Signal("worker", FrozenSignal);
        await Eventually.TrueAsync(async () => await hub.CountAsync("SELECT count(*) FROM attempt WHERE outcome = 4 AND NOT reported") > 0, "a lease that ran out");
        hub.Process.Signal("worker", Unix.Continue);
        await CheckAsync(hub, tree, events, watch, "seed 804, a frozen worker");
    }

    [Fact]
    public async Task Tree_OverABadNetwork_EndsEachLeafOnceWithTheRightCounts()
    {
        var port = LoopbackPort.Free();
        await using var proxy = await FaultProxy.StartAsync(new Uri($"http://127.0.0.1:{port}"), 805, 0.2);
        await using var hub = await FaultHub.StartAsync(new HubOptions
        {
            ApiPort = port, Slots = 4, Environment = new Dictionary<string, string?> { ["JobHub__Worker__Api"] = proxy.Address.AbsoluteUri },
        });
        var tree = await FarmTree.MakeAsync(hub, 805, groups: 2, subgroups: 2, leaves: FaultHub.IsLong ? 400 : 50);
        await using var events = new HubWatch(hub);
        await using var watch = new FarmWatch(tree, onlyForward: true);
        proxy.IsOn = true;
        await EndAsync(hub, tree, tree.Leaves.Count, "seed 805");
        proxy.IsOn = false;
        Assert.True(proxy.Done.Count > 3, $"only {proxy.Done.Count} kinds of faults");
        await CheckAsync(hub, tree, events, watch, $"seed 805, {string.Join(' ', proxy.Done.OrderBy(d => d.Key).Select(d => $"{d.Key}={d.Value}"))}");
    }

    [Fact]
    public async Task Subtrees_PausedResetStartedAndDeletedWhileTheyRun_EndWithTheRightCounts()
    {
        foreach (var seed in FaultHub.IsLong ? Enumerable.Range(806, 10) : [806]) await ChangeAsync(seed);
    }

    private async Task ChangeAsync(int seed)
    {
        await using var hub = await FaultHub.StartAsync(new HubOptions { Slots = 4, Environment = new Dictionary<string, string?> { ["JobHub__Worker__Grace"] = "00:00:01" } });
        await using var spare = await SpareWorker.StartAsync(hub.Process, "spare", 3);
        var tree = await FarmTree.MakeAsync(hub, seed, groups: 3, subgroups: 2, leaves: 30, work: 0.1);
        await using var events = new HubWatch(hub);
        await using var watch = new FarmWatch(tree, onlyForward: false);
        var random = new Random(seed);
        var deleted = new HashSet<long>();
        var done = new Dictionary<string, int>();
        long[] targets = [tree.Root, .. tree.Groups, .. tree.Subgroups, .. tree.Leaves.Keys.Take(20)];
        string[] calls = ["pausejobs", "pausejobs", "startjobs", "startjobs", "resetjobs", "reseterrorjobs"];
        for (var n = FaultHub.IsLong ? 400 : 40; n > 0; n--)
        {
            // The moment is part of the fault.
            await Task.Delay(TimeSpan.FromMilliseconds(random.Next(5, 150)));
            var call = n % 13 == 0 ? "delete" : calls[random.Next(calls.Length)];
            var target = call == "delete" ? tree.Subgroups[1 + random.Next(tree.Subgroups.Count - 1)] : targets[random.Next(targets.Length)];
            if (random.Next(10) == 0)
            {
                // Two at once, as two operators do it.
                await Task.WhenAll(tree.CallAsync(call, target), tree.CallAsync("startjobs", tree.Root));
            }
            else
            {
                await tree.CallAsync(call, target);
            }

            if (call == "delete") deleted.Add(target);
            done[call] = done.GetValueOrDefault(call) + 1;
        }

        foreach (var target in targets.Where(t => !deleted.Contains(t))) await tree.CallAsync("startjobs", target);
        // Who is gone is gone for readers at once.
        foreach (var gone in deleted)
        {
            using var answer = await hub.Http.GetAsync($"/api/jobs/{gone}");
            Assert.Equal(HttpStatusCode.NotFound, answer.StatusCode);
        }

        await CheckAsync(hub, tree, events, watch, $"seed {seed}, {string.Join(' ', done.Select(d => $"{d.Key}={d.Value}"))}", deleted);
    }

    private async Task CheckAsync(FaultHub hub, FarmTree tree, HubWatch events, FarmWatch watch, string what, HashSet<long>? deleted = null)
    {
        var expected = tree.Leaves.Count - ((deleted?.Count ?? 0) * (tree.Leaves.Count / tree.Subgroups.Count));
        await EndAsync(hub, tree, expected, what);
        await hub.WaitWorkerAsync();
        var findings = new List<string>(watch.Findings);
        var seen = await SumsAsync(tree, tree.Root, findings);
        if (seen.Total != expected) findings.Add($"L1: {seen.Total} leaves are there and not {expected}");
        await ExpectAsync(hub, findings, "L1: leaves in the queue", 0, "SELECT count(*) FROM live");
        await ExpectAsync(hub, findings, "L1: rows of deleted jobs", 0, "SELECT (SELECT count(*) FROM job WHERE deleted_at IS NOT NULL) + (SELECT count(*) FROM task t WHERE NOT EXISTS (SELECT FROM job j WHERE j.number = t.id >> 20))");
        await ExpectAsync(hub, findings, "L5: groups whose folded counts are not their leaves'", 0, """
            WITH RECURSIVE below AS (
                SELECT number AS top, number FROM job WHERE is_group UNION ALL SELECT b.top, j.number FROM below b JOIN job j ON j.parent = b.number)
            SELECT count(*) FROM (
                SELECT g.number FROM job g JOIN below b ON b.top = g.number JOIN job l ON l.number = b.number AND NOT l.is_group JOIN task t ON t.id = l.number << 20
                GROUP BY g.number, g.leaves, g.leaves_succeeded, g.leaves_failed HAVING g.leaves <> count(*) OR g.leaves_succeeded <> count(*) FILTER (WHERE t.state = 4) OR g.leaves_failed <> count(*) FILTER (WHERE t.state <> 4)) wrong
            """);
        if (deleted is null)
        {
            await ExpectAsync(hub, findings, "L1: ends", 1 + tree.Groups.Count + tree.Subgroups.Count + tree.Leaves.Count, "SELECT count(*) FROM ledger WHERE kind = 'job-ended'");
            await ExpectAsync(hub, findings, "L1: jobs that ended twice", 0, "SELECT count(*) FROM (SELECT job FROM ledger WHERE kind = 'job-ended' GROUP BY job HAVING count(*) > 1) d");
        }

        await CommitsAsync(hub, tree, findings);
        var checker = new LedgerChecker(hub);
        findings.AddRange(await checker.CheckAsync(new Dictionary<string, WordCount?>(), events));
        output.WriteLine($"{what}; leaves {seen.Total}, attempts {await hub.CountAsync("SELECT count(*) FROM attempt")}, duplicate starts {checker.DuplicateStarts}, fenced {hub.Refused}, reads of groups {watch.Reads}");
        Assert.True(findings.Count == 0, $"{what}\n{string.Join('\n', findings.Distinct().Take(40))}");
    }

    /// <summary>Waits for the end; says what stands in its way where it does not come.</summary>
    private async Task EndAsync(FaultHub hub, FarmTree tree, int leaves, string what)
    {
        try
        {
            await tree.EndAsync(leaves, TimeSpan.FromMinutes(2));
        }
        catch (TimeoutException late)
        {
            output.WriteLine((await tree.JobAsync(tree.Root)).ToString());
            foreach (var row in await hub.QueryAsync("SELECT to_jsonb(c)::text FROM tree_change c UNION ALL SELECT to_jsonb(w)::text FROM tree_walk w", r => r.GetString(0))) output.WriteLine($"change {row}");
            foreach (var row in await hub.QueryAsync("""
                SELECT format('%s of %s: state %s, claimable %s, paused %s, session %s, stop %s, attempt %s; job stop %s, deleted %s', j.number, j.parent, l.state, l.claimable, l.paused, l.session_id, l.stop, l.attempt, j.stop, j.deleted_at)
                FROM live l JOIN job j ON j.number = l.task_id >> 20 ORDER BY 1 LIMIT 20
                """, r => r.GetString(0))) output.WriteLine($"queued {row}");
            foreach (var line in hub.Process.Output.Where(l => l.Contains("fail", StringComparison.Ordinal) || l.Contains("warn", StringComparison.Ordinal)).TakeLast(40)) output.WriteLine(line);
            throw new TimeoutException($"{what}: the tree does not come to its end", late);
        }
    }

    /// <summary>The sums of a subtree's leaves as their own pages say them, against what each group says of them.</summary>
    private static async Task<(long Total, long Finished, long Errors)> SumsAsync(FarmTree tree, long id, List<string> findings)
    {
        var (own, all) = ((Total: 0L, Finished: 0L, Errors: 0L), (Total: 0L, Finished: 0L, Errors: 0L));
        foreach (var child in await tree.ChildrenAsync(id))
        {
            var (number, state) = (FarmTree.Number(child, "id"), child.GetProperty("state").GetString());
            if (!tree.Leaves.TryGetValue(number, out var fails))
            {
                var below = await SumsAsync(tree, number, findings);
                all = (all.Total + below.Total, all.Finished + below.Finished, all.Errors + below.Errors);
                continue;
            }

            if (state != (fails ? "ERROR" : "FINISHED")) findings.Add($"L1: leaf {number} is {state}: {child}");
            own = (own.Total + 1, own.Finished + (state == "FINISHED" ? 1 : 0), own.Errors + (state == "ERROR" ? 1 : 0));
        }

        all = (all.Total + own.Total, all.Finished + own.Finished, all.Errors + own.Errors);
        var job = await tree.JobAsync(id);
        var said = (FarmTree.Number(job, "total_finished"), FarmTree.Number(job, "total_errors"), FarmTree.Number(job, "total_working"), FarmTree.Number(job, "finished"), FarmTree.Number(job, "errors"), FarmTree.Number(job, "working"));
        if (said != (all.Finished, all.Errors, 0, own.Finished, own.Errors, 0)) findings.Add($"L5: group {id} says {said}, its leaves {all}, its children {own}");
        return all;
    }

    /// <summary>L3: a leaf that has finished was told so by its winner's own program.</summary>
    private static async Task CommitsAsync(FaultHub hub, FarmTree tree, List<string> findings)
    {
        var committed = hub.Ledger.Lines.Where(l => l.Word == "commit").Select(l => l.Token).ToHashSet();
        foreach (var (number, winner) in await hub.QueryAsync("SELECT id >> 20, winner FROM task WHERE state = 4", r => (r.GetInt64(0), r.GetGuid(1))))
        {
            if (!committed.Contains(winner)) findings.Add($"L3: the winner {winner} of leaf {number} has never committed");
            if (tree.Leaves[number]) findings.Add($"L3: leaf {number} fails and has a winner");
        }
    }

    private static async Task ExpectAsync(FaultHub hub, List<string> findings, string what, long expected, string sql)
    {
        var found = await hub.CountAsync(sql);
        if (found != expected) findings.Add($"{what}: {found} and not {expected}");
    }
}
