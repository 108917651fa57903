using JobHub.Engine.Attempts;
using JobHub.Engine.Jobs;
using JobHub.Engine.Protocol;
using JobHub.Engine.Trees;
using JobHub.Testing;
using Xunit;

namespace JobHub.Engine.Tests.Trees;

public sealed class SubtreeTests(TreeFixture fixture) : TreeTestBase(fixture)
{
    [Fact]
    public async Task Pause_OfAGroup_StopsWhatRunsAndGivesNothingOut()
    {
        var tag = Tag();
        var root = await GroupAsync(affinity: tag);
        var inner = await GroupAsync(root);
        var leaves = await LeavesAsync(inner, 5);
        var worker = await Hub.OpenAsync($"pause-{tag}", affinity: [[tag]]);
        var running = await ClaimAsync(worker, 2);
        Assert.IsType<TreeResult.Done>(await Trees.PauseAsync([root], "test", None));
        Assert.Equal(JobState.Paused, (await GetAsync(root)).State);
        Assert.All(await ChildrenAsync(inner), j => Assert.Equal((JobState.Paused, true, false), (j.State, j.PathPaused, j.Paused)));
        Assert.Empty(await Hub.ClaimAsync(worker));
        var orders = await Hub.Sessions.OrdersAsync(worker.Id, TimeSpan.FromSeconds(30), None);
        Assert.Equal(running.Select(r => (r.Token, StopReason.Paused)).Order(), orders.Select(o => (o.Token, o.Reason)).Order());
        await EndAsync(worker, running, AttemptOutcome.Failed);
        Assert.Empty(await Hub.ClaimAsync(worker));
        var late = await LeafAsync(inner);
        Assert.Equal(JobState.Paused, (await GetAsync(late)).State);
        Assert.Empty(await Hub.ClaimAsync(worker));
        Assert.IsType<TreeResult.Done>(await Trees.StartAsync([root], "test", None));
        var again = await ClaimAsync(worker, 6);
        Assert.Equal(leaves.Append(late), again.Select(NumberOf).Order());
        Assert.Equal(0, (await GetAsync(leaves[0])).Runs);
        await EndAsync(worker, again);
        await UntilAsync(root, j => j.State == JobState.Succeeded, "all have run");
    }

    [Fact]
    public async Task Start_OfAGroup_LeavesChildrenThatArePausedThemselves()
    {
        var tag = Tag();
        var root = await GroupAsync(affinity: tag);
        var (one, two) = (await LeafAsync(root), await LeafAsync(root));
        await Trees.PauseAsync([root, one], "test", None);
        await Trees.StartAsync([root], "test", None);
        Assert.Equal([two], (await ClaimAsync(await Hub.OpenAsync(affinity: [[tag]]), 1)).Select(NumberOf));
        Assert.Equal(JobState.Paused, (await GetAsync(one)).State);
    }

    [Fact]
    public async Task Reset_OfATree_BeginsAnewAndRefusesWhatStillRan()
    {
        var tag = Tag();
        var root = await GroupAsync(affinity: tag);
        var leaves = await LeavesAsync(root, 4);
        var worker = await Hub.OpenAsync($"reset-{tag}", affinity: [[tag]]);
        var claimed = await ClaimAsync(worker, 3);
        await EndAsync(worker, claimed.Take(1));
        await EndAsync(worker, claimed.Skip(1).Take(1), AttemptOutcome.Failed);
        await UntilAsync(root, j => j.State == JobState.Failed, "one has failed");
        Assert.IsType<TreeResult.Done>(await Trees.ResetAsync([root], failedOnly: false, "test", None));
        var reset = await GetAsync(root);
        Assert.Equal((new LeafCounts(4, 0, 0, 0), JobState.Queued), (reset.Leaves, reset.State));
        Assert.All(await ChildrenAsync(root), j => Assert.Equal((JobState.Queued, 0, null, null, null), (j.State, j.Runs, j.StartedAt, j.Worker, j.Progress)));
        // The third ran on; that it ends well now is of no account.
        Assert.Equal([CompletionAnswer.Lost], await EndAsync(worker, claimed.Skip(2)));
        Assert.Equal(0, (await GetAsync(root)).Leaves.Succeeded);
        var again = await ClaimAsync(worker, 4);
        Assert.Equal(leaves, again.Select(NumberOf).Order());
        Assert.Equal([1, 2, 2, 2], again.Select(a => a.Attempt).Order());
        await EndAsync(worker, again);
        await UntilAsync(root, j => j is { State: JobState.Succeeded, Leaves.Succeeded: 4 }, "all have run again");
        Assert.Equal(1, (await GetAsync(leaves[0])).Runs);
    }

