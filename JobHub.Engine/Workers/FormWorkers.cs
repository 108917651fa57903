using System.Collections.Concurrent;
using System.Globalization;
using System.Text.Json;
using JobHub.Engine.Attempts;
using JobHub.Engine.Jobs;
using JobHub.Engine.Protocol;
using JobHub.Engine.Tasks;
using JobHub.Engine.Upkeep;
using Npgsql;
using NpgsqlTypes;

namespace JobHub.Engine.Workers;

/// <summary>
/// Workers that have no session of their own and call by their host's name: pick, heartbeat, end. Underneath each is a session with one slot, whose lease only the heartbeat
/// renews while it holds a job; name and job must hold the row of the queue. They are given leaves of trees and nothing else.
/// </summary>
public sealed class FormWorkers(
    NpgsqlDataSource database, RequirementClasses classes, WorkerDirectory directory, FormLogs logs, AttemptEndings endings, Completions completions, Wakeups wakeups, EngineMeter meter, TimeProvider clock)
{
    private const int MostKnown = 20_000;

    // What directory rows say of a worker is written at most so often; each call is written to its session.
    private static readonly TimeSpan SeenEvery = TimeSpan.FromSeconds(1);

    private readonly ConcurrentDictionary<string, Known> _known = new(StringComparer.Ordinal);

    /// <summary>What this process remembers of a worker: none of it is needed, all of it saves a look.</summary>
    private sealed class Known
    {
        public long? Session;
        public long SeenAt = long.MinValue;
        public int Changes;
        public long Job;
        public ProgressReader? Progress;
    }

    /// <summary>
    /// Gives the worker the best job that fits it, or null. A worker that asks holds nothing any more: what it held goes back first.
    /// </summary>
    public async Task<FormJob?> PickAsync(FormCall call, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(call);
        var known = KnownOf(call.Host);
        var fits = await FitsAsync(call.Host, ct);
        for (var tries = 0; tries < 20; tries++)
        {
            if (known.Session is not { } session)
            {
                known.Session = await OpenAsync(call, ct);
                continue;
            }

            var (open, holds, again, job) = await ClaimAsync(call, known, session, fits, ct);
            if (job is not null)
            {
                known.Job = job.Number;
                known.Progress = null;
                meter.Claimed(1);
                return job;
            }

            if (holds) await GiveBackAsync(session, "worker-restarted", $"Worker {call.Host} asked for another job while it held this one.", ct);
            else if (!open) known.Session = null;
            else if (!again) return null;
        }

        return null;
    }

    /// <summary>Renews the lease and keeps what the job has printed. False: the worker is to stop it.</summary>
    public async Task<bool> HeartbeatAsync(FormCall call, long job, IFormOutput output, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(call);
        ArgumentNullException.ThrowIfNull(output);
        if (TaskOf(job) is not { } task)
        {
            await SeenAsync(call, ct);
            return false;
        }

        var known = KnownOf(call.Host);
        var progress = await ProgressAsync(known, job, output, ct);
        await using var connection = await database.OpenConnectionAsync(ct);
        // A large output is many rows, all or none: a worker that hears nothing sends it again.
        await using var transaction = output.Length > FormLogs.PieceBytes ? await connection.BeginTransactionAsync(ct) : null;
        Beat? beat = null;
        await foreach (var piece in output.PiecesAsync(ct))
        {
            if (beat is null) beat = await BeatAsync(connection, call, task, piece, progress, ct);
            else await AppendAsync(connection, beat, piece, ct);
            if (beat is null) break;
        }

        if (output.Length == 0) beat = await BeatAsync(connection, call, task, default, null, ct);
        if (transaction is not null) await transaction.CommitAsync(ct);
        await connection.CloseAsync();
        if (beat is null) return false;
        if (beat.Announced) wakeups.Upkeep();
        if (!beat.Stopped && !beat.Overdue) return true;
        var ending = beat.Stopped
            ? new Ending(task, beat.Token, AttemptOutcome.Interrupted, new("stopped", "The job was paused, stopped or begins again."), null, null, 0, 0, await logs.ContentAsync(beat.Token, ct), null, Reported: true)
            : new Ending(task, beat.Token, AttemptOutcome.TimedOut, new("timeout", string.Create(CultureInfo.InvariantCulture, $"The attempt ran longer than {beat.Timeout} s.")),
                null, null, 0, 0, await logs.ContentAsync(beat.Token, ct), null, Reported: true);
        await EndAsync(ending, ct);
        return false;
    }

    /// <summary>The job has ended with an exit code. Of one that the worker does not hold (any more) nothing changes.</summary>
    public async Task EndAsync(FormCall call, long job, int exitCode, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(call);
        if (TaskOf(job) is not { } task) return;
        long session;
        Guid token;
        LogContent? log = null;
        await using (var batch = database.CreateBatch())
        {
            batch.BatchCommands.Add(new($"""
                WITH held AS MATERIALIZED (
                    SELECT l.token, l.session_id FROM live l JOIN worker_session s ON s.id = l.session_id
                    WHERE l.task_id = $1 AND NOT l.speculative AND s.worker = $2 AND s.calls IS NOT NULL AND s.ended_at IS NULL),
                seen AS (UPDATE worker_session s SET {FormLease.CallsSql} FROM held WHERE s.id = held.session_id)
                SELECT h.token, h.session_id, coalesce(g.size, 0),
                       CASE WHEN g.size <= {FormLogs.InlineBytes} THEN (SELECT string_agg(r.bytes, ''::bytea ORDER BY r."offset") FROM run_log r WHERE r.token = h.token) END
                FROM held h LEFT JOIN LATERAL (SELECT r."offset" + length(r.bytes) AS size FROM run_log r WHERE r.token = h.token ORDER BY r."offset" DESC LIMIT 1) g ON true
                """) { Parameters = { V(task), V(call.Host) } });
            Seen(batch, call, KnownOf(call.Host));
            await using var reader = await batch.ExecuteReaderAsync(ct);
            if (!await reader.ReadAsync(ct)) return;
            (token, session) = (reader.GetGuid(0), reader.GetInt64(1));
            if (reader.GetInt64(2) is > 0 and var size) log = new(reader.IsDBNull(3) ? null : (byte[])reader.GetValue(3), null, size, null);
        }

        // Begun is finished: a worker that goes away must not leave it half done.
        await completions.CompleteAsync(session, [new()
        {
            Token = token, TaskId = task, Outcome = exitCode == 0 ? AttemptOutcome.Succeeded : AttemptOutcome.Failed, ExitCode = exitCode, Log = log,
            Error = exitCode == 0 ? null : new("exit-code", string.Create(CultureInfo.InvariantCulture, $"The program ended with exit code {exitCode}.")),
        }], CancellationToken.None);
        if (log is { Inline: not null }) logs.Kept(token);
    }

    private async Task EndAsync(Ending ending, CancellationToken ct)
    {
        var ended = await endings.EndAsync([ending], ct);
        if (ended.Contains(ending.Token) && ending.Log is { Inline: not null }) logs.Kept(ending.Token);
    }

    /// <summary>The classes that fit, best first; none when the worker is stopped.</summary>
    private async ValueTask<int[]> FitsAsync(string host, CancellationToken ct)
    {
        var settings = await directory.SettingsOfAsync(host, ct);
        if (!settings.Active) return [];
        var lines = settings.Lines ?? [];
        return [.. (await classes.AllAsync(ct)).Select(c => (c.Key, Line: RequirementClasses.Fits(c.Value, lines, 0, 0, 0, []))).Where(c => c.Line is not null).OrderBy(c => c.Line).Select(c => c.Key)];
    }

    private async Task<(bool Open, bool Holds, bool Again, FormJob? Job)> ClaimAsync(FormCall call, Known known, long session, int[] fits, CancellationToken ct)
    {
        await using var batch = database.CreateBatch();
        // First the session, and it stays locked: of two that pick by one name the second sees what the first was given.
        batch.BatchCommands.Add(new($"""
            UPDATE worker_session s SET {FormLease.CallsSql}, {FormLease.RenewSql}
            WHERE s.id = $1 AND s.worker = $2 AND s.ended_at IS NULL AND NOT EXISTS (SELECT FROM live l WHERE l.session_id = $1)
            """) { Parameters = { V(session), V(call.Host) } });
        batch.BatchCommands.Add(new(TaskQueue.ClaimLeafSql) { Parameters = { V(fits), V(session) } });
        Seen(batch, call, known);
        logs.Forget(batch);
        await using var reader = await batch.ExecuteReaderAsync(ct);
        await reader.ReadAsync(ct);
        var (open, holds) = (reader.GetBoolean(0), reader.GetBoolean(1));
        if (reader.IsDBNull(2)) return (open, holds, reader.GetBoolean(4), null);
        return (open, holds, false, new(TaskLayout.NumberOf(reader.GetInt64(2)), JsonSerializer.Deserialize(reader.GetString(3), EngineJson.Default.CommandDetails)!));
    }

    /// <summary>The worker's open session, or a new one. Two at once find the same.</summary>
    private async Task<long> OpenAsync(FormCall call, CancellationToken ct)
    {
        await using var batch = database.CreateBatch();
        batch.BatchCommands.Add(SeenCommand(call));
        batch.BatchCommands.Add(new("""
            WITH known AS (SELECT id FROM worker_session WHERE ended_at IS NULL AND worker = $1 AND calls IS NOT NULL ORDER BY id DESC LIMIT 1),
            made AS (
                INSERT INTO worker_session (worker, host, slots, cpus, memory, gpus, affinity, mounts, isolation, version, calls, lease_until)
                SELECT $1, $1, 1, 0, 0, 0, '[]', '{}', 'none', 'form', '{}', clock_timestamp() + interval '60 seconds' WHERE NOT EXISTS (SELECT FROM known) RETURNING id),
            started AS (UPDATE worker SET started_at = clock_timestamp() WHERE name = $1 AND EXISTS (SELECT FROM made)),
            noted AS (INSERT INTO ledger (job, kind, payload) SELECT 0, 'worker-opened', jsonb_build_object('worker', $1::text, 'session', id) FROM made)
            SELECT id FROM known UNION ALL SELECT id FROM made
            """) { Parameters = { V(call.Host) } });
        await using var reader = await batch.ExecuteReaderAsync(ct);
        await reader.ReadAsync(ct);
        return reader.GetInt64(0);
    }

    private async Task GiveBackAsync(long session, string cause, string why, CancellationToken ct)
    {
        var held = new List<(long Task, Guid Token)>();
        await using (var command = database.CreateCommand("SELECT task_id, token FROM live WHERE session_id = $1"))
        {
            command.Parameters.AddWithValue(session);
            await using var reader = await command.ExecuteReaderAsync(ct);
            while (await reader.ReadAsync(ct)) held.Add((reader.GetInt64(0), reader.GetGuid(1)));
        }

        foreach (var (task, token) in held)
            await EndAsync(new Ending(task, token, AttemptOutcome.Interrupted, new(cause, why), null, null, 0, 0, await logs.ContentAsync(token, ct), null, Reported: false), ct);
    }

    /// <param name="Announced">The job is seen to run for the first time.</param>
    private sealed record Beat(long Task, Guid Token, bool Stopped, bool Overdue, double Timeout, bool Announced);

    private async Task<Beat?> BeatAsync(NpgsqlConnection connection, FormCall call, long task, ReadOnlyMemory<byte> piece, double? progress, CancellationToken ct)
    {
        await using var batch = new NpgsqlBatch(connection);
        batch.BatchCommands.Add(new($"""
            UPDATE worker_session s SET {FormLease.CallsSql}, {FormLease.RenewSql}
            WHERE s.id = (SELECT l.session_id FROM live l WHERE l.task_id = $1 AND NOT l.speculative) AND s.worker = $2 AND s.calls IS NOT NULL AND s.ended_at IS NULL
            """) { Parameters = { V(task), V(call.Host) } });
        // A job is told to run when it has run for a moment: of those that end at once their end is enough.
        batch.BatchCommands.Add(new("""
            WITH held AS MATERIALIZED (
                SELECT l.task_id, l.attempt, l.token, l.leased_at, l.state = 2 AND l.leased_at < clock_timestamp() - interval '300 milliseconds' AS is_new,
                       l.stop <> 0 OR j.stop <> 0 OR (EXISTS (SELECT FROM tree_change) AND NOT tree_allows(j.number)) AS stopped, coalesce(j.timeout_seconds, 0) AS timeout,
                       coalesce(l.leased_at + make_interval(secs => j.timeout_seconds) < clock_timestamp(), false) AS overdue
                FROM live l JOIN worker_session s ON s.id = l.session_id JOIN job j ON j.number = l.task_id >> 20
                WHERE l.task_id = $1 AND NOT l.speculative AND s.worker = $2 AND s.calls IS NOT NULL AND s.ended_at IS NULL),
            moved AS (
                UPDATE live l SET state = CASE WHEN h.is_new THEN 3 ELSE l.state END, started_at = CASE WHEN h.is_new THEN clock_timestamp() ELSE l.started_at END,
                    progress = coalesce($4, l.progress)
                FROM held h WHERE l.task_id = h.task_id AND l.token = h.token AND (h.is_new OR $4 <> l.progress) RETURNING h.is_new),
            noted AS (
                INSERT INTO ledger (job, kind, payload, started_at)
                SELECT h.task_id >> 20, 'tasks-started', jsonb_build_object('tasks', jsonb_build_array(jsonb_build_array((h.task_id & 1048575)::int, h.attempt))), h.leased_at FROM held h WHERE h.is_new),
            kept AS (
                INSERT INTO run_log (task_id, token, "offset", bytes)
                SELECT h.task_id, h.token, coalesce((SELECT r."offset" + length(r.bytes) FROM run_log r WHERE r.token = h.token ORDER BY r."offset" DESC LIMIT 1), 0), $3
                FROM held h WHERE length($3) > 0)
            SELECT token, stopped, overdue, timeout, is_new FROM held
            """)
        {
            Parameters =
            {
                V(task), V(call.Host), new() { Value = piece, NpgsqlDbType = NpgsqlDbType.Bytea },
                new() { Value = progress is { } p ? (float)p : DBNull.Value, NpgsqlDbType = NpgsqlDbType.Real },
            },
        });
        Seen(batch, call, KnownOf(call.Host));
        await using var reader = await batch.ExecuteReaderAsync(ct);
        if (!await reader.ReadAsync(ct)) return null;
        return new(task, reader.GetGuid(0), reader.GetBoolean(1), reader.GetBoolean(2), reader.GetDouble(3), reader.GetBoolean(4));
    }

    private static async Task AppendAsync(NpgsqlConnection connection, Beat beat, ReadOnlyMemory<byte> piece, CancellationToken ct)
    {
        await using var command = new NpgsqlCommand("""
            INSERT INTO run_log (task_id, token, "offset", bytes)
            SELECT $1, $2, (SELECT r."offset" + length(r.bytes) FROM run_log r WHERE r.token = $2 ORDER BY r."offset" DESC LIMIT 1), $3
            """, connection);
        command.Parameters.Add(V(beat.Task));
        command.Parameters.Add(V(beat.Token));
        command.Parameters.Add(new() { Value = piece, NpgsqlDbType = NpgsqlDbType.Bytea });
        await command.ExecuteNonQueryAsync(ct);
    }

    /// <summary>What the output says of the job's progress; null when it says nothing new.</summary>
    private async Task<double?> ProgressAsync(Known known, long job, IFormOutput output, CancellationToken ct)
    {
        if (output.Length == 0) return null;
        if (known.Job != job || known.Progress is null)
        {
            await using var command = database.CreateCommand("SELECT details->'ofTree'->>'progressPattern' FROM job WHERE number = $1");
            command.Parameters.AddWithValue(job);
            known.Progress = new(ProgressPattern.Of(await command.ExecuteScalarAsync(ct) as string));
            known.Job = job;
        }

        var reader = known.Progress;
        var changed = false;
        await foreach (var piece in output.PiecesAsync(ct)) changed |= reader.Read(piece.Span);
        return changed ? reader.Fraction : null;
    }

    private async Task SeenAsync(FormCall call, CancellationToken ct)
    {
        await using var batch = database.CreateBatch();
        Seen(batch, call, KnownOf(call.Host));
        if (batch.BatchCommands.Count > 0) await batch.ExecuteNonQueryAsync(ct);
    }

    /// <summary>Adds the write of what the worker says, when the last is old enough.</summary>
    private void Seen(NpgsqlBatch batch, FormCall call, Known known)
    {
        var (last, changes) = (Volatile.Read(ref known.SeenAt), directory.Changes);
        // One that an operator has removed is listed again with its next call.
        if (last != long.MinValue && clock.GetElapsedTime(last) < SeenEvery && known.Changes == changes) return;
        known.Changes = changes;
        Volatile.Write(ref known.SeenAt, clock.GetTimestamp());
        batch.BatchCommands.Add(SeenCommand(call));
    }

    private static NpgsqlBatchCommand SeenCommand(FormCall call) => new("""
        INSERT INTO worker AS w (name, form, ip, cpu, free_memory, total_memory) VALUES ($1, true, $2, coalesce($3, '[]'), coalesce($4, 0), coalesce($5, 0))
        ON CONFLICT (name) DO UPDATE SET form = true, ip = excluded.ip, cpu = coalesce($3, w.cpu), free_memory = coalesce($4, w.free_memory), total_memory = coalesce($5, w.total_memory),
            seen_at = clock_timestamp()
        """)
    {
        Parameters =
        {
            V(call.Host), V(call.Ip), new() { Value = (object?)call.Load ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Text },
            new() { Value = (object?)call.FreeMemory ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Bigint }, new() { Value = (object?)call.TotalMemory ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Bigint },
        },
    };

    private Known KnownOf(string host)
    {
        // Names come from outside: what is remembered of them is bounded.
        if (_known.Count > MostKnown) _known.Clear();
        return _known.GetOrAdd(host, static _ => new());
    }

    private static long? TaskOf(long job) => job is > 0 and <= long.MaxValue >> 20 ? job << 20 : null;

    private static NpgsqlParameter V(object value) => new() { Value = value };
}
