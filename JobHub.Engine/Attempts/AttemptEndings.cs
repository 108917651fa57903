using System.Text.Json;
using JobHub.Engine.Files;
using JobHub.Engine.Jobs;
using JobHub.Engine.Protocol;
using JobHub.Engine.Tasks;
using JobHub.Engine.Upkeep;
using Microsoft.Extensions.Options;
using Npgsql;
using NpgsqlTypes;

namespace JobHub.Engine.Attempts;

/// <summary>An attempt that ended without success.</summary>
/// <param name="Reported">False: the hub says so because the lease ran out.</param>
/// <param name="Files">Files of the command's tree that were sent: the job's, if this ends the task.</param>
public sealed record Ending(long TaskId, Guid Token, AttemptOutcome Outcome, AttemptError? Error, int? ExitCode, int? Signal, double CpuSeconds, long PeakMemory,
    LogContent? Log, LostRun? LostRun, bool Reported, int Files = 0);

/// <summary>Ends attempts that did not succeed: keeps the attempt, then gives the task back, fails it or cancels it, as the retry policy and the job's intent say.</summary>
public sealed class AttemptEndings(NpgsqlDataSource database, Wakeups wakeups, IOptions<RetryOptions> options)
{
    private sealed record Held(long TaskId, bool Speculative, int Attempt, Guid Token, long? Session, DateTime LeasedAt, short Stop, short JobStop, int MaxAttempts,
        bool Sibling, TaskLayout Layout, Charges Charges, long? Run, float Progress)
    {
        /// <summary>Given back by an operator: it waits or begins again, whatever this attempt came to.</summary>
        public bool IsGivenBack => Stop == StopOrders.Stored(StopReason.Paused) || Stop == StopOrders.Stored(StopReason.Restarted);
    }

    /// <summary>Ends them in one transaction. What the hub says of itself leaves rows that another call has locked to that call; what workers report waits for them.</summary>
    /// <returns>The tokens that held their task and are ended now.</returns>
    public async Task<HashSet<Guid>> EndAsync(IReadOnlyList<Ending> endings, CancellationToken ct)
    {
        if (endings.Count == 0) return [];
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var transaction = await connection.BeginTransactionAsync(ct);
        // Job rows first: a reducer's missing run changes what the job may do next, so it must not cross the step that unblocks reducers.
        foreach (var number in endings.Where(e => e.LostRun is not null).Select(e => TaskLayout.NumberOf(e.TaskId)).Distinct().Order())
        {
            await using var lockJob = new NpgsqlCommand("SELECT FROM job WHERE number = $1 FOR UPDATE", connection);
            lockJob.Parameters.AddWithValue(number);
            await lockJob.ExecuteNonQueryAsync(ct);
        }

        var byToken = endings.ToDictionary(e => e.Token);
        // Both attempts of a task that has two, always in this order: of two that end at once each would leave the task to the other.
        await using (var pairs = new NpgsqlCommand("""
            SELECT FROM live WHERE task_id IN (SELECT s.task_id FROM live s WHERE s.speculative AND s.task_id = ANY($1)) ORDER BY task_id, speculative FOR UPDATE
            """, connection))
        {
            pairs.Parameters.AddWithValue(endings.Select(e => e.TaskId).Distinct().ToArray());
            await pairs.ExecuteNonQueryAsync(ct);
        }

        var held = await LockAsync(connection, endings, ct);
        // Of two attempts that end together the second is the task's last.
        var live = await LiveAsync(connection, held, ct);
        var batch = new NpgsqlBatch(connection);
        foreach (var h in held) Apply(batch, h with { Sibling = --live[h.TaskId] > 0 }, byToken[h.Token]);
        if (batch.BatchCommands.Count > 0) await batch.ExecuteNonQueryAsync(ct);
        await transaction.CommitAsync(ct);
        wakeups.Work(0);
        wakeups.Upkeep();
        return [.. held.Select(h => h.Token)];
    }

    /// <summary>Lets upkeep remove the pending bytes of ended attempts once more.</summary>
    public async Task DiscardAgainAsync(IReadOnlyList<(long TaskId, Guid Token)> attempts, CancellationToken ct)
    {
        await using var command = database.CreateCommand("""
            INSERT INTO discard (task_id, token, attempt)
            SELECT a.task_id, a.token, a.number FROM unnest($1::bigint[], $2::uuid[]) AS i(task_id, token) JOIN attempt a ON a.task_id = i.task_id AND a.token = i.token
            ON CONFLICT DO NOTHING
            """);
        command.Parameters.AddWithValue(attempts.Select(a => a.TaskId).ToArray());
        command.Parameters.AddWithValue(attempts.Select(a => a.Token).ToArray());
        await command.ExecuteNonQueryAsync(ct);
    }

