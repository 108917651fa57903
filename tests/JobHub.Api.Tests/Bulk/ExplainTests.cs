using System.Text.Json.Nodes;
using JobHub.Engine.Attempts;
using JobHub.Engine.Jobs;
using JobHub.Engine.Protocol;
using JobHub.Testing;
using Microsoft.Extensions.DependencyInjection;

namespace JobHub.Api.Tests.Bulk;

/// <summary>Each reason is produced and then removed by doing what it says. A hub of its own: what workers offer is part of it.</summary>
[Collection(BulkCollection.Name)]
public sealed class ExplainTests(HubFixture fixture) : IAsyncLifetime
{
    private HubHost hub = null!;
    private BulkHub calls = null!;

    public async Task InitializeAsync() => (hub, calls) = await BulkHub.StartAsync(fixture, "00:00:30");

    public async Task DisposeAsync() => await hub.DisposeAsync();

    [Fact]
    public async Task TasksOfARunningJob_AreToldByWhatTheyWaitFor()
    {
        await using var worker = await WorkerDouble.OpenAsync(hub, slots: 1, mounts: ["/"]);
        var job = await calls.MapReduceAsync(maps: 4, reducers: 2);
        var failed = Assert.Single(await worker.ClaimAsync(1));
        await worker.CompleteAsync(failed, AttemptOutcome.Failed, exitCode: 1, error: new AttemptError("exit-code", "1"));
        await Eventually.TrueAsync(async () => await worker.ClaimAsync(1) is [_], "the next map is given");

        var answer = JsonNode.Parse(await hub.Client.GetStringAsync($"/hub/v1/jobs/{job}/explain"))!;
        Assert.Null(answer["waiting"]);
        var groups = answer["tasks"]!.AsArray().Select(static t => ((int)t!["count"]!, (string?)t["kind"], (string?)t["reason"])).Order().ToArray();
        Assert.Equal([(1, "Map", "backoff"), (2, "Map", "all-slots-busy"), (2, "Reduce", "dependencies")], groups);
        var reduce = JsonNode.Parse(await hub.Client.GetStringAsync($"/hub/v1/jobs/{job}/tasks/r-0/explain"))!["waiting"]!;
        Assert.Equal(("4 map tasks have not finished.", 4), ((string?)reduce["message"], (int)reduce["numbers"]!["tasks"]!));
        var last = JsonNode.Parse(await hub.Client.GetStringAsync($"/hub/v1/jobs/{job}/tasks/m-3/explain"))!["waiting"]!;
        Assert.Equal(("all-slots-busy", 1, 1), ((string?)last["reason"], (int)last["numbers"]!["slots"]!, (int)last["numbers"]!["ahead"]!));
        Assert.Null(JsonNode.Parse(await hub.Client.GetStringAsync($"/hub/v1/jobs/{job}/tasks/m-1/explain"))!["waiting"]);

        var counts = JsonNode.Parse(await hub.Client.GetStringAsync("/hub/v1/waiting"))!["items"]!.AsArray().ToDictionary(static c => (string)c!["reason"]!, static c => (int)c!["count"]!);
        Assert.Equal((2, 1, 2), (counts["all-slots-busy"], counts["backoff"], counts["dependencies"]));
    }

    [Fact]
    public async Task PausedJob_SaysSo_UntilItIsResumed()
    {
        var job = await calls.CommandAsync();
        Assert.Equal("no-worker", await calls.ReasonAsync(job));
        await calls.DoneAsync(job, "pause");
        Assert.Equal("Resume it.", (string?)(await calls.WhyAsync(job))!["change"]);
        var counts = JsonNode.Parse(await hub.Client.GetStringAsync("/hub/v1/waiting"))!["items"]!.AsArray();
        Assert.Contains(counts, static c => (string?)c!["reason"] == "paused" && (int)c["count"]! == 1);
        await calls.DoneAsync(job, "resume");
        Assert.Equal("no-worker", await calls.ReasonAsync(job));
    }

    [Fact]
    public async Task StoppedWorkers_AreTheReason_UntilOneIsStarted()
    {
        await using var worker = await WorkerDouble.OpenAsync(hub);
        var job = await calls.CommandAsync();
        using (var stop = await hub.Client.PostAsync("/api/stopworkers", $"[\"{worker.Name}\"]".AsJson())) Assert.True(stop.IsSuccessStatusCode);
        var why = await calls.WhyAsync(job);
        Assert.Equal(("workers-stopped", 1), ((string?)why!["reason"], (int)why["numbers"]!["workers"]!));
        using (var start = await hub.Client.PostAsync("/api/startworkers", $"[\"{worker.Name}\"]".AsJson())) Assert.True(start.IsSuccessStatusCode);
        Assert.Equal("about-to-start", await calls.ReasonAsync(job));
    }

