using JobHub.Engine.Jobs;
using JobHub.Engine.Storage;
using JobHub.Engine.Tasks;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace JobHub.Engine.Upkeep;

/// <summary>
/// Carries out what <see cref="JobChanges"/> has stored: queue rows derived anew from their job, failed tasks put back, deleted jobs removed. A chunk a transaction, under the
/// lock of the job's row; it goes on where it stopped, in whichever process.
/// </summary>
public sealed class JobChangeSteps(NpgsqlDataSource database, JobRemoval removal, Wakeups wakeups, ILogger<JobChangeSteps> logger)
{
    private const int Chunk = 2000;
    private const short Derive = 0, Again = 1, Remove = 2;

    /// <summary>Takes what is there.</summary>
    public async Task StepAsync(CancellationToken ct)
    {
        for (var after = (Job: 0L, Kind: (short)-1); await FindAsync(after, ct) is { Count: > 0 } found; after = found[^1])
        {
            foreach (var (job, kind) in found)
            {
                try
                {
                    while (kind == Remove ? await RemoveAsync(job, ct) : await StepAsync(job, kind, ct))
                    {
                        // The next chunk.
                    }
                }
                catch (Exception fault) when (fault is StoreException or IOException)
                {
                    EngineLog.JobStepFailed(logger, "change", job, fault.Message);
                }
            }
        }
    }

    private async Task<List<(long Job, short Kind)>> FindAsync((long Job, short Kind) after, CancellationToken ct)
    {
        await using var command = database.CreateCommand("SELECT job, kind FROM job_change WHERE (job, kind) > ($1, $2) ORDER BY job, kind LIMIT 500");
        command.Parameters.AddWithValue(after.Job);
        command.Parameters.AddWithValue(after.Kind);
        await using var reader = await command.ExecuteReaderAsync(ct);
        var found = new List<(long, short)>();
        while (await reader.ReadAsync(ct)) found.Add((reader.GetInt64(0), reader.GetInt16(1)));
        return found;
    }

    /// <returns>Whether there is more to do now.</returns>
    private async Task<bool> StepAsync(long job, short kind, CancellationToken ct)
    {
        await using var connection = await database.OpenConnectionAsync(ct);
        await using var transaction = await connection.BeginTransactionAsync(ct);
        if (!await IsTrueAsync(connection, "SELECT true FROM job WHERE number = $1 FOR UPDATE SKIP LOCKED", ct, job)
            || !await IsTrueAsync(connection, "SELECT true FROM job_change WHERE job = $1 AND kind = $2 FOR UPDATE", ct, job, kind)) return false;
        var (more, freed) = kind == Derive ? await DeriveAsync(connection, job, ct) : await AgainAsync(connection, job, ct);
        await transaction.CommitAsync(ct);
        if (freed) wakeups.Work(0);
        if (kind == Again) wakeups.Upkeep();
        return more;
    }

    // In the order of ids, both attempts of a task together: no row is between two chunks.
    private static async Task<(bool More, bool Freed)> DeriveAsync(NpgsqlConnection connection, long job, CancellationToken ct)
    {
        await using var command = Command(connection, """
            WITH rows AS MATERIALIZED (
                SELECT l.task_id, j.paused, j.rank FROM job j CROSS JOIN job_change c CROSS JOIN LATERAL (
                    SELECT task_id FROM live WHERE task_id > (j.number << 20) + c.after AND task_id < (j.number + 1) << 20 AND NOT speculative ORDER BY task_id LIMIT $2 FOR UPDATE) l
                WHERE j.number = $1 AND c.job = $1 AND c.kind = 0),
            changed AS (
                UPDATE live l SET paused = r.paused, rank = r.rank, claimable = l.session_id IS NULL AND l.state = 1 AND l.not_before IS NULL AND NOT r.paused
                FROM rows r WHERE l.task_id = r.task_id AND (l.paused <> r.paused OR l.rank <> r.rank) RETURNING l.claimable),
            went AS (UPDATE job_change SET after = (SELECT max(task_id) & 1048575 FROM rows) WHERE job = $1 AND kind = 0 AND (SELECT count(*) FROM rows) = $2 RETURNING 1),
            done AS (DELETE FROM job_change WHERE job = $1 AND kind = 0 AND (SELECT count(*) FROM rows) < $2)
            SELECT EXISTS (SELECT FROM went), coalesce((SELECT bool_or(claimable) FROM changed), false)
            """, job, Chunk);
        return await ReadAsync(command, ct);
    }

