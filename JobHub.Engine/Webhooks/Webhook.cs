namespace JobHub.Engine.Webhooks;

/// <summary>Which changes of jobs a webhook is told.</summary>
public enum WebhookFilter : short
{
    /// <summary>Only the change to a final state.</summary>
    Final = 0,
    /// <summary>Every change.</summary>
    All = 1,
}

/// <summary>What became of a delivery.</summary>
public enum DeliveryState : short
{
    Pending = 0, Delivered = 1,
    /// <summary>Given up; it can be sent again by hand.</summary>
    Dead = 2,
}

/// <summary>An address that is told what happens to jobs. Its secret is not in it: it is shown once.</summary>
/// <param name="Project">Null: of all projects.</param>
/// <param name="DisabledReason">Why the hub itself switched it off.</param>
public sealed record Webhook(Guid Id, string? Project, string Url, WebhookFilter Filter, bool Enabled, string? DisabledReason, DateTimeOffset CreatedAt, int Pending, int Dead);

/// <summary>One message to one webhook.</summary>
/// <param name="Event">job-queued, job-running, job-ended or ping.</param>
/// <param name="JobId">As the message names the job.</param>
/// <param name="DueAt">When it is tried next; only of a pending one.</param>
/// <param name="Body">Only where one delivery was asked for.</param>
public sealed record WebhookDelivery(
    Guid Id, string Event, string? JobId, DeliveryState State, int Attempts, DateTimeOffset CreatedAt, DateTimeOffset? TriedAt, DateTimeOffset? DueAt, DateTimeOffset? EndedAt,
    int? LastStatus, string? LastError, string? Body);

/// <summary>A delivery whose time has come, with all that sending it takes.</summary>
/// <param name="Attempts">Those made before.</param>
public sealed record DueDelivery(Guid Id, Guid Webhook, string Event, string Body, int Attempts);

/// <summary>What an attempt to deliver came to.</summary>
/// <param name="Wait">Until the next attempt, when it failed.</param>
/// <param name="Gone">The receiver wants no more of this webhook.</param>
public sealed record DeliveryOutcome(Guid Id, Guid Webhook, bool Delivered, bool Gone, int? Status, string? Error, TimeSpan Wait);

/// <summary>A webhook that is switched on, as its sender needs it.</summary>
public sealed record Receiver(Guid Id, Uri Url, byte[] SealedSecret);
