namespace JobHub.Api.Features.Hub;

/// <summary>Workers by name; <paramref name="Counts"/> are of all that <c>?pool=</c> and <c>?q=</c> let through, whatever their state.</summary>
/// <param name="More">There are more than one answer holds: narrow it.</param>
public sealed record HubWorkerList(IReadOnlyList<HubWorker> Items, HubWorkerCounts Counts, bool More);

/// <summary>Workers by state, and what those that are connected have.</summary>
public sealed record HubWorkerCounts(int Active, int Draining, int Stopped, int Lost, int Busy, int Slots, int GpusBusy, int Gpus);

/// <summary>A worker with what its latest session says.</summary>
public record HubWorker
{
    public required string Name { get; init; }
    /// <summary>Active, Draining, Stopped or Lost.</summary>
    public required string State { get; init; }
    /// <summary>Of one that is stopped: operator, or closed when it has gone by itself.</summary>
    public string? StoppedBy { get; init; }
    /// <summary>The first tag of its first line.</summary>
    public required string Pool { get; init; }
    public required string Host { get; init; }
    public required string Address { get; init; }
    public required string Version { get; init; }
    /// <summary>How it keeps attempts apart: plain, or the sandbox's name.</summary>
    public required string Isolation { get; init; }
    /// <summary>agent, or form: one of the original farm's.</summary>
    public required string Kind { get; init; }
    public required int Busy { get; init; }
    public required int Slots { get; init; }
    public required int Cpus { get; init; }
    /// <summary>Cores in use.</summary>
    public required double Load { get; init; }
    public required long MemoryBytes { get; init; }
    public required long FreeMemoryBytes { get; init; }
    public required int Gpus { get; init; }
    public required int GpusBusy { get; init; }
    /// <summary>Lines of tags, best first.</summary>
    public required string[][] Affinity { get; init; }
    /// <summary>An operator has set the lines; else they are its own.</summary>
    public required bool AffinitySet { get; init; }
    public required string[] Mounts { get; init; }
    /// <summary>Failed attempts of the last 15 minutes.</summary>
    public required long Failures { get; init; }
    public DateTimeOffset? ConnectedAt { get; init; }
    public required DateTimeOffset LastSeen { get; init; }
    /// <summary>When its last session ended.</summary>
    public DateTimeOffset? EndedAt { get; init; }
}

/// <summary>A worker with what it runs and its sessions, newest first.</summary>
/// <param name="Hidden">Attempts of jobs that the caller may not see: counted only.</param>
/// <param name="Causes">What failed on it in the last 15 minutes, most first, of projects that the caller may see.</param>
public sealed record HubWorkerDetail(HubWorker Worker, HubRun[] Runs, int Hidden, HubCause[] Causes, HubSession[] Sessions);

/// <summary>An attempt that runs.</summary>
/// <param name="Task">The task's name.</param>
/// <param name="Second">It runs beside another attempt of a straggler.</param>
public sealed record HubRun(string Task, int Attempt, string State, string JobId, long JobNumber, string? Title, string Family, DateTimeOffset LeasedAt, double Progress, bool Second);

/// <summary>One session of a worker; <paramref name="EndReason"/> is closed, or lease when that ran out.</summary>
public sealed record HubSession(long Id, DateTimeOffset OpenedAt, DateTimeOffset? EndedAt, string? EndReason, string Version);

/// <summary>Minutes, oldest first; those without a sample are absent.</summary>
public sealed record HubWorkerMinutes(IReadOnlyList<HubWorkerMinute> Items);

/// <summary>Load in cores, free memory in bytes.</summary>
public sealed record HubWorkerMinute(DateTimeOffset At, double Load, long FreeMemoryBytes, int Busy, int Slots);

/// <summary>Lines of tags that replace a worker's, best first.</summary>
public sealed record SetAffinity(string[][]? Lines);
