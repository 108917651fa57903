using JobHub.Engine.Jobs;
using JobHub.Engine.Postgres;
using JobHub.Engine.Tasks;
using Npgsql;
using NpgsqlTypes;

namespace JobHub.Engine.Statistics;

/// <summary>
/// Walks the queue every few seconds and keeps, by minute, how many tasks wait for what, and how loaded the workers are. The walk goes by pages of the queue's key, each a
/// statement of its own; the longer one takes the longer it is until the next, so it never costs more than some hundredths of the database.
/// </summary>
public sealed class QueueStatistics(NpgsqlDataSource database, RequirementClasses classes, TimeProvider clock)
{
    private const int Page = 20_000, Rest = 30;
    private static readonly TimeSpan Beat = TimeSpan.FromSeconds(3), MostRest = TimeSpan.FromMinutes(2);

    /// <summary>Rows that one statement removes.</summary>
    private const int Chunk = 2000;

    private sealed record Waits(string Project, string Reason, int Class, bool Claimable)
    {
        public long Tasks { get; set; }
        public DateTime? OldestAt { get; set; }
    }

    // Of a page: what waits by project, class and why. What is given out does not wait.
    private const string PageSql = """
        WITH page AS MATERIALIZED (SELECT task_id, class, state, claimable, paused, session_id, run FROM live WHERE task_id > $1 AND NOT speculative ORDER BY task_id LIMIT 20000),
        jobs AS MATERIALIZED (
            SELECT task_id >> 20 AS job, class, CASE WHEN state = 0 THEN 0 WHEN claimable THEN 3 WHEN paused THEN 1 ELSE 2 END AS why, run IS NOT NULL AS leaf, count(*) AS tasks
            FROM page WHERE session_id IS NULL GROUP BY 1, 2, 3, 4)
        SELECT project, class, why, sum(tasks)::bigint, min(created_at), 0::bigint, leaf FROM (
            SELECT j.project, w.class, CASE WHEN w.why = 0 THEN 0 WHEN j.paused THEN 1 ELSE w.why END AS why, w.tasks, w.leaf, j.created_at
            FROM jobs w CROSS JOIN LATERAL (SELECT project, paused, created_at FROM job WHERE number = w.job OFFSET 0) j) n
        GROUP BY 1, 2, 3, leaf
        UNION ALL SELECT '', -1, -1, count(*), NULL, max(task_id), false FROM page
        """;

    /// <summary>Walks if it is time and nobody else does.</summary>
    public async Task SampleAsync(CancellationToken ct)
    {
        await using (var take = database.CreateCommand("UPDATE statistic_place SET due_at = clock_timestamp() + interval '2 minutes' WHERE name = 'queue' AND due_at <= clock_timestamp()"))
        {
            if (await take.ExecuteNonQueryAsync(ct) == 0) return;
        }

        var start = clock.GetTimestamp();
        await KeepAsync(await WalkAsync(ct), ct);
        await ForgetAsync(ct);
        var rest = clock.GetElapsedTime(start) * Rest;
        await using var leave = database.CreateCommand("UPDATE statistic_place SET due_at = clock_timestamp() + $1 WHERE name = 'queue'");
        leave.Parameters.AddWithValue(rest < Beat ? Beat : rest > MostRest ? MostRest : rest);
        await leave.ExecuteNonQueryAsync(ct);
    }

    private async Task<IReadOnlyCollection<Waits>> WalkAsync(CancellationToken ct)
    {
        var found = new Dictionary<(string, string, int), Waits>();
        var needs = (await classes.AllAsync(ct)).ToDictionary();
        var offers = await WorkerOffers.ReadAsync(database, ct);
        void Add(string project, string reason, int named, bool claimable, long tasks, DateTime oldest)
        {
            if (!found.TryGetValue((project, reason, named), out var waits)) found[(project, reason, named)] = waits = new(project, reason, named, claimable);
            waits.Tasks += tasks;
            if (!(waits.OldestAt <= oldest)) waits.OldestAt = oldest;
        }

        for (long after = 0, rows = Page; rows == Page;)
        {
            await using var connection = await database.OpenConnectionAsync(ct);
            await using var batch = new NpgsqlBatch(connection) { BatchCommands = { new(KeyedPlans.OrderedSql), new(PageSql) { Parameters = { new() { Value = after } } } } };
            await using var reader = await batch.ExecuteReaderAsync(ct);
            await reader.NextResultAsync(ct);
            while (await reader.ReadAsync(ct))
            {
                var (project, named, why, tasks) = (reader.GetString(0), reader.GetInt32(1), reader.GetInt32(2), reader.GetInt64(3));
                if (why < 0)
                {
                    (rows, after) = (tasks, reader.IsDBNull(5) ? after : reader.GetInt64(5));
                    continue;
                }

                var oldest = reader.GetDateTime(4);
                var reason = why switch
                {
                    0 => WaitReasons.Dependencies, 1 => WaitReasons.Paused, 2 => WaitReasons.Backoff,
                    _ => needs.TryGetValue(named, out var need) ? offers.WhyUnclaimed(named, need, reader.GetBoolean(6)).Reason : WaitReasons.AboutToStart,
                };
                // Told apart by what they need only where somebody must act on it.
                if (!reason.StartsWith("no-", StringComparison.Ordinal)) named = 0;
                Add(project, reason, named, why == 3, tasks, oldest);
                Add("", reason, named, why == 3, tasks, oldest);
            }
        }

        return found.Values;
    }

