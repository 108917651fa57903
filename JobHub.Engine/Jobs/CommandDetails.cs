namespace JobHub.Engine.Jobs;

/// <summary>A job of plain commands as the engine keeps it (job.details): every task runs the same command line by `sh -c`.</summary>
public sealed record CommandDetails
{
    public required string Command { get; init; }
    /// <summary>Null = the attempt's scratch folder.</summary>
    public string? WorkingFolder { get; init; }
    public bool Sandbox { get; init; } = true;
    public Dictionary<string, string> Environment { get; init; } = [];
    public long MemoryLimitBytes { get; init; }
}
