using System.Text.Json;
using JobHub.Engine.Jobs;
using JobHub.Engine.Postgres;
using JobHub.Engine.Tasks;
using JobHub.Engine.Upkeep;
using JobHub.Engine.Workers;
using Npgsql;

namespace JobHub.Engine.Trees;

/// <summary>The one door to trees of jobs: make, change, move, start, pause, reset, delete.</summary>
public sealed partial class JobTrees
{
    // A call of more jobs than this is a transaction of its own.
    private const int MostGathered = 16;
    private readonly NpgsqlDataSource database;
    private readonly RequirementClasses classes;
    private readonly AffinitySlots slots;
    private readonly TreeChanges changes;
    private readonly Wakeups wakeups;
    private readonly GatheredCalls gathered;

    public JobTrees(NpgsqlDataSource database, RequirementClasses classes, AffinitySlots slots, TreeChanges changes, Wakeups wakeups)
    {
        (this.database, this.classes, this.slots, this.changes, this.wakeups) = (database, classes, slots, changes, wakeups);
        gathered = new(MakeAsync);
    }

    /// <summary>Groups above a job at most: eight levels.</summary>
    public const int MaxDepth = 7;

    /// <summary>Makes jobs, all or none. Each one's parent must be there already.</summary>
    public Task<TreeResult> CreateAsync(IReadOnlyList<NewTreeJob> jobs, Submission who, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(jobs);
        ArgumentNullException.ThrowIfNull(who);
        var plain = who.IdempotencyKey is null && jobs.Count <= MostGathered && jobs.All(j => j.Dependencies.Count == 0);
        return plain ? gathered.MakeAsync(jobs, who, ct) : MakeAsync(jobs, who, ct);
    }

    private async Task<TreeResult> MakeAsync(IReadOnlyList<NewTreeJob> jobs, Submission who, CancellationToken ct)
    {
        var depends = jobs.Any(j => j.Dependencies.Count > 0);
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var transaction = await connection.BeginTransactionAsync(ct);
        // What a new job waits for must not succeed between our look and our commit: then nobody would release it.
        await TreeLocks.TakeAsync(connection, depends ? TreeLocks.ChangeSql : TreeLocks.MakeSql, ct);
        var first = JobId.New();
        if (who.IdempotencyKey is not null && await JobService.ReplayAsync(connection, first, who, ct) is { } earlier)
            return earlier is SubmitResult.Accepted ? new TreeResult.Done(await AnsweredAsync(connection, who, ct)) : new TreeResult.KeyReused();

        var chains = await TreeChains.ReadAsync(connection, jobs.Select(j => j.Parent), ct);
        foreach (var parent in jobs.Select(j => j.Parent).Distinct())
        {
            if (Objection(chains.GetValueOrDefault(parent), parent) is { } objection) return objection;
        }

        var waits = new HashSet<long>();
        if (depends)
        {
            if (await FindDependenciesAsync(connection, [.. jobs.SelectMany(j => j.Dependencies).Distinct()], waits, ct) is { } objection) return objection;
            var rules = new DependencyRules(connection);
            foreach (var parent in jobs.GroupBy(j => j.Parent))
            {
                if (await rules.CycleAsync(null, chains[parent.Key], [.. parent.SelectMany(j => j.Dependencies).Distinct()], ct) is { } cycle) return cycle;
            }
        }

        // Names have few slots: what is refused takes none.
        if (await DeclareAsync(jobs.Select(j => j.Affinity), ct) is { } full) return full;
        var specs = new JobSpec[jobs.Count];
        var ids = new int[jobs.Count];
        for (var i = 0; i < specs.Length; i++)
        {
            var (job, chain) = (jobs[i], chains[jobs[i].Parent]);
            var tags = TreeTags.Of(job.Affinity);
            var needs = chain.Needs(tags);
            ids[i] = await classes.IdOfAsync(needs, ct);
            specs[i] = SpecOf(job, i == 0 ? first : JobId.New(), chain.Groups is [.., var group] ? group.Project : who.Project, needs,
                new(job.Parent == 0 ? null : job.Parent, chain.Rank(job.Priority), job.Command.Length == 0, tags, job.Paused, job.Paused || chain.Paused,
                    chain.Waits || job.Dependencies.Any(waits.Contains)));
        }

        await using (var plans = new NpgsqlCommand(KeyedPlans.EndSql, connection)) await plans.ExecuteNonQueryAsync(ct);
        var numbers = await JobService.InsertAsync(connection, specs, ids, who.Caller, ct);
        await InsertDependenciesAsync(connection, [.. jobs.SelectMany((j, i) => j.Dependencies.Distinct().Select(d => new TreeDependency(numbers[i], d)))], ct);
        if (who.IdempotencyKey is not null) await KeepAnswerAsync(connection, who, numbers, ct);
        await transaction.CommitAsync(ct);
        foreach (var id in ids.Distinct()) wakeups.Work(id);
        wakeups.Upkeep();
        return new TreeResult.Done(numbers);
    }

