using JobHub.Engine.Attempts;
using JobHub.Engine.Files;
using JobHub.Engine.Postgres;
using JobHub.Engine.Workers;
using Npgsql;
using NpgsqlTypes;

namespace JobHub.Engine.Tasks;

/// <summary>An attempt as the queue gave it.</summary>
public readonly record struct ClaimedTask(long TaskId, int Attempt, Guid Token);

/// <summary>A successful attempt whose output, if any, needs no promotion.</summary>
public sealed record Success(long TaskId, Guid Token, int? ExitCode, float CpuSeconds, long PeakMemory, byte[]? LogInline, string? LogKey, long LogSize, string? LogGaps,
    string? Counters, byte[]? Offsets);

/// <summary>The hot path over <c>live</c>: exact SQL, one statement each, batched. Every write after a claim is fenced by the attempt's token.</summary>
public sealed class TaskQueue(NpgsqlDataSource database)
{
    // A row that a pause or stop has not reached yet is not given: the job's intent is looked up by its key for each row that is about to be taken, and while a subtree
    // is being changed that of the groups above it too: of the first rows only, for a hundred thousand of a group that has just been paused may stand in front.
    // The rows are locked when they are picked and therefore stay where they are: they are updated by their place, whatever the statistics of the table say just now.
    // A resend of a claim (same claim id) finds what it was given and takes nothing more.
    private const string Prior = "prior AS MATERIALIZED (SELECT task_id, attempt, token FROM live WHERE session_id = $3 AND claim_id = $4)";

    private const string Intended = """
        (SELECT NOT j.paused AND j.stop = 0 FROM job j WHERE j.number = q.task_id >> 20)
          AND (NOT EXISTS (SELECT FROM tree_change)
               OR (q.ctid = ANY (ARRAY (SELECT w.ctid FROM live w WHERE w.class = fit.class AND w.claimable ORDER BY w.rank DESC, w.task_id LIMIT 1500)) AND tree_allows(q.task_id >> 20)))
        """;

    private const string RowsOfClass = $"""
        SELECT q.ctid AS at, q.task_id, q.rank FROM live q
        WHERE q.class = fit.class AND q.claimable AND {Intended}
          AND (q.avoid IS NULL OR q.avoid <> $5)
        ORDER BY q.rank DESC, q.task_id LIMIT $2 FOR UPDATE OF q SKIP LOCKED
        """;

    private const string MayClaim = """
        NOT EXISTS (SELECT FROM prior)
          AND EXISTS (SELECT FROM worker_session s WHERE s.id = $3 AND s.ended_at IS NULL AND s.lease_until > clock_timestamp())
        """;

    private const string Take = """
        taken AS (
            UPDATE live SET claimable = false, state = 2, attempt = live.attempt + 1, session_id = $3, token = gen_random_uuid(), claim_id = $4,
                            leased_at = clock_timestamp(), misses = 0,
                            run = CASE WHEN run IS NULL THEN NULL ELSE nextval('run_number') END
            WHERE live.ctid = ANY (ARRAY (SELECT at FROM picked))
            RETURNING live.task_id, live.attempt, live.token, live.rank)
        SELECT task_id, attempt, token, 0::bigint AS rank FROM prior UNION ALL SELECT task_id, attempt, token, rank FROM taken ORDER BY rank DESC, task_id
        """;

    private const string ClaimSql = $"""
        WITH {Prior},
        picked AS MATERIALIZED (
            SELECT l.at FROM unnest($1::int[]) WITH ORDINALITY AS fit(class, preference) CROSS JOIN LATERAL ({RowsOfClass}) l
            WHERE {MayClaim} ORDER BY fit.preference, l.rank DESC, l.task_id LIMIT $2),
        {Take}
        """;

