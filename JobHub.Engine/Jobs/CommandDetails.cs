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
}
