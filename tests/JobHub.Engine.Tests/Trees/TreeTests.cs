using JobHub.Engine.Attempts;
using JobHub.Engine.Jobs;
using JobHub.Engine.Protocol;
using JobHub.Engine.Trees;
using JobHub.Testing;
using Xunit;

namespace JobHub.Engine.Tests.Trees;

public sealed class TreeTests(TreeFixture fixture) : TreeTestBase(fixture)
{
    [Fact]
    public async Task Create_OfEightLevels_CountsTheLeafInEveryGroup()
    {
        var chain = new List<long>();
        for (var i = 0; i < 7; i++) chain.Add(await GroupAsync(chain.LastOrDefault()));
        var leaf = await LeafAsync(chain[^1]);
        for (var i = 0; i < chain.Count; i++)
        {
            var group = await GetAsync(chain[i]);
            Assert.Equal(new LeafCounts(1, 0, 0, 0), group.Leaves);
            Assert.Equal(i == 6 ? 1 : 0, group.Children.Total);
            Assert.Equal(i, group.Depth);
        }

        Assert.Equal(7, (await GetAsync(leaf)).Depth);
        var deep = await GroupAsync(chain[^1]);
        var tooDeep = await Trees.CreateAsync([new NewTreeJob { Parent = deep, Command = "true" }], Who, None);
        Assert.Equal("tree-too-deep", Assert.IsType<TreeResult.Conflict>(tooDeep).Code);
        Assert.Empty(await ChildrenAsync(deep));
    }

    [Fact]
    public async Task Create_BelowWhatCannotBeAParent_IsRefused()
    {
        var leaf = await LeafAsync();
        Assert.Equal("parent-not-a-group", Assert.IsType<TreeResult.Conflict>(await Trees.CreateAsync([new NewTreeJob { Parent = leaf }], Who, None)).Code);
        Assert.Equal("parent-not-found", Assert.IsType<TreeResult.NotFound>(await Trees.CreateAsync([new NewTreeJob { Parent = long.MaxValue }], Who, None)).Code);
        Assert.Equal("dependency-not-found", Assert.IsType<TreeResult.NotFound>(await Trees.CreateAsync([new NewTreeJob { Dependencies = [long.MaxValue - 1] }], Who, None)).Code);
        Assert.Equal("dependency-not-found", Assert.IsType<TreeResult.NotFound>(await Trees.CreateAsync([new NewTreeJob { Dependencies = [0] }], Who, None)).Code);
    }

    [Fact]
    public async Task Create_ByManyAtOnce_GivesEachItsOwnAndRefusesOnlyWhatIsWrong()
    {
        var groups = await Task.WhenAll(Enumerable.Range(0, 5).Select(_ => GroupAsync()));
        var results = await Task.WhenAll(Enumerable.Range(0, 200).Select(i => Trees.CreateAsync(
            [.. Enumerable.Range(0, 1 + (i % 3)).Select(n => new NewTreeJob { Parent = i % 10 == 9 ? long.MaxValue : groups[i % 5], Title = $"{i}.{n}", Command = "true" })], Who, None)));
        var made = new HashSet<long>();
        for (var i = 0; i < results.Length; i++)
        {
            if (i % 10 == 9)
            {
                Assert.IsType<TreeResult.NotFound>(results[i]);
                continue;
            }

            var ids = Assert.IsType<TreeResult.Done>(results[i]).Ids;
            Assert.Equal(1 + (i % 3), ids.Count);
            for (var n = 0; n < ids.Count; n++)
            {
                Assert.True(made.Add(ids[n]));
                var job = await GetAsync(ids[n]);
                Assert.Equal(($"{i}.{n}", groups[i % 5]), (job.Title, job.Parent));
            }
        }

        var total = 0;
        foreach (var group in groups) total += (await GetAsync(group)).Leaves.Total;
        Assert.Equal(made.Count, total);
    }