    // Where classes reserve gpus, cores or memory: what the session holds is taken off what it offers ($6-$8), and of what is picked only as much as still fits together.
    private const string ClaimResourcesSql = $"""
        WITH {Prior},
        free AS MATERIALIZED (
            SELECT $6 - coalesce(sum(c.gpus), 0) AS gpus, $7 - coalesce(sum(c.cpus), 0) AS cpus, $8 - coalesce(sum(c.memory), 0) AS memory
            FROM live l JOIN requirement_class c ON c.id = l.class WHERE l.session_id = $3),
        found AS MATERIALIZED (
            SELECT l.at, c.gpus, c.cpus, c.memory, sum(c.gpus) OVER w AS all_gpus, sum(c.cpus) OVER w AS all_cpus, sum(c.memory) OVER w AS all_memory,
                   row_number() OVER w AS place
            FROM unnest($1::int[]) WITH ORDINALITY AS fit(class, preference)
            JOIN requirement_class c ON c.id = fit.class CROSS JOIN free f
            CROSS JOIN LATERAL ({RowsOfClass}) l
            WHERE {MayClaim} AND (c.gpus = 0 OR c.gpus <= f.gpus) AND (c.cpus = 0 OR c.cpus <= f.cpus) AND (c.memory = 0 OR c.memory <= f.memory)
            WINDOW w AS (ORDER BY fit.preference, l.rank DESC, l.task_id ROWS UNBOUNDED PRECEDING)),
        picked AS MATERIALIZED (
            SELECT o.at FROM found o CROSS JOIN free f
            WHERE (o.gpus = 0 OR o.all_gpus <= f.gpus) AND (o.cpus = 0 OR o.all_cpus <= f.cpus) AND (o.memory = 0 OR o.all_memory <= f.memory)
            ORDER BY o.place LIMIT $2),
        {Take}
        """;

    /// <summary>
    /// One leaf of a tree ($1: the classes that fit, best first) for a session ($2) that holds nothing. The first columns say whether the session is open and whether it holds
    /// something; the others are null when nothing was given. The last is true when a row was found and another had just put it elsewhere: there is work, ask again.
    /// </summary>
    internal const string ClaimLeafSql = $"""
        WITH session AS MATERIALIZED (
            SELECT s.worker, s.ended_at IS NULL AND s.lease_until > clock_timestamp() AS is_open, EXISTS (SELECT FROM live l WHERE l.session_id = $2) AS holds
            FROM worker_session s WHERE s.id = $2),
        picked AS MATERIALIZED (
            SELECT l.at FROM session s CROSS JOIN unnest($1::int[]) WITH ORDINALITY AS fit(class, preference)
            CROSS JOIN LATERAL (
                SELECT q.ctid AS at, q.task_id, q.rank FROM live q
                WHERE q.class = fit.class AND q.claimable AND q.run IS NOT NULL AND {Intended}
                ORDER BY q.rank DESC, q.task_id LIMIT 1 FOR UPDATE OF q SKIP LOCKED) l
            WHERE s.is_open AND NOT s.holds ORDER BY fit.preference, l.rank DESC, l.task_id LIMIT 1),
        taken AS (
            UPDATE live SET claimable = false, state = 2, attempt = live.attempt + 1, session_id = $2, token = gen_random_uuid(), claim_id = gen_random_uuid(),
                            leased_at = clock_timestamp(), misses = 0, run = nextval('run_number')
            WHERE live.ctid = ANY (ARRAY (SELECT at FROM picked)) RETURNING live.task_id)
        SELECT coalesce(s.is_open, false), coalesce(s.holds, false), t.task_id, j.details::text, t.task_id IS NULL AND EXISTS (SELECT FROM picked)
        FROM (SELECT 1) one LEFT JOIN session s ON true LEFT JOIN taken t ON true LEFT JOIN job j ON j.number = t.task_id >> 20
        """;

