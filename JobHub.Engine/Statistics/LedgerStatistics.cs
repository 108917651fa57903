using JobHub.Engine.Postgres;
using Npgsql;

namespace JobHub.Engine.Statistics;

/// <summary>
/// Rolls the ledger up into minutes, in the order of its positions. What is counted and the place up to which it is counted are one statement, so a process that is killed
/// counts nothing twice and leaves nothing out; one process does it at a time, the others find the place taken and go on.
/// </summary>
public sealed class LedgerStatistics(NpgsqlDataSource database)
{
    /// <summary>Rows of the ledger that one statement takes.</summary>
    internal const int Batch = 5000;

    private const string RollUpSql = """
        WITH place AS MATERIALIZED (SELECT position FROM statistic_place WHERE name = 'ledger' FOR UPDATE SKIP LOCKED),
        told AS MATERIALIZED (
            SELECT l.* FROM place p CROSS JOIN LATERAL (
                SELECT position, at, job, kind, payload, succeeded, failed, canceled, session_id FROM ledger WHERE ledger.position > p.position ORDER BY ledger.position LIMIT 5000) l),
        widths (minutes, width) AS (VALUES (1::smallint, interval '1 minute'), (10::smallint, interval '10 minutes')),
        -- A job that was deleted since is counted among all.
        happened AS MATERIALIZED (
            SELECT t.*, coalesce(j.project, '') AS project, j.maps, j.error FROM told t LEFT JOIN job j ON j.number = t.job
            WHERE t.kind IN ('job-submitted', 'tasks-ended', 'job-ended') OR (t.kind = 'attempt-ended' AND t.payload ->> 'outcome' IN ('Failed', 'TimedOut', 'OutOfMemory', 'Lost', 'OutputLost'))),
        counted AS (
            INSERT INTO statistic AS s (minutes, at, project, tasks_succeeded, tasks_failed, tasks_canceled, jobs_submitted, jobs_succeeded, jobs_failed, jobs_canceled)
            SELECT w.minutes, date_bin(w.width, h.at, 'epoch'), p.project,
                   coalesce(sum(h.succeeded) FILTER (WHERE h.kind = 'tasks-ended'), 0), coalesce(sum(h.failed) FILTER (WHERE h.kind = 'tasks-ended'), 0),
                   coalesce(sum(h.canceled) FILTER (WHERE h.kind = 'tasks-ended'), 0), count(*) FILTER (WHERE h.kind = 'job-submitted'),
                   count(*) FILTER (WHERE h.kind = 'job-ended' AND h.payload ->> 'state' = 'Succeeded'), count(*) FILTER (WHERE h.kind = 'job-ended' AND h.payload ->> 'state' = 'Failed'),
                   count(*) FILTER (WHERE h.kind = 'job-ended' AND h.payload ->> 'state' = 'Canceled')
            FROM happened h CROSS JOIN widths w CROSS JOIN LATERAL (SELECT '' AS project UNION SELECT h.project) p
            WHERE h.kind <> 'attempt-ended' GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
            ON CONFLICT (minutes, at, project) DO UPDATE SET
                tasks_succeeded = s.tasks_succeeded + excluded.tasks_succeeded, tasks_failed = s.tasks_failed + excluded.tasks_failed, tasks_canceled = s.tasks_canceled + excluded.tasks_canceled,
                jobs_submitted = s.jobs_submitted + excluded.jobs_submitted, jobs_succeeded = s.jobs_succeeded + excluded.jobs_succeeded, jobs_failed = s.jobs_failed + excluded.jobs_failed,
                jobs_canceled = s.jobs_canceled + excluded.jobs_canceled),
        -- A job fails by the last attempt of the task that its error names; what the hub itself found out stands above what the program said.
        failed AS MATERIALIZED (
            SELECT h.at, h.project, h.kind = 'job-ended' AS of_job, coalesce(s.worker, '') AS worker, a.outcome, a.exit_code, coalesce(h.payload -> 'error' ->> 'type', h.error ->> 'type') AS type
            FROM happened h
            CROSS JOIN LATERAL (SELECT CASE WHEN h.kind = 'job-ended' THEN substring(h.error ->> 'taskId' FROM '-[a-z]-([0-9]{1,7})$')::bigint
                + CASE WHEN h.error ->> 'taskId' ~ '-r-[0-9]+$' THEN h.maps ELSE 0 END ELSE (h.payload ->> 'task')::bigint END AS index) i
            LEFT JOIN LATERAL (
                SELECT outcome, exit_code FROM attempt
                WHERE task_id = (h.job << 20) + i.index AND (h.kind = 'job-ended' OR number = (h.payload ->> 'attempt')::int) ORDER BY number DESC LIMIT 1) a ON true
            LEFT JOIN worker_session s ON s.id = h.session_id AND h.kind = 'attempt-ended'
            WHERE h.kind = 'attempt-ended' OR (h.kind = 'job-ended' AND h.payload ->> 'state' = 'Failed')),
        caused AS (
            SELECT at, project, of_job, worker, left(CASE f.outcome WHEN 3 THEN 'timeout' WHEN 4 THEN 'worker-lost' WHEN 6 THEN 'out-of-memory' WHEN 7 THEN 'output-lost'
                                                                    ELSE coalesce(f.type, 'failed') END, 64) AS cause,
                   CASE WHEN f.outcome = 1 AND coalesce(f.type, 'exit-code') = 'exit-code' THEN coalesce(f.exit_code, -1) ELSE -1 END AS exit_code FROM failed f),
        noted AS (
            INSERT INTO failure AS o (minutes, at, project, of_job, worker, cause, exit_code, count)
            SELECT w.minutes, date_bin(w.width, c.at, 'epoch'), c.project, c.of_job, CASE WHEN w.minutes = 1 THEN c.worker ELSE '' END, c.cause, c.exit_code, count(*)
            FROM caused c CROSS JOIN widths w GROUP BY 1, 2, 3, 4, 5, 6, 7 ORDER BY 1, 2, 4, 3, 5, 6, 7
            ON CONFLICT (minutes, at, of_job, project, worker, cause, exit_code) DO UPDATE SET count = o.count + excluded.count)
        UPDATE statistic_place SET position = (SELECT max(position) FROM told) WHERE name = 'ledger' AND EXISTS (SELECT FROM told)
        RETURNING (SELECT count(*) FROM told)::int
        """;

    /// <summary>Counts what has happened since the last time.</summary>
    public async Task RollUpAsync(CancellationToken ct)
    {
        while (await RollUpOnceAsync(ct) == Batch)
        {
            // More is waiting.
        }
    }

    private async Task<int> RollUpOnceAsync(CancellationToken ct)
    {
        // A batch is one transaction.
        await using var batch = database.CreateBatch();
        batch.BatchCommands.Add(new(KeyedPlans.Sql));
        batch.BatchCommands.Add(new(RollUpSql));
        await using var reader = await batch.ExecuteReaderAsync(ct);
        await reader.NextResultAsync(ct);
        return await reader.ReadAsync(ct) ? reader.GetInt32(0) : 0;
    }
}
