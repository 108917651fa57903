using JobHub.Engine.Attempts;
using JobHub.Engine.Protocol;
using JobHub.Engine.Workers;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Npgsql;

namespace JobHub.Engine.Upkeep;

/// <summary>Takes back what lost or closed sessions held, and lets retries whose time has come be claimed.</summary>
public sealed class Sweeper(NpgsqlDataSource database, AttemptEndings endings, Wakeups wakeups, EngineMeter meter, IOptions<LeaseOptions> lease, ILogger<Sweeper> logger)
{
    /// <summary>One sweep.</summary>
    public async Task SweepAsync(CancellationToken ct)
    {
        await ExpireAsync(ct);
        while (await GiveBackAsync(ct) == 500)
        {
            // More are waiting.
        }

        await using var due = database.CreateCommand("""
            UPDATE live SET claimable = true, not_before = NULL WHERE (task_id, speculative) IN (
                SELECT l.task_id, l.speculative FROM live l JOIN job j ON j.number = l.task_id >> 20
                WHERE l.not_before <= clock_timestamp() AND l.state = 1 AND NOT l.paused AND NOT j.paused AND j.stop = 0 LIMIT 2000 FOR UPDATE OF l SKIP LOCKED)
            """);
        if (await due.ExecuteNonQueryAsync(ct) > 0) wakeups.Work(0);
    }

    private async Task ExpireAsync(CancellationToken ct)
    {
        // When nobody swept for three seconds the hub or its database was away, and workers could not renew: extend once instead of taking everything from everybody.
        // Workers of forms call when they call; how often is learned anew, or the hub's absence would count as their silence.
        await using var command = database.CreateCommand("""
            WITH last AS (UPDATE upkeep u SET swept_at = clock_timestamp() FROM (SELECT swept_at FROM upkeep FOR UPDATE) o
                          RETURNING extract(epoch FROM clock_timestamp() - o.swept_at)::double precision AS away),
            extended AS (
                UPDATE worker_session SET lease_until = greatest(lease_until, clock_timestamp() + CASE WHEN calls IS NULL THEN $1::interval ELSE greatest($1::interval, interval '60 seconds') END),
                    calls = CASE WHEN calls IS NULL THEN NULL ELSE '{}'::timestamptz[] END
                FROM last
                WHERE last.away > 3 AND ended_at IS NULL AND lease_until > clock_timestamp() - make_interval(secs => last.away) - $1::interval RETURNING id),
            expired AS (
                UPDATE worker_session SET ended_at = clock_timestamp(), end_reason = 'lease' FROM last
                WHERE last.away <= 3 AND ended_at IS NULL AND lease_until < clock_timestamp() RETURNING id, worker),
            noted AS (INSERT INTO ledger (job, kind, payload) SELECT 0, 'worker-lost', jsonb_build_object('worker', worker, 'session', id) FROM expired)
            SELECT away, (SELECT count(*) FROM extended) FROM last
            """);
        command.Parameters.AddWithValue(lease.Value.Duration);
        await using var reader = await command.ExecuteReaderAsync(ct);
        if (await reader.ReadAsync(ct) && reader.GetDouble(0) > 3 && reader.GetInt64(1) > 0) EngineLog.LeasesExtended(logger, reader.GetDouble(0));
    }

    private async Task<int> GiveBackAsync(CancellationToken ct)
    {
        // Idempotent: any row whose session has ended, also one claimed in the moment its session was swept.
        await using var command = database.CreateCommand("""
            SELECT l.task_id, l.token, s.id, s.worker, s.end_reason = 'closed' FROM live l JOIN worker_session s ON s.id = l.session_id
            WHERE s.ended_at IS NOT NULL AND NOT EXISTS (SELECT FROM task t WHERE t.id = l.task_id AND t.winner = l.token) ORDER BY l.task_id LIMIT 500
            """);
        var found = new List<(Ending Ending, long Session, string Worker, bool Closed)>();
        await using (var reader = await command.ExecuteReaderAsync(ct))
        {
            while (await reader.ReadAsync(ct))
            {
                var closed = reader.GetBoolean(4);
                var worker = reader.GetString(3);
                var error = closed ? new AttemptError("worker-stopped", $"Worker {worker} was stopped; the task runs elsewhere.")
                    : new AttemptError("worker-lost", $"The lease of worker {worker} ran out; the task runs elsewhere.");
                found.Add((new(reader.GetInt64(0), reader.GetGuid(1), closed ? AttemptOutcome.Interrupted : AttemptOutcome.Lost, error, null, null, 0, 0, null, null, Reported: false),
                    reader.GetInt64(2), worker, closed));
            }
        }

        if (found.Count == 0) return 0;
        var ended = await endings.EndAsync([.. found.Select(f => f.Ending)], ct);
        foreach (var group in found.Where(f => !f.Closed && ended.Contains(f.Ending.Token)).GroupBy(f => (f.Session, f.Worker)))
        {
            meter.Lost(group.Count());
            EngineLog.LeaseLost(logger, group.Key.Worker, group.Key.Session, group.Count());
        }

        // Rows another call holds are left to it: not a reason to look again at once.
        return ended.Count == 0 ? 0 : found.Count;
    }

    /// <summary>A backstop behind the agents' own timers: attempts well past their job's time are told to stop.</summary>
    public async Task TimeOutAsync(CancellationToken ct)
    {
        await using var command = database.CreateCommand("""
            UPDATE live l SET stop = $1 FROM job j
            WHERE l.session_id IS NOT NULL AND l.stop = 0 AND j.number = l.task_id >> 20 AND j.timeout_seconds IS NOT NULL
              AND l.leased_at < clock_timestamp() - make_interval(secs => j.timeout_seconds + 30)
            """);
        command.Parameters.AddWithValue(StopOrders.Stored(StopReason.TimedOut));
        if (await command.ExecuteNonQueryAsync(ct) > 0) wakeups.Orders();
    }
}
