using JobHub.Engine.Attempts;
using JobHub.Engine.Protocol;
using JobHub.Engine.Tasks;

namespace JobHub.Engine.Jobs;

/// <summary>A job as readers see it: base counters plus unfolded deltas, from one snapshot.</summary>
public sealed record JobView
{
    public required JobId Id { get; init; }
    public required long Number { get; init; }
    /// <summary>The caller's own id of the job.</summary>
    public string? Name { get; init; }
    public required JobFamily Family { get; init; }
    public required string Project { get; init; }
    public string? User { get; init; }
    public string? Title { get; init; }
    public required Dictionary<string, string> Labels { get; init; }
    public required int Priority { get; init; }
    public required JobState State { get; init; }
    public required bool Paused { get; init; }
    public required DateTimeOffset CreatedAt { get; init; }
    public DateTimeOffset? StartedAt { get; init; }
    public DateTimeOffset? EndedAt { get; init; }
    public required string Details { get; init; }
    public JobError? Error { get; init; }
    public required TaskCounts Tasks { get; init; }
    /// <summary>0..1: how far the running task says it is that says most.</summary>
    public double Reached { get; init; }
    /// <summary>0..1: ended tasks of all; of an analysis, which is one task, what that says.</summary>
    public double Progress => Tasks.Total == 0 ? (State.IsTerminal ? 1 : 0)
        : Family == JobFamily.Projects && Tasks.Succeeded == 0 ? Reached : (double)Tasks.Succeeded / Tasks.Total;
    /// <summary>Where a job that has not ended stands.</summary>
    public JobStage Stage => State == JobState.Canceling || Tasks.Running > 0 ? JobStage.Running
        : Tasks.Leased > 0 ? JobStage.Starting
        : Tasks.Ready + Tasks.Blocked > 0 ? JobStage.Waiting : JobStage.Running;

    /// <summary>Counters of winning attempts only.</summary>
    public required Dictionary<string, long> Counters { get; init; }
}

/// <summary>Which task failed the job, and why.</summary>
public sealed record JobError(string Type, string Message, string? TaskId);

/// <summary>How many tasks are in which state; Ready = Total minus all others.</summary>
public sealed record TaskCounts(int Total, int Blocked, int Leased, int Running, int Succeeded, int Failed, int Canceled, int Skipped)
{
    public int Ready => Math.Max(0, Total - Blocked - Leased - Running - Succeeded - Failed - Canceled - Skipped);
}

/// <summary>A task, ended or not.</summary>
public sealed record TaskView
{
    public required long Id { get; init; }
    public required JobId JobId { get; init; }
    public required TaskKind Kind { get; init; }
    public required int Index { get; init; }
    public required TaskState State { get; init; }
    /// <summary>The latest attempt's number; 0 before the first.</summary>
    public required int Attempts { get; init; }
    public string? Worker { get; init; }
    public DateTimeOffset? StartedAt { get; init; }
    public DateTimeOffset? EndedAt { get; init; }
    public DateTimeOffset? NotBefore { get; init; }
    public AttemptError? Error { get; init; }
    /// <summary>Maps only: which part of which input.</summary>
    public TaskSplit? Split { get; init; }
    public double Progress { get; init; }

    /// <summary>&lt;job id&gt;-m-3, -r-0, -c-0.</summary>
    public string Name => TaskName.Of(JobId, Kind, Index);
}

/// <summary>The split of a map task.</summary>
public sealed record TaskSplit(string Path, long Start, long End);

/// <summary>Task names, the only place that knows their form.</summary>
public static class TaskName
{
    public static string Of(JobId job, TaskKind kind, int index) => $"{job}-{Letter(kind)}-{index}";

    /// <summary>Reads a name back; null when it cannot be one.</summary>
    public static (JobId Job, TaskKind Kind, int Index)? TryRead(string? text)
    {
        if (text is not { Length: > 39 } || text[36] != '-' || text[38] != '-' || JobId.TryRead(text[..36]) is not { } job) return null;
        TaskKind? kind = text[37] switch { 'm' => TaskKind.Map, 'r' => TaskKind.Reduce, 'c' => TaskKind.Command, 'a' => TaskKind.Analysis, _ => null };
        return kind is { } k && int.TryParse(text.AsSpan(39), System.Globalization.NumberStyles.None, null, out var index) ? (job, k, index) : null;
    }

    private static char Letter(TaskKind kind) => kind switch { TaskKind.Map => 'm', TaskKind.Reduce => 'r', TaskKind.Command => 'c', _ => 'a' };
}

/// <summary>One attempt, running or ended.</summary>
public sealed record AttemptView
{
    public required Guid Token { get; init; }
    public required long TaskId { get; init; }
    public required int Number { get; init; }
    public required string? Worker { get; init; }
    /// <summary>Null while it runs.</summary>
    public AttemptOutcome? Outcome { get; init; }
    public DateTimeOffset? StartedAt { get; init; }
    public DateTimeOffset? EndedAt { get; init; }
    public int? ExitCode { get; init; }
    public int? Signal { get; init; }
    public AttemptError? Error { get; init; }
    public double? CpuSeconds { get; init; }
    public long? PeakMemoryBytes { get; init; }
    public long LogSize { get; init; }
}

/// <summary>How far a job that has not ended has come, as its attempts show it.</summary>
public enum JobStage
{
    /// <summary>No worker has it: it waits, or waits again for a retry.</summary>
    Waiting,
    /// <summary>A worker has claimed it and has not said that it runs.</summary>
    Starting,
    /// <summary>It runs, or is on its way to its end.</summary>
    Running,
}

/// <summary>Filter of a task list, ordered by kind and index.</summary>
public sealed record TaskFilter
{
    public TaskState? State { get; init; }
    /// <summary>One of these; empty = any.</summary>
    public IReadOnlyList<TaskState> States { get; init; } = [];
    /// <summary>Of this kind, and of it from an index to another, both in it.</summary>
    public TaskKind? Kind { get; init; }
    public int From { get; init; }
    public int To { get; init; } = int.MaxValue;
    public (TaskKind Kind, int Index)? After { get; init; }
    public int? Limit { get; init; }
}
