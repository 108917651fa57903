using System.Text.Json;
using System.Text.Json.Serialization;

namespace JobHub.Api.Features.Projects;

/// <summary>POST /projects/{project}/jobs.</summary>
public sealed record NewProjectJobWire
{
    /// <summary><c>inference</c> or <c>visualization</c>.</summary>
    [JsonPropertyName("analysis")] public string? Analysis { get; init; }
    /// <summary>Its name, such as <c>goeburst</c> or <c>radial</c>.</summary>
    [JsonPropertyName("algorithm")] public string? Algorithm { get; init; }
    /// <summary>What the algorithm takes, in its order: of goeburst the dataset's id and the number of levels, of radial the dataset's and the inference's id.</summary>
    [JsonPropertyName("parameters")] public JsonElement[]? Parameters { get; init; }
    [JsonPropertyName("labels")] public Dictionary<string, string>? Labels { get; init; }
}

/// <summary>The answer to a submission: 202.</summary>
public sealed record SubmittedProjectJobWire([property: JsonPropertyName("job_id")] string JobId, [property: JsonPropertyName("analysis_id")] string AnalysisId);

/// <summary>A job of a project.</summary>
public sealed record ProjectJobWire
{
    [JsonPropertyName("id")] public required string Id { get; init; }
    /// <summary>The analysis exists.</summary>
    [JsonPropertyName("completed")] public required bool Completed { get; init; }
    /// <summary>It has ended without a result, whatever the reason.</summary>
    [JsonPropertyName("cancelled")] public required bool Cancelled { get; init; }
    /// <summary>It has ended because it failed; <c>error</c> says why.</summary>
    [JsonPropertyName("failed")] public required bool Failed { get; init; }
    [JsonPropertyName("analysis")] public required string Analysis { get; init; }
    [JsonPropertyName("algorithm")] public required string Algorithm { get; init; }
    [JsonPropertyName("analysis_id")] public required string AnalysisId { get; init; }
    /// <summary>0 to 1.</summary>
    [JsonPropertyName("progress")] public required double Progress { get; init; }
    [JsonPropertyName("created")] public required DateTimeOffset Created { get; init; }
    [JsonPropertyName("ended"), JsonIgnore(Condition = JsonIgnoreCondition.Never)] public required DateTimeOffset? Ended { get; init; }
    [JsonPropertyName("error"), JsonIgnore(Condition = JsonIgnoreCondition.Never)] public required string? Error { get; init; }
}

/// <summary>An inference or a visualization in a list.</summary>
public sealed record AnalysisWire
{
    [JsonPropertyName("id")] public required string Id { get; init; }
    [JsonPropertyName("project_id")] public required string ProjectId { get; init; }
    [JsonPropertyName("dataset_id")] public required string DatasetId { get; init; }
    /// <summary>Of a visualization.</summary>
    [JsonPropertyName("inference_id"), JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] public string? InferenceId { get; init; }
    [JsonPropertyName("algorithm")] public required string Algorithm { get; init; }
    /// <summary>As its job was given them; of an uploaded inference empty.</summary>
    [JsonPropertyName("parameters")] public required JsonElement Parameters { get; init; }
    [JsonPropertyName("created")] public required DateTimeOffset Created { get; init; }
}

/// <summary>The answer to an uploaded inference: 201.</summary>
public sealed record NewInferenceWire([property: JsonPropertyName("id")] string Id);
