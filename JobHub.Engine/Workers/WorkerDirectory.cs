using System.Collections.Frozen;
using JobHub.Engine.Attempts;
using JobHub.Engine.Protocol;
using JobHub.Engine.Trees;
using JobHub.Engine.Upkeep;
using Npgsql;
using NpgsqlTypes;

namespace JobHub.Engine.Workers;

/// <summary>Workers by name. One is in it from its first contact until an operator removes it.</summary>
public sealed class WorkerDirectory(NpgsqlDataSource database, AffinitySlots slots, AttemptEndings endings, Wakeups wakeups, TimeProvider clock)
{
    /// <summary>An agent has opened a session. Whoever starts a worker that was told to exit wants it back; it stays stopped until it is started by an operator.</summary>
    internal const string OpenedSql = """
        INSERT INTO worker (name, ip, total_memory) VALUES ($1, $2, $3)
        ON CONFLICT (name) DO UPDATE SET form = false, terminate = false, ip = excluded.ip, total_memory = excluded.total_memory,
            started_at = clock_timestamp(), seen_at = clock_timestamp()
        """;

    /// <summary>An agent has renewed: what it says is written at most once a second. The answer: whether it is to exit.</summary>
    internal const string RenewedSql = """
        WITH s AS (SELECT worker, format('[%s]', least(100, round(100 * load / greatest(cpus, 1)))) AS cpu, free_memory >> 20 AS free, memory >> 20 AS total FROM worker_session WHERE id = $1),
        seen AS (
            INSERT INTO worker AS w (name, cpu, free_memory, total_memory) SELECT worker, cpu, free, total FROM s
            WHERE NOT EXISTS (SELECT FROM worker o WHERE o.name = s.worker AND o.seen_at > clock_timestamp() - interval '1 second')
            ON CONFLICT (name) DO UPDATE SET cpu = excluded.cpu, free_memory = excluded.free_memory, seen_at = clock_timestamp())
        SELECT coalesce((SELECT w.terminate FROM worker w WHERE w.name = s.worker), false) FROM s
        """;

    private const string Drained = "worker-drained";
    private static readonly TimeSpan Fresh = TimeSpan.FromSeconds(1);
    private readonly SemaphoreSlim _reading = new(1, 1);
    private FrozenDictionary<string, WorkerSettings> _settings = FrozenDictionary<string, WorkerSettings>.Empty;
    private long _readAt = long.MinValue;

    private int _changes;

    /// <summary>Grows with each change that was made through this process.</summary>
    internal int Changes => Volatile.Read(ref _changes);

    /// <summary>What operators have set of a worker, at most a second old.</summary>
    public async ValueTask<WorkerSettings> SettingsOfAsync(string name, CancellationToken ct)
    {
        if (!IsFresh()) await ReadSettingsAsync(ct);
        return Volatile.Read(ref _settings).GetValueOrDefault(name, WorkerSettings.None);
    }

    /// <summary>Every worker, by name; its counters are base and unfolded, from one snapshot.</summary>
    public async Task<List<WorkerView>> ListAsync(CancellationToken ct)
    {
        await using var command = database.CreateCommand("""
            WITH open AS MATERIALIZED (SELECT id, worker, affinity, calls, lease_until FROM worker_session WHERE ended_at IS NULL),
            sessions AS (
                SELECT o.worker, bool_or(o.lease_until > clock_timestamp()) AS leased, max(o.calls[cardinality(o.calls)]) AS called,
                       (array_agg(o.affinity ORDER BY o.id DESC))[1]::text AS declared, max(last.run) AS run
                FROM open o LEFT JOIN LATERAL (SELECT a.run FROM attempt a WHERE a.session_id = o.id AND a.run IS NOT NULL ORDER BY a.run DESC LIMIT 1) last ON true
                GROUP BY o.worker),
            held AS (
                SELECT o.worker, max(l.run) AS run, (array_agg(l.task_id >> 20 ORDER BY l.run DESC NULLS LAST))[1] AS job
                FROM open o JOIN live l ON l.session_id = o.id GROUP BY o.worker),
            unfolded AS (
                SELECT s.worker, sum(e.runs_succeeded) AS succeeded, sum(e.runs_failed) AS failed
                FROM ledger e JOIN worker_session s ON s.id = e.session_id WHERE e.position IS NULL GROUP BY s.worker)
            SELECT w.name, w.ip, w.affinity, s.declared,
                   CASE WHEN h.worker IS NOT NULL THEN 1 WHEN s.leased OR w.seen_at > clock_timestamp() - interval '10 seconds' THEN 0 ELSE 2 END,
                   greatest(w.seen_at, s.called), w.succeeded + coalesce(u.succeeded, 0), w.failed + coalesce(u.failed, 0),
                   coalesce(h.job, (SELECT a.task_id >> 20 FROM attempt a WHERE a.run = s.run LIMIT 1), w.last_job, 0), coalesce(h.run, s.run, 0),
                   w.cpu, w.free_memory, w.total_memory, w.active AND NOT w.draining, w.started_at
            FROM worker w LEFT JOIN sessions s ON s.worker = w.name LEFT JOIN held h ON h.worker = w.name LEFT JOIN unfolded u ON u.worker = w.name
            ORDER BY w.name
            """);
        await using var reader = await command.ExecuteReaderAsync(ct);
        var workers = new List<WorkerView>();
        while (await reader.ReadAsync(ct))
        {
            workers.Add(new()
            {
                Name = reader.GetString(0), Ip = reader.GetString(1),
                Affinity = !reader.IsDBNull(2) ? reader.GetString(2) : reader.IsDBNull(3) ? "" : TreeTags.Text(WorkerSessions.LinesOf(reader.GetString(3))),
                State = (WorkerState)reader.GetInt32(4), SeenAt = reader.GetFieldValue<DateTimeOffset>(5), Succeeded = (long)reader.GetDecimal(6), Failed = (long)reader.GetDecimal(7),
                LastJob = reader.GetInt64(8), LastRun = reader.GetInt64(9), Cpu = reader.GetString(10), FreeMemory = reader.GetInt64(11), TotalMemory = reader.GetInt64(12),
                Active = reader.GetBoolean(13), StartedAt = reader.GetFieldValue<DateTimeOffset>(14),
            });
        }

        return workers;
    }

