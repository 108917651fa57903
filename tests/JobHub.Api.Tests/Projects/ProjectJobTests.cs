using System.Net;
using System.Text.Json.Nodes;
using JobHub.Api.Tests.Accounts;
using JobHub.Engine.Accounts;
using JobHub.Engine.Attempts;
using JobHub.Engine.Jobs;
using JobHub.Engine.Protocol;
using JobHub.Testing;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;

namespace JobHub.Api.Tests.Projects;

/// <summary>/projects/{project}/jobs: submissions with their refusals, the list, one job, cancel.</summary>
[Collection(AnalysisCollection.Name)]
public sealed class ProjectJobTests(HubFixture fixture) : IDisposable
{
    private readonly AnalysisCalls calls = new(fixture.Hub);

    public void Dispose() => calls.Dispose();

    [Fact]
    public async Task Job_FromSubmitToResult_IsListedAsTheContractSays()
    {
        await using var worker = await WorkerDouble.OpenAsync(fixture.Hub);
        var project = await calls.ProjectAsync();
        var dataset = await calls.DatasetAsync(project);
        var (job, analysis) = await calls.SubmittedAsync(project, "inference", "goeburst", dataset, 3);

        var listed = Assert.Single((await calls.GetAsync($"/projects/{project}/jobs?page=0&provider=google")).AsArray())!;
        Assert.Equal(["id", "completed", "cancelled", "failed", "analysis", "algorithm", "analysis_id", "progress", "created", "ended", "error"], listed.AsObject().Select(static m => m.Key));
        Assert.Equal((job, false, false, false), ((string)listed["id"]!, (bool)listed["completed"]!, (bool)listed["cancelled"]!, (bool)listed["failed"]!));
        Assert.Equal(("inference", "goeburst", analysis), ((string)listed["analysis"]!, (string)listed["algorithm"]!, (string)listed["analysis_id"]!));
        Assert.Equal((0d, null, null), ((double)listed["progress"]!, (string?)listed["ended"], (string?)listed["error"]));
        await (await calls.Client.GetAsync($"/projects/{project}/datasets/{dataset}/inferences/{analysis}")).IsProblemAsync(HttpStatusCode.NotFound, "inference-not-found");

        await worker.AnalyseAsync(await AnalysisCalls.ClaimAsync(worker, job));
        var ended = await calls.EndedAsync(project, job);

        Assert.Equal((true, false, false, 1d), ((bool)ended["completed"]!, (bool)ended["cancelled"]!, (bool)ended["failed"]!, (double)ended["progress"]!));
        Assert.NotNull((string?)ended["ended"]);
        // It has ended: nothing changes.
        Assert.Equal(HttpStatusCode.NoContent, (await calls.Client.DeleteAsync($"/projects/{project}/jobs/{job}")).StatusCode);
        Assert.True((bool)(await calls.JobAsync(project, job))["completed"]!);
    }

    [Fact]
    public async Task RunAgain_MakesAnotherAnalysisOfTheDatasetAsItIsNow()
    {
        await using var worker = await WorkerDouble.OpenAsync(fixture.Hub);
        var project = await calls.ProjectAsync();
        var dataset = await calls.DatasetAsync(project);
        var (job, first) = await calls.SubmittedAsync(project, "inference", "goeburst", dataset, 3);
        await worker.AnalyseAsync(await AnalysisCalls.ClaimAsync(worker, job));
        await calls.EndedAsync(project, job);
        using (var put = await calls.Client.PutAsync($"/projects/{project}/datasets/{dataset}/profiles/files", new StringContent(AnalysisCalls.Profiles + "5\t1\t1\t3\n"))) Assert.True(put.IsSuccessStatusCode);

        using var again = await calls.Client.PostAsync($"/hub/v1/jobs/{job}/run-again", null);
        Assert.Equal(HttpStatusCode.Created, again.StatusCode);
        var second = (string)(await again.JsonAsync())["id"]!;
        Assert.Equal(CompletionAnswer.Accepted, await worker.AnalyseAsync(await AnalysisCalls.ClaimAsync(worker, second)));
        var ended = await calls.EndedAsync(project, second);

        var made = (string)ended["analysis_id"]!;
        Assert.NotEqual(first, made);
        Assert.Equal(("goeburst", true), ((string)ended["algorithm"]!, (bool)ended["completed"]!));
        async Task<string[]> ProfilesOfAsync(string analysis) =>
            [.. (await calls.GetAsync($"/projects/{project}/datasets/{dataset}/inferences/{analysis}"))["edges"]!.AsArray().SelectMany(static e => ((string[])["from", "to"]).Select(end => (string)e![end]!)).Distinct().Order()];
        Assert.Equal((false, true), ((await ProfilesOfAsync(first)).Contains("5"), (await ProfilesOfAsync(made)).Contains("5")));

        // What it read is gone: nothing is made.
        Assert.True((await calls.Client.DeleteAsync($"/projects/{project}/datasets/{dataset}")).IsSuccessStatusCode);
        using var late = await calls.Client.PostAsync($"/hub/v1/jobs/{job}/run-again", null);
        await late.IsProblemAsync(HttpStatusCode.Conflict, "input-not-available");
    }

