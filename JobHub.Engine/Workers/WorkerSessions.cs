using System.Collections.Concurrent;
using System.ComponentModel.DataAnnotations;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using JobHub.Engine.Attempts;
using JobHub.Engine.Protocol;
using JobHub.Engine.Storage;
using JobHub.Engine.Upkeep;
using Microsoft.Extensions.Options;
using Npgsql;
using NpgsqlTypes;

namespace JobHub.Engine.Workers;

/// <summary>The lease of a worker session (section JobHub:Lease). All its arithmetic is Postgres' clock.</summary>
public sealed class LeaseOptions
{
    [Range(typeof(TimeSpan), "00:00:02", "01:00:00")] public TimeSpan Duration { get; init; } = TimeSpan.FromSeconds(6);
    [Range(typeof(TimeSpan), "00:00:00.5", "00:10:00")] public TimeSpan Renew { get; init; } = TimeSpan.FromSeconds(2);
}

/// <summary>A session as claims need it.</summary>
public sealed record WorkerSession(long Id, string Worker, int Slots, int Cpus, long Memory, int Gpus, string[][] Affinity, string[] Mounts, bool SharesFiles);

/// <summary>Opens, renews and ends worker sessions. The session is what is leased; its attempts live and die with it.</summary>
public sealed class WorkerSessions(NpgsqlDataSource database, AttemptEndings endings, Wakeups wakeups, IOptions<LeaseOptions> lease, IOptions<StorageOptions> storage)
{
    /// <summary>Below the store's root: where proofs wait to be read.</summary>
    internal const string ProofFolder = ".tmp";

    internal const string ProofPrefix = "proof-";

    private readonly ConcurrentDictionary<long, WorkerSession> _known = new();
    private readonly ConcurrentDictionary<long, HashSet<Guid>> _told = new();

    /// <summary>Opens a session with a fresh lease.</summary>
    /// <param name="ip">Where the worker calls from; empty where that is not known.</param>
    public async Task<SessionOpened> OpenAsync(OpenSession open, CancellationToken ct, string ip = "")
    {
        string? proof = null, proofPath = null;
        if (storage.Value is { Kind: StorageKind.Files, Root: { } root })
        {
            // Whoever can read this file shares our folder and may be given paths instead of URLs.
            proof = Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(16));
            var folder = Directory.CreateDirectory(Path.Combine(root, ProofFolder)).FullName;
            proofPath = Path.Combine(folder, ProofPrefix + Guid.NewGuid().ToString("N"));
        }

