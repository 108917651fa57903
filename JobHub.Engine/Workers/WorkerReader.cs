using Npgsql;
using NpgsqlTypes;

namespace JobHub.Engine.Workers;

/// <summary>Whether a worker is given work.</summary>
public enum WorkerStanding
{
    /// <summary>It is connected and takes work.</summary>
    Active,
    /// <summary>It ends what it runs and is given nothing new.</summary>
    Draining,
    /// <summary>An operator has stopped it, or it has gone in good order.</summary>
    Stopped,
    /// <summary>Its lease ran out: what it ran runs elsewhere.</summary>
    Lost,
}

/// <summary>A worker with its latest session.</summary>
public sealed record KnownWorker
{
    public required string Name { get; init; }
    public required WorkerStanding Standing { get; init; }
    /// <summary>It has an open session.</summary>
    public required bool Connected { get; init; }
    /// <summary>An operator has stopped it; false with <see cref="WorkerStanding.Stopped"/>: it has gone by itself.</summary>
    public required bool StoppedByOperator { get; init; }
    /// <summary>It speaks by forms: it runs one leaf of a tree at a time.</summary>
    public required bool Form { get; init; }
    public required string Ip { get; init; }
    public required string Host { get; init; }
    public required string Version { get; init; }
    public required string Isolation { get; init; }
    public required int Slots { get; init; }
    public required int Busy { get; init; }
    public required int Cpus { get; init; }
    public required long Memory { get; init; }
    public required long FreeMemory { get; init; }
    public required int Gpus { get; init; }
    public required int GpusBusy { get; init; }
    /// <summary>Cores in use, 0 to <see cref="Cpus"/> and above.</summary>
    public required double Load { get; init; }
    public required string[] Mounts { get; init; }
    /// <summary>Lines in force: an operator's, else its own.</summary>
    public required string[][] Affinity { get; init; }
    public required bool AffinitySet { get; init; }
    public required DateTimeOffset? OpenedAt { get; init; }
    public required DateTimeOffset SeenAt { get; init; }
    public required DateTimeOffset? EndedAt { get; init; }
    /// <summary>Failed attempts of the last 15 minutes.</summary>
    public required long Failures { get; init; }
}

/// <summary>One session of a worker.</summary>
/// <param name="EndReason">closed, lease, or null while it is open.</param>
public sealed record PastSession(long Id, DateTimeOffset OpenedAt, DateTimeOffset? EndedAt, string? EndReason, string Version);

/// <summary>An attempt that a worker runs.</summary>
public sealed record HeldAttempt(long TaskId, int Attempt, bool Running, bool Speculative, DateTimeOffset LeasedAt, double Progress, Guid Job, string Project, string? Title, Jobs.JobFamily Family, int Maps, int Reduces, int Commands, int Analyses);

/// <summary>Reads workers for those who look after them.</summary>
public sealed class WorkerReader(NpgsqlDataSource database)
{
    /// <summary>Workers that one list holds: those that are connected first, then those that were last.</summary>
    public const int Most = 5000;

    private const string Sql = """
        WITH held AS MATERIALIZED (
            SELECT s.worker, count(*)::int AS busy, sum(c.gpus)::int AS gpus FROM live l JOIN worker_session s ON s.id = l.session_id JOIN requirement_class c ON c.id = l.class GROUP BY s.worker),
        failed AS MATERIALIZED (
            SELECT worker, sum(count)::bigint AS failures FROM failure WHERE minutes = 1 AND at > clock_timestamp() - interval '15 minutes' AND NOT of_job AND worker <> '' GROUP BY worker)
        SELECT w.name, w.active, w.draining, w.form, w.ip, w.affinity, w.cpu, w.free_memory, w.total_memory, greatest(w.seen_at, s.calls[cardinality(s.calls)]),
               s.id, s.host, s.slots, s.cpus, s.memory, s.gpus, s.affinity::text, s.mounts, s.isolation, s.version, s.load, s.free_memory, s.opened_at, s.ended_at, s.end_reason,
               coalesce(h.busy, 0), coalesce(h.gpus, 0), coalesce(f.failures, 0)
        FROM worker w
        LEFT JOIN LATERAL (SELECT * FROM worker_session x WHERE x.worker = w.name ORDER BY x.id DESC LIMIT 1) s ON true
        LEFT JOIN held h ON h.worker = w.name LEFT JOIN failed f ON f.worker = w.name
        """;

    /// <summary>Every known worker by name, up to <see cref="Most"/>.</summary>
    public async Task<List<KnownWorker>> ListAsync(CancellationToken ct)
    {
        await using var command = database.CreateCommand($"{Sql} ORDER BY s.ended_at DESC NULLS FIRST, w.name LIMIT {Most}");
        await using var reader = await command.ExecuteReaderAsync(ct);
        var workers = new List<KnownWorker>();
        while (await reader.ReadAsync(ct)) workers.Add(Read(reader));
        workers.Sort(static (a, b) => string.CompareOrdinal(a.Name, b.Name));
        return workers;
    }

