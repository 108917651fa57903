using JobHub.Engine.Postgres;
using JobHub.Engine.Tasks;
using Npgsql;

namespace JobHub.Engine.Jobs;

// The same for tasks: of one job by what they wait for, of one task, and counted over the hub.
public sealed partial class Explain
{
    // Of what is below a group so many jobs are looked at, the newest first, so many that wait are asked, and so many reasons told.
    private const int MostBelow = 20_000, MostAsked = 500, MostReasons = 20;

    // Counting goes no further: a queue of millions is told as "at least".
    private const int MostCounted = 10_000;
    private const int MostJobs = 1000;

    private enum Hold : short
    {
        Blocked = 0,
        Claimable = 1,
        Later = 2,
        Held = 3,
    }

    private sealed record Frame(JobId Id, TaskLayout Layout, bool Paused, bool InTree, int MaxAttempts, int MapsLeft, bool IsGroup);

    /// <summary>What the tasks of a job, or the jobs below a group, wait for, those that wait alike together; nothing for those that run. Of a large group it is about the newest of its jobs.</summary>
    public async Task<IReadOnlyList<WaitingTasks>> TasksAsync(JobId id, CancellationToken ct)
    {
        if (await FrameAsync(id, ct) is not { } job) return [];
        if (job.IsGroup) return await BelowAsync(job.Layout.Number, ct);
        var rows = new List<(TaskKind Kind, Hold Hold, int Class, long Count, DateTimeOffset? Until, int Attempt)>();
        await using (var command = database.CreateCommand("""
            SELECT (task_id & 1048575 >= $3)::int + (task_id & 1048575 >= $4)::int + (task_id & 1048575 >= $5)::int AS kind,
                   CASE WHEN state = 0 THEN 0 WHEN claimable THEN 1 WHEN not_before IS NOT NULL THEN 2 ELSE 3 END AS hold, class, count(*), min(not_before), min(attempt)
            FROM live WHERE task_id >= $1 AND task_id < $2 AND session_id IS NULL AND NOT speculative GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
            """))
        {
            var layout = job.Layout;
            foreach (var value in (long[])[layout.First, layout.First + TaskLayout.MaxTasks, layout.Maps, layout.Maps + layout.Reduces, layout.Maps + layout.Reduces + layout.Commands])
                command.Parameters.AddWithValue(value);
            await using var reader = await command.ExecuteReaderAsync(ct);
            while (await reader.ReadAsync(ct))
            {
                rows.Add(((TaskKind)reader.GetInt32(0), (Hold)reader.GetInt32(1), reader.GetInt32(2), reader.GetInt64(3),
                    reader.IsDBNull(4) ? null : reader.GetFieldValue<DateTimeOffset>(4), reader.GetInt32(5)));
            }
        }

        if (rows.Count == 0) return [];
        var offers = await WorkerOffers.ReadAsync(database, ct);
        var above = job.InTree ? (await InTreesAsync([job.Layout.Number], ct)).GetValueOrDefault(job.Layout.Number) : null;
        var found = new List<WaitingTasks>(rows.Count);
        foreach (var (kind, hold, classId, count, until, attempt) in rows)
            found.Add(new(kind, count, await WhyAsync(job, above, hold, classId, until, attempt, offers, ct)));
        return found;
    }

    private async Task<IReadOnlyList<WaitingTasks>> BelowAsync(long group, CancellationToken ct)
    {
        var open = new List<JobId>();
        await using (var connection = await database.OpenConnectionAsync(ct))
        {
            var statement = new NpgsqlBatchCommand("""
                WITH RECURSIVE below AS (
                    SELECT id, number, is_group, state FROM job WHERE number = $1
                    UNION ALL
                    SELECT c.id, c.number, c.is_group, c.state FROM below b CROSS JOIN LATERAL (
                        SELECT id, number, is_group, state FROM job WHERE parent = b.number AND deleted_at IS NULL ORDER BY number DESC OFFSET 0) c WHERE b.is_group AND b.state < 4)
                SELECT id FROM (SELECT * FROM below LIMIT $2) seen WHERE NOT is_group AND state < 4 LIMIT $3
                """);
            statement.Parameters.AddWithValue(group);
            statement.Parameters.AddWithValue(MostBelow);
            statement.Parameters.AddWithValue(MostAsked);
            await using var reader = await ValuePlans.ReadAsync(connection, statement, ct, keyed: true);
            while (await reader.ReadAsync(ct)) open.Add(new(reader.GetGuid(0)));
        }

        // Attempts begin again at times of their own: the first of them stands for all.
        return [.. (await JobsAsync(open, ct)).Values.GroupBy(static why => (why.Reason, why.Change))
            .Select(static alike => new WaitingTasks(TaskKind.Command, alike.Count(), alike.OrderBy(static why => why.Until).First()))
            .OrderByDescending(static tasks => tasks.Count).ThenBy(static tasks => tasks.Why.Reason, StringComparer.Ordinal).Take(MostReasons)];
    }

