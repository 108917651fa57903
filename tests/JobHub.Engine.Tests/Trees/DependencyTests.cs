using JobHub.Engine.Attempts;
using JobHub.Engine.Jobs;
using JobHub.Engine.Trees;
using JobHub.Testing;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;
using Xunit;

namespace JobHub.Engine.Tests.Trees;

public sealed class DependencyTests(TreeFixture fixture) : TreeTestBase(fixture)
{
    [Fact]
    public async Task Dependency_OnAGroup_HoldsAllBelowUntilItHasSucceeded()
    {
        var tag = Tag();
        var first = await GroupAsync(affinity: tag);
        var second = await GroupAsync(affinity: tag, dependencies: first);
        var inner = await GroupAsync(second);
        var before = await LeavesAsync(first, 3);
        var after = await LeavesAsync(inner, 3);
        Assert.All(await ChildrenAsync(inner), j => Assert.True(j.Pending));
        Assert.Equal([first], await Reader.DependencyIdsAsync(second, None));
        var worker = await Hub.OpenAsync(affinity: [[tag]]);
        var claimed = await ClaimAsync(worker, 3);
        Assert.Equal(before, claimed.Select(NumberOf).Order());
        Assert.Empty(await Hub.ClaimAsync(worker));
        await EndAsync(worker, claimed);
        var freed = await ClaimAsync(worker, 3);
        Assert.Equal(after, freed.Select(NumberOf).Order());
        await EndAsync(worker, freed);
        await UntilAsync(second, j => j.State == JobState.Succeeded, "the second group has run");
    }

    [Fact]
    public async Task Dependency_OnALeafThatFails_StaysUnmetUntilItSucceeds()
    {
        var tag = Tag();
        var first = await LeafAsync(affinity: tag);
        var second = await LeafAsync(affinity: tag, dependencies: first);
        var worker = await Hub.OpenAsync(affinity: [[tag]]);
        await EndAsync(worker, await ClaimAsync(worker, 1), AttemptOutcome.Failed);
        await UntilAsync(first, j => j.State == JobState.Failed, "it has failed");
        Assert.True((await GetAsync(second)).Pending);
        Assert.Empty(await Hub.ClaimAsync(worker));
        await Trees.ResetAsync([first], false, "test", None);
        await RunAsync(worker, second, JobState.Succeeded);
    }

    [Fact]
    public async Task Dependency_ThatIsResetOrGrows_HoldsAgainWhatHasNotBegun()
    {
        var tag = Tag();
        var first = await GroupAsync(affinity: tag);
        await LeavesAsync(first, 1);
        var second = await LeafAsync(affinity: tag, dependencies: first);
        var worker = await Hub.OpenAsync(affinity: [[tag]]);
        await EndAsync(worker, await ClaimAsync(worker, 1));
        await UntilAsync(second, j => !j.Pending, "it is met");
        await Trees.PauseAsync([second], "test", None);
        var grown = await LeafAsync(first);
        await UntilAsync(second, j => j.State == JobState.Paused, "it is paused");
        await Trees.StartAsync([second], "test", None);
        await UntilAsync(second, j => j.Pending, "it waits again");
        Assert.Equal([grown], (await ClaimAsync(worker, 1)).Select(NumberOf));
    }

    [Fact]
    public async Task Dependency_ThatIsDeleted_ReleasesWhatWaitedAndSaysSo()
    {
        var tag = Tag();
        var first = await GroupAsync();
        var inner = await LeafAsync(first);
        var second = await LeafAsync(affinity: tag, dependencies: inner);
        await Trees.DeleteAsync([first], "test", None);
        Assert.Equal([second], (await ClaimAsync(await Hub.OpenAsync(affinity: [[tag]]), 1)).Select(NumberOf));
        Assert.Empty(await Reader.DependencyIdsAsync(second, None));
        Assert.Equal(1, await CountAsync("SELECT count(*) FROM ledger WHERE job = $1 AND kind = 'dependency-deleted'", second));
    }

    [Fact]
    public async Task Dependencies_Replaced_HoldAndRelease()
    {
        var tag = Tag();
        var (one, two) = (await LeafAsync(), await LeafAsync());
        var leaf = await LeafAsync(affinity: tag, dependencies: [one]);
        Assert.IsType<TreeResult.Done>(await Trees.SetDependenciesAsync(leaf, [two, two], "test", None));
        Assert.Equal([two], await Reader.DependencyIdsAsync(leaf, None));
        Assert.IsType<TreeResult.NotFound>(await Trees.SetDependenciesAsync(leaf, [two, long.MaxValue], "test", None));
        Assert.Equal([two], await Reader.DependencyIdsAsync(leaf, None));
        await Trees.SetDependenciesAsync(leaf, [], "test", None);
        Assert.Equal([leaf], (await ClaimAsync(await Hub.OpenAsync(affinity: [[tag]]), 1)).Select(NumberOf));
    }