    /// <summary>Changes workers, all or none. Tags that nobody has declared are declared. A worker that is not active any more gives back what it runs.</summary>
    public async Task<WorkerResult> EditAsync(IReadOnlyDictionary<string, WorkerEdit> edits, string caller, CancellationToken ct)
    {
        if (edits.Count == 0) return new WorkerResult.Done();
        if (await MissingAsync(edits.Keys, ct) is { } unknown) return new WorkerResult.NotFound(unknown);
        var lines = edits.Where(e => e.Value.Affinity is not null).ToDictionary(e => e.Key, e => TreeTags.LinesOf(e.Value.Affinity));
        if (!await slots.DeclareAsync([.. lines.Values.SelectMany(l => l).SelectMany(l => l).Distinct(StringComparer.Ordinal)], ct)) return new WorkerResult.SlotsFull();
        var names = edits.Keys.ToArray();
        await using (var command = database.CreateCommand("""
            WITH changed AS (
                UPDATE worker w SET affinity = coalesce(e.affinity, w.affinity), active = coalesce(e.active, w.active), draining = w.draining AND e.active IS NULL, terminate = w.terminate AND NOT coalesce(e.active, false)
                FROM (SELECT * FROM unnest($1::text[], $2::text[], $3::boolean[]) AS u(name, affinity, active) ORDER BY 1) e WHERE w.name = e.name RETURNING w.name)
            INSERT INTO ledger (job, kind, payload) SELECT 0, 'worker-edited', jsonb_build_object('worker', name, 'caller', $4::text) FROM changed
            """))
        {
            command.Parameters.Add(Texts(names));
            command.Parameters.Add(Texts([.. names.Select(n => lines.TryGetValue(n, out var l) ? TreeTags.Text(l) : null)]));
            command.Parameters.Add(new() { Value = names.Select(n => edits[n].Active).ToArray(), NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Boolean });
            command.Parameters.AddWithValue(caller);
            await command.ExecuteNonQueryAsync(ct);
        }

        Forget();
        await GiveBackAsync([.. edits.Where(e => e.Value.Active is false).Select(e => e.Key)], ct);
        wakeups.Work(0);
        return new WorkerResult.Done();
    }

    /// <summary>They take nothing new and give back what runs.</summary>
    /// <param name="terminate">Their agents exit as well.</param>
    public Task<WorkerResult> StopAsync(IReadOnlyCollection<string> names, bool terminate, string caller, CancellationToken ct) => SetAsync(names,
        "active = false, draining = false, terminate = $3", terminate ? "worker-terminated" : "worker-stopped", terminate, caller, ct);

    /// <summary>They take work again.</summary>
    public Task<WorkerResult> StartAsync(IReadOnlyCollection<string> names, string caller, CancellationToken ct) => SetAsync(names,
        "active = true, draining = false, terminate = $3", "worker-started", false, caller, ct);

    /// <summary>They take nothing new; what runs goes on to its end.</summary>
    public Task<WorkerResult> DrainAsync(IReadOnlyCollection<string> names, string caller, CancellationToken ct) => SetAsync(names,
        "active = true, draining = true, terminate = $3", Drained, false, caller, ct);

    /// <summary>Forgets workers with what operators set and what was counted. One that lives comes back with its next call; what it runs goes on.</summary>
    public async Task<WorkerResult> RemoveAsync(IReadOnlyCollection<string> names, string caller, CancellationToken ct)
    {
        if (await MissingAsync(names, ct) is { } unknown) return new WorkerResult.NotFound(unknown);
        await using var command = database.CreateCommand("""
            WITH gone AS (DELETE FROM worker WHERE name = ANY($1) RETURNING name)
            INSERT INTO ledger (job, kind, payload) SELECT 0, 'worker-removed', jsonb_build_object('worker', name, 'caller', $2::text) FROM gone
            """);
        command.Parameters.Add(Texts([.. names]));
        command.Parameters.AddWithValue(caller);
        await command.ExecuteNonQueryAsync(ct);
        Forget();
        wakeups.Work(0);
        return new WorkerResult.Done();
    }