    // The delete is the fence and the lock: whoever deletes the row ends the attempt. Rows are reached in the order of their ids. Losers are rare, so who won is asked with
    // IN (hashed once) and not by joins, which the planner, expecting one row, would make quadratic in the size of the batch. An attempt whose task begins again (stop 7:
    // StopReason.Restarted) cannot win; it is ended as interrupted. The results of a batch are one session's.
    private const string SucceedSql = """
        WITH mine AS MATERIALIZED (
            DELETE FROM live l USING (
                SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::int[], $4::real[], $5::bigint[], $6::bytea[], $7::text[], $8::bigint[], $9::text[], $10::text[], $11::bytea[])
                    AS u(task_id, token, exit_code, cpu, memory, log_inline, log_key, log_size, log_gaps, counters, offsets) ORDER BY task_id) i
            WHERE l.task_id = i.task_id AND l.token = i.token AND l.stop <> 7
            RETURNING l.task_id, l.attempt, l.token, l.session_id, l.leased_at, l.run, clock_timestamp() AS ended_at,
                      i.exit_code, i.cpu, i.memory, i.log_inline, i.log_key, i.log_size, i.log_gaps, i.counters, i.offsets),
        won AS MATERIALIZED (
            INSERT INTO task (id, state, attempt, winner, started_at, ended_at, counters, offsets)
            SELECT m.task_id, 4, m.attempt, m.token, m.leased_at, m.ended_at, m.counters::jsonb, m.offsets FROM mine m
            ON CONFLICT (id) DO NOTHING RETURNING id, id >> 20 AS job, attempt, winner, started_at, counters),
        kept AS (
            INSERT INTO attempt (task_id, number, token, session_id, outcome, reported, started_at, ended_at, exit_code, cpu_seconds, peak_memory,
                                 log_inline, log_key, log_size, log_gaps, run)
            SELECT m.task_id, m.attempt, m.token, m.session_id, CASE WHEN m.token IN (SELECT winner FROM won) THEN 0 ELSE 2 END, true, m.leased_at, m.ended_at,
                   m.exit_code, m.cpu, m.memory, m.log_inline, m.log_key, m.log_size, m.log_gaps::jsonb, m.run
            FROM mine m ON CONFLICT (task_id, number) DO NOTHING),
        lost AS (INSERT INTO discard (task_id, token, attempt) SELECT m.task_id, m.token, m.attempt FROM mine m WHERE m.token NOT IN (SELECT winner FROM won) ON CONFLICT DO NOTHING),
        noted AS (
            INSERT INTO ledger (job, session_id, runs_succeeded, kind, payload, succeeded, maps_succeeded, started_at, counters)
            SELECT w.job, (SELECT max(session_id) FROM mine), count(*), 'tasks-ended', jsonb_build_object('state', 'Succeeded', 'tasks', jsonb_agg(jsonb_build_array((w.id & 1048575)::int, w.attempt))),
                   count(*), count(*) FILTER (WHERE (w.id & 1048575) < j.maps), min(w.started_at),
                   CASE WHEN bool_or(w.counters IS NOT NULL) THEN (SELECT jsonb_object_agg(c.key, c.total) FROM (
                       SELECT e.key, sum(e.value::bigint) AS total FROM won v, jsonb_each_text(v.counters) e WHERE v.job = w.job GROUP BY e.key) c) END
            FROM won w JOIN job j ON j.number = w.job GROUP BY w.job)
        SELECT m.token, m.token IN (SELECT winner FROM won) FROM mine m
        """;

    /// <summary>Gives up to <paramref name="max"/> claimable tasks of the classes, the first classes first, to a session whose lease runs.</summary>
    /// <param name="resources">Some of the classes reserve gpus, cores or memory.</param>
    public async Task<List<ClaimedTask>> ClaimAsync(WorkerSession session, int[] classes, bool resources, Guid claimId, int max, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(session);
        await using var command = database.CreateCommand(resources ? ClaimResourcesSql : ClaimSql);
        command.Parameters.AddWithValue(classes);
        command.Parameters.AddWithValue(max);
        command.Parameters.AddWithValue(session.Id);
        command.Parameters.AddWithValue(claimId);
        command.Parameters.AddWithValue(session.Worker);
        if (resources)
        {
            command.Parameters.AddWithValue(session.Gpus);
            command.Parameters.AddWithValue(session.Cpus);
            command.Parameters.AddWithValue(session.Memory);
        }

        await using var reader = await command.ExecuteReaderAsync(ct);
        var claimed = new List<ClaimedTask>();
        while (await reader.ReadAsync(ct)) claimed.Add(new(reader.GetInt64(0), reader.GetInt32(1), reader.GetGuid(2)));
        return claimed;
    }