    [Fact]
    public async Task Job_ThatRuns_ShowsHowFarItIs_HereAndAtTheHub()
    {
        await using var worker = await WorkerDouble.OpenAsync(fixture.Hub);
        var project = await calls.ProjectAsync();
        var (job, _) = await calls.SubmittedAsync(project, "inference", "goeburst", await calls.DatasetAsync(project), 3);
        var attempt = await AnalysisCalls.ClaimAsync(worker, job);

        await worker.RenewAsync(attempt, 0.25);

        Assert.Equal(0.25, (double)(await calls.JobAsync(project, job))["progress"]!);
        var shown = await calls.GetAsync($"/hub/v1/jobs/{job}");
        Assert.Equal(("Running", 0.25), ((string)shown["state"]!, (double)shown["progress"]!));
        Assert.Equal(0.25, (double)(await calls.GetAsync($"/hub/v1/jobs?project={project}"))["items"]![0]!["progress"]!);
        await worker.AnalyseAsync(attempt);
        await calls.EndedAsync(project, job);
        await Eventually.TrueAsync(async () => (double)(await calls.GetAsync($"/hub/v1/jobs/{job}"))["progress"]! == 1, "it has come to its end");
    }

    [Theory]
    [InlineData("""{"analysis": "guess", "algorithm": "goeburst", "parameters": ["$d", 3]}""", 400, "unknown-analysis", "analysis")]
    [InlineData("""{"analysis": "inference", "algorithm": "radial", "parameters": ["$d", 3]}""", 400, "unknown-algorithm", "algorithm")]
    [InlineData("""{"analysis": "inference", "parameters": ["$d", 3]}""", 400, "missing-field", "algorithm")]
    [InlineData("""{"algorithm": "goeburst", "parameters": ["$d", 3]}""", 400, "missing-field", "analysis")]
    [InlineData("""{"analysis": "inference", "algorithm": "goeburst"}""", 400, "missing-field", "parameters")]
    [InlineData("""{"analysis": "inference", "algorithm": "goeburst", "parameters": ["$d"]}""", 400, "invalid-field", "parameters")]
    [InlineData("""{"analysis": "inference", "algorithm": "goeburst", "parameters": ["$d", 3, 4]}""", 400, "invalid-field", "parameters")]
    [InlineData("""{"analysis": "inference", "algorithm": "goeburst", "parameters": "$d"}""", 400, "invalid-field", "parameters")]
    [InlineData("""{"analysis": "inference", "algorithm": "goeburst", "parameters": [3, "$d"]}""", 400, "invalid-field", "parameters[0]")]
    [InlineData("""{"analysis": "inference", "algorithm": "goeburst", "parameters": ["$d", "3"]}""", 400, "invalid-field", "parameters[1]")]
    [InlineData("""{"analysis": "inference", "algorithm": "goeburst", "parameters": ["$d", 1.5]}""", 400, "invalid-field", "parameters[1]")]
    [InlineData("""{"analysis": "inference", "algorithm": "goeburst", "parameters": ["$d", null]}""", 400, "invalid-field", "parameters[1]")]
    [InlineData("""{"analysis": "inference", "algorithm": "goeburst", "parameters": ["$d", 0]}""", 400, "invalid-field", "parameters[1]")]
    [InlineData("""{"analysis": "inference", "algorithm": "goeburst", "parameters": ["$d", 4]}""", 400, "invalid-field", "parameters[1]")]
    [InlineData("""{"analysis": "inference", "algorithm": "goeburst", "parameters": ["$d", 99999999999999999999]}""", 400, "invalid-field", "parameters[1]")]
    [InlineData("""{"analysis": "inference", "algorithm": "goeburst", "parameters": ["$one", 1]}""", 400, "too-few-profiles", "parameters[0]")]
    [InlineData("""{"analysis": "inference", "algorithm": "goeburst", "parameters": ["$empty", 1]}""", 400, "too-few-profiles", "parameters[0]")]
    [InlineData("""{"analysis": "inference", "algorithm": "goeburst", "parameters": ["no-id", 3]}""", 404, "dataset-not-found", null)]
    [InlineData("""{"analysis": "inference", "algorithm": "goeburst", "parameters": ["$foreign", 3]}""", 404, "dataset-not-found", null)]
    [InlineData("""{"analysis": "visualization", "algorithm": "radial", "parameters": ["$d", "4af95b39-7ca8-40f8-87f8-617dd961fb73"]}""", 404, "inference-not-found", null)]
    [InlineData("""{"analysis": "inference", "algorithm": "goeburst", "parameters" ["$d", 3]}""", 400, "invalid-json", null)]
    [InlineData("""{"analysis": "inference", "algorithm": "goeburst", "parameters": ["$d", 3], "lvs": 3}""", 400, "unknown-field", "lvs")]
    public async Task Submit_OfWhatIsWrong_IsRefusedAndMakesNoJob(string body, int status, string code, string? field)
    {
        var project = await calls.ProjectAsync();
        var sent = body.Replace("$d", await calls.DatasetAsync(project), StringComparison.Ordinal);
        if (sent.Contains("$one", StringComparison.Ordinal)) sent = sent.Replace("$one", await calls.DatasetAsync(project, "ST\ta\n1\t1\n"), StringComparison.Ordinal);
        if (sent.Contains("$empty", StringComparison.Ordinal)) sent = sent.Replace("$empty", await calls.DatasetAsync(project, null), StringComparison.Ordinal);
        if (sent.Contains("$foreign", StringComparison.Ordinal)) sent = sent.Replace("$foreign", await calls.DatasetAsync(await calls.ProjectAsync()), StringComparison.Ordinal);

        using var answer = await calls.Client.PostAsync($"/projects/{project}/jobs", sent.AsJson());

        await answer.IsProblemAsync((HttpStatusCode)status, code, field);
        Assert.Empty((await calls.GetAsync($"/projects/{project}/jobs")).AsArray());
    }

