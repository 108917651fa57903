using JobHub.Engine.Analyses;

namespace JobHub.Engine.Jobs;

/// <summary>A job that makes an analysis as the engine keeps it (job.details). What it reads stays the same whatever becomes of the dataset meanwhile.</summary>
public sealed record AnalysisDetails
{
    public required AnalysisKind Kind { get; init; }
    public required string Algorithm { get; init; }
    /// <summary>The analysis to be made; its id is reserved at submit.</summary>
    public required Guid Analysis { get; init; }
    public required Guid Dataset { get; init; }
    /// <summary>The key of the profiles object in the hub's store.</summary>
    public required string Profiles { get; init; }
    /// <summary>The inference it reads, for algorithms that read one.</summary>
    public Guid? Inference { get; init; }
    /// <summary>The key of that inference's object in the hub's store.</summary>
    public string? Edges { get; init; }
    /// <summary>The whole numbers among its parameters, in their order.</summary>
    public int[] Numbers { get; init; } = [];
}

/// <summary>The analysis of a submission: its row is stored together with the job.</summary>
/// <param name="Parameters">What the caller sent as <c>parameters[]</c>: a JSON array.</param>
public sealed record NewAnalysis(AnalysisDetails Details, string Parameters);
