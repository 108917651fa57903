namespace JobHub.Api.Features.MapReduce;

/// <summary>An uploaded program. <paramref name="Type"/>: <c>executable</c> or <c>streaming</c>; <paramref name="Hash"/>: SHA-256, hex.</summary>
public sealed record ArtifactWire(string Name, string Type, long Size, string Hash);

/// <summary>POST /api/v1/jobs. Everything is optional for the reader, so that each absent field is named by the validation and not by the serializer.</summary>
public sealed record SubmitJobWire
{
    /// <summary>1 to 10 000.</summary>
    public int? NReducers { get; init; }
    public string? InputPath { get; init; }
    /// <summary><c>file/txt</c> or <c>file/gzip</c>.</summary>
    public string? InputType { get; init; }
    public string? OutputPath { get; init; }
    /// <summary>Decides when a path has no scheme.</summary>
    public bool? UseSSL { get; init; }
    public string? MapperName { get; init; }
    public string? ReducerName { get; init; }
    public CredentialsWire? InputStorageCredentials { get; init; }
    public CredentialsWire? OutputStorageCredentials { get; init; }
    /// <summary>Bytes of one split, from 1.</summary>
    public long? SplitSize { get; init; }
    public string? CombinerName { get; init; }
    public string[]? MapperArgs { get; init; }
    public string[]? ReducerArgs { get; init; }
    public Dictionary<string, string>? Environment { get; init; }
    public string? Title { get; init; }
    /// <summary>0 to 255, higher first.</summary>
    public int? Priority { get; init; }
    public int? MaxAttempts { get; init; }
    public double? TimeoutSeconds { get; init; }
    public bool? Speculative { get; init; }
    public Dictionary<string, string>? Labels { get; init; }
}

/// <summary>A caller's own credentials for a store; absent or empty = the hub's own for its own store, else none.</summary>
public sealed record CredentialsWire
{
    public string? Username { get; init; }
    public string? Password { get; init; }
}

/// <summary>Where the result goes, as given.</summary>
public sealed record OutputLocationWire(string Location, bool UseSSL);

/// <summary>An input or a part of it, the end exclusive.</summary>
public sealed record InputWire(string Id, string Path, string Type, long SplitStart, long SplitEnd);

/// <summary>Why a job or task failed.</summary>
public sealed record ErrorWire(string Type, string Message, string? TaskId);

/// <summary>A job. Times are Unix milliseconds.</summary>
public record JobWire
{
    public required string Id { get; init; }
    public required int NReducers { get; init; }
    public required OutputLocationWire OutputLocation { get; init; }
    public required InputWire InputData { get; init; }
    /// <summary>When it was accepted.</summary>
    public required long StartTime { get; init; }
    public long? EndTime { get; init; }
    /// <summary>scheduled, in-progress, completed, failed or stopped.</summary>
    public required string Status { get; init; }
    /// <summary>True while it is paused; else left out.</summary>
    public bool? Paused { get; init; }
    /// <summary>0 to 1.</summary>
    public required double Progress { get; init; }
    public ErrorWire? Error { get; init; }
    public Dictionary<string, long>? Counters { get; init; }
}

/// <summary>The answer to a submission: the job itself, and the same once more beside its programs, as clients of the replaced system read it.</summary>
public sealed record SubmittedJobWire : JobWire
{
    public required JobWire Job { get; init; }
    public required ArtifactWire MProgram { get; init; }
    public required ArtifactWire RProgram { get; init; }
}

/// <summary>A task. Times are Unix milliseconds.</summary>
public sealed record TaskWire
{
    /// <summary><c>&lt;job id&gt;-m-&lt;i&gt;</c> or <c>-r-&lt;i&gt;</c>.</summary>
    public required string Id { get; init; }
    /// <summary>mapper or reducer.</summary>
    public required string Type { get; init; }
    /// <summary>scheduled, idle (claimed), in-progress, completed, failed or stopped.</summary>
    public required string Status { get; init; }
    public required ArtifactWire Program { get; init; }
    /// <summary>Mappers only.</summary>
    public InputWire? InputData { get; init; }
    /// <summary>The pod, or the worker's name for a local process.</summary>
    public string? PodName { get; init; }
    public long? StartTime { get; init; }
    public long? EndTime { get; init; }
    public required int Attempts { get; init; }
    public ErrorWire? Error { get; init; }
}

/// <summary>A job's status in this family's words.</summary>
public enum JobStatusWord
{
    Scheduled, InProgress, Completed, Failed, Stopped,
}

/// <summary>A task's status in this family's words.</summary>
public enum TaskStatusWord
{
    Scheduled, Idle, InProgress, Completed, Failed, Stopped,
}