    [Fact]
    public async Task Submit_OfAnInferenceOfAnotherDataset_IsNotFound()
    {
        await using var worker = await WorkerDouble.OpenAsync(fixture.Hub);
        var project = await calls.ProjectAsync();
        var dataset = await calls.DatasetAsync(project);
        var other = await calls.DatasetAsync(project);
        var inference = await calls.MadeAsync(worker, project, "inference", "goeburst", other, 1);
        var (_, unmade) = await calls.SubmittedAsync(project, "inference", "goeburst", dataset, 1);

        await (await calls.SubmitAsync(project, "visualization", "radial", dataset, inference)).IsProblemAsync(HttpStatusCode.NotFound, "inference-not-found");
        await (await calls.SubmitAsync(project, "visualization", "radial", dataset, unmade)).IsProblemAsync(HttpStatusCode.NotFound, "inference-not-found");
    }

    [Fact]
    public async Task Submit_WithAKeySentTwice_IsOneJob()
    {
        var project = await calls.ProjectAsync();
        var dataset = await calls.DatasetAsync(project);
        var body = new JsonObject { ["analysis"] = "inference", ["algorithm"] = "goeburst", ["parameters"] = new JsonArray(dataset, 1), ["labels"] = new JsonObject { ["of"] = "test" } };
        calls.Client.DefaultRequestHeaders.Add("Idempotency-Key", Guid.NewGuid().ToString());

        var first = await (await calls.Client.PostAsync($"/projects/{project}/jobs?priority=7", body)).JsonAsync();
        var second = await (await calls.Client.PostAsync($"/projects/{project}/jobs?priority=7", body)).JsonAsync();

        Assert.Equal(first.ToJsonString(), second.ToJsonString());
        Assert.Single((await calls.GetAsync($"/projects/{project}/jobs")).AsArray());
        Assert.Equal(7, (int)(await calls.GetAsync($"/hub/v1/jobs/{first["job_id"]}"))["priority"]!);
        body["parameters"] = new JsonArray(dataset, 2);
        await (await calls.Client.PostAsync($"/projects/{project}/jobs", body)).IsProblemAsync(HttpStatusCode.UnprocessableEntity, "idempotency-key-reused");
    }

