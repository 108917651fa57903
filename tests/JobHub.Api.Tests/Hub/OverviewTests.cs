using System.Net;
using System.Text.Json.Nodes;
using JobHub.Engine.Attempts;
using JobHub.Testing;

namespace JobHub.Api.Tests.Hub;

/// <summary>A hub each: its numbers are of everything that happens in it.</summary>
[Collection(HubCollection.Name)]
public sealed class OverviewTests(HubFixture fixture) : IAsyncLifetime
{
    private HubHost hub = null!;

    public async Task InitializeAsync() => hub = await HubHost.StartAsync(fixture.Postgres);

    public async Task DisposeAsync() => await hub.DisposeAsync();

    [Fact]
    public async Task Overview_AfterJobsEnded_CountsThemAndTheirCauses()
    {
        await using var worker = await WorkerDouble.OpenAsync(hub);
        foreach (var exitCode in (int[])[0, 0, 139, 139, 1]) await RunAsync(worker, exitCode);

        foreach (var window in (string[])["15m", "1h", "24h", "7d"])
        {
            var overview = await UntilAsync(hub.Client, o => (long)o["ended"]!["jobsFailed"]! == 3 && (long)o["ended"]!["jobsSucceeded"]! == 2, $"?window={window}");
            Assert.Equal((2, 3, 5), ((int)overview["ended"]!["tasksSucceeded"]!, (int)overview["ended"]!["tasksFailed"]!, (int)overview["ended"]!["jobsSubmitted"]!));
            Assert.Equal("exit-code 139 2, exit-code 1 1", Causes(overview["failures"]!["jobs"]!));
            Assert.Equal("exit-code 139 2, exit-code 1 1", Causes(overview["failures"]!["attempts"]!));
            var buckets = overview["buckets"]!.AsArray();
            Assert.Equal(window switch { "15m" => 15, "1h" => 60, "24h" => 144, _ => 168 }, buckets.Count);
            Assert.Equal((2, 3), (buckets.Sum(b => (int)b!["succeeded"]!), buckets.Sum(b => (int)b!["failed"]!)));
            Assert.Equal((DateTimeOffset)overview["from"]!, (DateTimeOffset)buckets[0]!["at"]!);
        }
    }

    [Fact]
    public async Task Now_CountsWhatRunsAndWhatNeedsALook_OfWhatTheCallerSees()
    {
        async Task<(long Running, int Findings)> NowAsync(HttpClient client)
        {
            var now = JsonNode.Parse(await client.GetStringAsync("/hub/v1/overview/now"))!;
            return ((long)now["running"]!, (int)now["findings"]!);
        }

        using var admin = hub.NewClient(HubHost.AdminToken);
        Assert.Equal((0, 0), await NowAsync(admin));
        var project = await new Callers(hub).ProjectAsync();
        using (var waits = await admin.PostAsync($"/jobs?project={project}", """{"command":"true"}""".AsJson())) Assert.True(waits.IsSuccessStatusCode);
        await Eventually.TrueAsync(async () => await NowAsync(admin) == (0, 1), "a task that no worker is there for needs a look");
        await using (var worker = await WorkerDouble.OpenAsync(hub))
        {
            var attempt = Assert.Single(await worker.ClaimAsync(1));
            await Eventually.TrueAsync(async () =>
            {
                await worker.RenewAsync(attempt, 0.5);
                return await NowAsync(admin) == (1, 0);
            }, "it runs");
            Assert.Equal((0, 0), await NowAsync(hub.Client));
            await worker.CompleteAsync(attempt, AttemptOutcome.Succeeded);
        }

        await Eventually.TrueAsync(async () => await NowAsync(admin) == (0, 0), "nothing runs");
    }

