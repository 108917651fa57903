using System.Runtime.CompilerServices;
using System.Security.Cryptography;
using System.Text.Json;
using JobHub.Engine.Events;
using JobHub.Engine.Secrets;
using JobHub.Engine.Upkeep;
using Microsoft.Extensions.Options;
using Npgsql;
using NpgsqlTypes;

namespace JobHub.Engine.Webhooks;

/// <summary>Webhooks and their deliveries as their owners see them. Sending is <see cref="WebhookQueue"/>'s.</summary>
public sealed class WebhookStore(NpgsqlDataSource database, SecretBox secrets, Wakeups wakeups, IOptions<WebhookOptions> options)
{
    private const int Chunk = 2000;

    private const string Columns = """
        SELECT w.id, w.project, w.url, w.filter, w.enabled, w.disabled_reason, w.created_at,
               (SELECT count(*)::int FROM (SELECT FROM webhook_delivery d WHERE d.webhook = w.id AND d.state = 0 LIMIT 10000) p),
               (SELECT count(*)::int FROM (SELECT FROM webhook_delivery d WHERE d.webhook = w.id AND d.state = 2 LIMIT 10000) p)
        FROM webhook w
        """;

    /// <summary>The row id a webhook's secret is bound to.</summary>
    public static string SecretId(Guid webhook) => $"webhook/{webhook:D}";

