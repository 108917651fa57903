using System.Text.Json;
using System.Text.Json.Nodes;

namespace JobHub.Web.Client;

/// <summary>Submissions: the families' own calls, the very ones that the page shows, and what their forms choose from.</summary>
public sealed class HubSubmit(HubHttp hub)
{
    /// <summary>Programs whose name has this in it.</summary>
    public async Task<IReadOnlyList<SubmitProgram>> ProgramsAsync(CancellationToken ct) => (await hub.GetAsync<HubPage<SubmitProgram>>("/hub/v1/artifacts?limit=500", ct)).Items;

    /// <summary>The projects the visitor may submit to.</summary>
    public async Task<IReadOnlyList<string>> ProjectsAsync(CancellationToken ct) =>
        [.. (await hub.GetAsync<HubPage<SubmitProject>>("/hub/v1/projects?limit=500", ct)).Items.Where(static p => p.MayChange).Select(static p => p.Id)];

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
