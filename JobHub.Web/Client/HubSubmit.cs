using System.Text.Json;
using System.Text.Json.Nodes;
using JobHub.Web.Components.Shared;

namespace JobHub.Web.Client;

/// <summary>Submissions: the families' own calls, the very ones that the page shows, and what their forms choose from.</summary>
public sealed class HubSubmit(HubHttp hub)
{
    /// <summary>Programs whose name has this in it.</summary>
    public async Task<IReadOnlyList<SubmitProgram>> ProgramsAsync(CancellationToken ct) => (await hub.GetAsync<HubPage<SubmitProgram>>("/hub/v1/artifacts?limit=500", ct)).Items;

    /// <summary>The projects the visitor may submit to.</summary>
    public async Task<IReadOnlyList<string>> ProjectsAsync(CancellationToken ct) =>
        [.. (await hub.GetAsync<HubPage<SubmitProject>>("/hub/v1/projects?limit=500", ct)).Items.Where(static p => p.MayChange).Select(static p => p.Id)];

    /// <summary>What the input of a MapReduce job comes to, in a few words.</summary>
    public async Task<string> InputAsync(string? project, JsonNode fields, CancellationToken ct)
    {
        var found = await hub.AskAsync<FoundInput>(HttpMethod.Post, HubHttp.Path("/hub/v1/submit/check", ("project", project)), fields, ct);
        return found is { Objects: { } objects, Size: { } size, Maps: { } maps } ? $"{Shown.Count(objects)} {(objects == 1 ? "object" : "objects")}, {Shown.Bytes(size)}, {Shown.Count(maps)} {(maps == 1 ? "map" : "maps")}" : "";
    }

    /// <summary>Whether a project's file space has a file or a folder.</summary>
    public async Task<bool> HasFileAsync(string? project, string path, CancellationToken ct)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(ct);
        limit.CancelAfter(TimeSpan.FromSeconds(10));
        try
        {
            using var request = new HttpRequestMessage(HttpMethod.Head, HubHttp.Path("/hub/v1/files/content", ("project", project), ("path", path)));
            using var answer = await hub.Client.SendAsync(request, limit.Token);
            if (answer.StatusCode is not System.Net.HttpStatusCode.NotFound) return true;
            return (await hub.GetAsync<HubPage<JsonElement>>(HubHttp.Path("/hub/v1/files", ("project", project), ("path", path), ("limit", 1)), ct)).Items.Count > 0;
        }
        catch (Exception e) when (e is HttpRequestException or IOException || (e is OperationCanceledException && !ct.IsCancellationRequested))
        {
            throw new HubAwayException("The API does not answer.", e);
        }
        catch (HubRefusedException refusal) when (refusal.Status == 404)
        {
            return false;
        }
    }

    /// <summary>Whether there is something below a project.</summary>
    public async Task<bool> HasAsync(string path, CancellationToken ct) => (await hub.FindAsync<object>(path, ct)) is not null;

    /// <summary>Sends it; the new job's id. A tree of jobs is its group first, then what is in it.</summary>
    public async Task<string> SubmitAsync(string method, string path, JsonNode body, JsonArray? children, CancellationToken ct)
    {
        var answer = await hub.AskAsync<JsonElement>(new HttpMethod(method), path, body, ct);
        if (answer.ValueKind is JsonValueKind.Number)
        {
            var number = answer.GetInt64();
            foreach (var child in children ?? []) child!["parent"] = number;
            if (children is { Count: > 0 }) await hub.AskAsync<JsonElement>(new HttpMethod(method), path, children, ct);
            return (await hub.GetAsync<HubPage<HubJob>>($"/hub/v1/jobs?ids={number}", ct)).Items is [var job, ..] ? job.Id : "";
        }

        foreach (var name in (string[])["id", "job_id", "jobId"])
        {
            if (answer.TryGetProperty(name, out var id)) return id.GetString() ?? "";
        }

        return "";
    }
}

public sealed record SubmitProgram(string Name, string Type, long Size, string Hash);

public sealed record SubmitProject(string Id, bool MayChange);

/// <summary>What an input comes to; absent where it takes too long to tell.</summary>
public sealed record FoundInput(int? Objects, long? Size, int? Maps);
