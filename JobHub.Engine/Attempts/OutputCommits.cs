using System.Text.Json;
using JobHub.Engine.Jobs;
using JobHub.Engine.MapReduce;
using JobHub.Engine.Protocol;
using JobHub.Engine.Storage;
using JobHub.Engine.Tasks;
using JobHub.Engine.Upkeep;
using Microsoft.Extensions.Logging;
using Npgsql;
using NpgsqlTypes;

namespace JobHub.Engine.Attempts;

/// <summary>
/// Two steps to a visible output. A: fenced by the token, the winner and what to promote are kept; from here the commit is redone and never the task.
/// Then the store promotes, idempotently. B: the task has succeeded and counts.
/// </summary>
public sealed class OutputCommits(NpgsqlDataSource database, JobContexts contexts, JobObjects objects, Wakeups wakeups, ILogger<OutputCommits> logger)
{
    private const string WinSql = """
        WITH input AS MATERIALIZED (
            SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::int[], $4::real[], $5::bigint[], $6::bytea[], $7::text[], $8::bigint[], $9::text[], $10::text[], $11::text[])
                AS i(task_id, token, exit_code, cpu, memory, log_inline, log_key, log_size, log_gaps, counters, pending)),
        mine AS MATERIALIZED (
            SELECT l.task_id, l.speculative, l.attempt, l.token, l.session_id, l.leased_at
            FROM live l JOIN input i ON i.task_id = l.task_id AND i.token = l.token ORDER BY l.task_id FOR UPDATE OF l),
        won AS (
            INSERT INTO task (id, state, attempt, winner, pending, started_at, counters)
            SELECT m.task_id, 3, m.attempt, m.token, i.pending::jsonb, m.leased_at, i.counters::jsonb
            FROM mine m JOIN input i ON i.task_id = m.task_id AND i.token = m.token ON CONFLICT (id) DO NOTHING RETURNING id, winner),
        beaten AS (DELETE FROM live l USING mine m WHERE l.task_id = m.task_id AND l.speculative = m.speculative AND NOT EXISTS (SELECT FROM won w WHERE w.winner = m.token)
                   AND NOT EXISTS (SELECT FROM task t WHERE t.winner = m.token AND t.id = m.task_id)),
        lost AS (INSERT INTO discard (task_id, token, attempt) SELECT m.task_id, m.token, m.attempt FROM mine m LEFT JOIN won w ON w.winner = m.token
                 WHERE w.winner IS NULL AND NOT EXISTS (SELECT FROM task t WHERE t.winner = m.token AND t.id = m.task_id) ON CONFLICT DO NOTHING),
        kept AS (
            INSERT INTO attempt (task_id, number, token, session_id, outcome, reported, started_at, ended_at, exit_code, cpu_seconds, peak_memory, log_inline, log_key, log_size, log_gaps)
            SELECT m.task_id, m.attempt, m.token, m.session_id, CASE WHEN w.winner IS NULL THEN 2 ELSE 0 END, true, m.leased_at, clock_timestamp(),
                   i.exit_code, i.cpu, i.memory, i.log_inline, i.log_key, i.log_size, i.log_gaps::jsonb
            FROM mine m JOIN input i ON i.task_id = m.task_id AND i.token = m.token LEFT JOIN won w ON w.winner = m.token
            ON CONFLICT (task_id, number) DO NOTHING)
        SELECT m.token, w.winner IS NOT NULL OR EXISTS (SELECT FROM task t WHERE t.winner = m.token AND t.id = m.task_id) FROM mine m LEFT JOIN won w ON w.winner = m.token
        """;

    private const string FinishSql = """
        WITH done AS (
            UPDATE task SET state = 4, pending = NULL, ended_at = clock_timestamp() WHERE id = $1 AND winner = $2 AND state = 3
            RETURNING id, attempt, started_at, counters),
        gone AS (DELETE FROM live WHERE task_id = $1 AND token = $2 AND EXISTS (SELECT FROM done)),
        uploads AS (DELETE FROM upload WHERE token = $2)
        INSERT INTO ledger (job, kind, payload, succeeded, started_at, counters)
        SELECT id >> 20, 'tasks-ended', jsonb_build_object('state', 'Succeeded', 'tasks', jsonb_build_array(jsonb_build_array((id & 1048575)::int, attempt))), 1, started_at, counters FROM done
        """;

