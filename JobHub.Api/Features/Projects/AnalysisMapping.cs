using System.Text.Json;
using JobHub.Api.Http;
using JobHub.Engine.Analyses;
using JobHub.Engine.Jobs;
using JobHub.Engine.Projects;
using JobHub.ServiceDefaults;

namespace JobHub.Api.Features.Projects;

/// <summary>Analyses and their jobs in this family's words.</summary>
internal static class AnalysisMapping
{
    private const int LargestPage = 500;

    public static string WordOf(AnalysisKind kind) => kind == AnalysisKind.Inference ? "inference" : "visualization";

    public static AnalysisKind? KindOf(string? word) => word switch { "inference" => AnalysisKind.Inference, "visualization" => AnalysisKind.Visualization, _ => null };

    /// <summary>Which page, from 0, and of how many.</summary>
    public static (long Page, int Size) PageOf(HttpRequest request) =>
        (request.QueryNumber("page", 0, int.MaxValue) ?? 0, (int)(request.QueryNumber("size", 1, LargestPage) ?? LargestPage));

    public static ProjectJobWire ToWire(AnalysisJob job)
    {
        ArgumentNullException.ThrowIfNull(job);
        var failed = job.State == JobState.Failed;
        return new ProjectJobWire
        {
            Id = job.Id.ToString(), Completed = job.Made, Cancelled = job.State.IsTerminal && !job.Made, Failed = failed,
            Analysis = WordOf(job.Details.Kind), Algorithm = job.Details.Algorithm, AnalysisId = job.Details.Analysis.ToString(), Progress = Math.Round(job.Progress, 4),
            Created = job.CreatedAt, Ended = job.EndedAt, Error = failed ? job.Error?.Message ?? "The job failed." : null,
        };
    }

    public static AnalysisWire ToWire(string project, Analysis analysis)
    {
        ArgumentNullException.ThrowIfNull(analysis);
        using var parameters = JsonDocument.Parse(analysis.Parameters);
        return new AnalysisWire
        {
            Id = analysis.Id.ToString(), ProjectId = project, DatasetId = analysis.Dataset.ToString(), InferenceId = analysis.Inference?.ToString(), Algorithm = analysis.Algorithm,
            Parameters = parameters.RootElement.Clone(), Created = analysis.MadeAt,
        };
    }

    /// <summary>An id of a path. What cannot be one is looked for all the same, as one that nothing has.</summary>
    public static Guid IdOf(HttpContext context, string name) => Guid.TryParseExact(RouteText.Of(context, name), "D", out var id) ? id : Guid.Empty;

    public static RefusedException NoDataset() => new(404, "dataset-not-found", "The project has no dataset with this id.");

    public static RefusedException NoInference() => new(404, "inference-not-found", "The dataset has no inference with this id.");

    public static RefusedException NoVisualization() => new(404, "visualization-not-found", "The inference has no visualization with this id.");
}
