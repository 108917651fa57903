using JobHub.Engine.Postgres;
using JobHub.Engine.Tasks;
using Npgsql;

namespace JobHub.Engine.Jobs;

/// <summary>What all tasks of a job are grouped by.</summary>
public enum TaskGrouping
{
    /// <summary>The worker of the latest attempt.</summary>
    Worker,
    /// <summary>The number of the latest attempt.</summary>
    Attempts,
}

/// <summary>A small number for each task in task order.</summary>
/// <param name="Names">Of workers: what 1 and on stand for, 0 being none.</param>
public sealed record TaskGroupVector(IReadOnlyList<string> Names, ushort[] Tasks);

/// <summary>How long a range of tasks took that have ended.</summary>
/// <param name="Longest">The index of the task that took longest.</param>
public sealed record TaskTimes(int Ended, TimeSpan? Mean, int? Longest, TimeSpan? LongestTime);

/// <summary>What the maps wrote for one reduce, and what that says it has read.</summary>
public readonly record struct TaskPartition(long Bytes, long? Records, long? Groups);

/// <summary>What map outputs have for each reduce.</summary>
/// <param name="Maps">How many map outputs the bytes are of.</param>
public sealed record TaskPartitions(IReadOnlyList<TaskPartition> Partitions, int Maps, int MapsTotal);

/// <summary>Reads what is summed or grouped over all tasks of a job.</summary>
public sealed class TaskSums(NpgsqlDataSource database, JobReader jobs)
{
    /// <summary>Bytes of offsets that are read at most.</summary>
    public const int MostOffsets = 32 << 20;

    // Both tables by the job's range of ids, the worker of an ended task by the attempt that it ended with.
    private const string WorkerSql = """
        SELECT (task_id - $1)::int, session_id FROM live WHERE task_id >= $1 AND task_id < $2 AND session_id IS NOT NULL AND NOT speculative
        UNION ALL
        SELECT (t.id - $1)::int, a.session_id FROM task t CROSS JOIN LATERAL (SELECT session_id FROM attempt WHERE task_id = t.id AND number = t.attempt OFFSET 0) a
        WHERE t.id >= $1 AND t.id < $2 AND a.session_id IS NOT NULL
        """;

    private const string AttemptsSql = """
        SELECT (task_id - $1)::int, attempt FROM live WHERE task_id >= $1 AND task_id < $2
        UNION ALL
        SELECT (id - $1)::int, attempt FROM task WHERE id >= $1 AND id < $2
        """;

    private const string TimesSql = """
        SELECT count(*)::int, avg(extract(epoch FROM ended_at - started_at))::float8, max(extract(epoch FROM ended_at - started_at))::float8,
               (array_agg((id - $1)::int ORDER BY ended_at - started_at DESC))[1]
        FROM task WHERE id >= $1 AND id < $2 AND started_at IS NOT NULL AND ended_at IS NOT NULL
        """;

    private const string OffsetsSql = "SELECT offsets FROM task WHERE id >= $1 AND id < $2 AND state = 4 AND offsets IS NOT NULL ORDER BY id LIMIT $3";

    private const string ReducesSql = """
        SELECT (id - $1)::int, (counters->>'reduce_input_records')::bigint, (counters->>'reduce_input_groups')::bigint FROM task WHERE id >= $1 AND id < $2 AND state = 4 AND counters IS NOT NULL
        """;

