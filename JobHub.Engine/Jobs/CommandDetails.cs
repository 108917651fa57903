namespace JobHub.Engine.Jobs;

/// <summary>A job of plain commands as the engine keeps it (job.details): every task runs the same command line by `sh -c`.</summary>
public sealed record CommandDetails
{
    public required string Command { get; init; }
    /// <summary>Absolute. With <see cref="Tree"/> a path in the tree; else a folder of the worker, null = the scratch folder.</summary>
    public string? WorkingFolder { get; init; }
    public bool Sandbox { get; init; } = true;
    public Dictionary<string, string> Environment { get; init; } = [];
    public long MemoryLimitBytes { get; init; }
    public int Gpus { get; init; }
    public int Cpus { get; init; }
    /// <summary>A container image; only pods can run it.</summary>
    public string? Image { get; init; }
    /// <summary>The command runs in a file tree of its own, and what it changes there is kept.</summary>
    public bool Tree { get; init; }
    /// <summary>Files placed in the tree before it starts.</summary>
    public int Files { get; init; }
    /// <summary>A job of a tree: what its callers said beyond the command. <see cref="Environment"/> holds the pairs of its text.</summary>
    public TreeDetails? OfTree { get; init; }
}

/// <summary>A job of a tree as its callers wrote it.</summary>
public sealed record TreeDetails
{
    /// <summary>The folder as written; empty or `.` is the scratch folder.</summary>
    public string Dir { get; init; } = "";
    /// <summary>The environment as written: K=V a line.</summary>
    public string Environment { get; init; } = "";
    public string Url { get; init; } = "";
    /// <summary>Where progress stands in the output; empty = the default.</summary>
    public string ProgressPattern { get; init; } = "";
    /// <summary>Who is told of the end, and who the command runs as where a run-as template is set; empty = nobody in particular.</summary>
    public string User { get; init; } = "";
    /// <summary>The affinity as written.</summary>
    public string Affinity { get; init; } = "";
}
