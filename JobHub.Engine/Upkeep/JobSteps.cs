using JobHub.Engine.Attempts;
using JobHub.Engine.Jobs;
using JobHub.Engine.MapReduce;
using JobHub.Engine.Protocol;
using JobHub.Engine.Storage;
using JobHub.Engine.Tasks;
using Microsoft.Extensions.Logging;
using Npgsql;
using NpgsqlTypes;

namespace JobHub.Engine.Upkeep;

/// <summary>Moves jobs on: unblocks reducers, fails a job whose task failed, ends what a stopped job still has, and ends the job itself.</summary>
public sealed class JobSteps(NpgsqlDataSource database, JobContexts contexts, JobObjects objects, Wakeups wakeups, ILogger<JobSteps> logger)
{
    private const int Chunk = 2000;

    private sealed record Job(long Number, Guid Id, JobFamily Family, JobState State, short Stop, TaskLayout Layout, int Blocked, int Succeeded, int Failed, int Canceled, int Skipped,
        int MapsSucceeded)
    {
        public bool AllEnded => Succeeded + Failed + Canceled + Skipped >= Layout.Total;

        /// <summary>A leaf of a tree whose task has succeeded: the folder ends it and lets go what depends on it, in one; it alone may, for it holds the lock of trees' shape.</summary>
        public bool EndsInFold => Family == JobFamily.Farm && Stop == 0 && Failed + Canceled + Skipped == 0;
    }

    /// <summary>Takes the jobs that something happened to, one transaction each.</summary>
    public async Task StepAsync(CancellationToken ct)
    {
        var numbers = new List<long>();
        await using (var command = database.CreateCommand("SELECT number FROM job WHERE dirty ORDER BY number LIMIT 500"))
        await using (var reader = await command.ExecuteReaderAsync(ct))
        {
            while (await reader.ReadAsync(ct)) numbers.Add(reader.GetInt64(0));
        }

        foreach (var number in numbers)
        {
            try
            {
                await StepAsync(number, ct);
            }
            catch (Exception fault) when (fault is StoreException or IOException)
            {
                // The store is away: the job stays marked and the step is taken again.
                EngineLog.JobStepFailed(logger, "end", number, fault.Message);
            }
        }
    }

    private async Task StepAsync(long number, CancellationToken ct)
    {
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var transaction = await connection.BeginTransactionAsync(ct);
        if (await LockAsync(connection, number, ct) is not { } job || job.State.IsTerminal) return;
        var stop = job.Stop;
        if (stop == 0 && job.Failed > 0) stop = await FailAsync(connection, job, ct);
        var again = false;
        if (stop != 0)
        {
            var (ended, more) = await StopAsync(connection, job, ct);
            again = more || ended > 0;
        }
        else if (job.Blocked > 0 && job.MapsSucceeded == job.Layout.Maps)
        {
            again = await UnblockAsync(connection, job, ct);
        }

        if (!again && job.AllEnded && !job.EndsInFold)
        {
            await EndAsync(connection, job, stop, ct);
        }
        else if (!again)
        {
            await using var clear = new NpgsqlCommand("UPDATE job SET dirty = false WHERE number = $1", connection);
            clear.Parameters.AddWithValue(number);
            await clear.ExecuteNonQueryAsync(ct);
        }

        await transaction.CommitAsync(ct);
        if (again)
        {
            wakeups.Upkeep();
            wakeups.Steps();
        }
    }

