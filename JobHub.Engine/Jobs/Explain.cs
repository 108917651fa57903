using System.Globalization;
using JobHub.Engine.Postgres;
using JobHub.Engine.Tasks;
using Npgsql;

namespace JobHub.Engine.Jobs;

/// <summary>Answers "why is it waiting" from what the queue and the workers' sessions say just now.</summary>
public sealed partial class Explain(NpgsqlDataSource database, RequirementClasses classes)
{
    // Of a job's rows that cannot be claimed the first ones say why: maps stand before the reducers that wait for them.
    private const int FirstRows = 200;

    private sealed record Job(JobId Id, long Number, bool Paused, bool InTree, bool IsGroup, int Class, bool Ready, bool Blocked, DateTimeOffset? Until, int Attempt, int MaxAttempts, int MapsLeft);

    /// <summary>The reason, or null when the job does not wait: something of it runs (of a paused one it may), or it has ended, or there is none.</summary>
    public async Task<Waiting?> JobAsync(JobId id, CancellationToken ct) => (await JobsAsync([id], ct)).GetValueOrDefault(id);

    /// <summary>The same for a page of jobs; those that do not wait are absent. The number of statements does not grow with the page.</summary>
    public async Task<Dictionary<JobId, Waiting>> JobsAsync(IReadOnlyCollection<JobId> ids, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(ids);
        var found = new Dictionary<JobId, Waiting>(ids.Count);
        if (ids.Count == 0) return found;
        var held = await HeldAsync(ct);
        var jobs = (await FindAsync(ids, ct)).FindAll(j => j.Paused || !held.Contains(j.Number));
        var inTrees = await InTreesAsync([.. jobs.Where(static j => j.InTree).Select(static j => j.Number)], ct);
        WorkerOffers? offers = null;
        foreach (var job in jobs)
        {
            var why = inTrees.GetValueOrDefault(job.Number)
                ?? (job.Paused ? OfPause
                    : job.Ready ? (offers ??= await WorkerOffers.ReadAsync(database, ct)).WhyUnclaimed(job.Class, await NeedsAsync(job.Class, ct), job.InTree)
                    : job.Until is { } until ? Backoff(until, job.Attempt, job.MaxAttempts)
                    : job.Blocked ? OfMaps(job.MapsLeft)
                    : job.IsGroup ? await EmptyAsync(job.Number, ct) : null);
            if (why is not null) found[job.Id] = why;
        }

        return found;
    }

    // Held rows are bounded by the slots of the hub.
    private async Task<HashSet<long>> HeldAsync(CancellationToken ct)
    {
        await using var command = database.CreateCommand("SELECT DISTINCT task_id >> 20 FROM live WHERE session_id IS NOT NULL");
        await using var reader = await command.ExecuteReaderAsync(ct);
        var held = new HashSet<long>();
        while (await reader.ReadAsync(ct)) held.Add(reader.GetInt64(0));
        return held;
    }

    private async Task<List<Job>> FindAsync(IReadOnlyCollection<JobId> ids, CancellationToken ct)
    {
        await using var connection = await database.OpenConnectionAsync(ct);
        var statement = new NpgsqlBatchCommand("""
            SELECT j.id, j.number, j.paused, j.family = 3, j.is_group, j.class, r.ready OR (q.blocked IS FALSE AND q.until IS NULL), coalesce(q.blocked, false), q.until, coalesce(q.attempt, 0), j.max_attempts, j.maps - j.maps_succeeded
            FROM unnest($1::uuid[]) AS i(id) CROSS JOIN LATERAL (SELECT * FROM job WHERE id = i.id OFFSET 0) j
            CROSS JOIN LATERAL (
                SELECT EXISTS (SELECT FROM live WHERE class = j.class AND rank = j.rank AND claimable AND task_id >= j.number << 20 AND task_id < (j.number + 1) << 20) AS ready) r
            LEFT JOIN LATERAL (
                SELECT bool_or(state = 0) AS blocked, min(not_before) FILTER (WHERE state = 1) AS until, min(attempt) FILTER (WHERE state = 1 AND not_before IS NOT NULL) AS attempt
                FROM (SELECT state, not_before, attempt FROM live
                      WHERE NOT r.ready AND task_id >= j.number << 20 AND task_id < (j.number + 1) << 20 ORDER BY task_id, speculative LIMIT $2) f) q ON true
            WHERE j.state < 4 AND j.stop = 0 AND j.deleted_at IS NULL
            """);
        statement.Parameters.AddWithValue(ids.Select(static i => i.Value).ToArray());
        statement.Parameters.AddWithValue(FirstRows);
        await using var batch = new NpgsqlBatch(connection) { BatchCommands = { new(KeyedPlans.Sql), statement } };
        await using var reader = await batch.ExecuteReaderAsync(ct);
        await reader.NextResultAsync(ct);
        var jobs = new List<Job>(ids.Count);
        while (await reader.ReadAsync(ct))
        {
            jobs.Add(new(new(reader.GetGuid(0)), reader.GetInt64(1), reader.GetBoolean(2), reader.GetBoolean(3), reader.GetBoolean(4), reader.GetInt32(5), reader.GetBoolean(6),
                reader.GetBoolean(7), reader.IsDBNull(8) ? null : reader.GetFieldValue<DateTimeOffset>(8), reader.GetInt32(9), reader.GetInt32(10), reader.GetInt32(11)));
        }

        return jobs;
    }