    [Fact]
    public async Task List_InPages_IsOldestFirst()
    {
        var project = await calls.ProjectAsync();
        var dataset = await calls.DatasetAsync(project);
        var jobs = new List<string>();
        for (var i = 0; i < 5; i++) jobs.Add((await calls.SubmittedAsync(project, "inference", "goeburst", dataset, 1)).Job);

        var pages = new List<string>();
        for (var page = 0; page < 4; page++) pages.Add(string.Join(' ', (await calls.GetAsync($"/projects/{project}/jobs?page={page}&size=2")).AsArray().Select(static j => (string)j!["id"]!)));

        Assert.Equal([$"{jobs[0]} {jobs[1]}", $"{jobs[2]} {jobs[3]}", jobs[4], ""], pages);
        foreach (var query in (string[])["page=-1", "page=one", "page=1.5", "size=0", "size=501"])
            await (await calls.Client.GetAsync($"/projects/{project}/jobs?{query}")).IsProblemAsync(HttpStatusCode.BadRequest, "invalid-field", query[..4]);
    }

    [Fact]
    public async Task Cancel_OfAJobThatWaitsOrRuns_LeavesItCancelledAndWithoutAnAnalysis()
    {
        await using var worker = await WorkerDouble.OpenAsync(fixture.Hub);
        var project = await calls.ProjectAsync();
        var dataset = await calls.DatasetAsync(project);
        var (waiting, _) = await calls.SubmittedAsync(project, "inference", "goeburst", dataset, 1);
        Assert.Equal(HttpStatusCode.NoContent, (await calls.Client.DeleteAsync($"/projects/{project}/jobs/{waiting}?provider=google")).StatusCode);
        await calls.EndedAsync(project, waiting);
        var (running, analysis) = await calls.SubmittedAsync(project, "inference", "goeburst", dataset, 1);
        var attempt = await AnalysisCalls.ClaimAsync(worker, running);
        Assert.Equal(HttpStatusCode.NoContent, (await calls.Client.DeleteAsync($"/projects/{project}/jobs/{running}")).StatusCode);
        await worker.CompleteAsync(attempt, AttemptOutcome.Canceled);

        var ended = await calls.EndedAsync(project, running);

        Assert.Equal((false, true, false, null), ((bool)ended["completed"]!, (bool)ended["cancelled"]!, (bool)ended["failed"]!, (string?)ended["error"]));
        Assert.All((await calls.GetAsync($"/projects/{project}/jobs")).AsArray(), static job => Assert.True((bool)job!["cancelled"]!));
        await (await calls.Client.GetAsync($"/projects/{project}/datasets/{dataset}/inferences/{analysis}")).IsProblemAsync(HttpStatusCode.NotFound, "inference-not-found");
        foreach (var unknown in (string[])[Guid.NewGuid().ToString(), "none", "%2F"])
        {
            await (await calls.Client.DeleteAsync($"/projects/{project}/jobs/{unknown}")).IsProblemAsync(HttpStatusCode.NotFound, "job-not-found");
            await (await calls.Client.GetAsync($"/projects/{project}/jobs/{unknown}")).IsProblemAsync(HttpStatusCode.NotFound, "job-not-found");
        }
    }