    private async Task KeepAsync(IReadOnlyCollection<Waits> waits, CancellationToken ct)
    {
        await using var batch = database.CreateBatch();
        batch.BatchCommands.Add(new("DELETE FROM queue_sample WHERE at = date_trunc('minute', clock_timestamp())"));
        // A row without tasks says that the walk was made and found nothing.
        Waits[] kept = waits.Count > 0 ? [.. waits] : [new("", WaitReasons.AboutToStart, 0, true)];
        batch.BatchCommands.Add(new("""
            INSERT INTO queue_sample (at, project, reason, class, claimable, tasks, oldest_at)
            SELECT date_trunc('minute', clock_timestamp()), u.project, u.reason, u.class, u.claimable, u.tasks, u.oldest
            FROM unnest($1::text[], $2::text[], $3::int[], $4::boolean[], $5::bigint[], $6::timestamptz[]) AS u(project, reason, class, claimable, tasks, oldest)
            ON CONFLICT (at, project, reason, class) DO UPDATE SET claimable = excluded.claimable, tasks = excluded.tasks, oldest_at = excluded.oldest_at
            """)
        {
            Parameters =
            {
                A(kept, w => w.Project, NpgsqlDbType.Text), A(kept, w => w.Reason, NpgsqlDbType.Text), A(kept, w => w.Class, NpgsqlDbType.Integer), A(kept, w => w.Claimable, NpgsqlDbType.Boolean),
                A(kept, w => w.Tasks, NpgsqlDbType.Bigint), A(kept, w => w.OldestAt, NpgsqlDbType.TimestampTz),
            },
        });
        batch.BatchCommands.Add(new("""
            INSERT INTO worker_sample (at, worker, load, free_memory, busy, slots)
            SELECT date_trunc('minute', clock_timestamp()), s.worker, max(s.load), max(s.free_memory), coalesce(sum(h.held), 0), sum(s.slots)
            FROM worker_session s LEFT JOIN (SELECT session_id, count(*)::int AS held FROM live WHERE session_id IS NOT NULL GROUP BY 1) h ON h.session_id = s.id
            WHERE s.ended_at IS NULL AND s.calls IS NULL GROUP BY s.worker ORDER BY s.worker ON CONFLICT DO NOTHING
            """));
        await batch.ExecuteNonQueryAsync(ct);
    }

    /// <summary>Minutes are kept for a day, every tenth of the queue and ten minutes for eight days, workers' for a day.</summary>
    private async Task ForgetAsync(CancellationToken ct)
    {
        foreach (var (table, old) in ((string, string)[])
        [
            ("statistic", "minutes = 1 AND at < clock_timestamp() - interval '26 hours'"), ("statistic", "minutes = 10 AND at < clock_timestamp() - interval '8 days'"),
            ("failure", "minutes = 1 AND at < clock_timestamp() - interval '26 hours'"), ("failure", "minutes = 10 AND at < clock_timestamp() - interval '8 days'"),
            ("queue_sample", "at < clock_timestamp() - interval '26 hours' AND at > clock_timestamp() - interval '28 hours' AND extract(minute FROM at)::int % 10 <> 0"),
            ("queue_sample", "at < clock_timestamp() - interval '8 days'"), ("worker_sample", "at < clock_timestamp() - interval '26 hours'"),
        ])
        {
            await using var command = database.CreateCommand($"DELETE FROM {table} WHERE ctid = ANY (ARRAY (SELECT ctid FROM {table} WHERE {old} LIMIT {Chunk}))");
            await command.ExecuteNonQueryAsync(ct);
        }
    }

    private static NpgsqlParameter A<T>(Waits[] rows, Func<Waits, T> of, NpgsqlDbType type) => new() { Value = rows.Select(of).ToArray(), NpgsqlDbType = NpgsqlDbType.Array | type };
}
