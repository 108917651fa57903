using JobHub.Engine.Protocol;

namespace JobHub.Engine.MapReduce;

/// <summary>A MapReduce job as the engine keeps it (job.details). Artifacts are pinned by hash.</summary>
public sealed record MapReduceSpec
{
    public required string InputPath { get; init; }
    /// <summary>file/txt or file/gzip.</summary>
    public required string InputType { get; init; }
    public required string OutputPath { get; init; }
    public bool UseSsl { get; init; }
    public required int Reducers { get; init; }
    public required long SplitSize { get; init; }
    /// <summary>Total bytes of the input.</summary>
    public required long InputSize { get; init; }
    public required int Maps { get; init; }
    public required PinnedProgram Mapper { get; init; }
    public required PinnedProgram Reducer { get; init; }
    public PinnedProgram? Combiner { get; init; }
    public string[] MapperArgs { get; init; } = [];
    public string[] ReducerArgs { get; init; } = [];
    public Dictionary<string, string> Environment { get; init; } = [];
}

/// <summary>A program as it was at submit.</summary>
public sealed record PinnedProgram(string Name, ProgramType Type, long Size, string Hash);