    /// <summary>What jobs of trees wait for by their place there: a pause, or what they or groups above depend on. The nearest one is named.</summary>
    private async Task<Dictionary<long, Waiting>> InTreesAsync(long[] numbers, CancellationToken ct)
    {
        var found = new Dictionary<long, Waiting>();
        if (numbers.Length == 0) return found;
        await using var connection = await database.OpenConnectionAsync(ct);
        var statement = new NpgsqlBatchCommand("""
            WITH RECURSIVE chain AS (
                SELECT n.number AS start, j.number, j.parent, j.paused, 0 AS height
                FROM unnest($1::bigint[]) AS n(number) CROSS JOIN LATERAL (SELECT * FROM job WHERE number = n.number OFFSET 0) j
                UNION ALL
                SELECT c.start, p.number, p.parent, p.paused, c.height + 1 FROM chain c CROSS JOIN LATERAL (SELECT * FROM job WHERE number = c.parent OFFSET 0) p)
            SELECT DISTINCT ON (c.start) c.start, c.number, c.paused, o.number, o.state FROM chain c
            LEFT JOIN LATERAL (
                SELECT o.number, o.state FROM (SELECT dependency FROM dependency WHERE job = c.number OFFSET 0) d
                CROSS JOIN LATERAL (SELECT number, state FROM job WHERE number = d.dependency OFFSET 0) o WHERE o.state <> 4 ORDER BY o.state DESC, o.number LIMIT 1) o ON true
            WHERE c.paused OR o.number IS NOT NULL ORDER BY c.start, c.paused DESC, c.height
            """);
        statement.Parameters.AddWithValue(numbers);
        await using var batch = new NpgsqlBatch(connection) { BatchCommands = { new(KeyedPlans.Sql), statement } };
        await using var reader = await batch.ExecuteReaderAsync(ct);
        await reader.NextResultAsync(ct);
        while (await reader.ReadAsync(ct))
        {
            var (start, at) = (reader.GetInt64(0), reader.GetInt64(1));
            found[start] = reader.GetBoolean(2)
                ? at == start ? OfPause : new(WaitReasons.Paused, Text($"Group {at} above it is paused."), "Start that group.") { Numbers = { ["job"] = at } }
                : OfDependency(at == start ? "It depends" : Text($"Group {at} above it depends"), reader.GetInt64(3), (JobState)reader.GetInt16(4));
        }

        return found;
    }

    private static Waiting OfDependency(string who, long on, JobState state) => (state is JobState.Failed or JobState.Canceled
        ? new Waiting(WaitReasons.Dependencies, Text($"{who} on job {on}, which has failed."), Text($"Reset or start job {on}, or take the dependency away."))
        : new Waiting(WaitReasons.Dependencies, Text($"{who} on job {on}, which has not succeeded yet."), Text($"It starts when job {on} has succeeded."))) with { Numbers = new() { ["job"] = on } };

    private static Waiting OfPause { get; } = new(WaitReasons.Paused, "The job is paused.", "Resume it.");

    private static Waiting Backoff(DateTimeOffset until, int attempt, int maxAttempts) => new(WaitReasons.Backoff,
        Text($"Its last attempt failed; attempt {attempt + 1} begins at {until.UtcDateTime:yyyy-MM-dd'T'HH:mm:ss.fff'Z'}."), "It is tried again by itself then.", until)
    {
        Numbers = { ["attempt"] = attempt + 1, ["maxAttempts"] = maxAttempts },
    };

    private static Waiting OfMaps(int left) => new(WaitReasons.Dependencies, Text($"{left} map {(left == 1 ? "task has" : "tasks have")} not finished."), "It starts when they have.")
    {
        Numbers = { ["tasks"] = left },
    };

    private async Task<Waiting?> EmptyAsync(long group, CancellationToken ct)
    {
        await using var command = database.CreateCommand("SELECT EXISTS (SELECT FROM job WHERE parent = $1)");
        command.Parameters.AddWithValue(group);
        return await command.ExecuteScalarAsync(ct) is true ? null : new(WaitReasons.EmptyGroup, "The group has no job in it.", "Make one in it, or delete the group.");
    }

    private async ValueTask<Requirement> NeedsAsync(int classId, CancellationToken ct) => Array.Find(await classes.AllAsync(ct), c => c.Key == classId).Value ?? Requirement.None;

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
