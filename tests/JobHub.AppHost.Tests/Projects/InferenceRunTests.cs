using System.Globalization;
using System.Net;
using System.Text;
using System.Text.Json.Nodes;
using System.Xml.Linq;
using JobHub.AppHost.Tests.Commands;
using JobHub.Testing;

namespace JobHub.AppHost.Tests.Projects;

/// <summary>Analyses from the submission to the picture, over whole hubs with real workers.</summary>
[Collection(CommandHubsCollection.Name)]
public sealed class InferenceRunTests(CommandHubs hubs)
{
    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(5);

    [Theory]
    [InlineData(CommandHubs.Sandbox)]
    [InlineData(CommandHubs.S3)]
    public async Task Seed_CallsWithIdsMadeFirst_GiveItsAnswers_AndATreeAndAPicture(string where)
    {
        var http = (await hubs.GetAsync(where)).Http;
        var (project, dataset) = await DatasetAsync(http, 1000, 7, 1);

        var submitted = await SendAsync(http, HttpMethod.Post, $"/projects/{project}/jobs?provider=google", HttpStatusCode.Accepted,
            $$"""{"analysis": "inference", "algorithm": "goeburst", "parameters": ["{{dataset}}", 3]}""");
        var (job, inference) = ((string)submitted!["job_id"]!, (string)submitted["analysis_id"]!);
        var listed = Assert.Single((await SendAsync(http, HttpMethod.Get, $"/projects/{project}/jobs?page=0&provider=google"))!.AsArray())!;
        Assert.Equal((job, false), ((string)listed["id"]!, (bool)listed["cancelled"]!));
        Assert.True((bool)(await EndAsync(http, project, job))["completed"]!);
        await SendAsync(http, HttpMethod.Delete, $"/projects/{project}/jobs/{job}?provider=google", HttpStatusCode.NoContent);
        Assert.True((bool)(await EndAsync(http, project, job))["completed"]!);

        var path = $"/projects/{project}/datasets/{dataset}/inferences/{inference}";
        var newick = await http.GetStringAsync(path + "?format=newick");
        Assert.All(newick.TrimEnd('\n').Split('\n'), static tree => Assert.EndsWith(";", tree, StringComparison.Ordinal));
        Assert.Equal(1000, newick.Split(['(', ')', ',', ';', '\n'], StringSplitOptions.RemoveEmptyEntries).Length);
        var drawn = await SendAsync(http, HttpMethod.Post, $"/projects/{project}/jobs", HttpStatusCode.Accepted,
            $$"""{"analysis": "visualization", "algorithm": "radial", "parameters": ["{{dataset}}", "{{inference}}"]}""");
        Assert.True((bool)(await EndAsync(http, project, (string)drawn!["job_id"]!))["completed"]!);
        var picture = await http.GetStringAsync($"{path}/visualizations/{drawn["analysis_id"]}.svg");
        Assert.Equal("svg", XDocument.Parse(picture).Root!.Name.LocalName);
        Assert.Contains("1000 profiles of 7 loci read", await http.GetStringAsync($"/hub/v1/jobs/{job}/log"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Inference_WhenItsWorkerIsKilled_RunsAgainAndExistsOnce()
    {
        await using var hub = await HubProcess.StartAsync();
        using var http = hub.CreateClient();
        var (project, dataset) = await DatasetAsync(http, 30_000, 24, 2);
        var (job, inference) = await SubmitAsync(http, project, dataset);
        await RunningAsync(http, job);

        await hub.KillAsync("worker");

        Assert.True((bool)(await EndAsync(http, project, job))["completed"]!);
        var attempts = (await SendAsync(http, HttpMethod.Get, $"/hub/v1/jobs/{job}/tasks/{job}-a-0/attempts"))!.ToJsonString();
        Assert.Contains("Lost", attempts, StringComparison.Ordinal);
        Assert.Equal(inference, (string)Assert.Single((await SendAsync(http, HttpMethod.Get, $"/projects/{project}/datasets/{dataset}/inferences"))!.AsArray())!["id"]!);
    }

    [Fact]
    public async Task Inference_OfManyProfilesAndLoci_WhenItIsCanceled_EndsSoon()
    {
        var http = (await hubs.GetAsync(CommandHubs.Sandbox)).Http;
        var (project, dataset) = await DatasetAsync(http, 60_000, 200, 3);
        var (job, _) = await SubmitAsync(http, project, dataset, 100);
        await Eventually.TrueAsync(async () => (double)(await SendAsync(http, HttpMethod.Get, $"/hub/v1/jobs/{job}"))!["progress"]! > 0, "its progress is seen", Limit);

        await SendAsync(http, HttpMethod.Delete, $"/projects/{project}/jobs/{job}", HttpStatusCode.NoContent);

        var ended = await EndAsync(http, project, job, TimeSpan.FromSeconds(60));
        Assert.Equal((true, false, false), ((bool)ended["cancelled"]!, (bool)ended["completed"]!, (bool)ended["failed"]!));
        Assert.Empty((await SendAsync(http, HttpMethod.Get, $"/projects/{project}/datasets/{dataset}/inferences"))!.AsArray());
    }

    private static async Task<(string Job, string Analysis)> SubmitAsync(HttpClient http, string project, string dataset, int levels = 12)
    {
        var answer = await SendAsync(http, HttpMethod.Post, $"/projects/{project}/jobs", HttpStatusCode.Accepted, $$"""{"analysis": "inference", "algorithm": "goeburst", "parameters": ["{{dataset}}", {{levels}}]}""");
        return ((string)answer!["job_id"]!, (string)answer["analysis_id"]!);
    }

    private static Task RunningAsync(HttpClient http, string job) => Eventually.TrueAsync(
        async () => (string?)(await SendAsync(http, HttpMethod.Get, $"/hub/v1/jobs/{job}"))!["state"] == "Running", "the inference runs", Limit);

    private static Task<JsonNode> EndAsync(HttpClient http, string project, string job, TimeSpan? limit = null) => Eventually.GetAsync(
        async () => (await SendAsync(http, HttpMethod.Get, $"/projects/{project}/jobs/{job}"))!, static j => (bool)j["completed"]! || (bool)j["cancelled"]!, "the job has ended", limit ?? Limit);

    private static async Task<(string Project, string Dataset)> DatasetAsync(HttpClient http, int profiles, int loci, int seed)
    {
        var project = (string)(await SendAsync(http, HttpMethod.Post, "/projects", HttpStatusCode.Created, """{"name": "Runs", "visibility": "private", "description": "", "users": []}"""))!["id"]!;
        var dataset = (string)(await SendAsync(http, HttpMethod.Post, $"/projects/{project}/datasets", HttpStatusCode.Created, """{"description": "random"}"""))!["id"]!;
        var random = new Random(seed);
        var text = new StringBuilder("ST");
        for (var i = 0; i < loci; i++) text.Append(CultureInfo.InvariantCulture, $"\tlocus{i}");
        for (var p = 1; p <= profiles; p++)
        {
            text.Append(CultureInfo.InvariantCulture, $"\n{p}");
            for (var i = 0; i < loci; i++) text.Append(CultureInfo.InvariantCulture, $"\t{random.Next(1, 9)}");
        }

        using var put = await http.PutAsync($"/projects/{project}/datasets/{dataset}/profiles/files", new StringContent(text.Append('\n').ToString()));
        Assert.True(put.IsSuccessStatusCode, await put.Content.ReadAsStringAsync());
        return (project, dataset);
    }

    private static async Task<JsonNode?> SendAsync(HttpClient http, HttpMethod method, string path, HttpStatusCode expected = HttpStatusCode.OK, string? body = null)
    {
        using var request = new HttpRequestMessage(method, path) { Content = body is null ? null : new StringContent(body, Encoding.UTF8, "application/json") };
        using var answer = await http.SendAsync(request);
        var text = await answer.Content.ReadAsStringAsync();
        Assert.True(answer.StatusCode == expected, $"{method} {path}: {(int)answer.StatusCode} {text}");
        return text.Length == 0 ? null : JsonNode.Parse(text);
    }
}