    /// <summary>What one task waits for; null when it does not.</summary>
    public async Task<Waiting?> TaskAsync(JobId id, TaskKind kind, int index, CancellationToken ct)
    {
        if (await FrameAsync(id, ct) is not { } job || job.Layout.IdOf(kind, index) is not { } task) return null;
        Hold hold;
        int classId, attempt;
        long rank;
        DateTimeOffset? until;
        await using (var command = database.CreateCommand("""
            SELECT CASE WHEN state = 0 THEN 0 WHEN claimable THEN 1 WHEN not_before IS NOT NULL THEN 2 ELSE 3 END, class, rank, not_before, attempt
            FROM live WHERE task_id = $1 AND NOT speculative AND session_id IS NULL
            """))
        {
            command.Parameters.AddWithValue(task);
            await using var reader = await command.ExecuteReaderAsync(ct);
            if (!await reader.ReadAsync(ct)) return null;
            (hold, classId, rank) = ((Hold)reader.GetInt32(0), reader.GetInt32(1), reader.GetInt64(2));
            (until, attempt) = (reader.IsDBNull(3) ? null : reader.GetFieldValue<DateTimeOffset>(3), reader.GetInt32(4));
        }

        var above = job.InTree ? (await InTreesAsync([job.Layout.Number], ct)).GetValueOrDefault(job.Layout.Number) : null;
        var why = await WhyAsync(job, above, hold, classId, until, attempt, await WorkerOffers.ReadAsync(database, ct), ct);
        if (why.Reason == WaitReasons.AllSlotsBusy) why = why with { Numbers = new(why.Numbers) { ["ahead"] = await AheadAsync(classId, rank, task, ct) } };
        return why;
    }

    /// <summary>Waiting tasks by reason, most first. Each count stops at ten thousand.</summary>
    /// <param name="projects">Only of jobs of these projects: the newest thousand that have not ended.</param>
    /// <param name="onlyUnmade">Only of jobs of projects that nobody made: as soon as one is made, the newest thousand.</param>
    public async Task<IReadOnlyList<WaitingCount>> CountsAsync(string[]? projects, bool onlyUnmade, CancellationToken ct)
    {
        var counts = new Dictionary<string, (long Count, bool AtLeast)>();
        void Add(string reason, long count, bool atLeast)
        {
            if (count == 0) return;
            var (before, more) = counts.GetValueOrDefault(reason);
            counts[reason] = (before + count, more || atLeast);
        }

        if (projects is not null || (onlyUnmade && await AnyMadeAsync(ct))) await CountJobsAsync(projects, Add, ct);
        else await CountHubAsync(Add, ct);
        return [.. counts.Select(static c => new WaitingCount(c.Key, c.Value.Count, c.Value.AtLeast)).OrderByDescending(static c => c.Count).ThenBy(static c => c.Reason, StringComparer.Ordinal)];
    }

    private async Task CountHubAsync(Action<string, long, bool> add, CancellationToken ct)
    {
        var all = await classes.AllAsync(ct);
        var offers = await WorkerOffers.ReadAsync(database, ct);
        await using var connection = await database.OpenConnectionAsync(ct);
        // By the indexes of what may be claimed, of what comes later, of what is paused and of what is blocked.
        var ready = new NpgsqlBatchCommand("""
            SELECT c.class, n.count, n.leaf FROM unnest($1::int[]) AS c(class)
            CROSS JOIN LATERAL (SELECT count(*) AS count, bool_and(run IS NOT NULL) AS leaf FROM (SELECT run FROM live WHERE class = c.class AND claimable LIMIT $2) r) n WHERE n.count > 0
            """);
        ready.Parameters.AddWithValue(all.Select(static c => c.Key).ToArray());
        ready.Parameters.AddWithValue(MostCounted);
        var others = new NpgsqlBatchCommand("""
            SELECT (SELECT count(*) FROM (SELECT FROM live WHERE not_before IS NOT NULL LIMIT $1) l),
                   (SELECT coalesce(sum(greatest(0, left_over)), 0) FROM (
                        SELECT maps + reduces + commands + analyses - succeeded - failed - canceled - skipped AS left_over FROM job WHERE paused AND state < 4 ORDER BY number LIMIT $1) p),
                   (SELECT coalesce(sum(blocked), 0) FROM (SELECT blocked FROM job WHERE blocked > 0 AND state < 4 ORDER BY number LIMIT $1) b),
                   (SELECT count(*) FROM (SELECT DISTINCT d.job FROM (SELECT job, dependency FROM dependency LIMIT $1) d
                        WHERE (SELECT state FROM job w WHERE w.number = d.job) < 4 AND (SELECT state FROM job o WHERE o.number = d.dependency) <> 4) t)
            """);
        others.Parameters.AddWithValue(MostCounted);
        await using var batch = new NpgsqlBatch(connection) { BatchCommands = { new(KeyedPlans.Sql), ready, others } };
        await using var reader = await batch.ExecuteReaderAsync(ct);
        await reader.NextResultAsync(ct);
        while (await reader.ReadAsync(ct))
        {
            var (classId, count) = (reader.GetInt32(0), reader.GetInt64(1));
            add(offers.WhyUnclaimed(classId, Array.Find(all, c => c.Key == classId).Value, reader.GetBoolean(2)).Reason, count, count >= MostCounted);
        }

        await reader.NextResultAsync(ct);
        await reader.ReadAsync(ct);
        add(WaitReasons.Backoff, reader.GetInt64(0), reader.GetInt64(0) >= MostCounted);
        add(WaitReasons.Paused, reader.GetInt64(1), false);
        add(WaitReasons.Dependencies, reader.GetInt64(2) + reader.GetInt64(3), false);
    }

