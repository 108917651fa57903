namespace JobHub.Api.Features.Hub;

/// <summary>POST /hub/v1/webhooks. Everything is optional for the reader, so that an absent field is named by the validation.</summary>
public sealed record CreateWebhook
{
    /// <summary>http(s) address of the receiver.</summary>
    public string? Url { get; init; }
    /// <summary>Only jobs of this project; absent: of all.</summary>
    public string? Project { get; init; }
    /// <summary><c>final</c> (default) or <c>all</c>.</summary>
    public string? Events { get; init; }
    /// <summary>16 to 256 characters; absent: one is made.</summary>
    public string? Secret { get; init; }
}

/// <summary>PATCH /hub/v1/webhooks/{id}.</summary>
public sealed record ChangeWebhook
{
    public bool? Enabled { get; init; }
}

/// <summary>A webhook. <paramref name="Pending"/> and <paramref name="Dead"/> are counted up to 10 000.</summary>
/// <param name="Secret">Only in the answer that made it.</param>
public sealed record HubWebhook(
    string Id, string Url, string? Project, string Events, bool Enabled, string? DisabledReason, DateTimeOffset CreatedAt, int Pending, int Dead, string? Secret = null);

/// <summary>All webhooks.</summary>
public sealed record HubWebhookList(IReadOnlyList<HubWebhook> Items);

/// <summary>A message to a webhook. <paramref name="Event"/>: job-queued, job-running, job-ended or ping; <paramref name="State"/>: pending, delivered or dead.</summary>
/// <param name="DueAt">When a pending one is tried next.</param>
/// <param name="Body">What is sent; only of one delivery, not in lists.</param>
public sealed record HubDelivery(
    string Id, string Event, string? JobId, string State, int Attempts, DateTimeOffset CreatedAt, DateTimeOffset? TriedAt, DateTimeOffset? DueAt, DateTimeOffset? EndedAt,
    int? LastStatus, string? LastError, string? Body);

/// <summary>A page of deliveries; <paramref name="Next"/> is the next page's <c>after</c>, absent on the last.</summary>
public sealed record HubDeliveryPage(IReadOnlyList<HubDelivery> Items, string? Next);

/// <summary>A delivery is on its way.</summary>
public sealed record HubDeliveryAccepted(string Id);