    [Fact]
    public async Task Overview_OfProjectsOfOthers_CountsNothing()
    {
        var callers = new Callers(hub);
        var account = await callers.AccountAsync(Callers.Member);
        var (own, foreign) = (await callers.ProjectAsync(members: account), await callers.ProjectAsync());
        using var admin = hub.NewClient(HubHost.AdminToken);
        using var member = hub.NewClient(await callers.TokenAsync(account));
        await using (var worker = await WorkerDouble.OpenAsync(hub))
        {
            await RunAsync(worker, 0, own, admin);
            await RunAsync(worker, 7, foreign, admin);
            await RunAsync(worker, 7, foreign, admin);
        }

        using var waits = await admin.PostAsync($"/jobs?project={foreign}", """{"command":"true"}""".AsJson());
        var all = await UntilAsync(admin, o => (long)o["ended"]!["jobsFailed"]! == 2 && (long)o["queue"]!["ready"]! == 1 && (long)o["ended"]!["jobsSucceeded"]! == 1);
        Assert.Equal(1, (long)all["jobs"]!["queued"]!);
        foreach (var (client, query) in ((HttpClient, string)[])[(member, ""), (member, $"?project={own}"), (member, $"?project={foreign}"), (hub.Client, ""), (hub.Client, $"?project={foreign}")])
        {
            var seen = await OverviewAsync(client, query);
            var isOwn = client == member && !query.Contains(foreign, StringComparison.Ordinal);
            Assert.Equal((isOwn ? 1 : 0, 0), ((int)seen["ended"]!["jobsSucceeded"]!, (int)seen["ended"]!["jobsFailed"]!));
            Assert.Equal((0, 0, 0), ((int)seen["queue"]!["ready"]!, (int)seen["jobs"]!["queued"]!, seen["failures"]!["jobs"]!.AsArray().Count));
            Assert.DoesNotContain(seen["needsALook"]!.AsArray(), f => (string)f!["kind"]! == "no-worker");
        }

        Assert.Equal(2, (int)(await OverviewAsync(admin, $"?project={foreign}"))["ended"]!["jobsFailed"]!);
        // A project of others answers as one that nobody made.
        Assert.Equal(Neutral(await OverviewAsync(member, $"?project={Guid.NewGuid()}")), Neutral(await OverviewAsync(member, $"?project={foreign}")));

        static string Neutral(JsonNode overview)
        {
            foreach (var name in (string[])["at", "project"]) overview.AsObject().Remove(name);
            return overview.ToJsonString();
        }
    }

    [Fact]
    public async Task NeedsALook_FailuresOnOneWorker_NamesItUntilItIsDrained()
    {
        await using var good = await WorkerDouble.OpenAsync(hub, name: "good-01");
        await using (var sick = await WorkerDouble.OpenAsync(hub, name: "sick-02"))
        {
            for (var i = 0; i < 6; i++) await RunAsync(sick, 139);
            await RunAsync(good, 1);
            // Failures are rolled up one after the other, and five make a finding.
            var finding = await FindingAsync("failures-on-a-worker", "6 of the last 7 failures ran on sick-02, exit code 139");
            Assert.Equal(("sick-02", 6, 139), ((string)finding["worker"]!, (int)finding["count"]!, (int)finding["exitCode"]!));
            Assert.Equal("/hub/v1/workers/sick-02/drain", (string)finding["action"]!["address"]!);
            var detail = await hub.Client.GetFromJsonNodeAsync("/hub/v1/workers/sick-02");
            Assert.Equal((6, "exit-code 139 6"), ((int)detail["worker"]!["failures"]!, Causes(detail["causes"]!)));

            using var drained = await hub.Client.PostAsync((string)finding["action"]!["address"]!, null);
            Assert.Equal(HttpStatusCode.OK, drained.StatusCode);
            Assert.DoesNotContain((await OverviewAsync(hub.Client))["needsALook"]!.AsArray(), f => (string)f!["kind"]! == "failures-on-a-worker");
        }
    }

    [Fact]
    public async Task NeedsALook_TagsThatNobodyOffers_UntilAWorkerIsGivenThem()
    {
        await using var worker = await WorkerDouble.OpenAsync(hub, tags: ["GPU"], name: "gpu-01");
        using var made = await hub.Client.PutAsync("/api/jobs", """{"command":"true","affinity":"GPU,HOUDINI"}""".AsJson());
        Assert.Equal(HttpStatusCode.OK, made.StatusCode);
        var finding = await FindingAsync("no-worker-for-tasks");
        Assert.Equal(("gpu-01", "GPU HOUDINI", 1), ((string)finding["worker"]!, string.Join(' ', finding["affinity"]!.AsArray().Select(t => (string)t!)), (int)finding["count"]!));
        Assert.StartsWith("1 task waits for a worker with GPU and HOUDINI, the oldest for ", (string)finding["title"]!);

        using var set = await hub.Client.PutAsync((string)finding["action"]!["address"]!, """{"lines":[["GPU","HOUDINI"],["GPU"]]}""".AsJson());
        Assert.Equal(HttpStatusCode.OK, set.StatusCode);
        await UntilAsync(hub.Client, o => o["needsALook"]!.AsArray().All(f => (string)f!["kind"]! != "no-worker-for-tasks"));
    }