    // An analysis exists from the moment its task has succeeded, exactly once. Its row is gone when what it was made of was deleted meanwhile: then nobody wants the object.
    private const string FinishAnalysisSql = """
        WITH kept AS (
            UPDATE analysis SET made_at = clock_timestamp(), object = $3 WHERE job = $1 >> 20 AND made_at IS NULL
              AND EXISTS (SELECT FROM task WHERE id = $1 AND winner = $2 AND state = 3) RETURNING id),
        done AS (
            UPDATE task SET state = CASE WHEN EXISTS (SELECT FROM kept) THEN 4 ELSE 5 END, pending = NULL, ended_at = clock_timestamp(),
                   error = CASE WHEN NOT EXISTS (SELECT FROM kept) THEN jsonb_build_object('type', 'input-deleted', 'message', 'The dataset or the inference that it reads was deleted.') END
            WHERE id = $1 AND winner = $2 AND state = 3 RETURNING id, attempt, started_at, counters, error, state = 4 AS made),
        gone AS (DELETE FROM live WHERE task_id = $1 AND token = $2 AND EXISTS (SELECT FROM done)),
        uploads AS (DELETE FROM upload WHERE token = $2),
        unwanted AS (INSERT INTO file_garbage (object) SELECT $3 FROM done WHERE NOT made ON CONFLICT (object) DO UPDATE SET due_at = clock_timestamp())
        INSERT INTO ledger (job, kind, payload, succeeded, failed, started_at, counters)
        SELECT id >> 20, 'tasks-ended', jsonb_strip_nulls(jsonb_build_object('state', CASE WHEN made THEN 'Succeeded' ELSE 'Failed' END, 'error', error,
                   'tasks', jsonb_build_array(jsonb_build_array((id & 1048575)::int, attempt)))), CASE WHEN made THEN 1 ELSE 0 END, CASE WHEN made THEN 0 ELSE 1 END, started_at, counters FROM done
        """;

    private const string UndoSql = """
        WITH undone AS (DELETE FROM task WHERE id = $1 AND winner = $2 AND state = 3 RETURNING id, attempt),
        marked AS (UPDATE attempt SET outcome = 7 FROM undone WHERE task_id = undone.id AND number = undone.attempt),
        noted AS (INSERT INTO ledger (job, kind, payload) SELECT id >> 20, 'output-lost', jsonb_build_object('task', (id & 1048575)::int, 'attempt', attempt) FROM undone)
        UPDATE live SET state = 1, claimable = NOT paused, session_id = NULL, token = NULL, claim_id = NULL, leased_at = NULL, started_at = NULL, stop = 0, misses = 0
        FROM undone WHERE live.task_id = undone.id AND live.token = $2
        """;

    /// <summary>Step A for many, then promotion and step B one by one. What fails after A is redone by upkeep, and is accepted all the same.</summary>
    /// <returns>For each token that held its task: whether it is the winner. Others are absent.</returns>
    public async Task<Dictionary<Guid, bool>> CommitAsync(IReadOnlyList<(Success Result, PendingOutput Pending)> results, CancellationToken ct)
    {
        var answers = new Dictionary<Guid, bool>(results.Count);
        if (results.Count == 0) return answers;
        await using (var command = database.CreateCommand(WinSql))
        {
            var p = command.Parameters;
            T[] Column<T>(Func<(Success R, PendingOutput Pending), T> of) => [.. results.Select(of)];
            void Nullable<T>(Func<(Success R, PendingOutput Pending), T> of, NpgsqlDbType type) => p.Add(new() { Value = Column(of), NpgsqlDbType = NpgsqlDbType.Array | type });
            p.AddWithValue(Column(r => r.R.TaskId));
            p.AddWithValue(Column(r => r.R.Token));
            Nullable(r => r.R.ExitCode, NpgsqlDbType.Integer);
            p.AddWithValue(Column(r => r.R.CpuSeconds));
            p.AddWithValue(Column(r => r.R.PeakMemory));
            Nullable(r => r.R.LogInline, NpgsqlDbType.Bytea);
            Nullable(r => r.R.LogKey, NpgsqlDbType.Text);
            p.AddWithValue(Column(r => r.R.LogSize));
            Nullable(r => r.R.LogGaps, NpgsqlDbType.Text);
            Nullable(r => r.R.Counters, NpgsqlDbType.Text);
            p.AddWithValue(Column(r => JsonSerializer.Serialize(r.Pending, EngineJson.Default.PendingOutput)));
            await using var reader = await command.ExecuteReaderAsync(ct);
            while (await reader.ReadAsync(ct)) answers[reader.GetGuid(0)] = reader.GetBoolean(1);
        }

        foreach (var (result, pending) in results)
        {
            if (answers.GetValueOrDefault(result.Token)) await PromoteAsync(result.TaskId, result.Token, pending, ct);
        }

        return answers;
    }