    /// <summary>The groups of all tasks, or null when there is no such job. Tasks of more than 65,534 sessions: those beyond have none.</summary>
    public async Task<TaskGroupVector?> GroupsAsync(JobId id, TaskGrouping grouping, CancellationToken ct)
    {
        if (await jobs.FindAsync(id, ct) is not { Layout: var layout }) return null;
        var tasks = new ushort[layout.Total];
        await using var connection = await database.OpenConnectionAsync(ct);
        if (grouping == TaskGrouping.Attempts)
        {
            await using var reader = await ReadAsync(connection, AttemptsSql, ct, layout.First, layout.First + layout.Total);
            while (await reader.ReadAsync(ct)) tasks[reader.GetInt32(0)] = Math.Max(tasks[reader.GetInt32(0)], (ushort)Math.Clamp(reader.GetInt32(1), 0, ushort.MaxValue));
            return new([], tasks);
        }

        var sessions = new Dictionary<long, ushort>();
        await using (var reader = await ReadAsync(connection, WorkerSql, ct, layout.First, layout.First + layout.Total))
        {
            while (await reader.ReadAsync(ct))
            {
                if (!sessions.TryGetValue(reader.GetInt64(1), out var session))
                {
                    if (sessions.Count == ushort.MaxValue - 1) continue;
                    sessions[reader.GetInt64(1)] = session = (ushort)(sessions.Count + 1);
                }

                tasks[reader.GetInt32(0)] = session;
            }
        }

        // A worker has had many sessions.
        var (names, nameOf) = (new List<string>(), new ushort[sessions.Count + 1]);
        await using (var reader = await ReadAsync(connection, "SELECT id, worker FROM worker_session WHERE id = ANY ($1) ORDER BY worker, id", ct, sessions.Keys.ToArray()))
        {
            while (await reader.ReadAsync(ct))
            {
                if (names.Count == 0 || names[^1] != reader.GetString(1)) names.Add(reader.GetString(1));
                nameOf[sessions[reader.GetInt64(0)]] = (ushort)names.Count;
            }
        }

        for (var i = 0; i < tasks.Length; i++) tasks[i] = nameOf[tasks[i]];
        return new(names, tasks);
    }

    /// <summary>How long tasks of one kind took, from an index to another, both in it; null when there is no such job.</summary>
    public async Task<TaskTimes?> TimesAsync(JobId id, TaskKind kind, int from, int to, CancellationToken ct)
    {
        if (await jobs.FindAsync(id, ct) is not { Layout: var layout }) return null;
        var (first, count) = layout.RangeOf(kind);
        if (from >= count) return new(0, null, null, null);
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var reader = await ReadAsync(connection, TimesSql, ct, first + from, first + Math.Min(to, count - 1) + 1);
        await reader.ReadAsync(ct);
        return reader.GetInt32(0) == 0 ? new(0, null, null, null) : new(reader.GetInt32(0), TimeSpan.FromSeconds(reader.GetDouble(1)), from + reader.GetInt32(3), TimeSpan.FromSeconds(reader.GetDouble(2)));
    }

    /// <summary>The bytes of each partition over the maps that have succeeded, as far as <see cref="MostOffsets"/> reaches; null when there is no such job.</summary>
    public async Task<TaskPartitions?> PartitionsAsync(JobId id, CancellationToken ct)
    {
        if (await jobs.FindAsync(id, ct) is not { Layout: var layout }) return null;
        if (layout.Reduces == 0) return new([], 0, layout.Maps);
        var partitions = new TaskPartition[layout.Reduces];
        var maps = 0;
        await using var connection = await database.OpenConnectionAsync(ct);
        await using (var reader = await ReadAsync(connection, OffsetsSql, ct, layout.First, layout.First + layout.Maps, MostOffsets / (8 * (layout.Reduces + 1))))
        {
            while (await reader.ReadAsync(ct))
            {
                var offsets = reader.GetFieldValue<byte[]>(0);
                if (offsets.Length != 8 * (layout.Reduces + 1)) continue;
                for (var (p, start) = (0, Offset(offsets, 0)); p < partitions.Length; p++)
                {
                    var end = Offset(offsets, p + 1);
                    partitions[p] = partitions[p] with { Bytes = partitions[p].Bytes + end - start };
                    start = end;
                }

                maps++;
            }
        }

        await using (var reader = await ReadAsync(connection, ReducesSql, ct, layout.First + layout.Maps, layout.First + layout.Maps + layout.Reduces))
        {
            while (await reader.ReadAsync(ct))
            {
                partitions[reader.GetInt32(0)] = partitions[reader.GetInt32(0)] with { Records = reader.IsDBNull(1) ? null : reader.GetInt64(1), Groups = reader.IsDBNull(2) ? null : reader.GetInt64(2) };
            }
        }

        return new(partitions, maps, layout.Maps);
    }

    private static long Offset(byte[] offsets, int i) => System.Buffers.Binary.BinaryPrimitives.ReadInt64LittleEndian(offsets.AsSpan(8 * i));

    private static Task<NpgsqlDataReader> ReadAsync(NpgsqlConnection connection, string sql, CancellationToken ct, params object[] values)
    {
        var statement = new NpgsqlBatchCommand(sql);
        foreach (var value in values) statement.Parameters.AddWithValue(value);
        return ValuePlans.ReadAsync(connection, statement, ct, keyed: true);
    }
}