    private async Task<bool> AnyMadeAsync(CancellationToken ct)
    {
        await using var command = database.CreateCommand("SELECT EXISTS (SELECT FROM project WHERE id <> 'default')");
        return await command.ExecuteScalarAsync(ct) is true;
    }

    /// <param name="projects">Null: those that nobody made.</param>
    private async Task CountJobsAsync(string[]? projects, Action<string, long, bool> add, CancellationToken ct)
    {
        var open = new Dictionary<JobId, long>();
        await using (var command = database.CreateCommand(projects is null
            ? $"""
            SELECT j.id, j.maps + j.reduces + j.commands + j.analyses - j.succeeded - j.failed - j.canceled - j.skipped
            FROM (SELECT * FROM job ORDER BY number DESC LIMIT {MostCounted}) j WHERE j.state < 4 AND {JobConditions.Unmade("j")} ORDER BY j.number DESC LIMIT $1
            """
            : """
            SELECT j.id, j.maps + j.reduces + j.commands + j.analyses - j.succeeded - j.failed - j.canceled - j.skipped FROM unnest($1::text[]) AS p(project)
            CROSS JOIN LATERAL (SELECT * FROM (SELECT * FROM job WHERE project = p.project ORDER BY number DESC LIMIT $2) newest WHERE state < 4) j
            ORDER BY j.number DESC LIMIT $2
            """))
        {
            if (projects is not null) command.Parameters.AddWithValue(projects);
            command.Parameters.AddWithValue(MostJobs);
            await using var reader = await command.ExecuteReaderAsync(ct);
            while (await reader.ReadAsync(ct)) open[new(reader.GetGuid(0))] = reader.GetInt32(1);
        }

        foreach (var (id, why) in await JobsAsync(open.Keys, ct)) add(why.Reason, open[id], open.Count == MostJobs);
    }

    private async Task<Waiting> WhyAsync(Frame job, Waiting? above, Hold hold, int classId, DateTimeOffset? until, int attempt, WorkerOffers offers, CancellationToken ct) => hold switch
    {
        Hold.Blocked => above ?? OfMaps(job.MapsLeft),
        _ when above is not null => above,
        _ when job.Paused => OfPause,
        Hold.Later => Backoff(until ?? default, attempt, job.MaxAttempts),
        _ => offers.WhyUnclaimed(classId, await NeedsAsync(classId, ct), job.InTree),
    };

    /// <summary>Tasks of the same needs that come before it, counted up to ten thousand.</summary>
    private async Task<long> AheadAsync(int classId, long rank, long task, CancellationToken ct)
    {
        await using var command = database.CreateCommand("""
            SELECT count(*) FROM (SELECT FROM live WHERE class = $1 AND claimable AND (rank > $2 OR (rank = $2 AND task_id < $3)) ORDER BY rank DESC, task_id LIMIT $4) a
            """);
        command.Parameters.AddWithValue(classId);
        command.Parameters.AddWithValue(rank);
        command.Parameters.AddWithValue(task);
        command.Parameters.AddWithValue(MostCounted);
        return (long)(await command.ExecuteScalarAsync(ct))!;
    }

    private async Task<Frame?> FrameAsync(JobId id, CancellationToken ct)
    {
        await using var command = database.CreateCommand("""
            SELECT number, maps, reduces, commands, analyses, paused, family = 3, max_attempts, maps - maps_succeeded, is_group FROM job WHERE id = $1 AND state < 4 AND stop = 0 AND deleted_at IS NULL
            """);
        command.Parameters.AddWithValue(id.Value);
        await using var reader = await command.ExecuteReaderAsync(ct);
        if (!await reader.ReadAsync(ct)) return null;
        return new(id, new(reader.GetInt64(0), reader.GetInt32(1), reader.GetInt32(2), reader.GetInt32(3), reader.GetInt32(4)), reader.GetBoolean(5), reader.GetBoolean(6), reader.GetInt32(7),
            reader.GetInt32(8), reader.GetBoolean(9));
    }
}