    private async Task<WorkerResult> SetAsync(IReadOnlyCollection<string> names, string change, string kind, bool terminate, string caller, CancellationToken ct)
    {
        if (await MissingAsync(names, ct) is { } unknown) return new WorkerResult.NotFound(unknown);
        await using (var command = database.CreateCommand($"""
            WITH changed AS (UPDATE worker w SET {change} FROM (SELECT name FROM worker WHERE name = ANY($1) ORDER BY name FOR UPDATE) e WHERE w.name = e.name RETURNING w.name)
            INSERT INTO ledger (job, kind, payload) SELECT 0, $4, jsonb_build_object('worker', name, 'caller', $2::text) FROM changed
            """))
        {
            command.Parameters.Add(Texts([.. names]));
            command.Parameters.AddWithValue(caller);
            command.Parameters.AddWithValue(terminate);
            command.Parameters.AddWithValue(kind);
            await command.ExecuteNonQueryAsync(ct);
        }

        Forget();
        if (kind == "worker-started") wakeups.Work(0);
        else if (kind != Drained) await GiveBackAsync([.. names], ct);
        return new WorkerResult.Done();
    }

    /// <summary>Agents are told to stop what they hold; what a form worker holds, which cannot be told, is taken back at once.</summary>
    private async Task GiveBackAsync(string[] names, CancellationToken ct)
    {
        if (names.Length == 0) return;
        var taken = new List<Ending>();
        await using (var batch = database.CreateBatch())
        {
            batch.BatchCommands.Add(new("""
                UPDATE live SET stop = $2 WHERE (task_id, speculative) IN (
                    SELECT l.task_id, l.speculative FROM worker_session s JOIN live l ON l.session_id = s.id
                    WHERE s.ended_at IS NULL AND s.calls IS NULL AND s.worker = ANY($1) AND l.stop = 0 ORDER BY 1, 2 FOR UPDATE OF l)
                """) { Parameters = { Texts(names), new() { Value = StopOrders.Stored(StopReason.Restarted) } } });
            batch.BatchCommands.Add(new("""
                SELECT l.task_id, l.token, s.worker FROM worker_session s JOIN live l ON l.session_id = s.id WHERE s.ended_at IS NULL AND s.calls IS NOT NULL AND s.worker = ANY($1)
                """) { Parameters = { Texts(names) } });
            await using var reader = await batch.ExecuteReaderAsync(ct);
            while (await reader.ReadAsync(ct))
            {
                taken.Add(new(reader.GetInt64(0), reader.GetGuid(1), AttemptOutcome.Interrupted, new("worker-stopped", $"Worker {reader.GetString(2)} was stopped; the task runs elsewhere."),
                    null, null, 0, 0, null, null, Reported: false));
            }
        }

        wakeups.Orders();
        await endings.EndAsync(taken, ct);
    }

    private async Task<string?> MissingAsync(IEnumerable<string> names, CancellationToken ct)
    {
        await using var command = database.CreateCommand("SELECT u.name FROM unnest($1::text[]) AS u(name) WHERE NOT EXISTS (SELECT FROM worker w WHERE w.name = u.name) LIMIT 1");
        command.Parameters.Add(Texts([.. names]));
        return (string?)await command.ExecuteScalarAsync(ct);
    }

    private void Forget()
    {
        Volatile.Write(ref _readAt, long.MinValue);
        Interlocked.Increment(ref _changes);
    }

    private bool IsFresh() => Volatile.Read(ref _readAt) is var readAt && readAt != long.MinValue && clock.GetElapsedTime(readAt) < Fresh;

    private async Task ReadSettingsAsync(CancellationToken ct)
    {
        await _reading.WaitAsync(ct);
        try
        {
            if (IsFresh()) return;
            var start = clock.GetTimestamp();
            await using var command = database.CreateCommand("SELECT name, active AND NOT draining, affinity FROM worker WHERE NOT active OR draining OR affinity IS NOT NULL");
            await using var reader = await command.ExecuteReaderAsync(ct);
            var settings = new Dictionary<string, WorkerSettings>(StringComparer.Ordinal);
            while (await reader.ReadAsync(ct)) settings[reader.GetString(0)] = new(reader.GetBoolean(1), reader.IsDBNull(2) ? null : TreeTags.LinesOf(reader.GetString(2)));
            Volatile.Write(ref _settings, settings.ToFrozenDictionary(StringComparer.Ordinal));
            Volatile.Write(ref _readAt, start);
        }
        finally
        {
            _reading.Release();
        }
    }

    private static NpgsqlParameter Texts(string?[] values) => new() { Value = values, NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Text };
}
