using System.Runtime.CompilerServices;
using JobHub.Engine.Jobs;
using JobHub.Engine.Protocol;
using JobHub.Engine.Tasks;
using Npgsql;
using NpgsqlTypes;

namespace JobHub.Engine.Attempts;

/// <summary>An attempt of a job, and what is known of its log without reading it.</summary>
/// <param name="Empty">It has printed nothing and will not.</param>
/// <param name="Inline">Its log is small and stands beside it.</param>
public sealed record LoggedAttempt(long TaskId, TaskKind Kind, int Index, int Number, bool Empty, bool Inline);

/// <summary>The logs of all attempts of a job, in the order of its tasks and their attempts. Each call reads a bounded number of rows, whatever the job has.</summary>
public sealed class JobLogs(NpgsqlDataSource database, JobReader jobs)
{
    // Small logs are fetched together: at most a mebibyte.
    private const int InlineAtOnce = 64;

    /// <summary>The tasks of a job; null when there is no such job.</summary>
    public async Task<TaskLayout?> LayoutAsync(JobId id, CancellationToken ct) => (await jobs.FindAsync(id, ct))?.Layout;

    /// <summary>Attempts from one on (it included), running ones too; with <paramref name="back"/> those in front of it, the nearest first.</summary>
    public async Task<IReadOnlyList<LoggedAttempt>> AttemptsAsync(TaskLayout layout, long task, int number, bool back, int limit, CancellationToken ct)
    {
        var (compare, order) = back ? ("<=", "DESC") : (">=", "ASC");
        await using var command = database.CreateCommand($"""
            WITH running AS MATERIALIZED (SELECT task_id, attempt AS number FROM live WHERE session_id IS NOT NULL)
            (SELECT task_id, number, log_size = 0 AND (reported OR NOT EXISTS (SELECT FROM run_log r WHERE r.token = a.token)), log_inline IS NOT NULL AND log_gaps IS NULL
             FROM attempt a WHERE (task_id, number) {compare} ($1, $2) AND task_id >= $3 AND task_id < $4 ORDER BY task_id {order}, number {order} LIMIT $5)
            UNION ALL
            (SELECT task_id, number, false, false FROM running r WHERE (task_id, number) {compare} ($1, $2) AND task_id >= $3 AND task_id < $4
                AND NOT EXISTS (SELECT FROM attempt a WHERE a.task_id = r.task_id AND a.number = r.number) ORDER BY task_id {order}, number {order} LIMIT $5)
            ORDER BY 1 {order}, 2 {order} LIMIT $5
            """);
        command.Parameters.AddWithValue(task);
        command.Parameters.AddWithValue(number);
        command.Parameters.AddWithValue(layout.First);
        command.Parameters.AddWithValue(layout.First + layout.Total);
        command.Parameters.AddWithValue(limit);
        await using var reader = await command.ExecuteReaderAsync(ct);
        var attempts = new List<LoggedAttempt>();
        while (await reader.ReadAsync(ct))
        {
            var (kind, index) = layout.Of(reader.GetInt64(0));
            attempts.Add(new(reader.GetInt64(0), kind, index, reader.GetInt32(1), reader.GetBoolean(2), reader.GetBoolean(3)));
        }

        return attempts;
    }

    /// <summary>Those of some attempts that have printed something, with the bytes of small logs (null: open it).</summary>
    public async IAsyncEnumerable<(LoggedAttempt Attempt, byte[]? Small)> PrintedAsync(IReadOnlyList<LoggedAttempt> attempts, [EnumeratorCancellation] CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(attempts);
        Dictionary<(long, int), byte[]> small = [];
        for (var i = 0; i < attempts.Count; i++)
        {
            var attempt = attempts[i];
            if (attempt.Empty) continue;
            if (!attempt.Inline)
            {
                yield return (attempt, null);
                continue;
            }

            if (!small.ContainsKey((attempt.TaskId, attempt.Number))) small = await SmallAsync([.. attempts.Skip(i).Where(static a => a is { Inline: true, Empty: false }).Take(InlineAtOnce)], ct);
            yield return (attempt, small.GetValueOrDefault((attempt.TaskId, attempt.Number)));
        }
    }

    private async Task<Dictionary<(long, int), byte[]>> SmallAsync(LoggedAttempt[] attempts, CancellationToken ct)
    {
        await using var command = database.CreateCommand("""
            SELECT a.task_id, a.number, a.log_inline FROM unnest($1::bigint[], $2::int[]) AS f(task_id, number) JOIN attempt a USING (task_id, number) WHERE a.log_inline IS NOT NULL
            """);
        command.Parameters.Add(new() { Value = attempts.Select(static a => a.TaskId).ToArray(), NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Bigint });
        command.Parameters.Add(new() { Value = attempts.Select(static a => a.Number).ToArray(), NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Integer });
        await using var reader = await command.ExecuteReaderAsync(ct);
        var small = new Dictionary<(long, int), byte[]>();
        while (await reader.ReadAsync(ct)) small[(reader.GetInt64(0), reader.GetInt32(1))] = (byte[])reader.GetValue(2);
        return small;
    }
}
