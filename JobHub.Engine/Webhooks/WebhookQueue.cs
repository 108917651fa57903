using System.Text;
using JobHub.Engine.Events;
using Microsoft.Extensions.Options;
using Npgsql;
using NpgsqlTypes;

namespace JobHub.Engine.Webhooks;

/// <summary>The sender's side: events become deliveries, deliveries come due, outcomes are kept. All of it on the connection that holds the turn: one process at a time.</summary>
public sealed class WebhookQueue(IOptions<WebhookOptions> options)
{
    /// <summary>Of the cursor.</summary>
    public const string Cursor = "webhooks";

    // Deliveries made by one transaction, and the events that are looked at for them.
    private const int MostDeliveries = 5000, MostEvents = 500;
    private const int Chunk = 2000;

    private sealed record Listener(Guid Id, string? Project, WebhookFilter Filter, long After)
    {
        public bool Wants(OutboxMessage message) => message.Position > After && (Filter == WebhookFilter.All || message.IsFinal) && (Project is null || Project == message.Project);
    }

    /// <summary>Makes the deliveries of the next events, once: with the cursor's move in one transaction.</summary>
    /// <returns>How many events lie ahead.</returns>
    public async Task<long> FanOutAsync(CursorTurn turn, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(turn);
        // What happened before the oldest webhook that is on concerns nobody.
        var (every, count) = await SkipAsync(turn, ct);
        if (count == 0) return 0;
        var page = await Outbox.ReadAsync(turn.Connection, turn.Position, every, Math.Clamp(MostDeliveries / count, 1, MostEvents), ct);
        // After the page: who was told that a webhook is there hears of what happened since.
        var listeners = await ListenersAsync(turn, ct);
        if (!every && listeners.Exists(l => l.Filter == WebhookFilter.All)) return Math.Max(1, page.Newest - turn.Position);
        var due = (from message in page.Messages from listener in listeners where listener.Wants(message) select (listener, message)).ToArray();
        if (due.Length == 0)
        {
            if (page.Upto > turn.Position) await turn.MoveAsync(page.Upto, ct);
            return page.Newest - page.Upto;
        }

        await using var transaction = await turn.Connection.BeginTransactionAsync(ct);
        await using (var insert = new NpgsqlCommand("""
            INSERT INTO webhook_delivery (id, webhook, position, event, job, job_name, body, give_up_at)
            SELECT u.id, u.webhook, u.position, u.event, u.job, u.job_name, u.body, clock_timestamp() + $8
            FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::text[], $5::bigint[], $6::text[], $7::text[]) AS u(id, webhook, position, event, job, job_name, body)
            WHERE u.webhook IN (SELECT id FROM webhook)
            """, turn.Connection))
        {
            insert.Parameters.AddWithValue(due.Select(_ => Guid.CreateVersion7()).ToArray());
            insert.Parameters.AddWithValue(due.Select(d => d.listener.Id).ToArray());
            insert.Parameters.AddWithValue(due.Select(d => d.message.Position).ToArray());
            insert.Parameters.AddWithValue(due.Select(d => d.message.Event).ToArray());
            insert.Parameters.AddWithValue(due.Select(d => d.message.Job).ToArray());
            insert.Parameters.AddWithValue(due.Select(d => d.message.JobId).ToArray());
            insert.Parameters.AddWithValue(due.Select(d => Encoding.UTF8.GetString(d.message.Body)).ToArray());
            insert.Parameters.AddWithValue(options.Value.GiveUpAfter);
            await insert.ExecuteNonQueryAsync(ct);
        }

        await turn.MoveAsync(page.Upto, ct);
        await transaction.CommitAsync(ct);
        return page.Newest - page.Upto;
    }

    /// <summary>Who is switched on.</summary>
    public async Task<Dictionary<Guid, Receiver>> ReceiversAsync(CursorTurn turn, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(turn);
        await using var command = new NpgsqlCommand("SELECT id, url, secret FROM webhook WHERE enabled", turn.Connection);
        await using var reader = await command.ExecuteReaderAsync(ct);
        var receivers = new Dictionary<Guid, Receiver>();
        while (await reader.ReadAsync(ct)) receivers[reader.GetGuid(0)] = new(reader.GetGuid(0), new Uri(reader.GetString(1)), (byte[])reader.GetValue(2));
        return receivers;
    }

    /// <summary>Deliveries whose time has come: of each webhook at most so many, and of each job only the first that is not settled.</summary>
    /// <param name="underWay">Left out.</param>
    public async Task<List<DueDelivery>> DueAsync(CursorTurn turn, IReadOnlyList<(Guid Webhook, int Room)> rooms, Guid[] underWay, int most, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(turn);
        await using var command = new NpgsqlCommand("""
            SELECT d.id, d.webhook, d.event, d.body, d.attempts FROM unnest($1::uuid[], $2::int[]) AS w(id, room)
            CROSS JOIN LATERAL (
                SELECT p.id, p.webhook, p.event, p.body, p.attempts, p.due_at FROM webhook_delivery p
                WHERE p.webhook = w.id AND p.state = 0 AND p.due_at <= statement_timestamp() AND p.id <> ALL ($3)
                  AND NOT EXISTS (SELECT FROM webhook_delivery e WHERE e.webhook = p.webhook AND e.job = p.job AND e.state = 0 AND e.position < p.position)
                ORDER BY p.due_at, p.position LIMIT w.room) d
            ORDER BY d.due_at LIMIT $4
            """, turn.Connection);
        command.Parameters.AddWithValue(rooms.Select(r => r.Webhook).ToArray());
        command.Parameters.AddWithValue(rooms.Select(r => r.Room).ToArray());
        command.Parameters.AddWithValue(underWay);
        command.Parameters.AddWithValue(most);
        await using var reader = await command.ExecuteReaderAsync(ct);
        var due = new List<DueDelivery>();
        while (await reader.ReadAsync(ct)) due.Add(new(reader.GetGuid(0), reader.GetGuid(1), reader.GetString(2), reader.GetString(3), reader.GetInt32(4)));
        return due;
    }