    /// <summary>A new webhook; events from now on are its. Null when there are as many as there may be.</summary>
    /// <param name="secret">Null: one is made, of 32 random bytes.</param>
    /// <returns>The webhook, and its secret: it is never shown again.</returns>
    public async Task<(Webhook Webhook, string Secret)?> CreateAsync(string url, string? project, WebhookFilter filter, string? secret, CancellationToken ct)
    {
        var id = Guid.CreateVersion7();
        secret ??= Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(32));
        await using var command = database.CreateCommand("""
            INSERT INTO webhook (id, project, url, secret, filter, after_position)
            SELECT $1, $2, $3, $4, $5, relay.position FROM relay WHERE (SELECT count(*) FROM webhook) < $6 RETURNING created_at
            """);
        command.Parameters.AddWithValue(id);
        command.Parameters.Add(Text(project));
        command.Parameters.AddWithValue(url);
        command.Parameters.AddWithValue(secrets.Seal(secret, SecretId(id)));
        command.Parameters.AddWithValue((short)filter);
        command.Parameters.AddWithValue(options.Value.Most);
        await using var reader = await command.ExecuteReaderAsync(ct);
        if (!await reader.ReadAsync(ct)) return null;
        return (new(id, project, url, filter, true, null, reader.GetFieldValue<DateTimeOffset>(0), 0, 0), secret);
    }

    /// <summary>All webhooks, oldest first; bounded by their number.</summary>
    public async Task<IReadOnlyList<Webhook>> ListAsync(CancellationToken ct)
    {
        await using var command = database.CreateCommand(Columns + " ORDER BY w.id");
        await using var reader = await command.ExecuteReaderAsync(ct);
        var all = new List<Webhook>();
        while (await reader.ReadAsync(ct)) all.Add(Read(reader));
        return all;
    }

    /// <summary>One webhook, or null.</summary>
    public async Task<Webhook?> GetAsync(Guid id, CancellationToken ct)
    {
        await using var command = database.CreateCommand(Columns + " WHERE w.id = $1");
        command.Parameters.AddWithValue(id);
        await using var reader = await command.ExecuteReaderAsync(ct);
        return await reader.ReadAsync(ct) ? Read(reader) : null;
    }

    /// <summary>Switches a webhook on or off. Off: what is pending waits, and what happens meanwhile is not its. False when there is none.</summary>
    public async Task<bool> EnableAsync(Guid id, bool enabled, CancellationToken ct)
    {
        await using var command = database.CreateCommand("""
            UPDATE webhook SET enabled = $2, disabled_reason = NULL, after_position = CASE WHEN $2 AND NOT enabled THEN relay.position ELSE after_position END FROM relay WHERE id = $1
            """);
        command.Parameters.AddWithValue(id);
        command.Parameters.AddWithValue(enabled);
        if (await command.ExecuteNonQueryAsync(ct) == 0) return false;
        wakeups.Events();
        return true;
    }

    /// <summary>Removes a webhook with its deliveries. False when there is none.</summary>
    public async Task<bool> DeleteAsync(Guid id, CancellationToken ct)
    {
        // Off first, and its deliveries in chunks: no statement holds a snapshot for long.
        if (!await EnableAsync(id, false, ct)) return false;
        int removed;
        do
        {
            await using var some = database.CreateCommand("DELETE FROM webhook_delivery WHERE id = ANY (ARRAY (SELECT id FROM webhook_delivery WHERE webhook = $1 LIMIT $2))");
            some.Parameters.AddWithValue(id);
            some.Parameters.AddWithValue(Chunk);
            removed = await some.ExecuteNonQueryAsync(ct);
        }
        while (removed == Chunk);
        await using var command = database.CreateCommand("DELETE FROM webhook WHERE id = $1");
        command.Parameters.AddWithValue(id);
        return await command.ExecuteNonQueryAsync(ct) > 0;
    }

    /// <summary>A delivery that says nothing but that the webhook works. Null when there is no such webhook.</summary>
    public async Task<Guid?> PingAsync(Guid id, CancellationToken ct)
    {
        var delivery = Guid.CreateVersion7();
        await using var command = database.CreateCommand("""
            INSERT INTO webhook_delivery (id, webhook, position, event, body, give_up_at)
            SELECT $1, w.id, relay.position, 'ping', $3, clock_timestamp() + $4 FROM webhook w, relay WHERE w.id = $2
            """);
        command.Parameters.AddWithValue(delivery);
        command.Parameters.AddWithValue(id);
        command.Parameters.AddWithValue(JsonSerializer.Serialize(new Dictionary<string, string> { ["webhook"] = id.ToString("D") }, EngineJson.Default.DictionaryStringString));
        command.Parameters.AddWithValue(options.Value.GiveUpAfter);
        if (await command.ExecuteNonQueryAsync(ct) == 0) return null;
        wakeups.Events();
        return delivery;
    }

    /// <summary>Deliveries of a webhook, newest first.</summary>
    /// <param name="after">Only older ones than this.</param>
    public async IAsyncEnumerable<WebhookDelivery> DeliveriesAsync(Guid webhook, DeliveryState? state, Guid? after, int limit, [EnumeratorCancellation] CancellationToken ct)
    {
        // The state stands in the text: each has an index of its own.
        var ofState = state is { } only ? $"AND state = {(short)only}" : "";
        await using var command = database.CreateCommand($"{DeliveryColumns}, NULL FROM webhook_delivery WHERE webhook = $1 {ofState} AND id < $2 ORDER BY id DESC LIMIT $3");
        command.Parameters.AddWithValue(webhook);
        command.Parameters.AddWithValue(after ?? Guid.AllBitsSet);
        command.Parameters.AddWithValue(limit);
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct)) yield return ReadDelivery(reader);
    }

    /// <summary>One delivery with its body, or null.</summary>
    public async Task<WebhookDelivery?> DeliveryAsync(Guid webhook, Guid delivery, CancellationToken ct)
    {
        await using var command = database.CreateCommand($"{DeliveryColumns}, body FROM webhook_delivery WHERE webhook = $1 AND id = $2");
        command.Parameters.AddWithValue(webhook);
        command.Parameters.AddWithValue(delivery);
        await using var reader = await command.ExecuteReaderAsync(ct);
        return await reader.ReadAsync(ct) ? ReadDelivery(reader) : null;
    }

    /// <summary>Sends a delivery once more, now, with all its attempts; also one that was delivered. False when there is none.</summary>
    public async Task<bool> RedeliverAsync(Guid webhook, Guid delivery, CancellationToken ct)
    {
        await using var command = database.CreateCommand("""
            UPDATE webhook_delivery SET state = 0, attempts = 0, due_at = clock_timestamp(), give_up_at = clock_timestamp() + $3, ended_at = NULL WHERE webhook = $1 AND id = $2
            """);
        command.Parameters.AddWithValue(webhook);
        command.Parameters.AddWithValue(delivery);
        command.Parameters.AddWithValue(options.Value.GiveUpAfter);
        if (await command.ExecuteNonQueryAsync(ct) == 0) return false;
        wakeups.Events();
        return true;
    }

    private const string DeliveryColumns =
        "SELECT id, event, job_name, state, attempts, created_at, tried_at, CASE WHEN state = 0 THEN due_at END, ended_at, last_status, last_error";

    private static Webhook Read(NpgsqlDataReader r) => new(
        r.GetGuid(0), r.IsDBNull(1) ? null : r.GetString(1), r.GetString(2), (WebhookFilter)r.GetInt16(3), r.GetBoolean(4), r.IsDBNull(5) ? null : r.GetString(5),
        r.GetFieldValue<DateTimeOffset>(6), r.GetInt32(7), r.GetInt32(8));

    private static WebhookDelivery ReadDelivery(NpgsqlDataReader r)
    {
        DateTimeOffset? Time(int i) => r.IsDBNull(i) ? null : r.GetFieldValue<DateTimeOffset>(i);
        return new(r.GetGuid(0), r.GetString(1), r.IsDBNull(2) ? null : r.GetString(2), (DeliveryState)r.GetInt16(3), r.GetInt32(4), r.GetFieldValue<DateTimeOffset>(5), Time(6), Time(7), Time(8),
            r.IsDBNull(9) ? null : r.GetInt32(9), r.IsDBNull(10) ? null : r.GetString(10), r.IsDBNull(11) ? null : r.GetString(11));
    }

    private static NpgsqlParameter Text(string? value) => new() { Value = (object?)value ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Text };
}
