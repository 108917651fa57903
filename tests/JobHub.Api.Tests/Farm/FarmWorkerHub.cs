using System.Net;
using System.Text.Json.Nodes;
using JobHub.Testing;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;

namespace JobHub.Api.Tests.Farm;

/// <summary>A hub whose farm belongs to the tests of one class.</summary>
public sealed class FarmWorkerHub : IAsyncLifetime
{
    public PostgresServer Postgres { get; private set; } = null!;

    public HubHost Hub { get; private set; } = null!;

    public async Task InitializeAsync()
    {
        Postgres = await PostgresServer.StartAsync();
        Hub = await HubHost.StartAsync(Postgres);
    }

    public async Task DisposeAsync()
    {
        await Hub.DisposeAsync();
        await Postgres.DisposeAsync();
    }

    /// <summary>Removes every job and worker.</summary>
    public async Task ClearAsync()
    {
        var jobs = (await GetAsync("/api/jobs")).AsArray().Select(j => (long)j!["id"]!).ToArray();
        await CallAsync(HttpMethod.Delete, "/api/jobs", new JsonArray([.. jobs.Select(j => JsonValue.Create(j))]));
        var workers = (await GetAsync("/api/workers")).AsArray().Select(w => (string)w!["name"]!).ToArray();
        await CallAsync(HttpMethod.Delete, "/api/workers", new JsonArray([.. workers.Select(w => JsonValue.Create(w))]));
    }

    public async Task<JsonNode> GetAsync(string path) => JsonNode.Parse(await Hub.Client.GetStringAsync(path))!;

    public Task<JsonNode> JobAsync(long id) => GetAsync($"/api/jobs/{id}");

    public async Task<JsonNode> WorkerAsync(string name) => (await GetAsync("/api/workers")).AsArray().Single(w => (string)w!["name"]! == name)!;

    public async Task<JsonArray> EventsAsync(string query = "") => (await GetAsync("/api/events" + query)).AsArray();

    /// <summary>Makes a job and answers its id.</summary>
    public async Task<long> MakeAsync(JsonObject job) => (long)JsonNode.Parse(await CallAsync(HttpMethod.Put, "/api/jobs", job))!;

    /// <summary>Makes a job with a command.</summary>
    public Task<long> MakeAsync(string command = "true") => MakeAsync(new JsonObject { ["title"] = "job", ["command"] = command });

    /// <summary>A write that goes well.</summary>
    public async Task<string> CallAsync(HttpMethod method, string path, JsonNode body)
    {
        using var answer = await SendAsync(method, path, body.ToJsonString());
        var text = await answer.Content.ReadAsStringAsync();
        Assert.True(answer.StatusCode == HttpStatusCode.OK, text);
        return text;
    }

    public Task<HttpResponseMessage> SendAsync(HttpMethod method, string path, string body) =>
        Hub.Client.SendAsync(new HttpRequestMessage(method, path) { Content = body.AsJson() });

    public FarmWorkerDouble Worker(string? name = null) => new(Hub.Address, name ?? "node-" + Guid.NewGuid().ToString("N")[..8]);

    public async Task RunSqlAsync(string sql)
    {
        await using var command = Hub.Services.GetRequiredService<NpgsqlDataSource>().CreateCommand(sql);
        await command.ExecuteNonQueryAsync();
    }

    public Task<JsonNode> UntilAsync(long job, string state) => Eventually.GetAsync(() => JobAsync(job), j => (string)j["state"]! == state, $"job {job} is {state}");
}