    private static async Task<Job?> LockAsync(NpgsqlConnection connection, long number, CancellationToken ct)
    {
        await using (var take = new NpgsqlCommand("SELECT FROM job WHERE number = $1 AND dirty FOR UPDATE SKIP LOCKED", connection))
        {
            take.Parameters.AddWithValue(number);
            await using var taken = await take.ExecuteReaderAsync(ct);
            if (!await taken.ReadAsync(ct)) return null;
        }

        // After the lock, in a statement of its own: its snapshot has whatever the last holder committed. Unfolded deltas count, or a map just lost would be missed.
        await using var command = new NpgsqlCommand("""
            SELECT j.id, j.family, j.state, j.stop, j.maps, j.reduces, j.commands, j.analyses, j.blocked + d.blocked, j.succeeded + d.succeeded, j.failed + d.failed,
                   j.canceled + d.canceled, j.skipped + d.skipped, j.maps_succeeded + d.maps_succeeded
            FROM job j CROSS JOIN LATERAL (
                SELECT coalesce(sum(blocked), 0)::int AS blocked, coalesce(sum(succeeded), 0)::int AS succeeded, coalesce(sum(failed), 0)::int AS failed,
                       coalesce(sum(canceled), 0)::int AS canceled, coalesce(sum(skipped), 0)::int AS skipped, coalesce(sum(maps_succeeded), 0)::int AS maps_succeeded
                FROM ledger l WHERE l.job = j.number AND l.position IS NULL) d
            WHERE j.number = $1
            """, connection);
        command.Parameters.AddWithValue(number);
        await using var r = await command.ExecuteReaderAsync(ct);
        if (!await r.ReadAsync(ct)) return null;
        return new(number, r.GetGuid(0), (JobFamily)r.GetInt16(1), (JobState)r.GetInt16(2), r.GetInt16(3), new(number, r.GetInt32(4), r.GetInt32(5), r.GetInt32(6), r.GetInt32(7)),
            r.GetInt32(8), r.GetInt32(9), r.GetInt32(10), r.GetInt32(11), r.GetInt32(12), r.GetInt32(13));
    }

    /// <summary>The first task that failed says why the job does.</summary>
    private static async Task<short> FailAsync(NpgsqlConnection connection, Job job, CancellationToken ct)
    {
        long taskId;
        string? type, message;
        await using (var find = new NpgsqlCommand("""
            SELECT id, error->>'type', error->>'message' FROM task WHERE id >= $1 AND id < $2 AND state = 5 ORDER BY ended_at LIMIT 1
            """, connection))
        {
            find.Parameters.AddWithValue(job.Layout.First);
            find.Parameters.AddWithValue(job.Layout.First + TaskLayout.MaxTasks);
            await using var reader = await find.ExecuteReaderAsync(ct);
            if (!await reader.ReadAsync(ct)) return 0;
            taskId = reader.GetInt64(0);
            type = reader.IsDBNull(1) ? "failed" : reader.GetString(1);
            message = reader.IsDBNull(2) ? "The task failed." : reader.GetString(2);
        }

        var (kind, index) = job.Layout.Of(taskId);
        var error = new JobError(type, message, TaskName.Of(new(job.Id), kind, index));
        await using var command = new NpgsqlCommand("UPDATE job SET stop = 2, error = $2::jsonb WHERE number = $1", connection);
        command.Parameters.AddWithValue(job.Number);
        command.Parameters.AddWithValue(System.Text.Json.JsonSerializer.Serialize(error, EngineJson.Default.JobError));
        await command.ExecuteNonQueryAsync(ct);
        return 2;
    }

    /// <summary>Ends a chunk of what nobody runs, and tells the holders of the rest.</summary>
    private async Task<(long Ended, bool More)> StopAsync(NpgsqlConnection connection, Job job, CancellationToken ct)
    {
        await using var command = new NpgsqlCommand("""
            WITH picked AS MATERIALIZED (
                SELECT task_id, speculative, attempt, state FROM live WHERE task_id >= $1 AND task_id < $2 AND session_id IS NULL ORDER BY task_id LIMIT $3 FOR UPDATE SKIP LOCKED),
            gone AS (DELETE FROM live l USING picked p WHERE l.task_id = p.task_id AND l.speculative = p.speculative),
            ended AS (INSERT INTO task (id, state, attempt, ended_at)
                      SELECT task_id, 6, attempt, clock_timestamp() FROM picked p WHERE NOT p.speculative
                      ON CONFLICT (id) DO NOTHING RETURNING id),
            noted AS (
                INSERT INTO ledger (job, kind, payload, canceled, blocked)
                SELECT $4, 'tasks-ended', jsonb_build_object('state', 'Canceled', 'tasks', jsonb_agg(jsonb_build_array((e.id & 1048575)::int, p.attempt))), count(*),
                       -count(*) FILTER (WHERE p.state = 0)
                FROM ended e JOIN picked p ON p.task_id = e.id AND NOT p.speculative HAVING count(*) > 0),
            told AS (UPDATE live SET stop = $5 WHERE task_id >= $1 AND task_id < $2 AND session_id IS NOT NULL AND stop = 0 RETURNING task_id)
            SELECT (SELECT count(*) FROM picked), (SELECT count(*) FROM told)
            """, connection);
        command.Parameters.AddWithValue(job.Layout.First);
        command.Parameters.AddWithValue(job.Layout.First + TaskLayout.MaxTasks);
        command.Parameters.AddWithValue(Chunk);
        command.Parameters.AddWithValue(job.Number);
        command.Parameters.AddWithValue(StopOrders.Stored(StopReason.CancelRequested));
        await using var reader = await command.ExecuteReaderAsync(ct);
        await reader.ReadAsync(ct);
        if (reader.GetInt64(1) > 0) wakeups.Orders();
        return (reader.GetInt64(0), reader.GetInt64(0) == Chunk);
    }