    [Fact]
    public async Task Create_OfACallerThatHasGone_MakesNothingLater()
    {
        var group = await GroupAsync();
        using var gone = new CancellationTokenSource();
        await gone.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => Trees.CreateAsync([new NewTreeJob { Parent = group, Command = "true" }], Who, gone.Token));
        var leaf = await LeafAsync(group);
        Assert.Equal([leaf], (await ChildrenAsync(group)).Select(j => j.Number));
    }

    [Fact]
    public async Task Create_WithAKnownKey_AnswersTheSameNumbers()
    {
        var who = new Submission("test", Guid.NewGuid().ToString(), [1, 2, 3]);
        var first = Assert.IsType<TreeResult.Done>(await Trees.CreateAsync([new(), new()], who, None)).Ids;
        Assert.Equal(first, Assert.IsType<TreeResult.Done>(await Trees.CreateAsync([new(), new()], who, None)).Ids);
        Assert.IsType<TreeResult.KeyReused>(await Trees.CreateAsync([new()], who with { BodyHash = [9] }, None));
    }

    [Fact]
    public async Task Run_OfATree_IsCountedAtEveryMoment()
    {
        var tag = Tag();
        var root = await GroupAsync(affinity: tag);
        var inner = await GroupAsync(root);
        await LeavesAsync(root, 30);
        await LeavesAsync(inner, 50);
        var workers = await Task.WhenAll(Enumerable.Range(0, 3).Select(i => Hub.OpenAsync($"tree-{i}-{tag}", affinity: [[tag]])));
        using var over = new CancellationTokenSource();
        var watching = Task.Run(async () =>
        {
            var (last, reads) = (0, 0);
            while (!over.IsCancellationRequested)
            {
                var (group, below) = (await GetAsync(root), await GetAsync(inner));
                Assert.Equal(80, group.Leaves.Total);
                Assert.Equal(30, group.Children.Total);
                Assert.Equal(50, below.Leaves.Total);
                Assert.InRange(group.Leaves.Succeeded, last, 80);
                Assert.True(group.Leaves.Succeeded + group.Leaves.Running <= 80 && below.Leaves.Succeeded + below.Leaves.Running <= 50);
                Assert.Equal(0, group.Leaves.Failed);
                var children = await ChildrenAsync(root);
                Assert.True(children.Count(c => c is { IsGroup: false, State: JobState.Succeeded }) >= group.Children.Succeeded);
                (last, reads) = (group.Leaves.Succeeded, reads + 1);
            }

            return reads;
        });
        var runs = new System.Collections.Concurrent.ConcurrentBag<long>();
        await Task.WhenAll(workers.Select(async worker =>
        {
            while (await Hub.ClaimAsync(worker, 4) is { Length: > 0 } claimed)
            {
                foreach (var attempt in claimed) runs.Add(NumberOf(attempt));
                await EndAsync(worker, claimed);
            }
        }));
        Assert.Equal(80, (await GetAsync(root)).Leaves.Succeeded);
        await over.CancelAsync();
        Assert.True(await watching > 0);
        Assert.Equal(80, runs.Distinct().Count());
        Assert.Equal(80, runs.Count);
        await UntilAsync(root, j => j is { State: JobState.Succeeded, Progress: 1 }, "the tree has succeeded");
        await Eventually.TrueAsync(async () => await CountAsync("SELECT count(*) FROM ledger WHERE job = $1 AND kind = 'job-ended'", root) == 1, "its end is told once");
        Assert.Equal(80, await CountAsync("SELECT leaves_succeeded::bigint FROM job WHERE number = $1", root));
    }

    [Fact]
    public async Task Claim_OfATree_FollowsThePriorityPath()
    {
        var tag = Tag();
        var low = await GroupAsync(priority: 10, affinity: tag);
        var high = await GroupAsync(priority: 20, affinity: tag);
        var inLow = await LeafAsync(low, priority: 255);
        var last = await LeafAsync(high, priority: 1);
        var first = await LeafAsync(high, priority: 2);
        var tie = await LeafAsync(high, priority: 2);
        var worker = await Hub.OpenAsync(affinity: [[tag]]);
        Assert.Equal([first, tie, last, inLow], (await ClaimAsync(worker, 4)).Select(NumberOf));
    }

    [Fact]
    public async Task Edit_OfAGroupsPriorityAndAffinity_MovesItsLeavesInTheQueue()
    {
        var (tag, other) = (Tag(), Tag());
        var (a, b) = (await GroupAsync(priority: 10, affinity: tag), await GroupAsync(priority: 20, affinity: tag));
        var (inA, inB) = (await LeafAsync(a), await LeafAsync(b));
        Assert.IsType<TreeResult.Done>(await Trees.EditAsync([new TreeEdit(a) { Priority = 30 }], "test", None));
        var worker = await Hub.OpenAsync(affinity: [[tag]]);
        Assert.Equal([inA], (await ClaimAsync(worker, 1)).Select(NumberOf));
        Assert.IsType<TreeResult.Done>(await Trees.EditAsync([new TreeEdit(b) { Affinity = $"{tag},{other}" }], "test", None));
        Assert.Empty(await Hub.ClaimAsync(worker));
        Assert.Equal([inB], (await ClaimAsync(await Hub.OpenAsync(affinity: [[other, tag]]), 1)).Select(NumberOf));
        Assert.Equal([tag, other], (await GetAsync(inB)).AllTags);
        Assert.Equal((30UL << 56) | (255UL << 48), (await GetAsync(inA)).PathPriority);
    }

    [Fact]
    public async Task Edit_OfAnUnknownJobAmongOthers_ChangesNothing()
    {
        var leaf = await LeafAsync();
        var result = await Trees.EditAsync([new TreeEdit(leaf) { Title = "changed" }, new TreeEdit(long.MaxValue) { Title = "x" }], "test", None);
        Assert.IsType<TreeResult.NotFound>(result);
        Assert.Equal("leaf", (await GetAsync(leaf)).Title);
        Assert.Equal("job-has-a-command", Assert.IsType<TreeResult.Conflict>(await Trees.EditAsync([new TreeEdit(leaf) { Command = "" }], "test", None)).Code);
    }

    [Fact]
    public async Task Claim_OfAnEditedJob_GivesTheNewCommand()
    {
        var tag = Tag();
        var leaf = await LeafAsync(affinity: tag, retry: 1);
        var worker = await Hub.OpenAsync(affinity: [[tag]]);
        var first = await ClaimAsync(worker, 1);
        Assert.IsType<TreeResult.Done>(await Trees.EditAsync([new TreeEdit(leaf) { Command = "echo 'ü'", Dir = "/x", Environment = "A=1\\nB=2", TimeoutSeconds = 7 }], "test", None));
        await EndAsync(worker, first, AttemptOutcome.Failed);
        var second = (await ClaimAsync(worker, 1))[0];
        Assert.Equal("echo 'ü'", second.Command!.Command);
        Assert.Equal("/x", second.Command.Leaf!.Dir);
        Assert.Equal(7, second.TimeoutSeconds);
        Assert.Equal("2", second.Environment["B"]);
        Assert.Equal(2, second.Attempt);
    }

    [Fact]
    public async Task Move_OfAFinishedAndARunningPart_TakesItsCountersAlong()
    {
        var tag = Tag();
        var (from, to) = (await GroupAsync(affinity: tag), await GroupAsync(affinity: tag, priority: 3));
        var part = await GroupAsync(from);
        await LeavesAsync(part, 3);
        var direct = await LeafAsync(from);
        var worker = await Hub.OpenAsync(affinity: [[tag]]);
        var claimed = await ClaimAsync(worker, 2);
        await EndAsync(worker, claimed.Take(1));
        Assert.IsType<TreeResult.Done>(await Trees.EditAsync([new TreeEdit(part) { Parent = to }, new TreeEdit(direct) { Parent = to }], "test", None));
        Assert.Equal(new LeafCounts(4, 1, 0, 1), (await GetAsync(to)).Leaves);
        Assert.Equal(new LeafCounts(1, 0, 0, 0), (await GetAsync(to)).Children);
        Assert.Equal(new LeafCounts(0, 0, 0, 0), (await GetAsync(from)).Leaves);
        await EndAsync(worker, claimed.Skip(1));
        await RunAsync(worker, to, JobState.Succeeded);
        Assert.Equal(new LeafCounts(4, 4, 0, 0), (await GetAsync(to)).Leaves);
        await Eventually.TrueAsync(async () => await CountAsync("SELECT leaves_succeeded::bigint FROM job WHERE number = $1", to) == 4, "the folder comes to the same");
        Assert.Equal(0, await CountAsync("SELECT leaves::bigint + leaves_succeeded + kids + kids_succeeded FROM job WHERE number = $1", from));
        Assert.Equal(JobState.Queued, (await GetAsync(from)).State);
    }

    [Fact]
    public async Task Move_ToWhereItCannotBe_IsRefusedAndChangesNothing()
    {
        var root = await GroupAsync();
        var inner = await GroupAsync(root);
        var leaf = await LeafAsync(inner);
        foreach (var (parent, code) in new[] { (inner, "move-below-itself"), (root, "move-below-itself"), (leaf, "move-below-itself") })
            Assert.Equal(code, Assert.IsType<TreeResult.Conflict>(await Trees.EditAsync([new TreeEdit(root) { Parent = parent }], "test", None)).Code);
        Assert.Equal("parent-not-a-group", Assert.IsType<TreeResult.Conflict>(await Trees.EditAsync([new TreeEdit(await LeafAsync()) { Parent = leaf }], "test", None)).Code);
        var deep = 0L;
        for (var i = 0; i < 6; i++) deep = await GroupAsync(deep);
        Assert.Equal("tree-too-deep", Assert.IsType<TreeResult.Conflict>(await Trees.EditAsync([new TreeEdit(root) { Parent = deep }], "test", None)).Code);
        Assert.Equal(0, (await GetAsync(root)).Parent);
        Assert.Equal(1, (await GetAsync(root)).Leaves.Total);
    }

    [Fact]
    public async Task Retry_UpToItsNumber_ThenFailsTheGroup()
    {
        var tag = Tag();
        var root = await GroupAsync(affinity: tag);
        var leaf = await LeafAsync(root, retry: 2);
        var good = await LeafAsync(root);
        var worker = await Hub.OpenAsync(affinity: [[tag]]);
        for (var run = 1; run <= 3; run++)
        {
            AttemptSpec? attempt = null;
            await Eventually.TrueAsync(async () =>
            {
                foreach (var claimed in await Hub.ClaimAsync(worker, 1))
                {
                    if (NumberOf(claimed) == leaf) attempt = claimed;
                    else await EndAsync(worker, [claimed]);
                }

                return attempt is not null;
            }, $"run {run} begins");
            Assert.Equal(run, attempt!.Attempt);
            await EndAsync(worker, [attempt], AttemptOutcome.Failed);
        }

        await UntilAsync(root, j => j is { State: JobState.Failed, Leaves: { Failed: 1, Succeeded: 1 } }, "the group has failed");
        Assert.Equal(3, (await GetAsync(leaf)).Runs);
        Assert.Equal(JobState.Succeeded, (await GetAsync(good)).State);
    }
}
