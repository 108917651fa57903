namespace JobHub.Api.Features.Hub;

/// <summary>A change of many jobs: of <c>ids</c>, or of what <c>filter</c> finds: a query as that of <c>GET /hub/v1/jobs</c>.</summary>
public sealed record BulkRequest
{
    /// <summary>cancel, retry, pause, resume, priority, delete or reset.</summary>
    public string? Action { get; init; }
    public string[]? Ids { get; init; }
    public string? Filter { get; init; }
    /// <summary>Of <c>priority</c>: 0 to 255.</summary>
    public int? Priority { get; init; }
}

/// <summary>What a bulk would find and touch.</summary>
/// <param name="Exact">False: there are more, the count ended before.</param>
/// <param name="Missing">Ids that are no job, or none that the caller may change.</param>
public sealed record HubBulkPreview(string Action, long Total, long Touched, bool Exact, Dictionary<string, long> States, int Missing);

/// <summary>The answer to a bulk: it is carried out in the background.</summary>
public sealed record HubBulkAccepted(string Id);

/// <summary>Bulks, newest first.</summary>
public sealed record HubBulkList(IReadOnlyList<HubBulk> Items);

/// <summary>How far a bulk is. State: Running, Done or Stopped.</summary>
/// <param name="Left">The first hundred jobs to which it could not be done, and why.</param>
/// <param name="Undo">The bulk that took it back.</param>
public sealed record HubBulk(
    string Id, string Action, int? Priority, string State, string User, long Total, long Done, long Failed, IReadOnlyList<HubBulkLeft> Left, bool CanUndo, string? UndoOf, string? Undo,
    DateTimeOffset CreatedAt, DateTimeOffset? EndedAt);

/// <summary>A job that was left as it was.</summary>
public sealed record HubBulkLeft(string Id, string Reason, string Message);
