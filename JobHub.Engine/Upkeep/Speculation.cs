using JobHub.Engine.Attempts;
using JobHub.Engine.Protocol;
using Npgsql;

namespace JobHub.Engine.Upkeep;

/// <summary>Second attempts for stragglers, on another worker, and the end of whichever attempt did not win.</summary>
public sealed class Speculation(NpgsqlDataSource database, Wakeups wakeups)
{
    /// <summary>Ends the losers of decided races.</summary>
    public async Task SettleAsync(CancellationToken ct)
    {
        await using var command = database.CreateCommand("""
            -- Whoever holds a task that another has won, and second attempts nobody has taken yet.
            WITH pairs AS (SELECT t.id, t.winner FROM live l JOIN task t ON t.id = l.task_id WHERE l.session_id IS NOT NULL AND l.token IS DISTINCT FROM t.winner
                           UNION SELECT t.id, t.winner FROM live s JOIN task t ON t.id = s.task_id WHERE s.speculative),
            gone AS (DELETE FROM live l USING pairs p WHERE l.task_id = p.id AND l.session_id IS NULL),
            told AS (UPDATE live l SET stop = $1 FROM pairs p WHERE l.task_id = p.id AND l.session_id IS NOT NULL AND l.token IS DISTINCT FROM p.winner AND l.stop = 0 RETURNING l.task_id)
            SELECT count(*) FROM told
            """);
        command.Parameters.AddWithValue(StopOrders.Stored(StopReason.Superseded));
        if ((long)(await command.ExecuteScalarAsync(ct))! > 0) wakeups.Orders();
    }

    /// <summary>
    /// When 75 % of a phase is done, a task that has run 5 s and 1.5 times the median gets a second attempt, for at most 10 % of the phase (at least one).
    /// Only when another worker is there to run it.
    /// </summary>
    public async Task SpeculateAsync(CancellationToken ct)
    {
        await using var command = database.CreateCommand("""
            WITH running AS MATERIALIZED (
                SELECT l.task_id, l.token, l.class, l.rank, l.attempt, s.worker, extract(epoch FROM clock_timestamp() - l.leased_at) AS seconds, j.number,
                       (l.task_id & 1048575) < j.maps AS is_map, j.maps, j.reduces
                FROM live l JOIN job j ON j.number = l.task_id >> 20 JOIN worker_session s ON s.id = l.session_id
                WHERE l.session_id IS NOT NULL AND NOT l.speculative AND l.stop = 0 AND l.leased_at < clock_timestamp() - interval '5 seconds'
                  AND j.speculative AND j.stop = 0 AND NOT j.paused AND j.maps + j.reduces > 1
                  AND NOT EXISTS (SELECT FROM live o WHERE o.task_id = l.task_id AND o.speculative) AND NOT EXISTS (SELECT FROM task t WHERE t.id = l.task_id)),
            phases AS (SELECT DISTINCT number, is_map, maps, reduces FROM running),
            done AS (
                SELECT p.number, p.is_map, CASE WHEN p.is_map THEN p.maps ELSE p.reduces END AS size, t.ended, t.median,
                       (SELECT count(*) FROM live o WHERE o.speculative AND o.task_id >> 20 = p.number) AS seconds_running
                FROM phases p CROSS JOIN LATERAL (
                    SELECT count(*) AS ended, percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM ended_at - started_at)) AS median FROM task
                    WHERE state = 4 AND id >= (p.number << 20) + CASE WHEN p.is_map THEN 0 ELSE p.maps END
                      AND id < (p.number << 20) + CASE WHEN p.is_map THEN p.maps ELSE p.maps + p.reduces END) t),
            slow AS (
                SELECT r.*, row_number() OVER (PARTITION BY r.number, r.is_map ORDER BY r.seconds DESC) AS n, d.size, d.seconds_running
                FROM running r JOIN done d ON d.number = r.number AND d.is_map = r.is_map
                WHERE d.ended * 4 >= d.size * 3 AND r.seconds >= 1.5 * d.median
                  AND EXISTS (SELECT FROM worker_session o WHERE o.ended_at IS NULL AND o.worker <> r.worker)),
            -- Still held, and kept so until this is over: an attempt that is given back meanwhile would take the number of its second.
            kept AS MATERIALIZED (
                SELECT l.task_id FROM live l JOIN slow w ON w.task_id = l.task_id AND w.token = l.token
                WHERE NOT l.speculative AND w.n + w.seconds_running <= greatest(1, w.size / 10) ORDER BY l.task_id FOR UPDATE OF l SKIP LOCKED),
            made AS (
                INSERT INTO live (task_id, speculative, class, rank, state, claimable, attempt, avoid)
                SELECT task_id, true, class, rank, 1, true, attempt, worker FROM slow JOIN kept USING (task_id)
                ON CONFLICT DO NOTHING RETURNING task_id)
            INSERT INTO ledger (job, kind, payload) SELECT task_id >> 20, 'second-attempt', jsonb_build_object('task', (task_id & 1048575)::int) FROM made
            """);
        if (await command.ExecuteNonQueryAsync(ct) > 0) wakeups.Work(0);
    }
}
