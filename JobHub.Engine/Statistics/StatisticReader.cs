using Npgsql;
using NpgsqlTypes;

namespace JobHub.Engine.Statistics;

/// <summary>Reads the roll-ups: a few hundred rows for any window, whatever has happened.</summary>
public sealed class StatisticReader(NpgsqlDataSource database, TimeProvider clock)
{
    /// <summary>What ended, by bucket, the empty ones too.</summary>
    public async Task<EndedBucket[]> EndedAsync(StatisticScope scope, StatisticWindow window, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(scope);
        ArgumentNullException.ThrowIfNull(window);
        var from = window.From(clock.GetUtcNow());
        await using var command = Command(scope, $"""
            SELECT date_bin($3, s.at, 'epoch'), sum(s.tasks_succeeded)::bigint, sum(s.tasks_failed)::bigint, sum(s.tasks_canceled)::bigint,
                   sum(s.jobs_submitted)::bigint, sum(s.jobs_succeeded)::bigint, sum(s.jobs_failed)::bigint, sum(s.jobs_canceled)::bigint
            FROM statistic s WHERE s.minutes = $1 AND s.at >= $2 AND {scope.Where("s.project", 4, totals: true)} GROUP BY 1
            """, window.Minutes, from, window.Bucket);
        await using var reader = await command.ExecuteReaderAsync(ct);
        var found = new Dictionary<DateTimeOffset, EndedBucket>();
        while (await reader.ReadAsync(ct))
        {
            var at = reader.GetFieldValue<DateTimeOffset>(0);
            found[at] = new(at, reader.GetInt64(1), reader.GetInt64(2), reader.GetInt64(3), reader.GetInt64(4), reader.GetInt64(5), reader.GetInt64(6), reader.GetInt64(7));
        }

        return [.. Enumerable.Range(0, window.Count).Select(i => from + (window.Bucket * i)).Select(at => found.GetValueOrDefault(at) ?? new(at, 0, 0, 0, 0, 0, 0, 0))];
    }

    /// <summary>Failed jobs, or failed attempts, by cause, most first.</summary>
    public async Task<List<FailureCount>> CausesAsync(StatisticScope scope, StatisticWindow window, bool ofJobs, int most, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(scope);
        ArgumentNullException.ThrowIfNull(window);
        await using var command = Command(scope, $"""
            SELECT f.cause, f.exit_code, sum(f.count)::bigint FROM failure f
            WHERE f.minutes = $1 AND f.at >= $2 AND f.of_job = $3 AND {scope.Where("f.project", 5, totals: false)} GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT $4
            """, window.Minutes, window.From(clock.GetUtcNow()), ofJobs, most);
        await using var reader = await command.ExecuteReaderAsync(ct);
        var causes = new List<FailureCount>();
        while (await reader.ReadAsync(ct)) causes.Add(new(reader.GetString(0), reader.GetInt32(1) is >= 0 and var code ? code : null, reader.GetInt64(2)));
        return causes;
    }

    /// <summary>Failed attempts of the last minutes by worker and cause, most first.</summary>
    public async Task<List<WorkerFailure>> OfWorkersAsync(StatisticScope scope, TimeSpan within, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(scope);
        await using var command = Command(scope, $"""
            SELECT f.worker, f.cause, f.exit_code, sum(f.count)::bigint, min(f.at), max(f.at) FROM failure f
            WHERE f.minutes = 1 AND f.at > $1 AND NOT f.of_job AND f.worker <> '' AND {scope.Where("f.project", 2, totals: false)} GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 2 LIMIT 500
            """, clock.GetUtcNow() - within);
        await using var reader = await command.ExecuteReaderAsync(ct);
        var failures = new List<WorkerFailure>();
        while (await reader.ReadAsync(ct))
        {
            failures.Add(new(reader.GetString(0), reader.GetString(1), reader.GetInt32(2) is >= 0 and var code ? code : null, reader.GetInt64(3), reader.GetFieldValue<DateTimeOffset>(4),
                reader.GetFieldValue<DateTimeOffset>(5)));
        }

        return failures;
    }