    [Fact]
    public async Task Analysis_OfAJobThatRetentionForgets_StaysReadable()
    {
        await using var worker = await WorkerDouble.OpenAsync(fixture.Hub);
        var project = await calls.ProjectAsync();
        var dataset = await calls.DatasetAsync(project);
        var inference = await calls.MadeAsync(worker, project, "inference", "goeburst", dataset, 2);
        var picture = await calls.MadeAsync(worker, project, "visualization", "radial", dataset, inference);
        var path = $"/projects/{project}/datasets/{dataset}/inferences/{inference}";
        var (tree, drawn) = (await calls.GetAsync(path), await calls.GetAsync($"{path}/visualizations/{picture}"));

        await Eventually.TrueAsync(async () =>
        {
            await using (var age = fixture.Hub.Services.GetRequiredService<NpgsqlDataSource>().CreateCommand("UPDATE job SET ended_at = clock_timestamp() - interval '40 days' WHERE project = $1 AND ended_at IS NOT NULL"))
            {
                age.Parameters.AddWithValue(project);
                await age.ExecuteNonQueryAsync();
            }

            await ActivatorUtilities.CreateInstance<Retention>(fixture.Hub.Services).ApplyAsync(CancellationToken.None);
            return (await calls.GetAsync($"/projects/{project}/jobs")).AsArray().Count == 0;
        }, "the jobs are forgotten");

        Assert.Equal(tree.ToJsonString(), (await calls.GetAsync(path)).ToJsonString());
        Assert.Equal(inference, (string)Assert.Single((await calls.GetAsync($"/projects/{project}/datasets/{dataset}/inferences")).AsArray())!["id"]!);
        Assert.Equal(drawn.ToJsonString(), (await calls.GetAsync($"{path}/visualizations/{picture}")).ToJsonString());
        Assert.Contains("<svg", await calls.Client.GetStringAsync($"{path}/visualizations/{picture}.svg"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Job_ThatFails_IsFailedAndCancelledAndSaysWhy()
    {
        await using var worker = await WorkerDouble.OpenAsync(fixture.Hub);
        var project = await calls.ProjectAsync();
        var (job, _) = await calls.SubmittedAsync(project, "inference", "goeburst", await calls.DatasetAsync(project), 1);
        await worker.CompleteAsync(await AnalysisCalls.ClaimAsync(worker, job), AttemptOutcome.Failed, exitCode: null, error: new("invalid-input", "Line 2 of the profiles has 3 fields, not 5."));

        var ended = await calls.EndedAsync(project, job);

        Assert.Equal((false, true, true, "Line 2 of the profiles has 3 fields, not 5."), ((bool)ended["completed"]!, (bool)ended["cancelled"]!, (bool)ended["failed"]!, (string?)ended["error"]));
    }

    [Fact]
    public async Task Calls_OfThoseWhoMayNot_AreRefusedLikeEverywhere()
    {
        var hub = fixture.Hub;
        var (open, closed) = (await calls.ProjectAsync("public"), await calls.ProjectAsync());
        var (job, _) = await calls.SubmittedAsync(open, "inference", "goeburst", await calls.DatasetAsync(open), 1);
        using var stranger = await hub.ClientAsync(AccountRole.Member);
        var body = """{"analysis": "inference", "algorithm": "goeburst", "parameters": ["x", 3]}""";

        using (var listed = await stranger.GetAsync($"/projects/{open}/jobs")) Assert.Equal(HttpStatusCode.OK, listed.StatusCode);
        await (await stranger.PostAsync($"/projects/{open}/jobs", body.AsJson())).IsProblemAsync(HttpStatusCode.Forbidden, "project-read-only");
        await (await stranger.DeleteAsync($"/projects/{open}/jobs/{job}")).IsProblemAsync(HttpStatusCode.Forbidden, "project-read-only");
        foreach (var project in (string[])[closed, "none-at-all"])
        {
            foreach (var method in (HttpMethod[])[HttpMethod.Get, HttpMethod.Post])
            {
                using var request = new HttpRequestMessage(method, $"/projects/{project}/jobs") { Content = method == HttpMethod.Post ? body.AsJson() : null };
                await (await stranger.SendAsync(request)).IsProblemAsync(HttpStatusCode.NotFound, "project-not-found");
            }
        }

        using var without = await hub.Client.GetAsync($"/projects/{open}/jobs");
        Assert.Equal((HttpStatusCode.Unauthorized, "Bearer"), (without.StatusCode, without.Headers.WwwAuthenticate.First().Scheme));
    }
}