    [Fact]
    public async Task NeedsALook_LostWorker_WithWhatItRan_AndIsCounted()
    {
        await using var spare = await HubHost.StartAsync(fixture.Postgres, "Development", "--JobHub:Lease:Duration=00:00:02", "--JobHub:Lease:Renew=00:00:01");
        var worker = await WorkerDouble.OpenAsync(spare, name: "gone-07", slots: 2);
        using var made = await spare.Client.PostAsync("/jobs", """{"command":"true","max_attempts":3}""".AsJson());
        await Eventually.GetAsync(() => worker.ClaimAsync(1), claimed => claimed.Length == 1, "the task is given out");
        var overview = await Eventually.GetAsync(() => OverviewAsync(spare.Client), o => o["needsALook"]!.AsArray().Any(f => (string)f!["kind"]! == "worker-lost" && (int)f["count"]! == 1), "the worker is lost with one attempt");
        Assert.Equal("worker-lost  1", Causes(overview["failures"]!["attempts"]!));
        await Eventually.TrueAsync(async () => (int)(await spare.Client.GetFromJsonNodeAsync("/hub/v1/overview/now"))["lost"]! == 1, "one is lost now");
        var listed = await spare.Client.GetFromJsonNodeAsync("/hub/v1/workers?state=lost");
        Assert.Equal(("gone-07", 1), ((string)Assert.Single(listed["items"]!.AsArray())!["name"]!, (int)listed["counts"]!["lost"]!));
    }

    [Theory]
    [InlineData("?window=2h", "window"), InlineData("/load?window=7d", "window")]
    public async Task Overview_WindowThatThereIsNot_IsRefused(string query, string field)
    {
        using var answer = await hub.Client.GetAsync("/hub/v1/overview" + query);
        await answer.IsProblemAsync(HttpStatusCode.BadRequest, "invalid-field", field);
    }

    private async Task<JsonNode> FindingAsync(string kind, string? title = null)
    {
        bool Is(JsonNode? f) => (string)f!["kind"]! == kind && (title is null || (string)f["title"]! == title);
        return (await UntilAsync(hub.Client, o => o["needsALook"]!.AsArray().Any(Is)))["needsALook"]!.AsArray().First(Is)!;
    }

    private static Task<JsonNode> UntilAsync(HttpClient client, Func<JsonNode, bool> good, string query = "") =>
        Eventually.GetAsync(() => OverviewAsync(client, query), good, "the overview says so");

    private static async Task<JsonNode> OverviewAsync(HttpClient client, string query = "") => await client.GetFromJsonNodeAsync("/hub/v1/overview" + query);

    /// <summary>A command that ends with an exit code, once.</summary>
    private async Task RunAsync(WorkerDouble worker, int exitCode, string? project = null, HttpClient? caller = null)
    {
        using var made = await (caller ?? hub.Client).PostAsync("/jobs" + (project is null ? "" : $"?project={project}"), """{"command":"true"}""".AsJson());
        Assert.Equal(HttpStatusCode.Created, made.StatusCode);
        var attempt = (await Eventually.GetAsync(() => worker.ClaimAsync(1), claimed => claimed.Length == 1, "the task is given out"))[0];
        await worker.CompleteAsync(attempt, exitCode == 0 ? AttemptOutcome.Succeeded : AttemptOutcome.Failed, exitCode: exitCode, error: exitCode == 0 ? null : new("exit-code", $"The program ended with exit code {exitCode}."));
    }

    private static string Causes(JsonNode causes) => string.Join(", ", causes.AsArray().Select(c => $"{c!["cause"]} {c["exitCode"]} {c["count"]}"));
}