    /// <summary>Keeps what attempts came to. A failed one is tried again, or is dead when its time is over.</summary>
    public async Task SettleAsync(CursorTurn turn, IReadOnlyList<DeliveryOutcome> outcomes, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(turn);
        await using var command = new NpgsqlCommand("""
            WITH said AS (
                SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::boolean[], $4::boolean[], $5::int[], $6::text[], $7::double precision[]) AS u(id, webhook, delivered, gone, status, error, wait)),
            off AS (
                UPDATE webhook w SET enabled = false, disabled_reason = 'The receiver answered 410: it wants no more messages.'
                FROM said WHERE said.gone AND w.id = said.webhook),
            -- Who waits for a failed one is not looked at before it.
            behind AS (
                UPDATE webhook_delivery n SET due_at = greatest(n.due_at, clock_timestamp() + make_interval(secs => u.wait))
                FROM said u JOIN webhook_delivery h ON h.id = u.id
                WHERE NOT u.delivered AND NOT u.gone AND clock_timestamp() + make_interval(secs => u.wait) <= h.give_up_at
                  AND n.webhook = h.webhook AND n.job = h.job AND n.state = 0 AND n.position > h.position AND n.id <> ALL ($1))
            UPDATE webhook_delivery d SET
                state = s.state, attempts = d.attempts + 1, tried_at = clock_timestamp(), last_status = u.status, last_error = u.error,
                due_at = CASE WHEN s.state = 0 THEN clock_timestamp() + make_interval(secs => u.wait) ELSE d.due_at END,
                ended_at = CASE WHEN s.state <> 0 THEN clock_timestamp() END
            FROM said u, LATERAL (SELECT d2.id, CASE WHEN u.delivered THEN 1 WHEN u.gone OR clock_timestamp() + make_interval(secs => u.wait) > d2.give_up_at THEN 2 ELSE 0 END AS state
                                  FROM webhook_delivery d2 WHERE d2.id = u.id) s
            WHERE d.id = u.id AND d.state = 0
            """, turn.Connection);
        var p = command.Parameters;
        p.AddWithValue(outcomes.Select(o => o.Id).ToArray());
        p.AddWithValue(outcomes.Select(o => o.Webhook).ToArray());
        p.AddWithValue(outcomes.Select(o => o.Delivered).ToArray());
        p.AddWithValue(outcomes.Select(o => o.Gone).ToArray());
        p.Add(new() { Value = outcomes.Select(o => o.Status).ToArray(), NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Integer });
        p.Add(new() { Value = outcomes.Select(o => o.Error).ToArray(), NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Text });
        p.AddWithValue(outcomes.Select(o => o.Wait.TotalSeconds).ToArray());
        await command.ExecuteNonQueryAsync(ct);
    }

    /// <summary>Removes a chunk of what has been settled for long enough.</summary>
    /// <returns>Whether there may be more.</returns>
    public async Task<bool> ForgetAsync(CursorTurn turn, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(turn);
        var more = false;
        foreach (var (state, kept) in new[] { (DeliveryState.Delivered, options.Value.KeepDelivered), (DeliveryState.Dead, options.Value.KeepDead) })
        {
            await using var command = new NpgsqlCommand("""
                DELETE FROM webhook_delivery WHERE id = ANY (ARRAY (
                    SELECT id FROM webhook_delivery WHERE state = $1 AND ended_at < clock_timestamp() - $2 ORDER BY ended_at LIMIT $3)) AND state = $1
                """, turn.Connection);
            command.Parameters.AddWithValue((short)state);
            command.Parameters.AddWithValue(kept);
            command.Parameters.AddWithValue(Chunk);
            more |= await command.ExecuteNonQueryAsync(ct) == Chunk;
        }

        return more;
    }

    private static async Task<(bool Every, int Count)> SkipAsync(CursorTurn turn, CancellationToken ct)
    {
        long first;
        bool every;
        int count;
        // One snapshot: a webhook that it does not show begins at the ledger's end of now or later.
        await using (var command = new NpgsqlCommand("""
            SELECT coalesce(min(after_position), (SELECT position FROM relay)), coalesce(bool_or(filter = 1), false), count(*)::int FROM webhook WHERE enabled
            """, turn.Connection))
        await using (var reader = await command.ExecuteReaderAsync(ct))
        {
            await reader.ReadAsync(ct);
            (first, every, count) = (reader.GetInt64(0), reader.GetBoolean(1), reader.GetInt32(2));
        }

        if (first > turn.Position) await turn.MoveAsync(first, ct);
        return (every, count);
    }

    private static async Task<List<Listener>> ListenersAsync(CursorTurn turn, CancellationToken ct)
    {
        await using var command = new NpgsqlCommand("SELECT id, project, filter, after_position FROM webhook WHERE enabled", turn.Connection);
        await using var reader = await command.ExecuteReaderAsync(ct);
        var listeners = new List<Listener>();
        while (await reader.ReadAsync(ct)) listeners.Add(new(reader.GetGuid(0), reader.IsDBNull(1) ? null : reader.GetString(1), (WebhookFilter)reader.GetInt16(2), reader.GetInt64(3)));
        return listeners;
    }
}
