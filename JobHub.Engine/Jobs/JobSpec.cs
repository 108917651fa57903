using JobHub.Engine.Tasks;

namespace JobHub.Engine.Jobs;

/// <summary>What every family turns its request into.</summary>
public sealed record JobSpec
{
    public JobId Id { get; init; } = JobId.New();
    public required JobFamily Family { get; init; }
    /// <summary>The caller's own id of the job, unique within the project; null = none.</summary>
    public string? Name { get; init; }
    public string Project { get; init; } = "default";
    public string? User { get; init; }
    public string? Title { get; init; }
    public Dictionary<string, string> Labels { get; init; } = [];
    /// <summary>0..255, higher first.</summary>
    public int Priority { get; init; } = 255;
    /// <summary>Attempts a task may be charged for its own failures; 1 = no retry.</summary>
    public int MaxAttempts { get; init; } = 4;
    /// <summary>Seconds an attempt may run; null = no limit.</summary>
    public double? TimeoutSeconds { get; init; }
    /// <summary>A second attempt for stragglers.</summary>
    public bool Speculative { get; init; } = true;
    /// <summary>The family's own part: JSON, kept as it is, e.g. <see cref="MapReduce.MapReduceSpec"/>.</summary>
    public required string Details { get; init; }
    /// <summary>The tasks by kind, in the order of their ids.</summary>
    public required IReadOnlyList<TaskGroup> Tasks { get; init; }
    /// <summary>What its tasks need of a worker.</summary>
    public Requirement Needs { get; init; } = Requirement.None;
    /// <summary>Map inputs, in order; each gives ceil(Size/splitSize) maps.</summary>
    public IReadOnlyList<JobInput> Inputs { get; init; } = [];
    /// <summary>Files of the job's own tree; the details say that there is one.</summary>
    public IReadOnlyList<Files.JobFile> Files { get; init; } = [];
    /// <summary>Secrets by name; stored encrypted under the job's id.</summary>
    public IReadOnlyDictionary<string, string> Secrets { get; init; } = new Dictionary<string, string>();
    /// <summary>The analysis that it makes.</summary>
    public NewAnalysis? Analysis { get; init; }
    /// <summary>Where it stands in a tree of jobs; null for a job of no tree.</summary>
    public Trees.TreePlace? Place { get; init; }
}

/// <summary>Count tasks of a kind; Blocked ones wait for the groups before them.</summary>
public sealed record TaskGroup(TaskKind Kind, int Count, bool Blocked);

/// <summary>One input object of a MapReduce job.</summary>
/// <param name="FirstTask">Index of its first map.</param>
public sealed record JobInput(string Path, long Size, string? ETag, int FirstTask);

/// <summary>What a task needs of a worker. Interned: equal requirements share one class in the queue.</summary>
public sealed record Requirement(string[] Affinity, int Gpus, int Cpus, long MemoryBytes, string? Mount)
{
    public static Requirement None { get; } = new([], 0, 0, 0, null);

    /// <summary>Some of a worker's gpus, cores or memory are kept for it while it runs.</summary>
    public bool Reserves => Gpus > 0 || Cpus > 0 || MemoryBytes > 0;

    /// <summary>What only a worker that runs containers offers.</summary>
    public const string ContainerTag = "jobhub/container";

    /// <summary>Rounds an amount of memory up to an eighth of its power of two, so that jobs that ask for nearly the same share a class.</summary>
    public static long RoundMemory(long bytes)
    {
        if (bytes <= 1 << 20) return bytes <= 0 ? 0 : 1 << 20;
        var step = 1L << Math.Max(20, 63 - System.Numerics.BitOperations.LeadingZeroCount((ulong)bytes) - 3);
        return (bytes + step - 1) / step * step;
    }
}

/// <summary>What a submission came to.</summary>
public abstract record SubmitResult
{
    private SubmitResult() { }

    /// <summary>A new job, or the one that the same Idempotency-Key made before.</summary>
    public sealed record Accepted(JobId Id, bool Replayed) : SubmitResult;

    /// <summary>The key was used with another body: 422.</summary>
    public sealed record KeyReused : SubmitResult;

    /// <summary>The project has a job of this name: 409.</summary>
    public sealed record NameTaken : SubmitResult;

    /// <summary>What it would read was deleted meanwhile: 404.</summary>
    public sealed record InputDeleted : SubmitResult;
}

/// <summary>Who submits, for idempotency and audit.</summary>
/// <param name="Caller">Stable name of the caller (user or token id; "anonymous" under the development rule).</param>
/// <param name="IdempotencyKey">The header, 1-255 characters, or null.</param>
/// <param name="BodyHash">SHA-256 of the request's body, compared on replay.</param>
/// <param name="Project">A key means one submission to one project.</param>
public sealed record Submission(string Caller, string? IdempotencyKey, byte[]? BodyHash, string Project = "default")
{
    /// <summary>What the key is unique within.</summary>
    internal string KeyOwner => Project == "default" ? Caller : $"{Caller}\n{Project}";
}

/// <summary>What a cancel came to.</summary>
public abstract record CancelResult
{
    private CancelResult() { }
    public sealed record Accepted : CancelResult;
    public sealed record NotFound : CancelResult;
    public sealed record AlreadyFinished(JobState State) : CancelResult;
}
