using System.Text.Json.Serialization;

namespace JobHub.Api.Features.Commands;

/// <summary>POST /jobs as JSON. Everything is optional for the reader, so that each absent field is named by the validation and not by the serializer.</summary>
public sealed record SubmitCommandWire
{
    /// <summary>What <c>sh -c</c> runs, up to 131 071 bytes.</summary>
    [JsonPropertyName("command")] public string? Command { get; init; }
    /// <summary>GPUs that are the job's alone, 0 to 1024.</summary>
    [JsonPropertyName("gpus")] public int? Gpus { get; init; }
    /// <summary>The job's id here: 1 to 128 of <c>A-Z a-z 0-9 . _ ~ -</c>, once a project.</summary>
    [JsonPropertyName("unique_id")] public string? UniqueId { get; init; }
    /// <summary>A container image; the job then waits for a worker that runs containers.</summary>
    [JsonPropertyName("image")] public string? Image { get; init; }
    /// <summary>Cores kept for it, 0 to 4096.</summary>
    [JsonPropertyName("cpus")] public int? Cpus { get; init; }
    /// <summary>Memory kept for it, which it may not exceed: a number of bytes, or with <c>k M G T Ki Mi Gi Ti</c>.</summary>
    [JsonPropertyName("memory")] public string? Memory { get; init; }
    /// <summary>Seconds an attempt may run.</summary>
    [JsonPropertyName("timeout")] public double? Timeout { get; init; }
    /// <summary>0 to 255, higher first; 255 when absent.</summary>
    [JsonPropertyName("priority")] public int? Priority { get; init; }
    [JsonPropertyName("env")] public Dictionary<string, string>? Env { get; init; }
    /// <summary>Absolute; <c>/job</c> when absent.</summary>
    [JsonPropertyName("workdir")] public string? Workdir { get; init; }
    /// <summary>How often it may fail by itself, 1 to 100; 1 when absent. Lost workers do not count.</summary>
    [JsonPropertyName("max_attempts")] public int? MaxAttempts { get; init; }
    [JsonPropertyName("labels")] public Dictionary<string, string>? Labels { get; init; }
    /// <summary>What it sees besides: files and folders of the file space, and artifacts.</summary>
    [JsonPropertyName("files")] public NamedFileWire[]? Files { get; init; }
    /// <summary>The same, under the form's name for it.</summary>
    [JsonPropertyName("file[]")] public NamedFileWire[]? FileParts { get; init; }
}

/// <summary>
/// A file or folder of the file space by its path, there as here; or the current version of an artifact, at the path (in the working folder under its own name without one).
/// </summary>
public sealed record NamedFileWire
{
    [JsonPropertyName("path")] public string? Path { get; init; }
    [JsonPropertyName("artifact")] public string? Artifact { get; init; }
}

/// <summary>The answer to a submission: 201.</summary>
public sealed record SubmittedCommandWire(
    [property: JsonPropertyName("job_id")] string JobId, [property: JsonPropertyName("command")] string Command, [property: JsonPropertyName("gpus")] int? Gpus = null);

/// <summary>GET /jobs. <paramref name="Count"/> = all that match, whatever the page.</summary>
public sealed record CommandListWire([property: JsonPropertyName("count")] long Count, [property: JsonPropertyName("results")] IAsyncEnumerable<CommandWire> Results);

/// <summary>A command job. Times are RFC 3339, UTC, with milliseconds.</summary>
public sealed record CommandWire
{
    [JsonPropertyName("job_id")] public required string JobId { get; init; }
    [JsonPropertyName("command")] public required string Command { get; init; }
    /// <summary>QUEUED, PENDING, RUNNING, COMPLETE or FAILED.</summary>
    [JsonPropertyName("status")] public required string Status { get; init; }
    [JsonPropertyName("gpus")] public int? Gpus { get; init; }
    [JsonPropertyName("created")] public required string Created { get; init; }
    [JsonPropertyName("started")] public string? Started { get; init; }
    [JsonPropertyName("ended")] public string? Ended { get; init; }
    /// <summary>Absent when a signal ended it, or nothing ran.</summary>
    [JsonPropertyName("exit_code")] public int? ExitCode { get; init; }
    [JsonPropertyName("worker")] public string? Worker { get; init; }
    [JsonPropertyName("error")] public CommandErrorWire? Error { get; init; }
    [JsonPropertyName("paused")] public bool? Paused { get; init; }
    /// <summary>Of one job that is QUEUED: why.</summary>
    [JsonPropertyName("waiting")] public WaitingWire? Waiting { get; init; }
}

/// <summary>Why a job FAILED. <paramref name="Type"/>: exit-code, signal, timeout, cancelled, worker-lost, out-of-memory or start-failed.</summary>
public sealed record CommandErrorWire(
    [property: JsonPropertyName("type")] string Type, [property: JsonPropertyName("message")] string Message, [property: JsonPropertyName("signal")] int? Signal = null);

/// <summary>Why a job waits, and what would change it.</summary>
public sealed record WaitingWire([property: JsonPropertyName("reason")] string Reason, [property: JsonPropertyName("message")] string Message);

/// <summary>The answer to a stop: 202.</summary>
public sealed record StoppingWire([property: JsonPropertyName("id")] string Id, [property: JsonPropertyName("message")] string Message);

/// <summary>A folder of the file space or of a job's tree: its top level.</summary>
public sealed record FolderWire([property: JsonPropertyName("path")] string Path, [property: JsonPropertyName("entries")] IAsyncEnumerable<FolderEntryWire> Entries);

/// <summary>One of a folder's files and folders. <paramref name="Type"/>: file or folder; a folder has neither size nor time.</summary>
public sealed record FolderEntryWire(
    [property: JsonPropertyName("name")] string Name, [property: JsonPropertyName("type")] string Type, [property: JsonPropertyName("size")] long? Size = null,
    [property: JsonPropertyName("modified")] string? Modified = null);

/// <summary>A file that was uploaded.</summary>
public sealed record FileWire([property: JsonPropertyName("path")] string Path, [property: JsonPropertyName("size")] long Size);