    /// <summary>What waits now, as the latest walk found it, and when that was; nothing before the first.</summary>
    public async Task<(DateTimeOffset? At, List<QueuedTasks> Waiting)> WaitingAsync(StatisticScope scope, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(scope);
        await using var command = Command(scope, $"""
            SELECT l.at, q.reason, q.claimable, coalesce(sum(q.tasks), 0)::bigint, min(q.oldest_at), c.affinity
            FROM (SELECT max(at) AS at FROM queue_sample) l
            LEFT JOIN queue_sample q ON q.at = l.at AND {scope.Where("q.project", 1, totals: true)} LEFT JOIN requirement_class c ON c.id = q.class
            GROUP BY l.at, q.reason, q.claimable, q.class, c.affinity ORDER BY 4 DESC, 2
            """);
        await using var reader = await command.ExecuteReaderAsync(ct);
        DateTimeOffset? at = null;
        var waiting = new List<QueuedTasks>();
        while (await reader.ReadAsync(ct))
        {
            at = reader.IsDBNull(0) ? null : reader.GetFieldValue<DateTimeOffset>(0);
            if (reader.IsDBNull(1) || reader.GetInt64(3) == 0) continue;
            waiting.Add(new(reader.GetString(1), reader.GetBoolean(2), reader.GetInt64(3), reader.IsDBNull(4) ? null : reader.GetFieldValue<DateTimeOffset>(4),
                reader.IsDBNull(5) ? [] : reader.GetFieldValue<string[]>(5)));
        }

        return (at, waiting);
    }

    /// <summary>The queue over time; buckets without a sample are absent.</summary>
    public async Task<List<QueueBucket>> QueueAsync(StatisticScope scope, StatisticWindow window, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(scope);
        ArgumentNullException.ThrowIfNull(window);
        // Of the samples of a bucket the first stands for it. One of all projects is there for each walk; of others none means that nothing of theirs waits.
        await using var command = Command(scope, $"""
            SELECT b.bucket, coalesce(sum(q.tasks) FILTER (WHERE q.claimable), 0)::bigint, coalesce(sum(q.tasks) FILTER (WHERE NOT q.claimable), 0)::bigint
            FROM (SELECT date_bin($2, at, 'epoch') AS bucket, min(at) AS at FROM queue_sample WHERE at >= $1 AND project = '' GROUP BY 1) b
            LEFT JOIN queue_sample q ON q.at = b.at AND {scope.Where("q.project", 3, totals: true)}
            GROUP BY 1 ORDER BY 1
            """, window.From(clock.GetUtcNow()), window.Bucket);
        await using var reader = await command.ExecuteReaderAsync(ct);
        var queue = new List<QueueBucket>();
        while (await reader.ReadAsync(ct)) queue.Add(new(reader.GetFieldValue<DateTimeOffset>(0), reader.GetInt64(1), reader.GetInt64(2)));
        return queue;
    }

    /// <summary>Minutes of a worker, or of all together (their loads and slots summed) when it is null, oldest first.</summary>
    public async Task<List<WorkerMinute>> MinutesAsync(string? worker, TimeSpan within, CancellationToken ct)
    {
        await using var command = database.CreateCommand($"""
            SELECT at, sum(load)::real, sum(free_memory)::bigint, sum(busy)::int, sum(slots)::int FROM worker_sample WHERE at > $1{(worker is null ? "" : " AND worker = $2")} GROUP BY at ORDER BY at
            """);
        command.Parameters.AddWithValue((clock.GetUtcNow() - within).UtcDateTime);
        if (worker is not null) command.Parameters.AddWithValue(worker);
        await using var reader = await command.ExecuteReaderAsync(ct);
        var minutes = new List<WorkerMinute>();
        while (await reader.ReadAsync(ct)) minutes.Add(new(reader.GetFieldValue<DateTimeOffset>(0), reader.GetFloat(1), reader.GetInt64(2), reader.GetInt32(3), reader.GetInt32(4)));
        return minutes;
    }

    /// <summary>All workers in one minute of the past: the heat map as it was.</summary>
    public async Task<Dictionary<string, WorkerMinute>> MinuteAsync(DateTimeOffset at, CancellationToken ct)
    {
        await using var command = database.CreateCommand("SELECT worker, at, load, free_memory, busy, slots FROM worker_sample WHERE at = date_trunc('minute', $1::timestamptz)");
        command.Parameters.AddWithValue(at.UtcDateTime);
        await using var reader = await command.ExecuteReaderAsync(ct);
        var workers = new Dictionary<string, WorkerMinute>(StringComparer.Ordinal);
        while (await reader.ReadAsync(ct)) workers[reader.GetString(0)] = new(reader.GetFieldValue<DateTimeOffset>(1), reader.GetFloat(2), reader.GetInt64(3), reader.GetInt32(4), reader.GetInt32(5));
        return workers;
    }

    private NpgsqlCommand Command(StatisticScope scope, string sql, params object[] values)
    {
        var command = database.CreateCommand(sql);
        foreach (var value in values) command.Parameters.Add(new() { Value = value is DateTimeOffset time ? time.UtcDateTime : value });
        if (scope.Projects is { } projects) command.Parameters.Add(new() { Value = projects, NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Text });
        return command;
    }
}