    /// <summary>Ends successful attempts in one statement.</summary>
    /// <returns>For each token that held its task: whether it won. Others are absent.</returns>
    public async Task<Dictionary<Guid, bool>> SucceedAsync(IReadOnlyList<Success> results, CancellationToken ct)
    {
        var answers = new Dictionary<Guid, bool>(results.Count);
        if (results.Count == 0) return answers;
        await using var batch = database.CreateBatch();
        await SucceedAsync(batch, results, answers, ct);
        return answers;
    }

    /// <summary>Ends one successful attempt, and what it sent of its tree becomes its job's: both or neither.</summary>
    public async Task<Dictionary<Guid, bool>> SucceedWithFilesAsync(Success result, CancellationToken ct)
    {
        var answers = new Dictionary<Guid, bool>(1);
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var transaction = await connection.BeginTransactionAsync(ct);
        await using (var batch = new NpgsqlBatch(connection)) await SucceedAsync(batch, [result], answers, ct);
        if (answers.GetValueOrDefault(result.Token))
        {
            await using var publish = new NpgsqlCommand(FileSpace.PublishSql, connection);
            publish.Parameters.AddWithValue(result.Token);
            await publish.ExecuteNonQueryAsync(ct);
        }

        await transaction.CommitAsync(ct);
        return answers;
    }

    private static async Task SucceedAsync(NpgsqlBatch batch, IReadOnlyList<Success> results, Dictionary<Guid, bool> answers, CancellationToken ct)
    {
        batch.BatchCommands.Add(new(KeyedPlans.Sql));
        var command = new NpgsqlBatchCommand(SucceedSql);
        batch.BatchCommands.Add(command);
        var p = command.Parameters;
        T[] Column<T>(Func<Success, T> of)
        {
            var column = new T[results.Count];
            for (var i = 0; i < column.Length; i++) column[i] = of(results[i]);
            return column;
        }

        void Nullable<T>(Func<Success, T> of, NpgsqlDbType type) => p.Add(new() { Value = Column(of), NpgsqlDbType = NpgsqlDbType.Array | type });
        p.AddWithValue(Column(r => r.TaskId));
        p.AddWithValue(Column(r => r.Token));
        Nullable(r => r.ExitCode, NpgsqlDbType.Integer);
        p.AddWithValue(Column(r => r.CpuSeconds));
        p.AddWithValue(Column(r => r.PeakMemory));
        Nullable(r => r.LogInline, NpgsqlDbType.Bytea);
        Nullable(r => r.LogKey, NpgsqlDbType.Text);
        p.AddWithValue(Column(r => r.LogSize));
        Nullable(r => r.LogGaps, NpgsqlDbType.Text);
        Nullable(r => r.Counters, NpgsqlDbType.Text);
        Nullable(r => r.Offsets, NpgsqlDbType.Bytea);
        await using var reader = await batch.ExecuteReaderAsync(ct);
        await reader.NextResultAsync(ct);
        while (await reader.ReadAsync(ct)) answers[reader.GetGuid(0)] = reader.GetBoolean(1);
    }

    /// <summary>Of tokens that hold nothing: those whose report was taken before, with how they were kept.</summary>
    public async Task<Dictionary<Guid, AttemptOutcome>> ReportedBeforeAsync(IReadOnlyList<(long TaskId, Guid Token)> attempts, CancellationToken ct)
    {
        await using var command = database.CreateCommand("""
            SELECT a.token, a.outcome FROM unnest($1::bigint[], $2::uuid[]) AS i(task_id, token) JOIN attempt a ON a.task_id = i.task_id AND a.token = i.token WHERE a.reported
            """);
        command.Parameters.AddWithValue(attempts.Select(a => a.TaskId).ToArray());
        command.Parameters.AddWithValue(attempts.Select(a => a.Token).ToArray());
        await using var reader = await command.ExecuteReaderAsync(ct);
        var found = new Dictionary<Guid, AttemptOutcome>();
        while (await reader.ReadAsync(ct)) found[reader.GetGuid(0)] = (AttemptOutcome)reader.GetInt16(1);
        return found;
    }
}
