namespace JobHub.Web.Client;

/// <summary>Addresses that are told what happens to jobs.</summary>
public sealed class HubWebhooks(HubHttp hub)
{
    private const string All = "/hub/v1/webhooks";

    public async Task<IReadOnlyList<Webhook>> ListAsync(CancellationToken ct) => (await hub.GetAsync<WebhookList>(All, ct)).Items;

    /// <summary>A new one, with its secret this one time.</summary>
    public Task<Webhook> MakeAsync(string url, string? project, string events, CancellationToken ct) => hub.AskAsync<Webhook>(HttpMethod.Post, All, new { url, project, events }, ct);

    public Task SwitchAsync(string id, bool enabled, CancellationToken ct) => hub.DoAsync(HttpMethod.Patch, Of(id), new { enabled }, ct);

    public Task DeleteAsync(string id, CancellationToken ct) => hub.DoAsync(HttpMethod.Delete, Of(id), null, ct);

    public Task PingAsync(string id, CancellationToken ct) => hub.DoAsync(HttpMethod.Post, Of(id) + "/ping", null, ct);

    /// <summary>A page of its messages, newest first.</summary>
    public Task<HubPage<WebhookDelivery>> DeliveriesAsync(string id, string? state, string? after, CancellationToken ct) =>
        hub.GetAsync<HubPage<WebhookDelivery>>(HubHttp.Path(Of(id) + "/deliveries", ("limit", 50), ("state", state), ("after", after)), ct);

    /// <summary>One with what was sent, or null.</summary>
    public Task<WebhookDelivery?> DeliveryAsync(string id, string delivery, CancellationToken ct) => hub.FindAsync<WebhookDelivery>(DeliveryOf(id, delivery), ct);

    public Task RedeliverAsync(string id, string delivery, CancellationToken ct) => hub.DoAsync(HttpMethod.Post, DeliveryOf(id, delivery) + "/redeliver", null, ct);

    private static string Of(string id) => $"{All}/{Uri.EscapeDataString(id)}";

    private static string DeliveryOf(string id, string delivery) => $"{Of(id)}/deliveries/{Uri.EscapeDataString(delivery)}";

    private sealed record WebhookList(IReadOnlyList<Webhook> Items);
}

/// <summary>A webhook; its secret only in the answer that made it.</summary>
public sealed record Webhook(string Id, string Url, string? Project, string Events, bool Enabled, string? DisabledReason, DateTimeOffset CreatedAt, long Pending, long Dead, string? Secret);

/// <summary>A message; its body only of one.</summary>
public sealed record WebhookDelivery(
    string Id, string Event, string? JobId, string State, int Attempts, DateTimeOffset CreatedAt, DateTimeOffset? TriedAt, DateTimeOffset? DueAt, DateTimeOffset? EndedAt, int? LastStatus, string? LastError,
    string? Body);