    /// <summary>
    /// Makes the shuffle objects of maps visible under their attempts' own names, before the maps count as succeeded: no other attempt writes there, so it needs no winner.
    /// A map whose bytes are gone is left out; so is one whose token holds nothing any more.
    /// </summary>
    public async Task<HashSet<Guid>> PublishAsync(IReadOnlyList<(long TaskId, Guid Token, PendingOutput Pending)> maps, CancellationToken ct)
    {
        var published = new HashSet<Guid>(maps.Count);
        if (maps.Count == 0) return published;
        var held = new Dictionary<Guid, int>();
        await using (var command = database.CreateCommand("""
            SELECT l.token, l.attempt FROM unnest($1::bigint[], $2::uuid[]) AS i(task_id, token) JOIN live l ON l.task_id = i.task_id AND l.token = i.token
            """))
        {
            command.Parameters.AddWithValue(maps.Select(m => m.TaskId).ToArray());
            command.Parameters.AddWithValue(maps.Select(m => m.Token).ToArray());
            await using var reader = await command.ExecuteReaderAsync(ct);
            while (await reader.ReadAsync(ct)) held[reader.GetGuid(0)] = reader.GetInt32(1);
        }

        var jobs = await contexts.GetAsync([.. maps.Select(m => TaskLayout.NumberOf(m.TaskId)).Distinct()], ct);
        await Parallel.ForEachAsync(maps.Where(m => held.ContainsKey(m.Token)), new ParallelOptions { MaxDegreeOfParallelism = 8, CancellationToken = ct }, async (map, stop) =>
        {
            if (!jobs.TryGetValue(TaskLayout.NumberOf(map.TaskId), out var job) || objects.Output(job, map.TaskId, held[map.Token]) is not { } output) return;
            if (await output.Store.PromoteAsync(output.Path, map.Token, map.Pending, stop) == PromoteResult.Gone)
            {
                EngineLog.PromotionGone(logger, map.TaskId, held[map.Token]);
                return;
            }

            lock (published) published.Add(map.Token);
        });
        var uploads = maps.Where(m => m.Pending.UploadId is not null && published.Contains(m.Token)).Select(m => m.Token).ToArray();
        if (uploads.Length > 0)
        {
            await using var done = database.CreateCommand("DELETE FROM upload WHERE token = ANY($1)");
            done.Parameters.AddWithValue(uploads);
            await done.ExecuteNonQueryAsync(ct);
        }

        return published;
    }

    /// <summary>Redoes what an Api that died, or a store that was away, left between A and B.</summary>
    public async Task RedoAsync(CancellationToken ct)
    {
        var open = new List<(long TaskId, Guid Token, PendingOutput Pending)>();
        await using (var command = database.CreateCommand("SELECT id, winner, pending::text FROM task WHERE pending IS NOT NULL AND state = 3 ORDER BY id LIMIT 200"))
        await using (var reader = await command.ExecuteReaderAsync(ct))
        {
            while (await reader.ReadAsync(ct))
                open.Add((reader.GetInt64(0), reader.GetGuid(1), JsonSerializer.Deserialize(reader.GetString(2), EngineJson.Default.PendingOutput)!));
        }

        foreach (var (taskId, token, pending) in open) await PromoteAsync(taskId, token, pending, ct);
    }

    private async Task PromoteAsync(long taskId, Guid token, PendingOutput pending, CancellationToken ct)
    {
        try
        {
            if (await contexts.GetAsync(TaskLayout.NumberOf(taskId), ct) is not { } job) return;
            var attempt = await AttemptOfAsync(taskId, ct);
            if (objects.Output(job, taskId, attempt) is not { } output) return;
            var promoted = await output.Store.PromoteAsync(output.Path, token, pending, ct);
            if (promoted == PromoteResult.Gone) EngineLog.PromotionGone(logger, taskId, attempt);
            var finish = job.Analysis is null ? FinishSql : FinishAnalysisSql;
            await using var command = database.CreateCommand(promoted == PromoteResult.Promoted ? finish : UndoSql);
            command.Parameters.AddWithValue(taskId);
            command.Parameters.AddWithValue(token);
            if (command.CommandText == FinishAnalysisSql) command.Parameters.AddWithValue(output.Path.Key);
            await command.ExecuteNonQueryAsync(ct);
            wakeups.Work(0);
            wakeups.Upkeep();
        }
        catch (Exception fault) when (fault is StoreException or IOException or NpgsqlException)
        {
            EngineLog.PromotionFailed(logger, taskId, fault.Message);
        }
    }

    private async Task<int> AttemptOfAsync(long taskId, CancellationToken ct)
    {
        await using var command = database.CreateCommand("SELECT attempt FROM task WHERE id = $1");
        command.Parameters.AddWithValue(taskId);
        return await command.ExecuteScalarAsync(ct) as int? ?? 0;
    }
}