    [Fact]
    public async Task Cycle_HoweverItWouldCome_IsRefusedAndChangesNothing()
    {
        var (a, b) = (await GroupAsync(), await GroupAsync());
        var (inA, inB) = (await LeafAsync(a), await LeafAsync(b));
        Assert.IsType<TreeResult.Done>(await Trees.SetDependenciesAsync(a, [b], "test", None));
        foreach (var (job, on) in new[] { (a, a), (b, a), (inB, a), (inB, inA), (a, inA), (inA, a), (b, inA) })
            Assert.Equal("dependency-cycle", Assert.IsType<TreeResult.Conflict>(await Trees.SetDependenciesAsync(job, [on], "test", None)).Code);
        Assert.Empty(await Reader.DependencyIdsAsync(b, None));
        Assert.Equal([b], await Reader.DependencyIdsAsync(a, None));
        // A new job below b would be waited for by a; below a it would wait with a.
        Assert.IsType<TreeResult.Conflict>(await Trees.CreateAsync([new NewTreeJob { Parent = b, Command = "true", Dependencies = [inA] }], Who, None));
        Assert.IsType<TreeResult.Conflict>(await Trees.CreateAsync([new NewTreeJob { Parent = a, Command = "true", Dependencies = [a] }], Who, None));
        Assert.IsType<TreeResult.Done>(await Trees.CreateAsync([new NewTreeJob { Parent = a, Command = "true", Dependencies = [inB] }], Who, None));
        // Moved below what waits for it.
        Assert.Equal("dependency-cycle", Assert.IsType<TreeResult.Conflict>(await Trees.EditAsync([new TreeEdit(b) { Parent = a }], "test", None)).Code);
        var c = await LeafAsync(dependencies: [inA]);
        Assert.Equal("dependency-cycle", Assert.IsType<TreeResult.Conflict>(await Trees.EditAsync([new TreeEdit(c) { Parent = b }], "test", None)).Code);
        Assert.Equal((0, 0), ((await GetAsync(b)).Parent, (await GetAsync(c)).Parent));
        Assert.Equal(1, (await GetAsync(b)).Leaves.Total);
    }

    [Fact]
    public async Task Explain_OfAJobInATree_NamesThePauseOrTheDependencyAboveIt()
    {
        var tag = Tag();
        var first = await LeafAsync(affinity: tag);
        var group = await GroupAsync(affinity: tag, dependencies: first);
        var leaf = await LeafAsync(group);
        var id = (await GetAsync(leaf)).Id;
        async Task<Waiting?> WhyAsync() => await Hub.Get<Explain>().JobAsync(id, None);
        var waiting = await WhyAsync();
        Assert.Equal(WaitReasons.Dependencies, waiting!.Reason);
        Assert.Contains($"Group {group} above it depends on job {first}", waiting.Message, StringComparison.Ordinal);
        await Trees.PauseAsync([group], "test", None);
        waiting = await WhyAsync();
        Assert.Equal(WaitReasons.Paused, waiting!.Reason);
        Assert.Contains($"Group {group}", waiting.Message, StringComparison.Ordinal);
        await Trees.StartAsync([group], "test", None);
        var worker = await Hub.OpenAsync($"explain-{tag}", affinity: [[tag]]);
        await EndAsync(worker, await ClaimAsync(worker, 1), AttemptOutcome.Failed);
        await Eventually.TrueAsync(async () => (await WhyAsync())!.Message.Contains("has failed", StringComparison.Ordinal), "the failure is named");
        await Trees.ResetAsync([first], false, "test", None);
        await EndAsync(worker, await ClaimAsync(worker, 1));
        await ClaimAsync(worker, 1);
        Assert.Null(await WhyAsync());
    }

    [Fact]
    public async Task Retention_OfAnOldTree_TakesAllOfItAndItsDependencies()
    {
        var tag = Tag();
        var root = await GroupAsync(affinity: tag);
        var inner = await GroupAsync(root);
        var first = await LeafAsync(inner);
        var second = await LeafAsync(root, dependencies: inner);
        var worker = await Hub.OpenAsync(affinity: [[tag]]);
        await RunAsync(worker, root, JobState.Succeeded);
        await Eventually.TrueAsync(async () => await CountAsync("SELECT count(*) FROM job WHERE number >= $1 AND ended_at IS NULL", root) == 0, "all have ended");
        await using (var old = Hub.Database.CreateCommand("UPDATE job SET ended_at = ended_at - interval '90 days' WHERE number >= $1"))
        {
            old.Parameters.AddWithValue(root);
            await old.ExecuteNonQueryAsync();
        }

        await new Retention(Hub.Database, Options.Create(new RetentionOptions()), NullLogger<Retention>.Instance, Hub.Stores).ApplyAsync(None);
        Assert.Empty(await ChildrenAsync(root));
        Assert.Null(await Reader.GetAsync(first, None));
        Assert.Equal(0, await CountAsync("SELECT count(*) FROM job WHERE number IN ($1, $1 + 1, $1 + 2, $1 + 3)", root));
        Assert.Equal(0, await CountAsync("SELECT count(*) FROM dependency WHERE job = $1", second));
        Assert.Equal(0, await CountAsync("SELECT count(*) FROM attempt WHERE task_id >> 20 = $1", second));
    }
}