    /// <summary>
    /// Tasks that did not succeed go back to the queue; of a MapReduce job all do, for what its maps have written went with the job's end. Until the last chunk the job is
    /// stopped and reads as it did. What still runs or is still cleaned up is waited for.
    /// </summary>
    private static async Task<(bool More, bool Freed)> AgainAsync(NpgsqlConnection connection, long job, CancellationToken ct)
    {
        if (await IsTrueAsync(connection, "SELECT state < 4 AND stop = 0 FROM job WHERE number = $1", ct, job)) return (false, await HurryAsync(connection, job, ct));
        if (!await IsTrueAsync(connection, """
            SELECT state >= 4 AND NOT cleanup AND deleted_at IS NULL AND (c.after >= 0 OR NOT EXISTS (SELECT FROM live WHERE task_id >= j.number << 20 AND task_id < (j.number + 1) << 20))
                   AND NOT EXISTS (SELECT FROM discard WHERE task_id >= j.number << 20 AND task_id < (j.number + 1) << 20)
            FROM job j JOIN job_change c ON c.job = j.number AND c.kind = 1 WHERE j.number = $1
            """, ct, job)) return (false, false);
        await using (var command = Command(connection, """
            WITH held AS (UPDATE job SET stop = 2 WHERE number = $1 AND stop = 0),
            gone AS MATERIALIZED (
                DELETE FROM task t USING job j, job_change c
                WHERE j.number = $1 AND c.job = $1 AND c.kind = 1 AND t.id = ANY (ARRAY (
                    SELECT o.id FROM task o WHERE o.id > (j.number << 20) + c.after AND o.id < (j.number + 1) << 20 AND (j.family = 0 OR o.state <> 4) ORDER BY o.id LIMIT $2))
                RETURNING t.id, t.state, t.counters, (t.id & 1048575) < j.maps AS is_map, (t.id & 1048575) BETWEEN j.maps AND j.maps + j.reduces - 1 AS waits,
                          j.class, j.rank, j.paused, coalesce((SELECT max(a.number) FROM attempt a WHERE a.task_id = t.id), 0) AS attempt),
            queued AS (
                INSERT INTO live (task_id, class, rank, state, claimable, attempt, paused)
                SELECT id, class, rank, CASE WHEN waits THEN 0 ELSE 1 END, NOT waits AND NOT paused, attempt, paused FROM gone),
            noted AS (
                INSERT INTO ledger (job, kind, payload, blocked, succeeded, failed, canceled, skipped, maps_succeeded, counters)
                SELECT $1, 'tasks-queued-again', jsonb_build_object('count', count(*)), count(*) FILTER (WHERE waits), -count(*) FILTER (WHERE state = 4), -count(*) FILTER (WHERE state = 5),
                       -count(*) FILTER (WHERE state = 6), -count(*) FILTER (WHERE state = 7), -count(*) FILTER (WHERE state = 4 AND is_map),
                       (SELECT jsonb_object_agg(s.key, -s.total) FROM (
                            SELECT e.key, sum(e.value::bigint) AS total FROM gone g, jsonb_each_text(g.counters) e WHERE g.counters IS NOT NULL GROUP BY e.key) s)
                FROM gone HAVING count(*) > 0)
            UPDATE job_change SET after = coalesce((SELECT max(id) & 1048575 FROM gone), 1048575), attempts = greatest(attempts, (SELECT max(attempt) FROM gone)) WHERE job = $1 AND kind = 1
            RETURNING after < 1048575, false
            """, job, Chunk))
        {
            if (await ReadAsync(command, ct) is (true, _) more) return more;
        }

        await using var begin = Command(connection, """
            WITH done AS (DELETE FROM job_change WHERE job = $1 AND kind = 1 RETURNING attempts),
            begun AS (
                UPDATE job SET state = 0, stop = 0, error = NULL, started_at = NULL, ended_at = NULL, cancel_requested_at = NULL, reset_at = clock_timestamp(), dirty = true,
                    charged_from = greatest(charged_from, done.attempts) FROM done WHERE number = $1 RETURNING number, project, family, details),
            made AS (
                INSERT INTO analysis (id, project, dataset, kind, algorithm, parameters, inference, job, profiles)
                SELECT (b.details->>'analysis')::uuid, b.project, (b.details->>'dataset')::uuid, CASE b.details->>'kind' WHEN 'Inference' THEN 0 ELSE 1 END, b.details->>'algorithm',
                       coalesce(b.details->'parameters', '[]'), (b.details->>'inference')::uuid, b.number, b.details->>'profiles'
                FROM begun b JOIN dataset d ON d.id = (b.details->>'dataset')::uuid WHERE b.family = 2 ON CONFLICT DO NOTHING)
            INSERT INTO ledger (job, kind) SELECT number, 'job-started-again' FROM begun
            RETURNING false, true
            """, job);
        return await ReadAsync(begin, ct);
    }