    [Theory]
    [InlineData(",\"gpus\":8", "no-worker-with-gpus"), InlineData(",\"cpus\":16", "no-worker-with-cpus"), InlineData(",\"memory\":\"16Gi\"", "no-worker-with-memory")]
    public async Task WhatNoWorkerOffers_IsNamedWithItsNumbers_UntilOneDoes(string need, string reason)
    {
        await using var worker = await WorkerDouble.OpenAsync(hub, gpus: 4);
        var job = await calls.CommandAsync(need);
        var why = await calls.WhyAsync(job);
        Assert.Equal(reason, (string?)why!["reason"]);
        Assert.NotEmpty(why["numbers"]!.AsObject());
        await using var able = await WorkerDouble.OpenAsync(hub, gpus: 8, cpus: 16, memory: 64L << 30, tags: ["houdini"]);
        Assert.Equal("about-to-start", await calls.ReasonAsync(job));
    }

    [Fact]
    public async Task FolderThatNoWorkerShares_IsNamed_UntilOneConnectsThatDoes()
    {
        await using var worker = await WorkerDouble.OpenAsync(hub, mounts: ["/somewhere/else"]);
        var job = await calls.MapReduceAsync();
        var why = await calls.WhyAsync(job);
        Assert.Equal(("no-worker-with-mount", "Connect one that does."), ((string?)why!["reason"], (string?)why["change"]));
        Assert.Contains(hub.Folder, (string?)why["message"], StringComparison.Ordinal);
        Assert.Empty(await worker.ClaimAsync(1));
        await using var able = await WorkerDouble.OpenAsync(hub, mounts: [hub.Folder]);
        Assert.Equal("about-to-start", await calls.ReasonAsync(job));
        Assert.Equal(job, Assert.Single(await able.ClaimAsync(1)).JobId.ToString());
    }

    [Fact]
    public async Task TagsThatNoWorkerOffers_AreNamed_UntilOneDoes()
    {
        await using var worker = await WorkerDouble.OpenAsync(hub);
        using (var put = await hub.Client.PutAsync("/api/jobs", """{"title":"tagged","command":"true","affinity":"houdini"}""".AsJson())) Assert.True(put.IsSuccessStatusCode);
        var job = (string)JsonNode.Parse(await hub.Client.GetStringAsync("/hub/v1/jobs?q=tagged"))!["items"]![0]!["id"]!;
        var why = await calls.WhyAsync(job);
        Assert.Equal(("no-worker-with-affinity", "The one worker does not offer all of: houdini."), ((string?)why!["reason"], (string?)why["message"]));
        await using var able = await WorkerDouble.OpenAsync(hub, tags: ["houdini"]);
        Assert.Equal("about-to-start", await calls.ReasonAsync(job));
    }

    [Theory, InlineData(",\"gpus\":3", "not-enough-free-gpus"), InlineData(",\"cpus\":6", "not-enough-free-cpus"), InlineData(",\"memory\":\"6Gi\"", "not-enough-free-memory")]
    public async Task WhatOthersHave_IsTheReason_UntilTheyEnd(string need, string reason)
    {
        await using var worker = await WorkerDouble.OpenAsync(hub, gpus: 4);
        await calls.CommandAsync(need);
        var held = Assert.Single(await worker.ClaimAsync(1));
        var job = await calls.CommandAsync(need);
        Assert.Equal(reason, await calls.ReasonAsync(job));
        await worker.CompleteAsync(held, AttemptOutcome.Succeeded);
        Assert.Equal("about-to-start", await calls.ReasonAsync(job));
    }

    [Fact]
    public async Task EmptyGroup_AndOneThatWaits_SayWhy()
    {
        async Task<long> AddAsync(string body)
        {
            using var answer = await hub.Client.PutAsync("/api/jobs", body.AsJson());
            return long.Parse(await answer.Content.ReadAsStringAsync());
        }

        async Task<string> IdAsync(string title) => (string)JsonNode.Parse(await hub.Client.GetStringAsync($"/hub/v1/jobs?q={title}"))!["items"]![0]!["id"]!;
        var first = await AddAsync("""{"title":"first"}""");
        Assert.Equal("empty-group", await calls.ReasonAsync(await IdAsync("first")));
        await AddAsync($$"""{"title":"leaf","command":"true","parent":{{first}}}""");
        await Eventually.TrueAsync(async () => await calls.WhyAsync(await IdAsync("first")) is null, "it is not empty any more");
        await AddAsync($$"""{"title":"second","command":"true","dependencies":[{{first}}]}""");
        var why = await calls.WhyAsync(await IdAsync("second"));
        Assert.Equal(("dependencies", first), ((string?)why!["reason"], (long)why["numbers"]!["job"]!));
    }

