namespace JobHub.Web.Client;

/// <summary>What can be changed of jobs of trees.</summary>
public sealed class HubTrees(HubHttp hub)
{
    private const string Jobs = "/hub/v1/trees/jobs";

    /// <summary>The values that jobs have.</summary>
    public async Task<IReadOnlyList<HubTreeJob>> GetAsync(IEnumerable<long> numbers, CancellationToken ct) => (await hub.GetAsync<Many>(HubHttp.Path(Jobs, ("ids", string.Join(',', numbers))), ct)).Items;

    /// <summary>Gives jobs the same values, all or none.</summary>
    public Task ChangeAsync(HubTreeChange change, CancellationToken ct) => hub.DoAsync(HttpMethod.Post, Jobs, change, ct);

    private sealed record Many(IReadOnlyList<HubTreeJob> Items);
}

/// <summary>The values of a job of a tree that can be changed.</summary>
public sealed record HubTreeJob(string Id, long Number, long Parent, bool IsGroup, string Title, int Priority, string Affinity, int Retry, int TimeoutSeconds, IReadOnlyList<long> Dependencies);

/// <summary>What changes; null stays as it is.</summary>
public sealed record HubTreeChange(IReadOnlyList<long> Jobs)
{
    public string? Title { get; init; }
    public int? Priority { get; init; }
    public string? Affinity { get; init; }
    public int? Retry { get; init; }
    public int? TimeoutSeconds { get; init; }
    public long? Parent { get; init; }
    public IReadOnlyList<long>? Dependencies { get; init; }
}
