using System.Text.Json;
using JobHub.Engine;
using JobHub.Engine.Artifacts;
using JobHub.Engine.Jobs;
using JobHub.Engine.MapReduce;
using JobHub.Engine.Protocol;
using JobHub.Engine.Tasks;

namespace JobHub.Api.Features.MapReduce;

/// <summary>Engine rows to this family's wire words, and its words back.</summary>
public static class MapReduceMapping
{
    public static ArtifactWire ToWire(Artifact artifact)
    {
        ArgumentNullException.ThrowIfNull(artifact);
        return new(artifact.Name, WordOf(artifact.Type), artifact.Size, artifact.Hash);
    }

    public static JobWire ToWire(JobView job)
    {
        ArgumentNullException.ThrowIfNull(job);
        return ToWire(job, SpecOf(job));
    }

    public static SubmittedJobWire ToSubmitted(JobView job)
    {
        ArgumentNullException.ThrowIfNull(job);
        var spec = SpecOf(job);
        var wire = ToWire(job, spec);
        return new SubmittedJobWire
        {
            Id = wire.Id, NReducers = wire.NReducers, OutputLocation = wire.OutputLocation, InputData = wire.InputData, StartTime = wire.StartTime, EndTime = wire.EndTime,
            Status = wire.Status, Paused = wire.Paused, Progress = wire.Progress, Error = wire.Error, Counters = wire.Counters,
            Job = wire, MProgram = ToWire(spec.Mapper), RProgram = ToWire(spec.Reducer),
        };
    }

    public static TaskWire ToWire(TaskView task, MapReduceSpec spec)
    {
        ArgumentNullException.ThrowIfNull(task);
        ArgumentNullException.ThrowIfNull(spec);
        return new TaskWire
        {
            Id = task.Name,
            Type = task.Kind == TaskKind.Map ? "mapper" : "reducer",
            Status = TextOf(StatusOf(task.State)),
            Program = ToWire(task.Kind == TaskKind.Map ? spec.Mapper : spec.Reducer),
            InputData = task.Split is { } split ? new InputWire(task.Name, split.Path, spec.InputType, split.Start, split.End) : null,
            PodName = task.Worker,
            StartTime = Milliseconds(task.StartedAt),
            EndTime = Milliseconds(task.EndedAt),
            Attempts = task.Attempts,
            Error = task.Error is { } error ? new ErrorWire(error.Type, error.Message, null) : null,
        };
    }

    /// <summary>The family's own part of a job.</summary>
    public static MapReduceSpec SpecOf(JobView job)
    {
        ArgumentNullException.ThrowIfNull(job);
        return JsonSerializer.Deserialize(job.Details, EngineJson.Default.MapReduceSpec) ?? throw new JsonException("A job without details.");
    }

    public static string WordOf(ProgramType type) => type == ProgramType.Streaming ? "streaming" : "executable";

    /// <summary>A job's status. A paused one reads as what it was before, beside <c>paused: true</c>.</summary>
    public static JobStatusWord StatusOf(JobView job)
    {
        ArgumentNullException.ThrowIfNull(job);
        return job.State switch
        {
            JobState.Queued => JobStatusWord.Scheduled,
            JobState.Running => JobStatusWord.InProgress,
            JobState.Paused => job.StartedAt is null ? JobStatusWord.Scheduled : JobStatusWord.InProgress,
            JobState.Succeeded => JobStatusWord.Completed,
            JobState.Failed => JobStatusWord.Failed,
            _ => JobStatusWord.Stopped,
        };
    }

    public static TaskStatusWord StatusOf(TaskState state) => state switch
    {
        TaskState.Blocked or TaskState.Ready => TaskStatusWord.Scheduled,
        TaskState.Leased => TaskStatusWord.Idle,
        TaskState.Running => TaskStatusWord.InProgress,
        TaskState.Succeeded => TaskStatusWord.Completed,
        TaskState.Failed => TaskStatusWord.Failed,
        _ => TaskStatusWord.Stopped,
    };

    /// <summary>The engine's states that may read as a word; a paused job needs <see cref="StatusOf(JobView)"/> as well.</summary>
    public static IReadOnlyList<JobState> StatesOf(JobStatusWord word) => word switch
    {
        JobStatusWord.Scheduled => [JobState.Queued, JobState.Paused],
        JobStatusWord.InProgress => [JobState.Running, JobState.Paused],
        JobStatusWord.Completed => [JobState.Succeeded],
        JobStatusWord.Failed => [JobState.Failed],
        _ => [JobState.Canceling, JobState.Canceled],
    };

    /// <summary>The engine's states that read as a word.</summary>
    public static IReadOnlyList<TaskState> StatesOf(TaskStatusWord word) => [.. Enum.GetValues<TaskState>().Where(state => StatusOf(state) == word)];

    /// <summary>A word as it is on the wire: <c>in-progress</c>.</summary>
    public static string TextOf<TWord>(TWord word) where TWord : struct, Enum => JsonNamingPolicy.KebabCaseLower.ConvertName(word.ToString());

    private static JobWire ToWire(JobView job, MapReduceSpec spec) => new()
    {
        Id = job.Id.ToString(),
        NReducers = spec.Reducers,
        OutputLocation = new OutputLocationWire(spec.OutputPath, spec.UseSsl),
        InputData = new InputWire(job.Id.ToString(), spec.InputPath, spec.InputType, 0, spec.InputSize),
        StartTime = job.CreatedAt.ToUnixTimeMilliseconds(),
        EndTime = Milliseconds(job.EndedAt),
        Status = TextOf(StatusOf(job)),
        Paused = job.Paused ? true : null,
        Progress = job.Progress,
        Error = job.Error is { } error ? new ErrorWire(error.Type, error.Message, error.TaskId) : null,
        Counters = job.Counters.Count > 0 ? job.Counters : null,
    };

    private static ArtifactWire ToWire(PinnedProgram program) => new(program.Name, WordOf(program.Type), program.Size, program.Hash);

    private static long? Milliseconds(DateTimeOffset? time) => time?.ToUnixTimeMilliseconds();
}