    [Fact]
    public async Task GroupInWhichNothingCanRun_SaysWhy_AndIsOfOneStateEverywhere()
    {
        await using var worker = await WorkerDouble.OpenAsync(hub);
        var group = await MakeAsync("""{"title":"stuck"}""");
        var bad = await MakeAsync($$"""{"title":"bad","command":"false","parent":{{group}}}""");
        await MakeAsync($$"""{"title":"behind","command":"true","parent":{{group}},"dependencies":[{{bad}}]}""");
        await MakeAsync($$"""{"title":"tagged","command":"true","parent":{{group}},"affinity":"nobody"}""");
        await MakeAsync($$"""{"title":"held","command":"true","parent":{{group}},"paused":true}""");
        var item = JsonNode.Parse(await hub.Client.GetStringAsync("/hub/v1/jobs?q=stuck"))!["items"]![0]!;
        var id = (string)item["id"]!;
        Assert.Equal(("Queued", "Queued"), ((string?)item["state"], await InGraphAsync()));
        await worker.CompleteAsync(Assert.Single(await worker.ClaimAsync(1)), AttemptOutcome.Failed, exitCode: 1, error: new AttemptError("exit-code", "1"));
        await Eventually.TrueAsync(async () => (int)(await calls.JobAsync(id))["leaves"]!["failed"]! == 1 && await CountAsync("Running") == 1, "one has failed");

        Assert.Equal(("Running", "Running", 0), (await calls.StateAsync(id), await InGraphAsync(), await CountAsync("Queued")));
        Assert.Equal(id, (string?)Assert.Single(JsonNode.Parse(await hub.Client.GetStringAsync("/hub/v1/jobs?state=Running"))!["items"]!.AsArray())!["id"]);
        var tasks = JsonNode.Parse(await hub.Client.GetStringAsync($"/hub/v1/jobs/{id}/explain"))!["tasks"]!.AsArray();
        Assert.Equal([(1, "dependencies"), (1, "no-worker-with-affinity"), (1, "paused")], tasks.Select(static t => ((int)t!["count"]!, (string?)t["reason"])));

        async Task<long> MakeAsync(string body)
        {
            using var answer = await hub.Client.PutAsync("/api/jobs", body.AsJson());
            return long.Parse(await answer.Content.ReadAsStringAsync());
        }

        async Task<string?> InGraphAsync() =>
            (string?)JsonNode.Parse(await hub.Client.GetStringAsync($"/hub/v1/jobs/{id}/graph"))!["nodes"]!.AsArray().First(static n => (string?)n!["kind"] == "Group")!["state"];

        async Task<int> CountAsync(string state) => (int)JsonNode.Parse(await hub.Client.GetStringAsync("/hub/v1/jobs/counts"))!["byState"]![state]!;
    }

    [Fact]
    public async Task Counts_WithoutAToken_LeaveOutTheProjectsThatWereMade()
    {
        using var admin = hub.NewClient(HubHost.AdminToken);
        var project = await new Callers(hub).ProjectAsync();
        for (var i = 0; i < 3; i++) await calls.CommandAsync(project: project, client: admin);
        await calls.CommandAsync();
        async Task<int> CountAsync(HttpClient client) => JsonNode.Parse(await client.GetStringAsync("/hub/v1/waiting"))!["items"]!.AsArray().Sum(static c => (int)c!["count"]!);
        Assert.Equal((1, 4), (await CountAsync(hub.Client), await CountAsync(admin)));
    }

    [Fact]
    public async Task ManyJobs_AreToldTogether()
    {
        var waiting = await calls.CommandAsync();
        var paused = await calls.CommandAsync();
        await calls.DoneAsync(paused, "pause");
        var found = await hub.Services.GetRequiredService<Explain>().JobsAsync([JobId.TryRead(waiting)!.Value, JobId.TryRead(paused)!.Value, JobId.New()], CancellationToken.None);
        Assert.Equal((2, "no-worker", "paused"), (found.Count, found[JobId.TryRead(waiting)!.Value].Reason, found[JobId.TryRead(paused)!.Value].Reason));
    }
}
