using System.Net;
using System.Text.Json.Nodes;
using JobHub.Engine.Protocol;
using JobHub.Testing;

namespace JobHub.Api.Tests.Projects;

/// <summary>A hub of their own for the tests that run analyses: their tasks wait for any worker.</summary>
[CollectionDefinition(Name)]
public sealed class AnalysisCollection : ICollectionFixture<HubFixture>
{
    public const string Name = "analyses";
}

/// <summary>Projects and datasets made first, and the calls of their analyses.</summary>
internal sealed class AnalysisCalls(HubHost hub) : IDisposable
{
    public const string Profiles = "ST\ta\tb\tc\n1\t1\t1\t1\n2\t1\t1\t2\n3\t1\t2\t2\n4\t9\t9\t9\n";

    public HttpClient Client { get; } = hub.NewClient(HubHost.AdminToken);

    public async Task<string> ProjectAsync(string visibility = "private") =>
        await IdAsync(await Client.PostAsync("/projects", new JsonObject { ["name"] = "Analyses", ["visibility"] = visibility, ["description"] = "", ["users"] = new JsonArray() }));

    public async Task<string> DatasetAsync(string project, string? profiles = Profiles)
    {
        var dataset = await IdAsync(await Client.PostAsync($"/projects/{project}/datasets", new JsonObject { ["description"] = "" }));
        if (profiles is null) return dataset;
        using var put = await Client.PutAsync($"/projects/{project}/datasets/{dataset}/profiles/files", new StringContent(profiles));
        Assert.True(put.IsSuccessStatusCode, await put.Content.ReadAsStringAsync());
        return dataset;
    }

    public Task<HttpResponseMessage> SubmitAsync(string project, string analysis, string algorithm, params JsonNode?[] parameters) =>
        Client.PostAsync($"/projects/{project}/jobs", new JsonObject { ["analysis"] = analysis, ["algorithm"] = algorithm, ["parameters"] = new JsonArray(parameters) });

    public async Task<(string Job, string Analysis)> SubmittedAsync(string project, string analysis, string algorithm, params JsonNode?[] parameters)
    {
        using var answer = await SubmitAsync(project, analysis, algorithm, parameters);
        var body = await answer.JsonAsync();
        Assert.True(answer.StatusCode == HttpStatusCode.Accepted, body.ToJsonString());
        Assert.Equal(["job_id", "analysis_id"], body.AsObject().Select(static m => m.Key));
        return ((string)body["job_id"]!, (string)body["analysis_id"]!);
    }

    /// <summary>Has a job of its own done by a worker.</summary>
    public async Task<string> MadeAsync(WorkerDouble worker, string project, string analysis, string algorithm, params JsonNode?[] parameters)
    {
        var (job, id) = await SubmittedAsync(project, analysis, algorithm, parameters);
        Assert.Equal(CompletionAnswer.Accepted, await worker.AnalyseAsync(await ClaimAsync(worker, job)));
        await EndedAsync(project, job);
        return id;
    }

    public static async Task<AttemptSpec> ClaimAsync(WorkerDouble worker, string job) =>
        (await Eventually.GetAsync(async () => (await worker.ClaimAsync(16)).SingleOrDefault(a => a.JobId.ToString() == job), static found => found is not null, "the job is given out"))!;

    public async Task<JsonNode> JobAsync(string project, string job) => (await GetAsync($"/projects/{project}/jobs/{job}"))!;

    public Task<JsonNode> EndedAsync(string project, string job) =>
        Eventually.GetAsync(() => JobAsync(project, job), static j => (bool)j["completed"]! || (bool)j["cancelled"]!, "the job has ended");

    public async Task<JsonNode> GetAsync(string path)
    {
        using var answer = await Client.GetAsync(path);
        var body = await answer.JsonAsync();
        Assert.True(answer.StatusCode == HttpStatusCode.OK, body.ToJsonString());
        return body;
    }

    public void Dispose() => Client.Dispose();

    private static async Task<string> IdAsync(HttpResponseMessage answer)
    {
        using (answer)
        {
            var body = await answer.JsonAsync();
            Assert.True(answer.StatusCode == HttpStatusCode.Created, body.ToJsonString());
            return (string)body["id"]!;
        }
    }
}