    private async Task<bool> UnblockAsync(NpgsqlConnection connection, Job job, CancellationToken ct)
    {
        await using var command = new NpgsqlCommand("""
            WITH picked AS (SELECT task_id FROM live WHERE task_id >= $1 AND task_id < $2 AND state = 0 ORDER BY task_id LIMIT $3 FOR UPDATE),
            freed AS (UPDATE live l SET state = 1, claimable = NOT l.paused FROM picked p WHERE l.task_id = p.task_id AND l.state = 0 RETURNING l.task_id),
            noted AS (INSERT INTO ledger (job, kind, payload, blocked) SELECT $4, 'tasks-unblocked', jsonb_build_object('count', count(*)), -count(*) FROM freed HAVING count(*) > 0)
            SELECT count(*) FROM freed
            """, connection);
        command.Parameters.AddWithValue(job.Layout.First);
        command.Parameters.AddWithValue(job.Layout.First + TaskLayout.MaxTasks);
        command.Parameters.AddWithValue(Chunk);
        command.Parameters.AddWithValue(job.Number);
        var freed = (long)(await command.ExecuteScalarAsync(ct))!;
        if (freed > 0) wakeups.Work(0);
        return freed > 0;
    }

    private async Task EndAsync(NpgsqlConnection connection, Job job, short stop, CancellationToken ct)
    {
        // An analysis that was made before the cancel reached it exists: the cancel came too late.
        if (stop == 1 && job.Family == JobFamily.Projects && job.Succeeded == job.Layout.Total) stop = 0;
        var state = stop == 1 ? JobState.Canceled : stop == 2 || job.Failed > 0 ? JobState.Failed : job.Canceled > 0 ? JobState.Canceled : JobState.Succeeded;
        if (job.Family == JobFamily.MapReduce && state == JobState.Succeeded && await contexts.GetAsync(job.Number, ct) is { } context)
        {
            var (store, folder) = objects.Result(context);
            await using var empty = new MemoryStream([]);
            await store.PutAsync(folder with { Key = folder.Key + "_SUCCESS" }, empty, onlyNew: false, ct);
        }

        await using var command = new NpgsqlCommand("""
            WITH unmade AS (DELETE FROM analysis WHERE job = $1 AND made_at IS NULL AND $6 RETURNING parameters),
            -- What the caller sent is kept: the analysis may be tried again.
            ended AS (
                UPDATE job SET state = $2, stop = $5, ended_at = clock_timestamp(), dirty = false, cleanup = $3,
                    details = CASE WHEN EXISTS (SELECT FROM unmade) THEN details || jsonb_build_object('parameters', (SELECT parameters FROM unmade LIMIT 1)) ELSE details END
                WHERE number = $1 RETURNING number)
            INSERT INTO ledger (job, kind, payload) SELECT number, 'job-ended', jsonb_build_object('state', $4::text) FROM ended
            """, connection);
        command.Parameters.AddWithValue(job.Number);
        command.Parameters.AddWithValue((short)state);
        command.Parameters.Add(new() { Value = job.Family is JobFamily.MapReduce or JobFamily.Projects, NpgsqlDbType = NpgsqlDbType.Boolean });
        command.Parameters.AddWithValue(state.ToString());
        command.Parameters.AddWithValue(stop);
        command.Parameters.AddWithValue(job.Family == JobFamily.Projects);
        await command.ExecuteNonQueryAsync(ct);
        EngineLog.JobEnded(logger, job.Id, state);
        wakeups.Upkeep();
    }
}
