using JobHub.Engine.Postgres;
using JobHub.Engine.Upkeep;
using Npgsql;

namespace JobHub.Engine.Events;

/// <summary>
/// Relay and folder in one transaction: rows that no open transaction can precede get their position, in order, and their deltas are added to the jobs' base counters.
/// So a row without a position is exactly a row that is not in the base, and readers add those.
/// </summary>
public sealed class LedgerFolder(NpgsqlDataSource database, Wakeups wakeups, TimeProvider clock)
{
    private const int Batch = 5000;
    private static readonly TimeSpan Breath = TimeSpan.FromMilliseconds(5);
    // A fold costs about as much for one row as for fifty. A lone job is folded at once; in a stream rows gather for as many milliseconds as the last fold had rows, at most this.
    private static readonly TimeSpan MostGathering = TimeSpan.FromMilliseconds(25);
    private TimeSpan _gather;
    private long _foldedAt;

    // Plain command jobs that have all succeeded end right here, and their end gets its position here too: nobody else gives positions while we hold the lock, and all
    // become visible together. Everything else that moved is marked for the next step of its job. A row without a delta (a submission) touches no job.
    // The job is locked before it is looked at: a step or a cancel that has just ended it is waited for and seen, or it would end twice.
    // A leaf's deltas are added to every group above it, each group once, in the order of their numbers; a group's state is what its leaves make of it. Where that changes
    // whether it has succeeded, what depends on it is derived anew.
    private const string FoldSql = """
        WITH RECURSIVE open AS MATERIALIZED (
            SELECT seq, row_number() OVER (ORDER BY seq) AS n FROM (
                SELECT seq FROM ledger WHERE position IS NULL AND xid < pg_snapshot_xmin(pg_current_snapshot()) ORDER BY seq LIMIT 5000) o),
        size AS MATERIALIZED (SELECT count(*) AS n, (SELECT position FROM relay) AS base FROM open),
        moved AS (
            UPDATE ledger l SET position = s.base + open.n FROM open, size s WHERE l.seq = open.seq AND l.position IS NULL
            RETURNING l.job, l.blocked, l.succeeded, l.failed, l.canceled, l.skipped, l.maps_succeeded, l.started_at, l.counters, l.leaves, l.session_id, l.runs_succeeded, l.runs_failed),
        added AS MATERIALIZED (
            SELECT job, sum(blocked)::int AS blocked, sum(succeeded)::int AS succeeded, sum(failed)::int AS failed, sum(canceled)::int AS canceled, sum(skipped)::int AS skipped,
                   sum(maps_succeeded)::int AS maps_succeeded, min(started_at) AS started_at, bool_or(counters IS NOT NULL) AS counted, sum(leaves)::int AS leaves,
                   bool_or(started_at IS NOT NULL OR counters IS NOT NULL OR blocked <> 0 OR succeeded <> 0 OR failed <> 0 OR canceled <> 0 OR skipped <> 0 OR maps_succeeded <> 0) AS own
            FROM moved
            WHERE job > 0 AND (started_at IS NOT NULL OR counters IS NOT NULL OR blocked <> 0 OR succeeded <> 0 OR failed <> 0 OR canceled <> 0 OR skipped <> 0 OR maps_succeeded <> 0
                               OR leaves <> 0)
            GROUP BY job ORDER BY job),
        counted AS MATERIALIZED (
            SELECT c.job, jsonb_object_agg(c.key, c.total) AS counters FROM (
                SELECT u.job, u.key, sum(u.value) AS total FROM (
                    SELECT m.job, e.key, e.value::bigint AS value FROM moved m, jsonb_each_text(m.counters) e WHERE m.counters IS NOT NULL
                    UNION ALL
                    SELECT j.number, e.key, e.value::bigint FROM added a JOIN job j ON j.number = a.job, jsonb_each_text(j.counters) e WHERE a.counted) u
                GROUP BY u.job, u.key) c GROUP BY c.job),
        folded AS (
            UPDATE job j SET
                blocked = j.blocked + a.blocked, succeeded = j.succeeded + a.succeeded, failed = j.failed + a.failed, canceled = j.canceled + a.canceled,
                skipped = j.skipped + a.skipped, maps_succeeded = j.maps_succeeded + a.maps_succeeded, started_at = least(j.started_at, d.began),
                counters = CASE WHEN a.counted THEN coalesce((SELECT c.counters FROM counted c WHERE c.job = a.job), j.counters) ELSE j.counters END,
                state = CASE WHEN d.simple THEN 4 WHEN j.state = 0 AND d.began IS NOT NULL THEN 1 ELSE j.state END,
                ended_at = CASE WHEN d.simple THEN clock_timestamp() ELSE j.ended_at END,
                dirty = j.dirty OR (j.state < 4 AND NOT d.simple AND (a.succeeded <> 0 OR a.failed <> 0 OR a.canceled <> 0 OR a.skipped <> 0 OR a.maps_succeeded <> 0 OR a.blocked <> 0))
            FROM added a
            CROSS JOIN LATERAL (
                SELECT o.state < 4 AND o.stop = 0 AND o.maps + o.reduces + o.analyses = 0 AND o.succeeded + a.succeeded = o.commands AND o.commands > 0 AS simple,
                       CASE WHEN o.reset_at IS NULL OR a.started_at >= o.reset_at THEN a.started_at END AS began
                FROM job o WHERE o.number = a.job FOR UPDATE) d
            WHERE j.number = a.job AND a.own RETURNING j.number, d.simple, j.dirty),
        parents AS MATERIALIZED (
            SELECT j.parent AS number, sum(a.leaves)::int AS leaves, sum(a.succeeded)::int AS ok, sum(a.failed + a.canceled)::int AS bad,
                   min(a.started_at) FILTER (WHERE j.reset_at IS NULL OR a.started_at >= j.reset_at) AS began
            FROM added a CROSS JOIN LATERAL (SELECT * FROM job WHERE number = a.job OFFSET 0) j WHERE j.parent IS NOT NULL GROUP BY j.parent),
        up AS (
            SELECT number, true AS direct, leaves, ok, bad, began FROM parents
            UNION ALL
            SELECT p.parent, false, u.leaves, u.ok, u.bad, u.began FROM up u CROSS JOIN LATERAL (SELECT * FROM job WHERE number = u.number OFFSET 0) p WHERE p.parent IS NOT NULL),
        rolled AS MATERIALIZED (
            SELECT number, coalesce(sum(leaves) FILTER (WHERE direct), 0)::int AS kids, coalesce(sum(ok) FILTER (WHERE direct), 0)::int AS kids_ok,
                   coalesce(sum(bad) FILTER (WHERE direct), 0)::int AS kids_bad, sum(leaves)::int AS leaves, sum(ok)::int AS ok, sum(bad)::int AS bad, min(began) AS began
            FROM up GROUP BY number ORDER BY number),
        grouped AS (
            UPDATE job g SET
                kids = g.kids + r.kids, kids_succeeded = g.kids_succeeded + r.kids_ok, kids_failed = g.kids_failed + r.kids_bad,
                leaves = g.leaves + r.leaves, leaves_succeeded = g.leaves_succeeded + r.ok, leaves_failed = g.leaves_failed + r.bad,
                started_at = least(g.started_at, r.began), state = n.state,
                ended_at = CASE WHEN n.state < 4 THEN NULL WHEN n.was = n.state THEN g.ended_at ELSE clock_timestamp() END
            FROM rolled r
            CROSS JOIN LATERAL (
                SELECT group_state(o.leaves + r.leaves, o.leaves_succeeded + r.ok, o.leaves_failed + r.bad, o.started_at IS NOT NULL OR r.began IS NOT NULL) AS state, o.state AS was
                FROM job o WHERE o.number = r.number OFFSET 0) n
            WHERE g.number = r.number RETURNING g.number, n.state, n.was),
        ends AS MATERIALIZED (
            SELECT number, 4 AS state FROM folded WHERE simple UNION ALL SELECT number, state FROM grouped WHERE state >= 4 AND state <> was),
        ended AS (
            INSERT INTO ledger (job, kind, payload, position)
            SELECT e.number, 'job-ended', CASE WHEN e.state = 4 THEN '{"state":"Succeeded"}'::jsonb ELSE '{"state":"Failed"}' END, s.base + s.n + row_number() OVER (ORDER BY e.number)
            FROM ends e, size s RETURNING 1),
        released AS (
            INSERT INTO tree_change (roots, kind)
            SELECT array_agg(DISTINCT d.job), 0 FROM (SELECT number FROM folded WHERE simple UNION ALL SELECT number FROM grouped WHERE (state = 4) <> (was = 4)) c
            JOIN dependency d ON d.dependency = c.number HAVING count(*) > 0 RETURNING 1),
        worked AS (
            UPDATE worker w SET succeeded = w.succeeded + r.ok, failed = w.failed + r.bad, last_job = r.job
            FROM (SELECT s.worker, sum(m.runs_succeeded) AS ok, sum(m.runs_failed) AS bad, max(m.job) AS job FROM moved m JOIN worker_session s ON s.id = m.session_id GROUP BY s.worker) r
            WHERE w.name = r.worker),
        relayed AS (UPDATE relay SET position = s.base + s.n + (SELECT count(*) FROM ended) FROM size s WHERE s.n > 0)
        SELECT (SELECT n FROM size)::int, EXISTS (SELECT FROM folded WHERE dirty),
               EXISTS (SELECT FROM ledger WHERE position IS NULL AND xid >= pg_snapshot_xmin(pg_current_snapshot())),
               EXISTS (SELECT FROM released)
        """;