    [Fact]
    public async Task ResetFailed_OfATree_RunsOnlyWhatFailed()
    {
        var tag = Tag();
        var root = await GroupAsync(affinity: tag);
        await LeavesAsync(root, 3);
        var worker = await Hub.OpenAsync(affinity: [[tag]]);
        var claimed = await ClaimAsync(worker, 3);
        await EndAsync(worker, claimed.Take(2));
        await EndAsync(worker, claimed.Skip(2), AttemptOutcome.Failed);
        await UntilAsync(root, j => j.State == JobState.Failed, "one has failed");
        await Trees.ResetAsync([root], failedOnly: true, "test", None);
        Assert.Equal(new LeafCounts(3, 2, 0, 0), (await GetAsync(root)).Leaves);
        var again = await ClaimAsync(worker, 1);
        Assert.Equal(NumberOf(claimed[2]), NumberOf(again[0]));
        await EndAsync(worker, again);
        await UntilAsync(root, j => j.State == JobState.Succeeded, "it has run again");
    }

    [Fact]
    public async Task Start_OfAnEndedLeaf_RunsItAgainWithANewBudget()
    {
        var tag = Tag();
        var leaf = await LeafAsync(affinity: tag);
        var worker = await Hub.OpenAsync(affinity: [[tag]]);
        for (var run = 1; run <= 2; run++)
        {
            await EndAsync(worker, await ClaimAsync(worker, 1), AttemptOutcome.Failed);
            await UntilAsync(leaf, j => j.State == JobState.Failed && j.Runs == run, $"run {run} has failed");
            await Trees.StartAsync([leaf], "test", None);
        }

        Assert.Equal(JobState.Queued, (await GetAsync(leaf)).State);
        await EndAsync(worker, await ClaimAsync(worker, 1));
        await UntilAsync(leaf, j => j is { State: JobState.Succeeded, Runs: 3 }, "it has succeeded");
        await Eventually.TrueAsync(async () => (await Hub.Reader.GetAsync((await GetAsync(leaf)).Id, None))!.State == JobState.Succeeded, "the hub says so too");
    }

    [Fact]
    public async Task Delete_OfATree_TakesAllOfItAndWhatItCounted()
    {
        var tag = Tag();
        var top = await GroupAsync(affinity: tag);
        var root = await GroupAsync(top);
        var inner = await GroupAsync(root);
        var leaves = await LeavesAsync(inner, 20);
        var other = await LeafAsync(top);
        var worker = await Hub.OpenAsync($"delete-{tag}", affinity: [[tag]]);
        var claimed = await ClaimAsync(worker, 5);
        await EndAsync(worker, claimed.Take(3));
        Assert.IsType<TreeResult.Done>(await Trees.DeleteAsync([root], "test", None));
        Assert.Equal(new LeafCounts(1, 0, 0, 0), (await GetAsync(top)).Leaves);
        Assert.Null(await Reader.GetAsync(root, None));
        Assert.Null(await Reader.GetAsync(leaves[0], None));
        Assert.Empty(await ChildrenAsync(inner));
        Assert.IsType<TreeResult.NotFound>(await Trees.PauseAsync([inner], "test", None));
        Assert.IsType<TreeResult.NotFound>(await Trees.EditAsync([new TreeEdit(inner) { Title = "x" }], "test", None));
        Assert.Equal("parent-not-found", Assert.IsType<TreeResult.NotFound>(await Trees.CreateAsync([new NewTreeJob { Parent = inner }], Who, None)).Code);
        await EndAsync(worker, claimed.Skip(3), AttemptOutcome.Canceled);
        await Eventually.TrueAsync(async () => await CountAsync("SELECT count(*) FROM job WHERE number = $1 OR parent = $1", root) == 0, "its rows are gone");
        foreach (var leaf in leaves)
        {
            Assert.Equal(0, await CountAsync("SELECT (SELECT count(*) FROM live WHERE task_id >> 20 = $1) + (SELECT count(*) FROM task WHERE id >> 20 = $1) + (SELECT count(*) FROM attempt WHERE task_id >> 20 = $1)", leaf));
        }

        Assert.Equal([other], (await ClaimAsync(worker, 1)).Select(NumberOf));
        Assert.Equal(1, await CountAsync("SELECT leaves::bigint FROM job WHERE number = $1", top));
    }

