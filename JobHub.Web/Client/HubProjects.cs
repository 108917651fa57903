using System.Text.Json;
using System.Text.Json.Serialization;

namespace JobHub.Web.Client;

/// <summary>Projects of the hub API with what is below them.</summary>
public sealed class HubProjects(HubHttp hub)
{
    private const int Page = 100;

    public Task<HubPage<HubProject>> ListAsync(string? text, string? after, CancellationToken ct) =>
        hub.GetAsync<HubPage<HubProject>>(HubHttp.Path("/hub/v1/projects", ("q", text), ("after", after), ("limit", Page)), ct);

    public Task<HubProject?> GetAsync(string id, CancellationToken ct) => hub.FindAsync<HubProject>(Of(id), ct);

    /// <summary>The new one's id.</summary>
    public async Task<string> MakeAsync(string name, string? description, bool isPublic, CancellationToken ct) =>
        (await hub.AskAsync<Made>(HttpMethod.Post, "/hub/v1/projects", new { name, description = description ?? "", visibility = isPublic ? "public" : "private" }, ct)).Id;

    public Task ChangeAsync(string id, string? name, string? description, bool? isPublic, CancellationToken ct) =>
        hub.DoAsync(HttpMethod.Put, Of(id), new { name, description, visibility = isPublic is { } open ? open ? "public" : "private" : null }, ct);

    public Task DeleteAsync(string id, CancellationToken ct) => hub.DoAsync(HttpMethod.Delete, Of(id), null, ct);

    public Task AddAsync(string id, string user, CancellationToken ct) => hub.DoAsync(HttpMethod.Put, $"{Of(id)}/users/{Uri.EscapeDataString(user)}", null, ct);

    public Task RemoveAsync(string id, string user, CancellationToken ct) => hub.DoAsync(HttpMethod.Delete, $"{Of(id)}/users/{Uri.EscapeDataString(user)}", null, ct);

    public Task<List<HubDataset>> DatasetsAsync(string id, CancellationToken ct) => hub.GetAsync<List<HubDataset>>($"{Of(id)}/datasets?size={Page}", ct);

    public Task<HubDataset?> DatasetAsync(string id, string dataset, CancellationToken ct) => hub.FindAsync<HubDataset>($"{Of(id)}/datasets/{Uri.EscapeDataString(dataset)}", ct);

    public async Task<string> MakeDatasetAsync(string id, string description, CancellationToken ct) =>
        (await hub.AskAsync<Made>(HttpMethod.Post, $"{Of(id)}/datasets", new { description }, ct)).Id;

    public Task DeleteDatasetAsync(string id, string dataset, CancellationToken ct) => hub.DoAsync(HttpMethod.Delete, $"{Of(id)}/datasets/{Uri.EscapeDataString(dataset)}", null, ct);

    public async Task<List<HubAnalysis>> InferencesAsync(string id, string dataset, CancellationToken ct) =>
        await hub.FindAsync<List<HubAnalysis>>($"{Of(id)}/datasets/{Uri.EscapeDataString(dataset)}/inferences?size={Page}", ct) ?? [];

    public async Task<List<HubAnalysis>> VisualizationsAsync(string id, string dataset, string inference, CancellationToken ct) =>
        await hub.FindAsync<List<HubAnalysis>>($"{Of(id)}/datasets/{Uri.EscapeDataString(dataset)}/inferences/{Uri.EscapeDataString(inference)}/visualizations?size={Page}", ct) ?? [];

    /// <summary>Starts an analysis; the job's id.</summary>
    public async Task<string> AnalyseAsync(string id, string analysis, string algorithm, object[] parameters, CancellationToken ct) =>
        (await hub.AskAsync<Submitted>(HttpMethod.Post, $"{Of(id)}/jobs", new { analysis, algorithm, parameters }, ct)).JobId;

    private static string Of(string id) => $"/hub/v1/projects/{Uri.EscapeDataString(id)}";

    private sealed record Made(string Id);

    private sealed record Submitted([property: JsonPropertyName("job_id")] string JobId);
}

/// <summary>A project.</summary>
public sealed record HubProject(string Id, string Name, string Description, string Visibility, DateTimeOffset CreatedAt, bool Member, bool MayChange, int Members, int Datasets,
    IReadOnlyList<string>? Users, HubProjectJobs? Jobs)
{
    public bool IsPublic => Visibility == "public";

    /// <summary>The project of whatever names none: it cannot be changed.</summary>
    public bool IsDefault => Id == "default";
}

/// <summary>Its jobs by how they stand; of many the newest alone.</summary>
public sealed record HubProjectJobs(int Open, int Succeeded, int Failed, int Canceled, bool More);

/// <summary>Typing data.</summary>
public sealed record HubDataset(string Id, string Description, DateTimeOffset Created, int Profiles, int Isolates, IReadOnlyList<string>? Loci);

/// <summary>An inference or a visualization.</summary>
public sealed record HubAnalysis(string Id, string Algorithm, JsonElement Parameters, DateTimeOffset Created);