    /// <summary>Folds what can be folded. Only one process folds at a time; the others find the lock taken and go on.</summary>
    /// <returns>Whether a job is to be moved on.</returns>
    public async Task<bool> FoldAsync(CancellationToken ct)
    {
        var dirty = false;
        for (var held = 0; ;)
        {
            if (_gather - clock.GetElapsedTime(_foldedAt) is { Ticks: > 0 } rest) await Task.Delay(rest, clock, ct);
            await using var connection = await database.OpenConnectionAsync(ct);
            await using var transaction = await connection.BeginTransactionAsync(ct);
            await using (var take = new NpgsqlBatch(connection) { BatchCommands = { new("SELECT pg_try_advisory_xact_lock(740750)"), new(KeyedPlans.Sql) } })
            {
                if (await take.ExecuteScalarAsync(ct) is not true) return dirty;
            }

            int folded;
            bool waiting, released;
            await using (var command = new NpgsqlCommand(FoldSql, connection))
            await using (var reader = await command.ExecuteReaderAsync(ct))
            {
                await reader.ReadAsync(ct);
                folded = reader.GetInt32(0);
                dirty |= reader.GetBoolean(1);
                waiting = reader.GetBoolean(2);
                released = reader.GetBoolean(3);
            }

            await transaction.CommitAsync(ct);
            _foldedAt = clock.GetTimestamp();
            _gather = folded < 4 ? TimeSpan.Zero : TimeSpan.FromMilliseconds(Math.Min(folded, MostGathering.TotalMilliseconds));
            if (folded > 0) wakeups.Events();
            if (released) wakeups.Trees();
            if (folded == Batch)
            {
                _gather = TimeSpan.Zero;
                continue;
            }

            // Rows behind a transaction that is still open: look again in a moment, or the last rows of a job wait for the next beat.
            if (!waiting || dirty || held++ == 20) return dirty;
            if (_gather < Breath) await Task.Delay(Breath, clock, ct);
        }
    }
}
