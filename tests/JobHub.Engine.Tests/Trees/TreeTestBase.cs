using JobHub.Engine.Attempts;
using JobHub.Engine.Jobs;
using JobHub.Engine.Protocol;
using JobHub.Engine.Trees;
using JobHub.Engine.Workers;
using JobHub.Testing;
using Npgsql;
using Xunit;

namespace JobHub.Engine.Tests.Trees;

/// <summary>A hub whose sessions outlive a test: their workers are the tests themselves, and renew nothing.</summary>
public sealed class TreeFixture : IAsyncLifetime
{
    public EngineHost Hub { get; private set; } = null!;

    public async Task InitializeAsync() => Hub = await EngineHost.StartAsync(settings: new() { ["JobHub:Lease:Duration"] = "00:10:00" });

    public async Task DisposeAsync() => await Hub.DisposeAsync();
}

/// <summary>Trees over the engine alone: workers are sessions that the test opens and reports for.</summary>
public abstract class TreeTestBase(TreeFixture fixture) : IClassFixture<TreeFixture>
{
    protected static CancellationToken None => CancellationToken.None;
    protected EngineHost Hub => fixture.Hub;
    protected JobTrees Trees => Hub.Get<JobTrees>();
    protected TreeReader Reader => Hub.Get<TreeReader>();
    protected static Submission Who { get; } = new("test", null, null);

    protected async Task<long> MakeAsync(NewTreeJob job)
    {
        var result = await Trees.CreateAsync([job], Who, None);
        return Assert.IsType<TreeResult.Done>(result).Ids[0];
    }

    /// <summary>Roots that name no affinity get one that no worker offers: the tests of a class share a queue.</summary>
    private static string Own(long parent, string affinity) => parent == 0 && affinity.Length == 0 ? "nobody" : affinity;

    protected Task<long> GroupAsync(long parent = 0, int priority = 255, string affinity = "", params long[] dependencies) =>
        MakeAsync(new NewTreeJob { Parent = parent, Title = "group", Priority = priority, Affinity = Own(parent, affinity), Dependencies = dependencies });

    protected Task<long> LeafAsync(long parent = 0, int priority = 255, string affinity = "", int retry = 0, params long[] dependencies) =>
        MakeAsync(new NewTreeJob { Parent = parent, Title = "leaf", Command = "true", Priority = priority, Affinity = Own(parent, affinity), Retry = retry, Dependencies = dependencies });

    protected async Task<long[]> LeavesAsync(long parent, int count, string affinity = "") =>
        [.. Assert.IsType<TreeResult.Done>(await Trees.CreateAsync(
            [.. Enumerable.Range(0, count).Select(i => new NewTreeJob { Parent = parent, Title = $"leaf {i}", Command = "true", Affinity = affinity })], Who, None)).Ids];

    protected async Task<TreeJobView> GetAsync(long id) => await Reader.GetAsync(id, None) ?? throw new InvalidOperationException($"There is no job {id}.");

    protected async Task<List<TreeJobView>> ChildrenAsync(long parent, TreeFilter? filter = null)
    {
        var found = new List<TreeJobView>();
        await foreach (var job in Reader.ChildrenAsync(parent, filter ?? new(), None)) found.Add(job);
        return found;
    }

    protected static long NumberOf(AttemptSpec attempt) => attempt.TaskId >> 20;

    protected async Task<CompletionAnswer[]> EndAsync(WorkerSession worker, IEnumerable<AttemptSpec> attempts, AttemptOutcome outcome = AttemptOutcome.Succeeded) =>
        await Hub.Get<Completions>().CompleteAsync(worker.Id, [.. attempts.Select(a => new AttemptResult
        {
            Token = a.Token, TaskId = a.TaskId, Outcome = outcome, ExitCode = outcome == AttemptOutcome.Succeeded ? 0 : 1,
            Error = outcome == AttemptOutcome.Succeeded ? null : new("exit-code", "The program ended with exit code 1."),
        })], None);

    /// <summary>Claims until as many have come.</summary>
    protected async Task<List<AttemptSpec>> ClaimAsync(WorkerSession worker, int count)
    {
        var claimed = new List<AttemptSpec>();
        await Eventually.TrueAsync(async () =>
        {
            claimed.AddRange(await Hub.ClaimAsync(worker, count - claimed.Count));
            return claimed.Count == count;
        }, $"{count} leaves are given out");
        return claimed;
    }

    /// <summary>Runs all that can be claimed until a job is in a state.</summary>
    protected async Task RunAsync(WorkerSession worker, long until, JobState state) => await Eventually.TrueAsync(async () =>
    {
        await EndAsync(worker, await Hub.ClaimAsync(worker));
        return (await GetAsync(until)).State == state;
    }, $"job {until} is {state}");

    protected async Task UntilAsync(long id, Func<TreeJobView, bool> good, string what) => await Eventually.GetAsync(() => GetAsync(id), good, what);

    protected async Task<long> CountAsync(string sql, long number)
    {
        await using var command = Hub.Database.CreateCommand(sql);
        command.Parameters.AddWithValue(number);
        return (long)(await command.ExecuteScalarAsync())!;
    }

    protected static string Tag() => "t" + Guid.NewGuid().ToString("N")[..12];
}
