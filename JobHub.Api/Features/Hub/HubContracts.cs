using System.Text.Json;

namespace JobHub.Api.Features.Hub;

/// <summary>A page of jobs; <paramref name="Next"/> is the next page's <c>after</c>, absent on the last.</summary>
public sealed record HubJobPage(IReadOnlyList<HubJob> Items, string? Next);

/// <summary>How many jobs match, by state; all states are named. Not exact: at least so many.</summary>
public sealed record HubJobCounts(long Total, bool Exact, Dictionary<string, long> ByState);

/// <summary>What the ended tasks of jobs took, those below groups too. Not exact: there is more than was added up.</summary>
public sealed record HubJobSums(int Jobs, int Tasks, double Seconds, double? AverageSeconds, bool Exact);

/// <summary>Where a job's attempts are now. <paramref name="Worker"/> is named when it is one.</summary>
public sealed record HubPlace(int Slots, int Workers, string? Worker);

/// <summary>A page of tasks.</summary>
public sealed record HubTaskPage(IReadOnlyList<HubTask> Items, string? Next);

/// <summary>A job of any family. Times are RFC 3339, UTC.</summary>
public record HubJob
{
    public required string Id { get; init; }
    public required long Number { get; init; }
    /// <summary>The caller's own id of the job (unique_id of commands).</summary>
    public string? Name { get; init; }
    /// <summary>MapReduce, Commands, Projects or Farm.</summary>
    public required string Family { get; init; }
    public string? Title { get; init; }
    public string? User { get; init; }
    public required string Project { get; init; }
    public required Dictionary<string, string> Labels { get; init; }
    public required int Priority { get; init; }
    /// <summary>Queued, Running, Paused, Canceling, Succeeded, Failed or Canceled.</summary>
    public required string State { get; init; }
    public required bool Paused { get; init; }
    /// <summary>0 to 1.</summary>
    public required double Progress { get; init; }
    public required DateTimeOffset CreatedAt { get; init; }
    public DateTimeOffset? StartedAt { get; init; }
    public DateTimeOffset? EndedAt { get; init; }
    public HubError? Error { get; init; }
    /// <summary>The group it is in.</summary>
    public string? Parent { get; init; }
    /// <summary>It holds other jobs and has no task of its own.</summary>
    public bool IsGroup { get; init; }
    /// <summary>Of a group: its direct jobs with a task, by state.</summary>
    public HubLeafCounts? Children { get; init; }
    /// <summary>Of a group: all jobs with a task below it, by state.</summary>
    public HubLeafCounts? Leaves { get; init; }
    public required HubTaskCounts Tasks { get; init; }
    public required Dictionary<string, long> Counters { get; init; }
    /// <summary>Where it runs; only in lists, absent when nothing of it does.</summary>
    public HubPlace? Place { get; init; }
    /// <summary>Why it waits; only in lists, absent when it does not.</summary>
    public HubWaiting? Waiting { get; init; }
    /// <summary>The numbers of the groups above it, the root first; only in lists that ask for it.</summary>
    public IReadOnlyList<long>? Path { get; init; }
    /// <summary>The family's own part; only of one job, not in lists.</summary>
    public JsonElement? Details { get; init; }
}

/// <summary>Tasks by state.</summary>
public sealed record HubTaskCounts(int Total, int Ready, int Blocked, int Leased, int Running, int Succeeded, int Failed, int Canceled, int Skipped);

/// <summary>A group's jobs by state; those in none of the three wait.</summary>
public sealed record HubLeafCounts(int Total, int Running, int Succeeded, int Failed);

/// <summary>Why a job, task or attempt failed.</summary>
public sealed record HubError(string Type, string Message, string? TaskId);

/// <summary>A task. <paramref name="Id"/> is its name, <c>&lt;job id&gt;-m-3</c>.</summary>
public sealed record HubTask(
    string Id, string Kind, int Index, string State, int Attempts, string? Worker, DateTimeOffset? StartedAt, DateTimeOffset? EndedAt, DateTimeOffset? NotBefore,
    HubError? Error, HubSplit? Split, double Progress);

/// <summary>What a map reads, the end exclusive.</summary>
public sealed record HubSplit(string Path, long Start, long End);

/// <summary>One run of a task; no outcome while it runs.</summary>
public sealed record HubAttempt(
    int Number, string? Worker, string? Outcome, DateTimeOffset? StartedAt, DateTimeOffset? EndedAt, int? ExitCode, int? Signal, HubError? Error,
    double? CpuSeconds, long? PeakMemoryBytes, long LogSize);

/// <summary>The answer to a cancel: accepted, under way.</summary>
public sealed record HubCancelAccepted(string Id, string State);

/// <summary>The answer to a pause, a resume or a reset: accepted; what it means for the jobs below follows.</summary>
public sealed record HubChangeAccepted(string Id);