    [Fact]
    public async Task Start_OfAGroupAndWhatIsBelowItWhileItRuns_RunsEachLeafOnce()
    {
        var tag = Tag();
        var root = await GroupAsync(affinity: tag);
        var middle = await GroupAsync(root);
        var groups = new List<long>();
        for (var i = 0; i < 8; i++) groups.Add(await GroupAsync(middle));
        var leaves = new List<long>();
        foreach (var group in groups) leaves.AddRange(await LeavesAsync(group, 500));
        await Trees.PauseAsync([root], "test", None);
        var workers = await Task.WhenAll(Enumerable.Range(0, 3).Select(i => Hub.OpenAsync($"start-{i}-{tag}", affinity: [[tag]])));
        var runs = new System.Collections.Concurrent.ConcurrentBag<long>();
        using var over = new CancellationTokenSource();
        var working = workers.Select(worker => Task.Run(async () =>
        {
            while (!over.IsCancellationRequested)
            {
                var claimed = await Hub.ClaimAsync(worker, 50);
                foreach (var attempt in claimed) runs.Add(NumberOf(attempt));
                await EndAsync(worker, claimed);
            }
        })).ToArray();
        await Trees.StartAsync([root, .. groups, leaves[7]], "test", None);
        await UntilAsync(root, j => j.State == JobState.Succeeded, "all have run");
        await Eventually.TrueAsync(async () => await CountAsync("SELECT count(*) FROM tree_change WHERE $1 > 0 AND kind = 3", 1) == 0, "the call is carried out");
        Assert.Equal(JobState.Succeeded, (await GetAsync(root)).State);
        await over.CancelAsync();
        await Task.WhenAll(working);
        Assert.Equal(leaves, runs.Order());
    }

    [Fact]
    public async Task Calls_OnManyJobsAtOnce_ChangeEachOnce()
    {
        var tag = Tag();
        var root = await GroupAsync(affinity: tag);
        var (left, right) = (await GroupAsync(root), await GroupAsync(root));
        var leaves = (await LeavesAsync(left, 1500)).Concat(await LeavesAsync(right, 1500)).ToArray();
        await Trees.EditAsync([.. leaves.Select(l => new TreeEdit(l) { Title = $"new {l}", Pause = true })], "test", None);
        await Eventually.TrueAsync(async () => (await ChildrenAsync(left, new() { State = JobState.Paused })).Count == 1500, "all are paused");
        Assert.Equal($"new {leaves[7]}", (await GetAsync(leaves[7])).Title);
        var worker = await Hub.OpenAsync(affinity: [[tag]]);
        Assert.Empty(await Hub.ClaimAsync(worker));
        await Trees.StartAsync(leaves, "test", None);
        await Eventually.TrueAsync(async () => await CountAsync("SELECT count(*) FROM live WHERE claimable AND task_id >> 20 > $1", root) >= 3000, "all can be claimed");
        // Named twice: with its group, and by itself.
        await Trees.DeleteAsync([leaves[3], left, .. leaves.Skip(1500).Take(500)], "test", None);
        Assert.Equal(new LeafCounts(1000, 0, 0, 0), (await GetAsync(root)).Leaves);
        Assert.Equal(new LeafCounts(1000, 0, 0, 0), (await GetAsync(right)).Children);
        await Eventually.TrueAsync(async () => await CountAsync("SELECT count(*) FROM job WHERE number > $1 AND deleted_at IS NOT NULL OR parent = $1", left) == 0, "the deleted rows are gone");
        Assert.Equal(1000, await CountAsync("SELECT count(*) FROM job WHERE parent = $1", right));
    }

