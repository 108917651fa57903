using JobHub.Engine.Tasks;

namespace JobHub.Engine.Protocol;

/// <summary>All a worker needs to run one attempt. It holds grants, never keys.</summary>
public sealed record AttemptSpec
{
    public required Guid Token { get; init; }
    public required long TaskId { get; init; }
    public required Guid JobId { get; init; }
    /// <summary>The number of this attempt, from 1, never reused.</summary>
    public required int Attempt { get; init; }
    public required TaskKind Kind { get; init; }
    /// <summary>Position within the task's kind: map 0.., partition 0.., command 0...</summary>
    public required int Index { get; init; }
    /// <summary>The task's public name: &lt;job id&gt;-m-3, -r-0, -c-0.</summary>
    public required string TaskName { get; init; }
    public double? TimeoutSeconds { get; init; }
    /// <summary>Kill above this; 0 = no limit.</summary>
    public long MemoryLimitBytes { get; init; }
    /// <summary>GPUs that are this attempt's alone while it runs.</summary>
    public int Gpus { get; init; }
    /// <summary>Cores reserved for it; 0 = none in particular.</summary>
    public int Cpus { get; init; }
    public Dictionary<string, string> Environment { get; init; } = [];
    public MapSpec? Map { get; init; }
    public ReduceSpec? Reduce { get; init; }
    public CommandSpec? Command { get; init; }
    public AnalysisSpec? Analysis { get; init; }
}

/// <summary>How a program talks: lines on pipes, or the one-line-a-process socket contract.</summary>
public enum ProgramType : short
{
    Streaming = 0, Executable = 1,
}

/// <summary>A program by content. Workers keep a cache by hash.</summary>
public sealed record ProgramSpec(string Name, ProgramType Type, long Size, string Hash, ObjectGrant Source);

/// <summary>One split of one input object.</summary>
public sealed record MapSpec
{
    public required ProgramSpec Mapper { get; init; }
    public ProgramSpec? Combiner { get; init; }
    public string[] Args { get; init; } = [];
    public required ObjectGrant Input { get; init; }
    /// <summary>The input path as the caller wrote it (of this object).</summary>
    public required string InputPath { get; init; }
    public required long ObjectSize { get; init; }
    /// <summary>The split, end exclusive. The reader skips to the first line that starts in it and reads past End to finish the last.</summary>
    public required long Start { get; init; }
    public required long End { get; init; }
    /// <summary>The object is gzip: one split, Start 0, End = compressed size.</summary>
    public bool Gzip { get; init; }
    public required int Partitions { get; init; }
    public required OutputGrant Output { get; init; }
    /// <summary>Compress shuffle blocks when a sample saves at least 30 % (object stores behind a network).</summary>
    public bool CompressShuffle { get; init; }
}

/// <summary>One partition of a job's reduce phase.</summary>
public sealed record ReduceSpec
{
    public required ProgramSpec Reducer { get; init; }
    public string[] Args { get; init; } = [];
    public required int Partition { get; init; }
    public required int Maps { get; init; }
    public required OutputGrant Output { get; init; }
}

/// <summary>An analysis of a dataset. The objects are those of <see cref="Analyses.AnalysisFiles"/>.</summary>
/// <param name="Numbers">The whole numbers among its parameters, in their order.</param>
/// <param name="Profiles">The dataset as it was when the job was submitted.</param>
/// <param name="Edges">The inference, for algorithms that read one.</param>
public sealed record AnalysisSpec(Analyses.AnalysisKind Kind, string Algorithm, int[] Numbers, ObjectGrant Profiles, ObjectGrant? Edges, OutputGrant Output);

/// <summary>A command run by `sh -c`.</summary>
/// <param name="WorkingFolder">Absolute. With a tree: a path in it. Without: a folder of the worker; null = the scratch folder.</param>
/// <param name="Tree">The command's own file tree; null for commands that see the worker's file system.</param>
/// <param name="Leaf">It is a leaf of a tree of jobs: the worker's own view of the machine, `$(NAME)` replaced, progress read from its output.</param>
public sealed record CommandSpec(string Command, string? WorkingFolder, bool Sandbox, TreeSpec? Tree = null, LeafSpec? Leaf = null);

/// <summary>What the command of a tree's leaf needs beyond the command.</summary>
/// <param name="Dir">The folder as written; empty or `.` is the scratch folder. `$(NAME)` is not replaced yet.</param>
/// <param name="User">For a run-as template; empty = none.</param>
/// <param name="ProgressPattern">Where progress stands in the output; empty = the default.</param>
public sealed record LeafSpec(string Dir, string User, string ProgressPattern);

/// <summary>A command's own files: what is placed before it starts, and how much of what it changes is kept.</summary>
/// <param name="Files">How many files to place; pages of GET .../attempts/{token}/files.</param>
/// <param name="MaxBytes">Files made or changed by the command are kept up to this many bytes together,</param>
/// <param name="MaxFiles">and up to this many files; each by PUT .../attempts/{token}/files?path=&amp;executable=.</param>
public sealed record TreeSpec(int Files, long MaxBytes, int MaxFiles);

/// <summary>GET .../attempts/{token}/files?after=&amp;limit=: files to place, by path. Next is null at the end.</summary>
public sealed record FilePage(TreeFile[] Files, string? Next);

/// <summary>One file of a command's tree.</summary>
/// <param name="Path">Absolute within the tree, normalized: no empty, <c>.</c> or <c>..</c> parts.</param>
public sealed record TreeFile(string Path, long Size, bool Executable, ObjectGrant Source);

/// <summary>
/// The right to read one object: a path on a shared folder, or a URL. A relative URL is the hub's own and takes the worker's bearer token; an absolute one is presigned and takes none.
/// Ask again with GET .../attempts/{token} (the same spec with fresh grants) when a URL answers 403.
/// </summary>
public sealed record ObjectGrant(string? Path, string? Url);

/// <summary>
/// The right to write one object for one attempt.
/// Path: write that (new, attempt-named) file on the shared folder. Otherwise open uploads at UploadUrl (POST → <see cref="UploadOpened"/>) when given,
/// else PUT the whole stream to PutUrl, which answers the <see cref="PendingOutput"/>.
/// </summary>
/// <param name="Durable">fsync before reporting (not for shuffle data).</param>
public sealed record OutputGrant(string? Path, string? UploadUrl, string? PutUrl, bool Durable);

/// <summary>An open multipart upload. Parts are PUT to presigned URLs; more come from POST UploadUrl/parts {uploadId, from, count} → string[].</summary>
public sealed record UploadOpened(string UploadId, long PartSize, string[] PartUrls);

/// <summary>Asks for presigned URLs of parts [From, From+Count), counted from 1.</summary>
public sealed record PartUrlsRequest(string UploadId, int From, int Count);

/// <summary>Bytes written and not yet visible under their final name: a temporary path, or an upload with its parts.</summary>
/// <param name="Sha256">Lower-case hex of the bytes; null for shuffle data, which has a CRC a block.</param>
public sealed record PendingOutput(long Size, string? Sha256, string? Path, string? UploadId, string[]? PartETags);