    /// <summary>A job that runs: what waits for its next attempt is due now.</summary>
    private static async Task<bool> HurryAsync(NpgsqlConnection connection, long job, CancellationToken ct)
    {
        await using var command = Command(connection, """
            WITH done AS (DELETE FROM job_change WHERE job = $1 AND kind = 1)
            UPDATE live SET claimable = NOT paused, not_before = NULL
            WHERE (task_id, speculative) IN (SELECT task_id, speculative FROM live WHERE task_id >= $1 << 20 AND task_id < ($1 + 1) << 20 AND state = 1 AND not_before IS NOT NULL
                                             AND session_id IS NULL ORDER BY task_id FOR UPDATE)
            """, job);
        return await command.ExecuteNonQueryAsync(ct) > 0;
    }

    /// <summary>A deleted job is out of sight at once; what belongs to it goes when nobody is busy with it and messages about it are sent.</summary>
    private async Task<bool> RemoveAsync(long job, CancellationToken ct)
    {
        await using (var command = database.CreateCommand("""
            SELECT NOT j.cleanup AND NOT EXISTS (SELECT FROM live WHERE task_id >= j.number << 20 AND task_id < (j.number + 1) << 20)
                   AND NOT EXISTS (SELECT FROM discard WHERE task_id >= j.number << 20 AND task_id < (j.number + 1) << 20)
                   AND NOT EXISTS (SELECT FROM ledger WHERE job = j.number AND position IS NULL)
                   AND coalesce((SELECT max(position) FROM ledger WHERE job = j.number), 0)
                       <= coalesce((SELECT min(position) FROM event_cursor WHERE seen_at > clock_timestamp() - interval '7 days'), 9223372036854775807)
            FROM job j WHERE number = $1
            """))
        {
            command.Parameters.AddWithValue(job);
            if (await command.ExecuteScalarAsync(ct) is false) return false;
        }

        if (await removal.RemoveAsync(job, ct) is null) return false;
        await using var done = database.CreateCommand("DELETE FROM job_change WHERE job = $1");
        done.Parameters.AddWithValue(job);
        await done.ExecuteNonQueryAsync(ct);
        return false;
    }

    private static NpgsqlCommand Command(NpgsqlConnection connection, string sql, params object[] values)
    {
        var command = new NpgsqlCommand(sql, connection);
        foreach (var value in values) command.Parameters.AddWithValue(value);
        return command;
    }

    private static async Task<bool> IsTrueAsync(NpgsqlConnection connection, string sql, CancellationToken ct, params object[] values)
    {
        await using var command = Command(connection, sql, values);
        return await command.ExecuteScalarAsync(ct) is true;
    }

    private static async Task<(bool, bool)> ReadAsync(NpgsqlCommand command, CancellationToken ct)
    {
        await using var reader = await command.ExecuteReaderAsync(ct);
        return await reader.ReadAsync(ct) ? (reader.GetBoolean(0), reader.GetBoolean(1)) : default;
    }
}