    private static async Task<List<Held>> LockAsync(NpgsqlConnection connection, IReadOnlyList<Ending> endings, CancellationToken ct)
    {
        // A task whose winner is known is being promoted: its lease no longer matters.
        // A report is made once: whoever holds its row just now (a change of its subtree, a renew) does not end it.
        var wait = endings.All(e => e.Reported) ? "" : " SKIP LOCKED";
        await using var command = new NpgsqlCommand($"""
            SELECT l.task_id, l.speculative, l.attempt, l.token, l.session_id, l.leased_at, l.stop, j.stop, j.max_attempts, j.maps, j.reduces, j.commands, j.analyses,
                   c.failed, c.timed_out, c.lost, c.oom, c.output_lost, l.run, l.progress
            FROM unnest($1::bigint[], $2::uuid[]) AS i(task_id, token)
            JOIN live l ON l.task_id = i.task_id AND l.token = i.token
            JOIN job j ON j.number = l.task_id >> 20
            CROSS JOIN LATERAL (
                SELECT count(*) FILTER (WHERE outcome = 1)::int AS failed, count(*) FILTER (WHERE outcome = 3)::int AS timed_out, count(*) FILTER (WHERE outcome = 4)::int AS lost,
                       count(*) FILTER (WHERE outcome = 6)::int AS oom, count(*) FILTER (WHERE outcome = 7)::int AS output_lost
                FROM attempt a WHERE a.task_id = l.task_id AND a.number > j.charged_from) c
            WHERE NOT EXISTS (SELECT FROM task t WHERE t.id = l.task_id AND t.winner = l.token)
            ORDER BY l.task_id FOR UPDATE OF l{wait}
            """, connection);
        command.Parameters.AddWithValue(endings.Select(e => e.TaskId).ToArray());
        command.Parameters.AddWithValue(endings.Select(e => e.Token).ToArray());
        await using var reader = await command.ExecuteReaderAsync(ct);
        var held = new List<Held>();
        while (await reader.ReadAsync(ct))
        {
            var taskId = reader.GetInt64(0);
            held.Add(new(taskId, reader.GetBoolean(1), reader.GetInt32(2), reader.GetGuid(3), reader.IsDBNull(4) ? null : reader.GetInt64(4), reader.GetDateTime(5),
                reader.GetInt16(6), reader.GetInt16(7), reader.GetInt32(8), Sibling: false,
                new(TaskLayout.NumberOf(taskId), reader.GetInt32(9), reader.GetInt32(10), reader.GetInt32(11), reader.GetInt32(12)),
                new(reader.GetInt32(13), reader.GetInt32(14), reader.GetInt32(15), reader.GetInt32(16), reader.GetInt32(17)), reader.IsDBNull(18) ? null : reader.GetInt64(18), reader.GetFloat(19)));
        }

        return held;
    }

