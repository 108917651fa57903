using JobHub.Engine.Jobs;

namespace JobHub.Engine.Trees;

/// <summary>What a caller says of a new job of a tree. One without a command is a group.</summary>
public sealed record NewTreeJob
{
    /// <summary>The group it is made in; 0 = a root.</summary>
    public long Parent { get; init; }
    public string Title { get; init; } = "";
    public string Command { get; init; } = "";
    public string Dir { get; init; } = "";
    /// <summary>K=V a line; lines end with a newline or with the two characters \n.</summary>
    public string Environment { get; init; } = "";
    public bool Paused { get; init; }
    /// <summary>How often it runs again before it has failed.</summary>
    public int Retry { get; init; }
    /// <summary>Seconds a run may take; 0 = no limit.</summary>
    public int TimeoutSeconds { get; init; } = 1000;
    /// <summary>0..255.</summary>
    public int Priority { get; init; } = 255;
    /// <summary>Tags parted by commas: all are needed.</summary>
    public string Affinity { get; init; } = "";
    public string User { get; init; } = "";
    public string Url { get; init; } = "";
    public string ProgressPattern { get; init; } = "";
    public IReadOnlyList<long> Dependencies { get; init; } = [];
}

/// <summary>What changes of a job; null stays as it is.</summary>
public sealed record TreeEdit(long Id)
{
    public string? Title { get; init; }
    public string? Command { get; init; }
    public string? Dir { get; init; }
    public string? Environment { get; init; }
    /// <summary>The flag alone: false also does not run again what has ended.</summary>
    public bool? Paused { get; init; }
    /// <summary>True: as <see cref="JobTrees.PauseAsync"/>. False: as <see cref="JobTrees.StartAsync"/>.</summary>
    public bool? Pause { get; init; }
    public int? Retry { get; init; }
    public int? TimeoutSeconds { get; init; }
    public int? Priority { get; init; }
    public string? Affinity { get; init; }
    public string? User { get; init; }
    public string? Url { get; init; }
    public string? ProgressPattern { get; init; }
    /// <summary>A move: the new group; 0 = among the roots.</summary>
    public long? Parent { get; init; }
    public IReadOnlyList<long>? Dependencies { get; init; }
    /// <summary>Added to the affinity it has, and taken from it.</summary>
    public IReadOnlyCollection<string> AddTags { get; init; } = [];
    public IReadOnlyCollection<string> DropTags { get; init; } = [];
    /// <summary>Added to what it depends on, and taken from it.</summary>
    public IReadOnlyCollection<long> AddDependencies { get; init; } = [];
    public IReadOnlyCollection<long> DropDependencies { get; init; } = [];
}

/// <summary>What became of a call on a tree.</summary>
public abstract record TreeResult
{
    private TreeResult() { }

    /// <summary>Done, or its intent is stored and upkeep does the rest.</summary>
    /// <param name="Ids">Of new jobs: their numbers, in the order of the request.</param>
    public sealed record Done(IReadOnlyList<long> Ids) : TreeResult;

    /// <summary>There is no such job: 404.</summary>
    public sealed record NotFound(string Code, string Message) : TreeResult;

    /// <summary>It cannot be: 409.</summary>
    public sealed record Conflict(string Code, string Message) : TreeResult;

    /// <summary>The Idempotency-Key was used with another body: 422.</summary>
    public sealed record KeyReused : TreeResult;
}

/// <summary>A job of a tree as readers see it, counted from one snapshot.</summary>
public sealed record TreeJobView
{
    public required JobId Id { get; init; }
    public required long Number { get; init; }
    /// <summary>0 for a root.</summary>
    public required long Parent { get; init; }
    public required string Project { get; init; }
    public required bool IsGroup { get; init; }
    public required string Title { get; init; }
    public required string Command { get; init; }
    public required string Dir { get; init; }
    public required string Environment { get; init; }
    public required string User { get; init; }
    public required string Url { get; init; }
    public required string ProgressPattern { get; init; }
    public required string Affinity { get; init; }
    /// <summary>Queued, Running, Paused, Succeeded, Failed or Canceled; a group's comes from its leaves.</summary>
    public required JobState State { get; init; }
    /// <summary>Queued, and something it depends on has not succeeded.</summary>
    public required bool Pending { get; init; }
    /// <summary>Its own flag.</summary>
    public required bool Paused { get; init; }
    /// <summary>The latest run's worker; null before the first.</summary>
    public string? Worker { get; init; }
    /// <summary>Of the latest run, or of a group's first.</summary>
    public DateTimeOffset? StartedAt { get; init; }
    /// <summary>Of the latest run; of a group: from the first start to the end, or to now.</summary>
    public TimeSpan Duration { get; init; }
    /// <summary>When the worker was last heard of for the running attempt, or the latest run's end.</summary>
    public DateTimeOffset? SeenAt { get; init; }
    /// <summary>Runs that have ended since the last reset.</summary>
    public required int Runs { get; init; }
    public required int Retry { get; init; }
    public required int TimeoutSeconds { get; init; }
    public required int Priority { get; init; }
    /// <summary>0..1; null before the first run.</summary>
    public double? Progress { get; init; }
    /// <summary>A group's direct leaves.</summary>
    public required LeafCounts Children { get; init; }
    /// <summary>All leaves below a group.</summary>
    public required LeafCounts Leaves { get; init; }
    /// <summary>Its tags and those of its groups.</summary>
    public required string[] AllTags { get; init; }
    /// <summary>Its own tags.</summary>
    public required string[] Tags { get; init; }
    /// <summary>Σ priority &lt;&lt; (56 − 8·depth) over the path.</summary>
    public required ulong PathPriority { get; init; }
    /// <summary>It or a group above is paused.</summary>
    public required bool PathPaused { get; init; }
    /// <summary>0 for a root.</summary>
    public required int Depth { get; init; }
}

/// <summary>Leaves by state; what is in none of the three waits.</summary>
public sealed record LeafCounts(int Total, int Succeeded, int Failed, int Running);

/// <summary>Filter of a list of one parent's children, in the order of their numbers.</summary>
public sealed record TreeFilter
{
    /// <summary>Only those with a greater number.</summary>
    public long After { get; init; }
    /// <summary>Null = all, streamed.</summary>
    public int? Limit { get; init; }
    /// <summary>As <see cref="TreeJobView.State"/>; Failed finds Canceled too.</summary>
    public JobState? State { get; init; }
    /// <summary>With <see cref="State"/> Queued: only those that are pending (true), or are not (false).</summary>
    public bool? Pending { get; init; }
    public string? User { get; init; }
    /// <summary>In the title.</summary>
    public string? Text { get; init; }
    public string? Project { get; init; }
    /// <summary>Only jobs of these projects; null = of all.</summary>
    public string[]? Projects { get; init; }
}

/// <summary>One job depends on another.</summary>
public sealed record TreeDependency(long Job, long Dependency);

/// <summary>Which values a list can be narrowed by.</summary>
public enum TreeField
{
    User, State, Worker, Priority, Affinity,
}