    [Fact]
    public async Task Cancel_OfAGroup_FailsWhatHasNotEnded()
    {
        var tag = Tag();
        var root = await GroupAsync(affinity: tag);
        await LeavesAsync(root, 4);
        var worker = await Hub.OpenAsync($"cancel-{tag}", affinity: [[tag]]);
        var claimed = await ClaimAsync(worker, 2);
        await EndAsync(worker, claimed.Take(1));
        await UntilAsync(root, j => j.Leaves.Succeeded == 1, "one has ended");
        Assert.IsType<CancelResult.Accepted>(await Hub.Jobs.CancelAsync((await GetAsync(root)).Id, "test", None));
        await Eventually.TrueAsync(async () => (await Hub.Sessions.OrdersAsync(worker.Id, TimeSpan.Zero, None)).Length == 1, "the running one is told");
        await EndAsync(worker, claimed.Skip(1), AttemptOutcome.Canceled);
        await UntilAsync(root, j => j is { State: JobState.Failed, Leaves: { Succeeded: 1, Failed: 3 } }, "the rest is canceled");
        await Trees.ResetAsync([root], failedOnly: true, "test", None);
        await RunAsync(worker, root, JobState.Succeeded);
    }

    [Fact]
    public async Task Changes_RacingClaimsAndCompletions_EndWithTheRightCounters()
    {
        var tag = Tag();
        var top = await GroupAsync(affinity: tag);
        var groups = new List<long>();
        for (var i = 0; i < 4; i++) groups.Add(await GroupAsync(top));
        foreach (var group in groups) await LeavesAsync(group, 40);
        var workers = await Task.WhenAll(Enumerable.Range(0, 3).Select(i => Hub.OpenAsync($"race-{i}-{tag}", affinity: [[tag]])));
        using var over = new CancellationTokenSource();
        var working = workers.Select((worker, n) => Task.Run(async () =>
        {
            var random = new Random(n);
            while (!over.IsCancellationRequested)
                foreach (var attempt in await Hub.ClaimAsync(worker, 5)) await EndAsync(worker, [attempt], random.Next(10) == 0 ? AttemptOutcome.Failed : AttemptOutcome.Succeeded);
        })).ToArray();
        var watching = Task.Run(async () =>
        {
            while (!over.IsCancellationRequested)
            {
                var all = (await GetAsync(top)).Leaves;
                Assert.True(all is { Total: 160, Succeeded: >= 0, Failed: >= 0, Running: >= 0 } && all.Succeeded + all.Failed + all.Running <= 160, all.ToString());
            }
        });
        var dice = new Random(7);
        for (var i = 0; i < 40; i++)
        {
            var group = groups[dice.Next(4)];
            _ = dice.Next(6) switch
            {
                0 => await Trees.PauseAsync([group], "test", None), 1 => await Trees.StartAsync([group], "test", None), 2 => await Trees.ResetAsync([group], false, "test", None),
                3 => await Trees.ResetAsync([top], true, "test", None), 4 => await Trees.EditAsync([new TreeEdit(group) { Priority = dice.Next(256) }], "test", None),
                _ => await Trees.EditAsync([new TreeEdit(group) { Parent = groups.Find(g => g != group) is var to && dice.Next(2) == 0 ? to : top }], "test", None),
            };
        }

        foreach (var group in groups) await Trees.StartAsync([group], "test", None);
        await Eventually.TrueAsync(async () =>
        {
            if ((await GetAsync(top)).Leaves is { Failed: > 0 }) await Trees.ResetAsync([top], true, "test", None);
            return (await GetAsync(top)).State == JobState.Succeeded;
        }, "all has succeeded");
        await over.CancelAsync();
        await Task.WhenAll([watching, .. working]);
        await Eventually.TrueAsync(async () => await CountAsync("SELECT leaves_succeeded::bigint - leaves_failed FROM job WHERE number = $1", top) == 160, "the base counters are right");
        foreach (var group in groups)
        {
            var direct = (await ChildrenAsync(group)).Count(c => !c.IsGroup);
            Assert.Equal(direct, await CountAsync("SELECT kids_succeeded::bigint FROM job WHERE number = $1", group));
        }

        Assert.Equal(0, await CountAsync("SELECT count(*) FROM tree_change WHERE $1 > 0", 1));
    }
}