    /// <summary>
    /// How many attempts of each task are in the queue, and one more where an attempt has won: then the others just go. After the lock, in a statement of its own: whatever
    /// was committed until then is seen.
    /// </summary>
    private static async Task<Dictionary<long, int>> LiveAsync(NpgsqlConnection connection, List<Held> held, CancellationToken ct)
    {
        var live = new Dictionary<long, int>(held.Count);
        if (held.Count == 0) return live;
        await using var command = new NpgsqlCommand("SELECT task_id FROM live WHERE task_id = ANY($1) UNION ALL SELECT id FROM task WHERE id = ANY($1)", connection);
        command.Parameters.AddWithValue(held.Select(h => h.TaskId).Distinct().ToArray());
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct)) live[reader.GetInt64(0)] = live.GetValueOrDefault(reader.GetInt64(0)) + 1;
        return live;
    }

    private void Apply(NpgsqlBatch batch, Held held, Ending ending)
    {
        // Stopped because its job ends, or because the other attempt of the task won: whatever the worker says, that is why.
        var outcome = held.Stop == 0 || ending.Outcome is AttemptOutcome.Lost ? ending.Outcome
            : held.Stop == StopOrders.Stored(StopReason.TimedOut) ? AttemptOutcome.TimedOut
            : held.IsGivenBack ? AttemptOutcome.Interrupted : AttemptOutcome.Canceled;
        var error = ending.Error is null ? null : JsonSerializer.Serialize(ending.Error, EngineJson.Default.AttemptError);
        Add(batch, """
            INSERT INTO attempt (task_id, number, token, session_id, outcome, reported, started_at, ended_at, exit_code, signal, error, cpu_seconds, peak_memory,
                                 log_inline, log_key, log_size, log_gaps, run, progress)
            VALUES ($1, $2, $3, $4, $5, $6, $7, clock_timestamp(), $8, $9, $10::jsonb, $11, $12, $13, $14, $15, $16::jsonb, $17, $18)
            ON CONFLICT (task_id, number) DO NOTHING
            """, held.TaskId, held.Attempt, held.Token, Null(held.Session, NpgsqlDbType.Bigint), (short)outcome, ending.Reported,
            DateTime.SpecifyKind(held.LeasedAt, DateTimeKind.Utc), Null(ending.ExitCode, NpgsqlDbType.Integer), Null(ending.Signal, NpgsqlDbType.Integer),
            Null(error, NpgsqlDbType.Text), (float)ending.CpuSeconds, ending.PeakMemory, Null(ending.Log?.Inline, NpgsqlDbType.Bytea), Null(ending.Log?.Key, NpgsqlDbType.Text),
            ending.Log?.Size ?? 0, Null(ending.Log?.Gaps is { Length: > 0 } g ? JsonSerializer.Serialize(g, EngineJson.Default.LogGapArray) : null, NpgsqlDbType.Text),
            // Taken ahead and given back, or never heard of: the worker began nothing, and nobody is told of a run.
            Null(ending.Error?.Type is "not-started" or "claim-not-received" ? null : held.Run, NpgsqlDbType.Bigint), held.Progress);
        if (!ending.Reported && ending.Log is null)
        {
            // Its worker is gone and will not send its log: what it has sent while it ran is all there is.
            Add(batch, """
                WITH kept AS (
                    INSERT INTO run_log (task_id, token, "offset", bytes)
                    SELECT task_id, token, "offset", bytes FROM live_log g WHERE task_id = $1 AND token = $2
                      AND EXISTS (SELECT FROM live_log f WHERE f.task_id = $1 AND f.token = $2 AND f."offset" = 0)
                    ON CONFLICT DO NOTHING RETURNING "offset" + length(bytes) AS upto)
                UPDATE attempt SET log_size = (SELECT max(upto) FROM kept) WHERE task_id = $1 AND number = $3 AND token = $2 AND EXISTS (SELECT FROM kept)
                """, held.TaskId, held.Token, held.Attempt);
        }

        Add(batch, "INSERT INTO discard (task_id, token, attempt) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING", held.TaskId, held.Token, held.Attempt);
        var failed = outcome is AttemptOutcome.Failed or AttemptOutcome.TimedOut or AttemptOutcome.OutOfMemory ? 1 : 0;
        Add(batch, """
            INSERT INTO ledger (job, kind, payload, started_at, session_id, runs_failed)
            VALUES ($1, 'attempt-ended', jsonb_build_object('task', $2::int, 'attempt', $3::int, 'outcome', $4::text, 'error', $5::jsonb), $6, $7, $8)
            """, held.Layout.Number, (int)(held.TaskId & (TaskLayout.MaxTasks - 1)), held.Attempt, outcome.ToString(), Null(error, NpgsqlDbType.Text),
            DateTime.SpecifyKind(held.LeasedAt, DateTimeKind.Utc), Null(held.Session, NpgsqlDbType.Bigint), failed);
        if (held.Sibling)
        {
            // The task's other attempt goes on, or has won already.
            Add(batch, "DELETE FROM live WHERE task_id = $1 AND speculative = $2", held.TaskId, held.Speculative);
            // There is nothing to run beside any more: any worker will do.
            Add(batch, "UPDATE live SET avoid = NULL WHERE task_id = $1 AND session_id IS NULL AND avoid IS NOT NULL", held.TaskId);
            return;
        }

        if (held.JobStop != 0 || outcome == AttemptOutcome.Canceled)
        {
            End(batch, held, TaskState.Canceled, error, ending.Files);
            return;
        }

        if (ending.LostRun is { } run && held.Layout.Of(held.TaskId).Kind == TaskKind.Reduce)
        {
            RunAgain(batch, held.Layout, run);
            if (RetryPolicy.Next(outcome, null, held.Charges, held.MaxAttempts, options.Value, 0) is not null)
            {
                // It waits, blocked like its fellows, until every map's output is there again.
                Give(batch, held, 0, TimeSpan.Zero);
                Delta(batch, held.Layout.Number, "tasks-blocked", blocked: 1);
                return;
            }
        }

        var wait = RetryPolicy.Next(outcome, ending.Error?.Type, held.Charges, held.MaxAttempts, options.Value, Random.Shared.NextDouble());
        if (wait is { } backoff) Give(batch, held, 1, backoff);
        else End(batch, held, TaskState.Failed, error, ending.Files);
    }

    private static void Give(NpgsqlBatch batch, Held held, short state, TimeSpan backoff) => Add(batch, """
        UPDATE live SET state = w.state, claimable = w.state = 1 AND $4 = 0 AND NOT paused, not_before = CASE WHEN w.state = 1 AND $4 > 0 THEN clock_timestamp() + make_interval(secs => $4) END,
            session_id = NULL, token = NULL, claim_id = NULL, leased_at = NULL, started_at = NULL, stop = 0, misses = 0, progress = 0
        FROM (SELECT CASE WHEN $3::smallint = 1 AND $5 AND tree_waits($1 >> 20) THEN 0 ELSE $3 END AS state) w
        WHERE task_id = $1 AND speculative = $2
        """, held.TaskId, held.Speculative, state, backoff.TotalSeconds, held.Run is not null);

    private static void End(NpgsqlBatch batch, Held held, TaskState state, string? error, int files)
    {
        if (files > 0) Add(batch, FileSpace.PublishSql, held.Token);
        Add(batch, "DELETE FROM live WHERE task_id = $1 AND speculative = $2", held.TaskId, held.Speculative);
        // The other attempt may have won in the meantime; then nothing is counted.
        Add(batch, """
            WITH ended AS (
                INSERT INTO task (id, state, attempt, started_at, ended_at, error) VALUES ($1, $2, $3, $4, clock_timestamp(), $5::jsonb) ON CONFLICT (id) DO NOTHING RETURNING id)
            INSERT INTO ledger (job, kind, payload, failed, canceled)
            SELECT $1 >> 20, 'tasks-ended', jsonb_build_object('state', $6::text, 'tasks', jsonb_build_array(jsonb_build_array(($1 & 1048575)::int, $3::int)), 'error', $5::jsonb),
                   CASE WHEN $2 = 5 THEN 1 ELSE 0 END, CASE WHEN $2 = 6 THEN 1 ELSE 0 END FROM ended
            """, held.TaskId, (short)state, held.Attempt, DateTime.SpecifyKind(held.LeasedAt, DateTimeKind.Utc), Null(error, NpgsqlDbType.Text), state.ToString());
    }

    /// <summary>A map whose run is missing or damaged goes back to the queue, once for the attempt that wrote it; its counters are taken back.</summary>
    private static void RunAgain(NpgsqlBatch batch, TaskLayout layout, LostRun run)
    {
        if (layout.IdOf(TaskKind.Map, run.Map) is not { } mapId) return;
        Add(batch, """
            WITH undone AS (DELETE FROM task WHERE id = $1 AND state = 4 AND attempt = $2 RETURNING id, attempt, counters, winner),
            marked AS (UPDATE attempt SET outcome = 7 FROM undone WHERE task_id = undone.id AND number = undone.attempt),
            dropped AS (INSERT INTO discard (task_id, token, attempt) SELECT id, winner, attempt FROM undone ON CONFLICT DO NOTHING),
            queued AS (INSERT INTO live (task_id, class, rank, state, claimable, paused, attempt)
                       SELECT undone.id, j.class, j.rank, 1, NOT j.paused, j.paused, greatest(undone.attempt,
                              (SELECT max(number) FROM attempt a WHERE a.task_id = undone.id), (SELECT max(l.attempt) FROM live l WHERE l.task_id = undone.id))
                       FROM undone JOIN job j ON j.number = $3),
            held AS (UPDATE live SET state = 0, claimable = false, not_before = NULL WHERE task_id >= $4 AND task_id < $5 AND state = 1 AND EXISTS (SELECT FROM undone) RETURNING task_id)
            INSERT INTO ledger (job, kind, payload, succeeded, maps_succeeded, blocked, counters)
            SELECT $3, 'output-lost', jsonb_build_object('task', ($1 & 1048575)::int, 'attempt', $2::int), -1, -1, (SELECT count(*) FROM held),
                   (SELECT jsonb_object_agg(key, -value::bigint) FROM jsonb_each_text(undone.counters))
            FROM undone
            """, mapId, run.Attempt, layout.Number, layout.First + layout.Maps, layout.First + layout.Maps + layout.Reduces);
    }

    private static void Delta(NpgsqlBatch batch, long job, string kind, int blocked) =>
        Add(batch, "INSERT INTO ledger (job, kind, blocked) VALUES ($1, $2, $3)", job, kind, blocked);

    private static NpgsqlParameter Null<T>(T? value, NpgsqlDbType type) => new() { Value = (object?)value ?? DBNull.Value, NpgsqlDbType = type };

    private static void Add(NpgsqlBatch batch, string sql, params object[] values)
    {
        var command = new NpgsqlBatchCommand(sql);
        foreach (var value in values) command.Parameters.Add(value as NpgsqlParameter ?? new NpgsqlParameter { Value = value });
        batch.BatchCommands.Add(command);
    }
}