    internal static CommandDetails DetailsOf(NewTreeJob job) => new()
    {
        Command = job.Command, Sandbox = false, Environment = EnvironmentText.Read(job.Environment),
        OfTree = new() { Dir = job.Dir, Environment = job.Environment, Url = job.Url, ProgressPattern = job.ProgressPattern, User = job.User, Affinity = job.Affinity },
    };

    private static JobSpec SpecOf(NewTreeJob job, JobId id, string project, Requirement needs, TreePlace place) => new()
    {
        Id = id, Family = JobFamily.Farm, Project = project, User = job.User, Title = job.Title, Priority = job.Priority, MaxAttempts = job.Retry + 1,
        TimeoutSeconds = job.TimeoutSeconds == 0 ? null : job.TimeoutSeconds, Speculative = false, Needs = needs, Place = place,
        Details = JsonSerializer.Serialize(DetailsOf(job), EngineJson.Default.CommandDetails), Tasks = place.IsGroup ? [] : [new(TaskKind.Command, 1, Blocked: false)],
    };

    /// <summary>Why nothing can be made below a job; null when it can.</summary>
    private static TreeResult? Objection(TreeChain? chain, long parent, int height = 0)
    {
        if (chain is null || chain.Groups.Any(g => g.Deleted)) return new TreeResult.NotFound("parent-not-found", $"There is no job {parent} to be the parent.");
        if (chain.Groups is [.., { IsGroup: false }]) return new TreeResult.Conflict("parent-not-a-group", $"Job {parent} has a command: only a job without one can be a parent.");
        return chain.Depth + height > MaxDepth
            ? new TreeResult.Conflict("tree-too-deep", $"A tree has at most {MaxDepth + 1} levels; below job {parent} there would be more.") : null;
    }

    private async Task<TreeResult?> DeclareAsync(IEnumerable<string> affinities, CancellationToken ct)
    {
        string[] tags = [.. affinities.SelectMany(TreeTags.Of).Distinct(StringComparer.Ordinal)];
        return tags.Length == 0 || await slots.DeclareAsync(tags, ct)
            ? null : new TreeResult.Conflict("affinity-slots-full", "All 64 affinity names are taken. Free one that is not used: POST /api/affinities with an empty name.");
    }

    /// <summary>Sees that dependencies exist; those that have not succeeded are told.</summary>
    private static async Task<TreeResult?> FindDependenciesAsync(NpgsqlConnection connection, long[] dependencies, HashSet<long> unmet, CancellationToken ct)
    {
        if (dependencies.Length == 0) return null;
        var found = new HashSet<long>(dependencies.Length);
        await using var command = new NpgsqlCommand("SELECT number, state FROM job WHERE number = ANY($1) AND family + 0 = 3 AND deleted_at IS NULL", connection);
        command.Parameters.AddWithValue(dependencies);
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct))
        {
            found.Add(reader.GetInt64(0));
            if ((JobState)reader.GetInt16(1) != JobState.Succeeded) unmet.Add(reader.GetInt64(0));
        }

        return Array.Find(dependencies, d => !found.Contains(d)) is not 0 and var missing
            ? new TreeResult.NotFound("dependency-not-found", $"There is no job {missing} to depend on.")
            : Array.Exists(dependencies, d => d == 0) ? new TreeResult.NotFound("dependency-not-found", "There is no job 0 to depend on.") : null;
    }

    private static async Task InsertDependenciesAsync(NpgsqlConnection connection, TreeDependency[] edges, CancellationToken ct)
    {
        if (edges.Length == 0) return;
        await using var command = new NpgsqlCommand("INSERT INTO dependency (job, dependency) SELECT * FROM unnest($1::bigint[], $2::bigint[]) ON CONFLICT DO NOTHING", connection);
        command.Parameters.AddWithValue(edges.Select(e => e.Job).ToArray());
        command.Parameters.AddWithValue(edges.Select(e => e.Dependency).ToArray());
        await command.ExecuteNonQueryAsync(ct);
    }

    private static async Task<long[]> AnsweredAsync(NpgsqlConnection connection, Submission who, CancellationToken ct)
    {
        await using var command = new NpgsqlCommand("SELECT answer FROM idempotency WHERE caller = $1 AND key = $2", connection);
        command.Parameters.AddWithValue(who.KeyOwner);
        command.Parameters.AddWithValue(who.IdempotencyKey!);
        return JsonSerializer.Deserialize<long[]>(await command.ExecuteScalarAsync(ct) as string ?? "[]") ?? [];
    }

    private static async Task KeepAnswerAsync(NpgsqlConnection connection, Submission who, long[] numbers, CancellationToken ct)
    {
        await using var command = new NpgsqlCommand("UPDATE idempotency SET answer = $3 WHERE caller = $1 AND key = $2", connection);
        command.Parameters.AddWithValue(who.KeyOwner);
        command.Parameters.AddWithValue(who.IdempotencyKey!);
        command.Parameters.AddWithValue(JsonSerializer.Serialize(numbers));
        await command.ExecuteNonQueryAsync(ct);
    }
}