        await using var batch = database.CreateBatch();
        batch.BatchCommands.Add(new("""
            WITH made AS (
                INSERT INTO worker_session (worker, host, slots, cpus, memory, gpus, affinity, mounts, isolation, version, proof, lease_until)
                VALUES ($1, $2, $3, $4, $5, $6, $7::jsonb, $8, $9, $10, $11, clock_timestamp() + $12) RETURNING id),
            noted AS (INSERT INTO ledger (job, kind, payload) SELECT 0, 'worker-opened', jsonb_build_object('worker', $1::text, 'session', id) FROM made)
            SELECT id FROM made
            """)
        {
            Parameters =
            {
                V(open.Worker), V(open.Host), V(open.Slots), V(open.Cpus), V(open.MemoryBytes), V(open.Gpus), V(JsonSerializer.Serialize(open.Affinity, EngineJson.Default.StringArrayArray)),
                V(open.Mounts), V(open.Isolation), V(open.Version),
                new() { Value = proof is null ? DBNull.Value : $"{proofPath}\n{proof}", NpgsqlDbType = NpgsqlDbType.Text }, V(lease.Value.Duration),
            },
        });
        batch.BatchCommands.Add(new(WorkerDirectory.OpenedSql) { Parameters = { V(open.Worker), V(ip), V(open.MemoryBytes >> 20) } });
        var id = (long)(await batch.ExecuteScalarAsync(ct))!;
        // After its row: whoever dies in between, upkeep knows of every file there is.
        if (proofPath is not null) await File.WriteAllTextAsync(proofPath, proof, CancellationToken.None);
        return new(id, lease.Value.Duration.TotalSeconds, lease.Value.Renew.TotalSeconds, proofPath);
    }

    /// <summary>Takes the proof that the worker shares the store's folder. False when the text is wrong or there is no such open session.</summary>
    public async Task<bool> ProveAsync(long id, string text, CancellationToken ct)
    {
        await using var command = database.CreateCommand("SELECT proof FROM worker_session WHERE id = $1 AND ended_at IS NULL");
        command.Parameters.AddWithValue(id);
        if (await command.ExecuteScalarAsync(ct) is not string kept || kept.Split('\n') is not [var path, var proof]) return false;
        File.Delete(path);
        if (!CryptographicOperations.FixedTimeEquals(Encoding.UTF8.GetBytes(proof), Encoding.UTF8.GetBytes(text.Trim()))) return false;
        await using var update = database.CreateCommand("UPDATE worker_session SET shares_files = true, proof = NULL WHERE id = $1");
        update.Parameters.AddWithValue(id);
        await update.ExecuteNonQueryAsync(ct);
        _known.TryRemove(id, out _);
        return true;
    }

    /// <summary>Removes the proof files of sessions that ended without having shown theirs: the worker died, or its answer was lost.</summary>
    public async Task ForgetProofsAsync(CancellationToken ct)
    {
        var open = new List<(long Id, string Path)>();
        await using (var command = database.CreateCommand("SELECT id, proof FROM worker_session WHERE proof IS NOT NULL AND ended_at IS NOT NULL LIMIT 100"))
        await using (var reader = await command.ExecuteReaderAsync(ct))
        {
            while (await reader.ReadAsync(ct)) open.Add((reader.GetInt64(0), reader.GetString(1).Split('\n')[0]));
        }

        if (open.Count == 0) return;
        foreach (var (_, path) in open) File.Delete(path);
        await using var forget = database.CreateCommand("UPDATE worker_session SET proof = NULL WHERE id = ANY($1)");
        forget.Parameters.AddWithValue(open.Select(o => o.Id).ToArray());
        await forget.ExecuteNonQueryAsync(ct);
    }

    /// <summary>The session, or null when it is not known or has ended.</summary>
    public async ValueTask<WorkerSession?> FindAsync(long id, CancellationToken ct)
    {
        if (_known.TryGetValue(id, out var known)) return known;
        await using var command = database.CreateCommand("""
            SELECT worker, slots, cpus, memory, gpus, affinity::text, mounts, shares_files FROM worker_session WHERE id = $1 AND ended_at IS NULL
            """);
        command.Parameters.AddWithValue(id);
        await using var reader = await command.ExecuteReaderAsync(ct);
        if (!await reader.ReadAsync(ct)) return null;
        var session = new WorkerSession(id, reader.GetString(0), reader.GetInt32(1), reader.GetInt32(2), reader.GetInt64(3), reader.GetInt32(4),
            LinesOf(reader.GetString(5)), reader.GetFieldValue<string[]>(6), reader.GetBoolean(7));
        if (_known.Count > 10_000) _known.Clear();
        return _known[id] = session;
    }

    /// <summary>Extends the lease and compares what both sides hold. Null when the session has ended.</summary>
    public async Task<RenewAnswer?> RenewAsync(long id, RenewRequest request, CancellationToken ct)
    {
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var batch = new NpgsqlBatch(connection);
        // A lease that has run out but was not swept yet is still this session's: nothing was given away.
        batch.BatchCommands.Add(new("""
            UPDATE worker_session SET lease_until = clock_timestamp() + $2, load = $3, free_memory = $4 WHERE id = $1 AND ended_at IS NULL RETURNING id
            """) { Parameters = { V(id), V(lease.Value.Duration), V((float)request.Load), V(request.FreeMemoryBytes) } });
        batch.BatchCommands.Add(new("""
            WITH moved AS (
                UPDATE live SET state = CASE WHEN state = 2 AND live.token = ANY($2) THEN 3 ELSE state END, started_at = coalesce(started_at, CASE WHEN live.token = ANY($2) THEN clock_timestamp() END),
                    progress = coalesce(p.fraction, progress)
                FROM (SELECT token, max(fraction) AS fraction FROM (SELECT unnest($2::uuid[]) AS token, NULL::real AS fraction UNION ALL SELECT * FROM unnest($3::uuid[], $4::real[])) u GROUP BY token) p
                WHERE live.session_id = $1 AND live.token = p.token AND (state = 2 OR p.fraction IS DISTINCT FROM progress)
                RETURNING live.task_id, live.attempt, live.leased_at, live.token)
            INSERT INTO ledger (job, kind, payload, started_at)
            SELECT task_id >> 20, 'tasks-started', jsonb_build_object('tasks', jsonb_agg(jsonb_build_array((task_id & 1048575)::int, attempt))), min(leased_at)
            FROM moved WHERE token = ANY($2) GROUP BY task_id >> 20
            """)
        {
            Parameters = { V(id), A(request.Started, NpgsqlDbType.Uuid), A(request.Progress.Select(p => p.Token).ToArray(), NpgsqlDbType.Uuid),
                A(request.Progress.Select(p => (float)p.Fraction).ToArray(), NpgsqlDbType.Real) },
        });
        // A claim whose answer never arrived leaves attempts nobody runs: after two renews without their token they go back.
        batch.BatchCommands.Add(new("""
            UPDATE live SET misses = CASE WHEN token = ANY($2) THEN 0 ELSE misses + 1 END
            WHERE session_id = $1 AND (CASE WHEN token = ANY($2) THEN misses > 0 ELSE leased_at < clock_timestamp() - interval '1 second' END)
            """) { Parameters = { V(id), A(request.Tokens, NpgsqlDbType.Uuid) } });
        // What a stopped worker still holds was given in the moment it was stopped.
        batch.BatchCommands.Add(new("""
            UPDATE live SET stop = $2 WHERE session_id = $1 AND stop = 0
                AND (SELECT NOT w.active FROM worker_session s JOIN worker w ON w.name = s.worker WHERE s.id = $1)
            """) { Parameters = { V(id), V(StopOrders.Stored(StopReason.Restarted)) } });
        batch.BatchCommands.Add(new("SELECT task_id, token, stop, misses FROM live WHERE session_id = $1") { Parameters = { V(id) } });
        batch.BatchCommands.Add(new(WorkerDirectory.RenewedSql) { Parameters = { V(id) } });
        var held = new HashSet<Guid>();
        var unlisted = new List<(long TaskId, Guid Token)>();
        var orders = new List<StopOrder>();
        var exit = false;
        await using (var reader = await batch.ExecuteReaderAsync(ct))
        {
            if (!await reader.ReadAsync(ct))
            {
                _known.TryRemove(id, out _);
                return null;
            }

            await reader.NextResultAsync(ct);
            while (await reader.ReadAsync(ct))
            {
                var token = reader.GetGuid(1);
                held.Add(token);
                if (reader.GetInt16(2) is not 0 and var stop) orders.Add(new(token, StopOrders.Read(stop)));
                if (reader.GetInt16(3) >= 2) unlisted.Add((reader.GetInt64(0), token));
            }

            await reader.NextResultAsync(ct);
            exit = await reader.ReadAsync(ct) && reader.GetBoolean(0);
        }

        await connection.CloseAsync();
        if (unlisted.Count > 0)
        {
            await endings.EndAsync([.. unlisted.Select(u => new Ending(u.TaskId, u.Token, AttemptOutcome.Interrupted,
                new("claim-not-received", "The worker never listed this attempt: the answer to its claim was lost."), null, null, 0, 0, null, null, Reported: false))], ct);
        }

        if (request.Started.Length > 0) wakeups.Upkeep();
        return new([.. request.Tokens.Where(t => !held.Contains(t))], [.. orders], exit);
    }

    /// <summary>The attempts of a session that are to stop; waits up to a time for the first.</summary>
    public async Task<StopOrder[]> OrdersAsync(long id, TimeSpan wait, CancellationToken ct)
    {
        var deadline = Environment.TickCount64 + (long)wait.TotalMilliseconds;
        while (true)
        {
            var next = wakeups.NextOrders;
            await using (var command = database.CreateCommand("SELECT token, stop FROM live WHERE session_id = $1 AND stop <> 0"))
            {
                command.Parameters.AddWithValue(id);
                await using var reader = await command.ExecuteReaderAsync(ct);
                var orders = new List<StopOrder>();
                while (await reader.ReadAsync(ct)) orders.Add(new(reader.GetGuid(0), StopOrders.Read(reader.GetInt16(1))));
                // Orders already told are repeated only at the end of a wait: a program may take its whole grace to end.
                var told = _told.GetOrAdd(id, _ => []);
                lock (told)
                {
                    told.IntersectWith(orders.Select(o => o.Token));
                    if (orders.Count(o => told.Add(o.Token)) > 0) return [.. orders];
                }

                if (deadline <= Environment.TickCount64) return [.. orders];
            }

            var left = Math.Max(1, deadline - Environment.TickCount64);
            await Task.WhenAny(next, Task.Delay(TimeSpan.FromMilliseconds(Math.Min(left, 1000)), ct));
            ct.ThrowIfCancellationRequested();
        }
    }

    /// <summary>Ends a session in good order: what it still holds goes back uncharged.</summary>
    public async Task CloseAsync(long id, CancellationToken ct)
    {
        await using var command = database.CreateCommand("""
            WITH closed AS (UPDATE worker_session SET ended_at = clock_timestamp(), end_reason = 'closed' WHERE id = $1 AND ended_at IS NULL RETURNING id, worker)
            INSERT INTO ledger (job, kind, payload) SELECT 0, 'worker-closed', jsonb_build_object('worker', worker, 'session', id) FROM closed
            """);
        command.Parameters.AddWithValue(id);
        await command.ExecuteNonQueryAsync(ct);
        _known.TryRemove(id, out _);
        _told.TryRemove(id, out _);
        wakeups.Upkeep();
    }

    /// <summary>Affinity lines as they are kept.</summary>
    internal static string[][] LinesOf(string json) => JsonSerializer.Deserialize(json, EngineJson.Default.StringArrayArray) ?? [];

    private static NpgsqlParameter V(object value) => new() { Value = value };

    private static NpgsqlParameter A<T>(T[] values, NpgsqlDbType type) => new() { Value = values, NpgsqlDbType = NpgsqlDbType.Array | type };
}
