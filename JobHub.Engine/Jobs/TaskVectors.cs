using JobHub.Engine.Postgres;
using JobHub.Engine.Tasks;
using Npgsql;

namespace JobHub.Engine.Jobs;

/// <summary>What a task is drawn as. The numbers are the wire's: they are not changed.</summary>
public enum TaskSquare : byte
{
    Blocked = 0, Ready = 1,
    /// <summary>It waits for its next attempt.</summary>
    Backoff = 2,
    Leased = 3, Running = 4,
    /// <summary>A straggler: a second attempt of it runs beside the first.</summary>
    SecondAttempt = 5,
    Paused = 6, Succeeded = 7, Failed = 8, TimedOut = 9, OutOfMemory = 10, Canceled = 11, Skipped = 12,
    /// <summary>It failed for its workers were lost.</summary>
    Lost = 13,
}

/// <summary>The states of all tasks of a job, a byte each, in task order.</summary>
/// <param name="Phases">Kinds with their numbers of tasks, in this order.</param>
public sealed record TaskVector(IReadOnlyList<(TaskKind Kind, int Count)> Phases, byte[] Squares);

/// <summary>Reads what all tasks of a job are drawn as.</summary>
public sealed class TaskVectors(NpgsqlDataSource database, JobReader jobs)
{
    // Ids of one job are one range of both tables, and both are read from one snapshot. Where a task has rows in both, or two, the larger number holds.
    private const string Sql = """
        SELECT (task_id - $1)::int, (CASE WHEN session_id IS NOT NULL THEN CASE WHEN speculative THEN 5 ELSE greatest(state, 2) + 1 END
                                          WHEN speculative THEN 0 WHEN paused OR $3 THEN 6 WHEN state = 0 THEN 0 WHEN not_before > clock_timestamp() THEN 2 ELSE 1 END)::smallint
        FROM live WHERE task_id >= $1 AND task_id < $2
        UNION ALL
        SELECT (id - $1)::int, (CASE state WHEN 3 THEN 4 WHEN 4 THEN 7 WHEN 6 THEN 11 WHEN 7 THEN 12
                                     ELSE CASE error->>'type' WHEN 'timeout' THEN 9 WHEN 'out-of-memory' THEN 10 WHEN 'worker-lost' THEN 13 ELSE 8 END END)::smallint
        FROM task WHERE id >= $1 AND id < $2
        """;

    /// <summary>The vector, or null when there is no such job.</summary>
    public async Task<TaskVector?> ReadAsync(JobView job, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(job);
        if (await jobs.FindAsync(job.Id, ct) is not { Layout: var layout }) return null;
        var squares = new byte[layout.Total];
        var statement = new NpgsqlBatchCommand(Sql);
        statement.Parameters.AddWithValue(layout.First);
        statement.Parameters.AddWithValue(layout.First + layout.Total);
        statement.Parameters.AddWithValue(job.Paused);
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var reader = await ValuePlans.ReadAsync(connection, statement, ct, keyed: true);
        while (await reader.ReadAsync(ct))
        {
            var (at, square) = (reader.GetInt32(0), (byte)reader.GetInt16(1));
            if (square > squares[at]) squares[at] = square;
        }

        (TaskKind, int)[] phases = [(TaskKind.Map, layout.Maps), (TaskKind.Reduce, layout.Reduces), (TaskKind.Command, layout.Commands), (TaskKind.Analysis, layout.Analyses)];
        return new([.. phases.Where(static phase => phase.Item2 > 0)], squares);
    }
}
