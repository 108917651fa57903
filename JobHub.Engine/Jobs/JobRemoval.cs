using JobHub.Engine.Storage;
using Npgsql;

namespace JobHub.Engine.Jobs;

/// <summary>
/// Removes a job with all that belongs to it: tasks, attempts, logs in the store, events, files of its own. In chunks of at most 2 000 rows, each a transaction of its own; what is
/// cut off is continued by the next call. Results that it wrote belong to their owners and stay.
/// </summary>
/// <param name="stores">Null where the process has no store: jobs with logs in the store are then kept.</param>
public sealed class JobRemoval(NpgsqlDataSource db, StoreRegistry? stores)
{
    private const int Chunk = 2000;

    /// <summary>How many rows and objects went; null when the job must stay.</summary>
    public async Task<(long Rows, long Objects)?> RemoveAsync(long number, CancellationToken ct)
    {
        // Objects first: a row without its object can be removed later, an object without its row never.
        if (await ForgetLogsAsync(number, ct) is not { } logs) return null;
        long rows = 0;
        foreach (var sql in OfTasks) rows += await RepeatAsync(db, sql, number, ct);
        rows += await RepeatAsync(db, "delete from ledger where (tableoid, ctid) in (select tableoid, ctid from ledger where job = $1 and position is not null limit $2)", number, ct);
        rows += await RepeatAsync(db, "delete from idempotency where (caller, key) in (select i.caller, i.key from idempotency i join job j on j.id = i.job_id where j.number = $1 limit $2)", number, ct);
        rows += await RepeatAsync(db, "delete from job_input where (tableoid, ctid) in (select tableoid, ctid from job_input where job = $1 limit $2)", number, ct);
        rows += await RepeatAsync(db, """
            delete from file where (project, job, path) in (
                select f.project, f.job, f.path from job j join file f on f.project = j.project and f.job = j.number where j.number = $1 limit $2)
            """, number, ct);
        rows += await RepeatAsync(db, """
            delete from dependency where (job, dependency) in (select job, dependency from dependency where job = $1 or dependency = $1 limit $2)
            """, number, ct);
        rows += await RepeatAsync(db, "delete from job where number in (select number from job where number = $1 limit $2)", number, ct);
        return (rows, logs);
    }

    // A task's id is (job number << 20) | index.
    private static readonly string[] OfTasks =
    [
        // By the attempts' tokens, so before them.
        """
        delete from run_log where (token, "offset") in (
            select r.token, r."offset" from attempt a join run_log r on r.token = a.token where a.task_id >= $1 << 20 and a.task_id < ($1 + 1) << 20 limit $2)
        """,
        "delete from attempt where (task_id, number) in (select task_id, number from attempt where task_id >= $1 << 20 and task_id < ($1 + 1) << 20 limit $2)",
        "delete from task where id in (select id from task where id >= $1 << 20 and id < ($1 + 1) << 20 limit $2)",
        "delete from live_log where (task_id, token, \"offset\") in (select task_id, token, \"offset\" from live_log where task_id >= $1 << 20 and task_id < ($1 + 1) << 20 limit $2)",
    ];

    // Null when there are logs and no store to remove them from.
    private async Task<long?> ForgetLogsAsync(long job, CancellationToken ct)
    {
        long count = 0, after = (job << 20) - 1;
        while (true)
        {
            var keys = new List<ObjectPath>();
            var last = after;
            await using (var command = db.CreateCommand("""
                select task_id, log_key from attempt
                where task_id > $1 and task_id < ($2 + 1) << 20 and log_key is not null order by task_id limit $3
                """))
            {
                command.Parameters.Add(new() { Value = after });
                command.Parameters.Add(new() { Value = job });
                command.Parameters.Add(new() { Value = Chunk });
                await using var reader = await command.ExecuteReaderAsync(ct);
                while (await reader.ReadAsync(ct))
                {
                    last = reader.GetInt64(0);
                    keys.Add(new ObjectPath(stores?.HubBucket ?? "", reader.GetString(1)));
                }
            }
            if (keys.Count == 0) return count;
            if (stores is null) return null;
            await stores.Hub.DeleteAsync(keys, ct);
            count += keys.Count;
            if (keys.Count < Chunk) return count;
            // The last task may have more attempts than the chunk showed.
            after = last - 1 > after ? last - 1 : last;
        }
    }

    internal static async Task<long> RepeatAsync<T>(NpgsqlDataSource db, string sql, T value, CancellationToken ct, long? more = null)
    {
        long all = 0;
        while (true)
        {
            await using var command = db.CreateCommand(sql);
            command.Parameters.Add(new NpgsqlParameter<T> { TypedValue = value });
            command.Parameters.Add(new NpgsqlParameter<int> { TypedValue = Chunk });
            if (more is { } third) command.Parameters.Add(new NpgsqlParameter<long> { TypedValue = third });
            var n = await command.ExecuteNonQueryAsync(ct);
            all += n;
            if (n < Chunk) return all;
        }
    }
}
