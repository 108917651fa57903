using JobHub.Engine.Attempts;
using JobHub.Engine.Postgres;
using JobHub.Engine.Tasks;
using Npgsql;

namespace JobHub.Engine.Jobs;

/// <summary>An attempt as a bar of time; without an end it runs.</summary>
/// <param name="Speculative">It began while an earlier attempt of its task ran.</param>
public sealed record TimelineBar(
    TaskKind Kind, int Index, int Attempt, string? Worker, DateTimeOffset StartedAt, DateTimeOffset? EndedAt, AttemptOutcome? Outcome, bool Speculative);

/// <summary>Reads the newest attempts of a job.</summary>
public sealed class Timelines(NpgsqlDataSource database, JobReader jobs)
{
    // Leases are bounded by the hub's slots. Ended attempts have no order by time within a job, so those of its last tasks are looked at: tasks are given out in order.
    private const string Sql = """
        SELECT task_id, attempt, s.worker, coalesce(l.started_at, l.leased_at), NULL::timestamptz, NULL::smallint, l.speculative
        FROM live l JOIN worker_session s ON s.id = l.session_id
        WHERE l.session_id IS NOT NULL AND task_id >= $1 AND task_id < $2 AND NOT EXISTS (SELECT FROM attempt a WHERE a.task_id = l.task_id AND a.number = l.attempt)
        UNION ALL
        SELECT * FROM (
            SELECT a.task_id, a.number, s.worker, a.started_at, a.ended_at, a.outcome,
                   EXISTS (SELECT FROM attempt e WHERE e.task_id = a.task_id AND e.number < a.number AND e.started_at < a.started_at AND e.ended_at > a.started_at)
            FROM (SELECT * FROM (SELECT task_id, number, session_id, started_at, ended_at, outcome FROM attempt WHERE task_id >= $1 AND task_id < $2 ORDER BY task_id DESC, number DESC LIMIT $4) w
                  ORDER BY ended_at DESC LIMIT $3) a
            LEFT JOIN worker_session s ON s.id = a.session_id) e
        """;

    /// <summary>Ended attempts that are looked at.</summary>
    public const int Window = 20_000;

    /// <summary>The newest attempts by their end, those that run first.</summary>
    public async Task<IReadOnlyList<TimelineBar>> ReadAsync(JobId id, int limit, CancellationToken ct)
    {
        if (await jobs.FindAsync(id, ct) is not { Layout: var layout }) return [];
        var statement = new NpgsqlBatchCommand(Sql);
        statement.Parameters.AddWithValue(layout.First);
        statement.Parameters.AddWithValue(layout.First + layout.Total);
        statement.Parameters.AddWithValue(limit);
        statement.Parameters.AddWithValue(Window);
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var reader = await ValuePlans.ReadAsync(connection, statement, ct);
        var bars = new List<TimelineBar>();
        while (await reader.ReadAsync(ct))
        {
            var (kind, index) = layout.Of(reader.GetInt64(0));
            bars.Add(new(kind, index, reader.GetInt32(1), reader.IsDBNull(2) ? null : reader.GetString(2), reader.GetFieldValue<DateTimeOffset>(3),
                reader.IsDBNull(4) ? null : reader.GetFieldValue<DateTimeOffset>(4), reader.IsDBNull(5) ? null : (AttemptOutcome)reader.GetInt16(5), reader.GetBoolean(6)));
        }

        return [.. bars.OrderByDescending(static bar => bar.EndedAt ?? DateTimeOffset.MaxValue).ThenByDescending(static bar => bar.StartedAt).Take(limit)];
    }
}