    /// <summary>One of them, or null.</summary>
    public async Task<KnownWorker?> GetAsync(string name, CancellationToken ct)
    {
        await using var command = database.CreateCommand(Sql + " WHERE w.name = $1");
        command.Parameters.AddWithValue(name);
        await using var reader = await command.ExecuteReaderAsync(ct);
        return await reader.ReadAsync(ct) ? Read(reader) : null;
    }

    /// <summary>What it runs now, longest first.</summary>
    public async Task<List<HeldAttempt>> RunsAsync(string name, CancellationToken ct)
    {
        await using var command = database.CreateCommand("""
            SELECT l.task_id, l.attempt, l.state = 3, l.speculative, l.leased_at, l.progress, j.id, j.project, j.title, j.family, j.maps, j.reduces, j.commands, j.analyses
            FROM worker_session s JOIN live l ON l.session_id = s.id JOIN job j ON j.number = l.task_id >> 20
            WHERE s.worker = $1 AND s.ended_at IS NULL ORDER BY l.leased_at, l.task_id LIMIT 500
            """);
        command.Parameters.AddWithValue(name);
        await using var reader = await command.ExecuteReaderAsync(ct);
        var runs = new List<HeldAttempt>();
        while (await reader.ReadAsync(ct))
        {
            runs.Add(new(reader.GetInt64(0), reader.GetInt32(1), reader.GetBoolean(2), reader.GetBoolean(3), reader.GetFieldValue<DateTimeOffset>(4), reader.GetFloat(5), reader.GetGuid(6), reader.GetString(7),
                reader.IsDBNull(8) ? null : reader.GetString(8), (Jobs.JobFamily)reader.GetInt16(9), reader.GetInt32(10), reader.GetInt32(11), reader.GetInt32(12), reader.GetInt32(13)));
        }

        return runs;
    }

    /// <summary>Its latest sessions, newest first.</summary>
    public async Task<List<PastSession>> SessionsAsync(string name, int most, CancellationToken ct)
    {
        await using var command = database.CreateCommand("SELECT id, opened_at, ended_at, end_reason, version FROM worker_session WHERE worker = $1 ORDER BY id DESC LIMIT $2");
        command.Parameters.AddWithValue(name);
        command.Parameters.Add(new() { Value = most, NpgsqlDbType = NpgsqlDbType.Integer });
        await using var reader = await command.ExecuteReaderAsync(ct);
        var sessions = new List<PastSession>();
        while (await reader.ReadAsync(ct))
        {
            sessions.Add(new(reader.GetInt64(0), reader.GetFieldValue<DateTimeOffset>(1), reader.IsDBNull(2) ? null : reader.GetFieldValue<DateTimeOffset>(2), reader.IsDBNull(3) ? null : reader.GetString(3), reader.GetString(4)));
        }

        return sessions;
    }

    private static KnownWorker Read(NpgsqlDataReader r)
    {
        var (active, draining, form) = (r.GetBoolean(1), r.GetBoolean(2), r.GetBoolean(3));
        var known = !r.IsDBNull(10);
        var open = known && r.IsDBNull(23);
        var standing = !active ? WorkerStanding.Stopped : open ? draining ? WorkerStanding.Draining : WorkerStanding.Active
            : known && !r.IsDBNull(24) && r.GetString(24) == "lease" ? WorkerStanding.Lost : WorkerStanding.Stopped;
        var percents = form ? PercentsOf(r.GetString(6)) : [];
        return new()
        {
            Name = r.GetString(0), Standing = standing, Connected = open, StoppedByOperator = !active, Form = form, Ip = r.GetString(4),
            Host = known ? r.GetString(11) : "", Version = known ? r.GetString(19) : "", Isolation = known ? r.GetString(18) : "",
            Slots = form ? 1 : known ? r.GetInt32(12) : 0, Busy = r.GetInt32(25), Cpus = form ? percents.Length : known ? r.GetInt32(13) : 0,
            Memory = form ? r.GetInt64(8) << 20 : known ? r.GetInt64(14) : 0, FreeMemory = form ? r.GetInt64(7) << 20 : known ? r.GetInt64(21) : 0,
            Gpus = known ? r.GetInt32(15) : 0, GpusBusy = r.GetInt32(26), Load = form ? percents.Sum() / 100.0 : known ? r.GetFloat(20) : 0, Mounts = known ? r.GetFieldValue<string[]>(17) : [],
            Affinity = !r.IsDBNull(5) ? Trees.TreeTags.LinesOf(r.GetString(5)) : known ? WorkerSessions.LinesOf(r.GetString(16)) : [], AffinitySet = !r.IsDBNull(5),
            OpenedAt = known ? r.GetFieldValue<DateTimeOffset>(22) : null, SeenAt = r.GetFieldValue<DateTimeOffset>(9), EndedAt = known && !open ? r.GetFieldValue<DateTimeOffset>(23) : null, Failures = r.GetInt64(27),
        };
    }

    /// <summary>A form worker's list of percents as text, <c>[12,40]</c>: one a core.</summary>
    private static double[] PercentsOf(string text)
    {
        var numbers = new List<double>();
        foreach (var part in text.Trim('[', ']').Split(',')) if (double.TryParse(part, System.Globalization.CultureInfo.InvariantCulture, out var percent) && double.IsFinite(percent)) numbers.Add(Math.Clamp(percent, 0, 100));
        return [.. numbers];
    }
}
