namespace JobHub.Web.Client;

/// <summary>Lists of jobs: pages, counts, what is in a group.</summary>
public sealed class HubJobs(HubHttp hub)
{
    private const string List = "/hub/v1/jobs";

    /// <summary>A page of what a filter finds.</summary>
    public Task<HubPage<HubJob>> ListAsync(IReadOnlyList<(string Name, object? Value)> filter, string? after, int limit, CancellationToken ct) =>
        hub.GetAsync<HubPage<HubJob>>(HubHttp.Path(List, [.. filter, ("limit", limit), ("after", after)]), ct);

    /// <summary>How many a filter finds, by state.</summary>
    public Task<HubJobCounts> CountAsync(IEnumerable<(string Name, object? Value)> filter, CancellationToken ct) =>
        hub.GetAsync<HubJobCounts>(HubHttp.Path(List + "/counts", [.. filter.Where(static f => f.Name is not "sort")]), ct);

    /// <summary>What the tasks of what a filter finds took.</summary>
    public Task<HubJobSums> SumsAsync(IEnumerable<(string Name, object? Value)> filter, CancellationToken ct) =>
        hub.GetAsync<HubJobSums>(HubHttp.Path(List + "/sums", [.. filter.Where(static f => f.Name is not "sort")]), ct);

    /// <summary>What is in a group, oldest first.</summary>
    public Task<HubPage<HubJob>> ChildrenAsync(string group, string? after, CancellationToken ct) =>
        hub.GetAsync<HubPage<HubJob>>(HubHttp.Path(List, ("parent", group), ("sort", "number"), ("limit", 200), ("after", after)), ct);

    /// <summary>Jobs by their numbers, wherever they are.</summary>
    public Task<HubPage<HubJob>> ManyAsync(IEnumerable<long> numbers, CancellationToken ct) =>
        hub.GetAsync<HubPage<HubJob>>(HubHttp.Path(List, ("ids", string.Join(',', numbers)), ("limit", 500)), ct);

    /// <summary>Those of some jobs that a filter finds.</summary>
    public Task<HubPage<HubJob>> AmongAsync(IReadOnlyList<(string Name, object? Value)> filter, IEnumerable<string> ids, CancellationToken ct) =>
        hub.GetAsync<HubPage<HubJob>>(HubHttp.Path(List, [.. filter, ("ids", string.Join(',', ids)), ("limit", 100)]), ct);
}

/// <summary>How many jobs match, by state.</summary>
/// <param name="Exact">False: at least so many.</param>
public sealed record HubJobCounts(long Total, bool Exact, Dictionary<string, long> ByState);

/// <summary>What the ended tasks of jobs took.</summary>
/// <param name="Exact">False: at least so long.</param>
public sealed record HubJobSums(int Jobs, int Tasks, double Seconds, double? AverageSeconds, bool Exact);

/// <summary>Where a job's attempts are now.</summary>
public sealed record HubPlace(int Slots, int Workers, string? Worker);
