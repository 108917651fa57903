namespace JobHub.Web.Client;

/// <summary>What can be changed of jobs of trees.</summary>
public sealed class HubTrees(HubHttp hub)
{
    private const string Jobs = "/hub/v1/trees/jobs";

    /// <summary>The values that jobs have.</summary>
    public async Task<IReadOnlyList<HubTreeJob>> GetAsync(IEnumerable<long> numbers, CancellationToken ct) => (await hub.GetAsync<Many>(HubHttp.Path(Jobs, ("ids", string.Join(',', numbers))), ct)).Items;

    /// <summary>Gives jobs the same values, all or none.</summary>
    public Task ChangeAsync(HubTreeChange change, CancellationToken ct) => hub.DoAsync(HttpMethod.Post, Jobs, change, ct);

    /// <summary>The slots of affinity that have names, by their numbers.</summary>
    public Task<HubSlots> SlotsAsync(CancellationToken ct) => hub.GetAsync<HubSlots>("/hub/v1/trees/affinities", ct);

    /// <summary>Names slots, all or none; an empty name frees one.</summary>
    public Task NameSlotsAsync(IReadOnlyDictionary<int, string> names, CancellationToken ct) => hub.DoAsync(HttpMethod.Post, "/hub/v1/trees/affinities", new { names }, ct);

    private sealed record Many(IReadOnlyList<HubTreeJob> Items);
}

/// <summary>The values of a job of a tree that can be changed.</summary>
public sealed record HubTreeJob(string Id, long Number, long Parent, bool IsGroup, string Title, int Priority, string Affinity, int Retry, int TimeoutSeconds, IReadOnlyList<long> Dependencies);

/// <summary>The slots that have names, and how many slots there are.</summary>
public sealed record HubSlots(int Slots, Dictionary<int, string> Names);

/// <summary>What changes; null stays as it is.</summary>
public sealed record HubTreeChange(IReadOnlyList<long> Jobs)
{
    public string? Title { get; init; }
    public int? Priority { get; init; }
    public IReadOnlyList<string>? AddAffinity { get; init; }
    public IReadOnlyList<string>? RemoveAffinity { get; init; }
    public int? Retry { get; init; }
    public int? TimeoutSeconds { get; init; }
    public long? Parent { get; init; }
    public IReadOnlyList<long>? AddDependencies { get; init; }
    public IReadOnlyList<long>? RemoveDependencies { get; init; }
}
