namespace JobHub.Web.Client;

/// <summary>One change of many jobs: what it would touch, how far it is, taking it back.</summary>
public sealed class HubBulks(HubHttp hub)
{
    private const string Bulk = "/hub/v1/bulk";

    public Task<HubBulkPreview> PreviewAsync(HubBulkRequest request, CancellationToken ct) => hub.AskAsync<HubBulkPreview>(HttpMethod.Post, Bulk + "?preview=true", request, ct);

    /// <summary>Begins it; it is carried out in the background.</summary>
    public async Task<string> BeginAsync(HubBulkRequest request, CancellationToken ct) => (await hub.AskAsync<Begun>(HttpMethod.Post, Bulk, request, ct)).Id;

    public Task<HubBulk> GetAsync(string id, CancellationToken ct) => hub.GetAsync<HubBulk>($"{Bulk}/{Uri.EscapeDataString(id)}", ct);

    /// <summary>Gives the jobs back what each had; a bulk of its own.</summary>
    public async Task<string> UndoAsync(string id, CancellationToken ct) => (await hub.AskAsync<Begun>(HttpMethod.Post, $"{Bulk}/{Uri.EscapeDataString(id)}/undo", null, ct)).Id;

    /// <summary>What was done stays done.</summary>
    public Task StopAsync(string id, CancellationToken ct) => hub.DoAsync(HttpMethod.Post, $"{Bulk}/{Uri.EscapeDataString(id)}/cancel", null, ct);

    private sealed record Begun(string Id);
}

/// <summary>What is to be done, and to which jobs: either by ids or by a filter.</summary>
public sealed record HubBulkRequest(string Action, IReadOnlyList<string>? Ids, string? Filter, int? Priority);

/// <summary>What a change would find and touch.</summary>
public sealed record HubBulkPreview(long Total, long Touched, bool Exact, Dictionary<string, long> States, int Missing);

/// <summary>How far a change of many jobs is.</summary>
public sealed record HubBulk(string Id, string Action, int? Priority, string State, long Total, long Done, long Failed, IReadOnlyList<HubBulkLeft> Left, bool CanUndo, string? UndoOf);

/// <summary>A job that was left as it was, and why.</summary>
public sealed record HubBulkLeft(string Id, string Reason, string Message);
