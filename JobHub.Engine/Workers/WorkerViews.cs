namespace JobHub.Engine.Workers;

/// <summary>What a worker is doing.</summary>
public enum WorkerState
{
    /// <summary>It runs nothing, or is stopped.</summary>
    Waiting,
    /// <summary>It holds an attempt.</summary>
    Working,
    /// <summary>Not heard of for ten seconds, and no lease of its runs.</summary>
    TimedOut,
}

/// <summary>A worker as operators see it, whatever sessions it has had.</summary>
public sealed record WorkerView
{
    public required string Name { get; init; }
    public required string Ip { get; init; }
    /// <summary>Its lines, parted by newlines: what an operator set, else what it says itself.</summary>
    public required string Affinity { get; init; }
    public required WorkerState State { get; init; }
    public required DateTimeOffset SeenAt { get; init; }
    /// <summary>Runs of trees' leaves that succeeded on it, and that failed.</summary>
    public required long Succeeded { get; init; }
    public required long Failed { get; init; }
    /// <summary>The job of its latest run; 0 before the first.</summary>
    public required long LastJob { get; init; }
    /// <summary>The number of that run.</summary>
    public required long LastRun { get; init; }
    /// <summary>A list of percents as text: `[12,40]`.</summary>
    public required string Cpu { get; init; }
    /// <summary>MiB.</summary>
    public required long FreeMemory { get; init; }
    /// <summary>MiB.</summary>
    public required long TotalMemory { get; init; }
    /// <summary>False: it is given nothing.</summary>
    public required bool Active { get; init; }
    public required DateTimeOffset StartedAt { get; init; }
}

/// <summary>What an operator changes of a worker; null stays as it is.</summary>
/// <param name="Affinity">Lines parted by newlines, tags by commas; empty = none.</param>
public sealed record WorkerEdit(string? Affinity, bool? Active);

/// <summary>What became of an operator's call on workers: all or none of them.</summary>
public abstract record WorkerResult
{
    private WorkerResult() { }
    public sealed record Done : WorkerResult;

    /// <summary>There is no such worker: 404.</summary>
    public sealed record NotFound(string Name) : WorkerResult;

    /// <summary>All slots for names of affinities are taken: 409.</summary>
    public sealed record SlotsFull : WorkerResult;
}

/// <summary>What an operator has set of a worker.</summary>
/// <param name="Active">It is given work: neither stopped nor draining.</param>
/// <param name="Lines">Null: what the worker itself says holds.</param>
public sealed record WorkerSettings(bool Active, string[][]? Lines)
{
    public static WorkerSettings None { get; } = new(true, null);
}
