using System.Net;
using System.Text.Json.Nodes;
using JobHub.Engine.Attempts;
using JobHub.Engine.Protocol;

namespace JobHub.Api.Tests;

/// <summary>gpus, cpus and memory: asked by jobs, offered by workers, honoured by claims, and told when a job waits for them. On a hub of its own, so that nothing else is in the queue.</summary>
[Collection(HubCollection.Name)]
public sealed class ResourceTests(HubFixture fixture) : IAsyncLifetime
{
    private HubHost hub = null!;

    public async Task InitializeAsync() => hub = await HubHost.StartAsync(fixture.Postgres);

    public async Task DisposeAsync() => await hub.DisposeAsync();

    [Fact]
    public async Task Claim_GivesOnlyWhatFitsTogether_AndTheRestWhenThatHasEnded()
    {
        await using var worker = await WorkerDouble.OpenAsync(hub, gpus: 4, cpus: 8, memory: 8L << 30);
        for (var i = 0; i < 5; i++) await SubmitAsync("{\"command\":\"true\",\"gpus\":2}");

        var first = await worker.ClaimAsync(10);
        Assert.Equal([2, 2], first.Select(a => a.Gpus));
        Assert.Empty(await worker.ClaimAsync(10));

        await worker.CompleteAsync(first[0], AttemptOutcome.Succeeded);
        var next = Assert.Single(await worker.ClaimAsync(10));
        Assert.Equal(2, next.Gpus);
    }

    [Theory]
    [InlineData("gpus", "\"gpus\":3", 3)]
    [InlineData("cpus", "\"cpus\":5", 5)]
    [InlineData("memory", "\"memory\":\"6Gi\"", 6)]
    public async Task Claim_OfOneThatIsTakenUp_LeavesOthersTheirPlace(string what, string need, int amount)
    {
        await using var worker = await WorkerDouble.OpenAsync(hub, gpus: 4, cpus: 8, memory: 8L << 30);
        var big = await SubmitAsync($"{{\"command\":\"true\",{need}}}");
        var second = await SubmitAsync($"{{\"command\":\"true\",{need}}}");
        var plain = await SubmitAsync("""{"command":"true","priority":1}""");

        var claimed = await worker.ClaimAsync(10);

        Assert.Equal([big, plain], claimed.Select(a => a.JobId.ToString()));
        Assert.Equal(what switch { "gpus" => claimed[0].Gpus, "cpus" => claimed[0].Cpus, _ => (int)(claimed[0].MemoryLimitBytes >> 30) }, amount);
        var waiting = (await StatusAsync(second))["waiting"]!;
        Assert.Equal($"not-enough-free-{what}", (string?)waiting["reason"]);

        await worker.CompleteAsync(claimed[0], AttemptOutcome.Succeeded);
        Assert.Equal(second, Assert.Single(await worker.ClaimAsync(10)).JobId.ToString());
    }

    [Theory]
    [InlineData("\"gpus\":5", "no-worker-with-gpus")]
    [InlineData("\"cpus\":9", "no-worker-with-cpus")]
    [InlineData("\"memory\":\"9Gi\"", "no-worker-with-memory")]
    [InlineData("\"image\":\"debian\"", "no-executor-for-image")]
    public async Task Job_ThatNobodyCanRun_WaitsAndSaysWhy_UntilSomebodyCan(string need, string reason)
    {
        await using var worker = await WorkerDouble.OpenAsync(hub, gpus: 4, cpus: 8, memory: 8L << 30);
        var job = await SubmitAsync($"{{\"command\":\"true\",{need}}}");

        Assert.Empty(await worker.ClaimAsync(10));
        var status = await StatusAsync(job);
        Assert.Equal("QUEUED", (string?)status["status"]);
        Assert.Equal(reason, (string?)status["waiting"]!["reason"]);
        Assert.Equal(reason, (string?)(await ExplainAsync(job))!["reason"]);

        await using var able = await WorkerDouble.OpenAsync(hub, gpus: 8, cpus: 16, memory: 64L << 30, tags: ["jobhub/container"]);
        Assert.Equal(job, Assert.Single(await able.ClaimAsync(10)).JobId.ToString());
        Assert.Equal("PENDING", (string?)(await StatusAsync(job))["status"]);
        Assert.Null(await ExplainAsync(job));
    }

    [Fact]
    public async Task Job_ThatWaits_SaysWhy_AndWhatIsSaidChangesIt()
    {
        var first = await SubmitAsync("""{"command":"true","max_attempts":2}""");
        Assert.Equal("no-worker", (string?)(await ExplainAsync(first))!["reason"]);

        await using var worker = await WorkerDouble.OpenAsync(hub, slots: 1);
        Assert.Equal("about-to-start", (string?)(await ExplainAsync(first))!["reason"]);
        var held = Assert.Single(await worker.ClaimAsync(1));
        var second = await SubmitAsync("""{"command":"true"}""");
        Assert.Equal("all-slots-busy", (string?)(await ExplainAsync(second))!["reason"]);

        await worker.CompleteAsync(held, AttemptOutcome.Failed, exitCode: 1, error: new AttemptError("exit-code", "The program ended with exit code 1."));
        var backoff = await ExplainAsync(first);
        Assert.Equal("backoff", (string?)backoff!["reason"]);
        Assert.NotNull(backoff["until"]);
        using var unknown = await hub.Client.GetAsync($"/hub/v1/jobs/{Guid.NewGuid()}/explain");
        await unknown.IsProblemAsync(HttpStatusCode.NotFound, "job-not-found");
    }

    private async Task<string> SubmitAsync(string body)
    {
        using var answer = await hub.Client.PostAsync("/jobs", body.AsJson());
        Assert.Equal(HttpStatusCode.Created, answer.StatusCode);
        return (string)(await answer.JsonAsync())["job_id"]!;
    }

    private async Task<JsonNode> StatusAsync(string job)
    {
        using var answer = await hub.Client.GetAsync($"/jobs/{job}");
        return await answer.JsonAsync();
    }

    private async Task<JsonNode?> ExplainAsync(string job)
    {
        using var answer = await hub.Client.GetAsync($"/hub/v1/jobs/{job}/explain");
        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        return (await answer.JsonAsync())["waiting"];
    }
}
