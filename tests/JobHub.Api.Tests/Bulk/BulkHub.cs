using System.Net;
using System.Text.Json.Nodes;
using JobHub.Engine.Protocol;
using JobHub.Testing;

namespace JobHub.Api.Tests.Bulk;

/// <summary>A hub of their own for tests that look at what waits: workers of other tests would take it.</summary>
[CollectionDefinition(Name)]
public sealed class BulkCollection : ICollectionFixture<HubFixture>
{
    public const string Name = "bulk";
}

/// <summary>What these tests say to the hub.</summary>
internal sealed class BulkHub(HubHost hub)
{
    public HttpClient Client => hub.Client;

    /// <summary>A hub whose jobs nobody else takes.</summary>
    public static async Task<(HubHost Hub, BulkHub Calls)> StartAsync(HubFixture fixture, string backoff)
    {
        var hub = await HubHost.StartAsync(fixture.Postgres, "Development", $"--JobHub:Retry:Backoff={backoff}");
        foreach (var name in (string[])["mapper.sh", "reducer.sh"])
        {
            using var answer = await hub.UploadAsync(name, "#!/bin/sh\ncat\n");
            answer.EnsureSuccessStatusCode();
        }

        return (hub, new(hub));
    }

    public async Task<string> CommandAsync(string more = "", string? project = null, HttpClient? client = null)
    {
        using var answer = await (client ?? Client).PostAsync("/jobs" + (project is null ? "" : $"?project={project}"), $"{{\"command\":\"true\"{more}}}".AsJson());
        Assert.Equal(HttpStatusCode.Created, answer.StatusCode);
        return (string)(await answer.JsonAsync())["job_id"]!;
    }

    /// <summary>A MapReduce job with as many maps as lines of a byte.</summary>
    public async Task<string> MapReduceAsync(int maps = 3, int reducers = 2)
    {
        var submission = hub.Submission(hub.WriteInput($"{Guid.NewGuid():N}.txt", new string('x', maps)));
        (submission["nReducers"], submission["splitSize"]) = (reducers, 1);
        using var answer = await Client.PostAsync("/api/v1/jobs", submission.ToJsonString().AsJson());
        Assert.True(answer.IsSuccessStatusCode, await answer.Content.ReadAsStringAsync());
        return (string)(await answer.JsonAsync())["id"]!;
    }

    public async Task<JsonNode> JobAsync(string id) => JsonNode.Parse(await Client.GetStringAsync($"/hub/v1/jobs/{id}"))!;

    public async Task<string> StateAsync(string id) => (string)(await JobAsync(id))["state"]!;

    public Task StateAsync(string id, string state) => Eventually.TrueAsync(async () => await StateAsync(id) == state, $"{id} is {state}");

    public async Task<JsonNode?> WhyAsync(string id) => JsonNode.Parse(await Client.GetStringAsync($"/hub/v1/jobs/{id}/explain"))!["waiting"];

    public async Task<string?> ReasonAsync(string id) => (string?)(await WhyAsync(id))?["reason"];

    public async Task<HttpResponseMessage> DoAsync(string id, string verb) => await Client.PostAsync($"/hub/v1/jobs/{id}/{verb}", null);

    public async Task DoneAsync(string id, string verb)
    {
        using var answer = await DoAsync(id, verb);
        Assert.Equal(HttpStatusCode.Accepted, answer.StatusCode);
    }

    public async Task<HttpResponseMessage> PatchAsync(string id, string body) => await Client.PatchAsync($"/hub/v1/jobs/{id}", body.AsJson());

    /// <summary>Starts a bulk and waits for its end.</summary>
    public async Task<JsonNode> BulkAsync(JsonObject body, HttpClient? client = null)
    {
        using var answer = await (client ?? Client).PostAsync("/hub/v1/bulk", body.ToJsonString().AsJson());
        Assert.True(answer.StatusCode == HttpStatusCode.Accepted, await answer.Content.ReadAsStringAsync());
        return await EndOfAsync((string)(await answer.JsonAsync())["id"]!, client);
    }

    public async Task<JsonNode> EndOfAsync(string bulk, HttpClient? client = null)
    {
        JsonNode? last = null;
        await Eventually.TrueAsync(async () => (string?)(last = JsonNode.Parse(await (client ?? Client).GetStringAsync($"/hub/v1/bulk/{bulk}")))!["state"] != "Running", "the bulk ends");
        return last!;
    }

    /// <summary>The attempts of one job that a worker is given; those of others are given back at its end.</summary>
    public static async Task<AttemptSpec[]> ClaimAllAsync(WorkerDouble worker, string job, int max = 100) =>
        [.. (await worker.ClaimAsync(max)).Where(a => a.JobId.ToString() == job)];
}
