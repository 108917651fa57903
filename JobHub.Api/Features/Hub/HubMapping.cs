using System.Text.Json;
using JobHub.Engine.Jobs;
using JobHub.Engine.Trees;

namespace JobHub.Api.Features.Hub;

/// <summary>Engine rows as the hub's own API shows them: the engine's own words.</summary>
public static class HubMapping
{
    public static HubJob ToWire(JobView job) => ToWire(job, null);

    public static HubJob ToDetail(JobView job)
    {
        ArgumentNullException.ThrowIfNull(job);
        using var details = JsonDocument.Parse(job.Details);
        return ToWire(job, details.RootElement.Clone());
    }

    /// <summary>What only its tree says of a job: whether a group above is paused, how far it has come; a group's state comes from what is below it.</summary>
    public static HubJob InTree(this HubJob job, TreeJobView tree, JobId? parent)
    {
        ArgumentNullException.ThrowIfNull(job);
        ArgumentNullException.ThrowIfNull(tree);
        var state = StateOf(tree);
        job = job with { Parent = parent?.ToString(), State = job.State == nameof(JobState.Canceling) ? job.State : state.ToString(), Progress = tree.Progress ?? 0 };
        return !tree.IsGroup ? job : job with
        {
            IsGroup = true, StartedAt = tree.StartedAt, EndedAt = state.IsTerminal ? job.EndedAt : null, Children = Counts(tree.Children), Leaves = Counts(tree.Leaves),
        };

        static HubLeafCounts Counts(LeafCounts counts) => new(counts.Total, counts.Running, counts.Succeeded, counts.Failed);
    }

    /// <summary>What a job of a tree reads as everywhere under /hub/v1, and what filters and counts find it by: a group, as any job, runs from its first start until the last of its jobs has ended.</summary>
    public static JobState StateOf(TreeJobView job)
    {
        ArgumentNullException.ThrowIfNull(job);
        var leaves = job.Leaves;
        if (!job.IsGroup || job.State == JobState.Paused || (leaves.Total > 0 && leaves.Succeeded + leaves.Failed >= leaves.Total)) return job.State;
        return job.StartedAt is not null || leaves.Running > 0 || leaves.Succeeded > 0 ? JobState.Running : JobState.Queued;
    }

    public static HubTask ToWire(TaskView task)
    {
        ArgumentNullException.ThrowIfNull(task);
        return new HubTask(
            task.Name, task.Kind.ToString(), task.Index, task.State.ToString(), task.Attempts, task.Worker, task.StartedAt, task.EndedAt, task.NotBefore,
            task.Error is { } error ? new HubError(error.Type, error.Message, null) : null,
            task.Split is { } split ? new HubSplit(split.Path, split.Start, split.End) : null,
            task.Progress);
    }

    public static HubAttempt ToWire(AttemptView attempt)
    {
        ArgumentNullException.ThrowIfNull(attempt);
        return new HubAttempt(
            attempt.Number, attempt.Worker, attempt.Outcome?.ToString(), attempt.StartedAt, attempt.EndedAt, attempt.ExitCode, attempt.Signal,
            attempt.Error is { } error ? new HubError(error.Type, error.Message, null) : null,
            attempt.CpuSeconds, attempt.PeakMemoryBytes, attempt.LogSize);
    }

    private static HubJob ToWire(JobView job, JsonElement? details)
    {
        ArgumentNullException.ThrowIfNull(job);
        var tasks = job.Tasks;
        return new HubJob
        {
            Id = job.Id.ToString(), Number = job.Number, Name = job.Name, Family = job.Family.ToString(), Title = job.Title, User = job.User, Project = job.Project, Labels = job.Labels,
            Priority = job.Priority, State = job.State.ToString(), Paused = job.Paused, Progress = job.Progress,
            CreatedAt = job.CreatedAt, StartedAt = job.StartedAt, EndedAt = job.EndedAt,
            Error = job.Error is { } error ? new HubError(error.Type, error.Message, error.TaskId) : null,
            Tasks = new HubTaskCounts(tasks.Total, tasks.Ready, tasks.Blocked, tasks.Leased, tasks.Running, tasks.Succeeded, tasks.Failed, tasks.Canceled, tasks.Skipped),
            Counters = job.Counters,
            Details = details,
        };
    }
}
