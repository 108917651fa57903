namespace JobHub.Engine.Jobs;

/// <summary>What a list of jobs is narrowed by, its order and its page. Everything named must hold; nothing named means all jobs.</summary>
public sealed record JobFilter
{
    public JobFamily? Family { get; init; }
    /// <summary>Any of these; null = all.</summary>
    public IReadOnlyList<JobFamily>? Families { get; init; }
    public JobState? State { get; init; }
    /// <summary>Any of these; null = all.</summary>
    public IReadOnlyList<JobState>? States { get; init; }
    /// <summary>Only jobs that have not ended, at this stage.</summary>
    public JobStage? Stage { get; init; }
    /// <summary>Only jobs that have ended (true) or have not (false).</summary>
    public bool? Ended { get; init; }
    public string? Project { get; init; }
    public string? NotProject { get; init; }
    /// <summary>Only jobs of these projects; null = of all.</summary>
    public string[]? Projects { get; init; }
    /// <summary>Only jobs of projects that nobody made: plain names, <c>default</c> among them.</summary>
    public bool OnlyUnmade { get; init; }
    public string? User { get; init; }
    public string? NotUser { get; init; }
    /// <summary>Each is somewhere in the title's first thousand characters, in any case.</summary>
    public IReadOnlyList<string> Words { get; init; } = [];
    public IReadOnlyList<string> NotWords { get; init; } = [];
    public IReadOnlyList<KeyValuePair<string, string>> Labels { get; init; } = [];
    public IReadOnlyList<KeyValuePair<string, string>> NotLabels { get; init; } = [];
    /// <summary>Only jobs of which an attempt is on this worker now; a group with all below it.</summary>
    public string? Worker { get; init; }
    public DateTimeOffset? CreatedAfter { get; init; }
    public DateTimeOffset? CreatedBefore { get; init; }
    public DateTimeOffset? EndedAfter { get; init; }
    public DateTimeOffset? EndedBefore { get; init; }
    public int? MinPriority { get; init; }
    public int? MaxPriority { get; init; }
    /// <summary>The type of the error a job failed with.</summary>
    public string? Cause { get; init; }
    /// <summary>The exit code of the attempt that a job failed with.</summary>
    public int? ExitCode { get; init; }
    /// <summary>Only these; null = all.</summary>
    public Guid[]? Ids { get; init; }
    /// <summary>Only these; null = all.</summary>
    public long[]? Numbers { get; init; }
    /// <summary>Only jobs in this group; 0 = only those in none. Null = all.</summary>
    public long? Parent { get; init; }

    public JobOrder Order { get; init; } = JobOrder.Newest;
    /// <summary>Only jobs older than this one (exclusive), newest first.</summary>
    public JobId? After { get; init; }
    /// <summary>Only jobs after this place in the order.</summary>
    public JobPlace? Place { get; init; }
    /// <summary>Null = all, streamed.</summary>
    public int? Limit { get; init; }

    /// <summary>Titles, labels and users are looked up in the index of words: they are in few jobs.</summary>
    internal bool ByWords { get; init; }

    /// <summary>Whether only project, family, state and place in a tree are asked about, which is what is counted as it changes.</summary>
    internal bool IsCounted => this with { Family = null, Families = null, State = null, States = null, Project = null, NotProject = null, Projects = null, OnlyUnmade = false, Parent = null } is
    {
        Stage: null, Ended: null, User: null, NotUser: null, Words.Count: 0, NotWords.Count: 0, Labels.Count: 0, NotLabels.Count: 0, Worker: null, CreatedAfter: null, CreatedBefore: null,
        EndedAfter: null, EndedBefore: null, MinPriority: null, MaxPriority: null, Cause: null, ExitCode: null, Ids: null, Numbers: null,
    } && Parent is null or 0;

    /// <summary>By when they were made the index has another order than by number, and one range.</summary>
    internal bool ByCreation => Order is JobOrder.Newest or JobOrder.Oldest && (CreatedAfter ?? CreatedBefore) is not null;
}

/// <summary>Orders that an index serves.</summary>
public enum JobOrder
{
    Newest, Oldest,
    /// <summary>Of jobs that have not ended.</summary>
    HighestPriority, LowestPriority,
    /// <summary>Of jobs that have ended.</summary>
    LastEnded, FirstEnded,
}

/// <summary>A place in an order: the value it goes by (a priority, or microseconds since 1970) and the job's number.</summary>
public readonly record struct JobPlace(long Value, long Number);

/// <summary>How many jobs a filter finds, by what they read as.</summary>
/// <param name="Exact">False: there are more, the count ended before.</param>
public sealed record JobCounts(long Total, bool Exact, IReadOnlyDictionary<JobState, long> ByState);

/// <summary>Where a job's attempts are now.</summary>
/// <param name="Worker">The one worker's name, or null when there are several.</param>
public sealed record JobWhere(int Slots, int Workers, string? Worker);
