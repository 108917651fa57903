using System.Net;
using System.Text.Json.Nodes;
using JobHub.Engine.Attempts;
using JobHub.Testing;

namespace JobHub.Api.Tests.Hub;

[Collection(HubCollection.Name)]
public sealed class WorkerTests(HubFixture fixture) : IAsyncLifetime
{
    private HubHost hub = null!;

    public async Task InitializeAsync() => hub = await HubHost.StartAsync(fixture.Postgres);

    public async Task DisposeAsync() => await hub.DisposeAsync();

    [Fact]
    public async Task Workers_OfEachState_AreListedAndCounted()
    {
        await using var active = await WorkerDouble.OpenAsync(hub, gpus: 2, slots: 4, tags: ["LINUX", "GPU"], name: "active-1");
        await using var draining = await WorkerDouble.OpenAsync(hub, tags: ["LINUX"], name: "draining-2");
        await using var stopped = await WorkerDouble.OpenAsync(hub, tags: ["STUDIO"], name: "stopped-3");
        await (await WorkerDouble.OpenAsync(hub, name: "closed-4")).DisposeAsync();
        await ChangeAsync("draining-2", "drain");
        await ChangeAsync("stopped-3", "stop");

        var all = await ListAsync();
        Assert.Equal("active-1 Active LINUX, closed-4 Stopped none, draining-2 Draining LINUX, stopped-3 Stopped STUDIO", Text(all));
        Assert.Equal((1, 1, 2, 0, 36, 2), ((int)all["counts"]!["active"]!, (int)all["counts"]!["draining"]!, (int)all["counts"]!["stopped"]!, (int)all["counts"]!["lost"]!, (int)all["counts"]!["slots"]!, (int)all["counts"]!["gpus"]!));
        Assert.Equal("closed-4 Stopped none, stopped-3 Stopped STUDIO", Text(await ListAsync("?state=stopped")));
        Assert.Equal("active-1 Active LINUX, draining-2 Draining LINUX", Text(await ListAsync("?pool=LINUX")));
        Assert.Equal("draining-2 Draining LINUX", Text(await ListAsync("?q=RAIN")));
        Assert.Equal("closed operator", string.Join(' ', (await ListAsync("?state=stopped"))["items"]!.AsArray().Select(w => (string)w!["stoppedBy"]!)));
        using var unknown = await hub.Client.GetAsync("/hub/v1/workers?state=asleep");
        await unknown.IsProblemAsync(HttpStatusCode.BadRequest, "invalid-field", "state");
    }

    [Fact]
    public async Task Drain_WhileItRuns_EndsThatAndGivesNothingUntilStart()
    {
        await using var worker = await WorkerDouble.OpenAsync(hub, name: "w 1/é");
        var first = await SubmitAsync();
        var attempt = (await Eventually.GetAsync(() => worker.ClaimAsync(1), claimed => claimed.Length == 1, "the task is given out"))[0];
        var drained = await ChangeAsync(worker.Name, "drain");
        Assert.Equal(("Draining", 1), ((string)drained["state"]!, (int)drained["busy"]!));
        await SubmitAsync();
        Assert.Empty(await worker.ClaimAsync(1));
        var detail = await hub.Client.GetFromJsonNodeAsync($"/hub/v1/workers/{Uri.EscapeDataString(worker.Name)}");
        var run = Assert.Single(detail["runs"]!.AsArray())!;
        Assert.Equal((first, 1, "Leased", 0), ((string)run["jobId"]!, (int)run["attempt"]!, (string)run["state"]!, (int)detail["hidden"]!));
        Assert.StartsWith($"{first}-c-0", (string)run["task"]!);
        Assert.Null((string?)Assert.Single(detail["sessions"]!.AsArray())!["endReason"]);

        await worker.CompleteAsync(attempt, AttemptOutcome.Succeeded);
        await Eventually.TrueAsync(async () => (string)(await hub.Client.GetFromJsonNodeAsync($"/hub/v1/jobs/{first}"))["state"]! == "Succeeded", "what it ran has succeeded");
        Assert.Empty(await worker.ClaimAsync(1));
        Assert.Equal("Active", (string)(await ChangeAsync(worker.Name, "start"))["state"]!);
        await Eventually.GetAsync(() => worker.ClaimAsync(1), claimed => claimed.Length == 1, "it is given work again");
    }

    [Fact]
    public async Task Affinity_WhenSet_HoldsAndIsShown()
    {
        await using var worker = await WorkerDouble.OpenAsync(hub, tags: ["OWN"], name: "tagged");
        using var set = await hub.Client.PutAsync("/hub/v1/workers/tagged/affinity", """{"lines":[["GPU"," HOUDINI ","GPU"],["LINUX"]]}""".AsJson());
        var answer = await set.JsonAsync();
        Assert.Equal("""[["GPU","HOUDINI"],["LINUX"]]""", answer["affinity"]!.ToJsonString());
        Assert.True((bool)answer["affinitySet"]!);
        foreach (var (body, field) in ((string, string)[])[("""{"lines":[[]]}""", "lines[0]"), ("""{"lines":[["A"],["a,b"]]}""", "lines[1]"), ("""{"lines":[["a\nb"]]}""", "lines[0]"), ("""{"lines":[[""]]}""", "lines[0]")])
        {
            using var refused = await hub.Client.PutAsync("/hub/v1/workers/tagged/affinity", body.AsJson());
            await refused.IsProblemAsync(HttpStatusCode.BadRequest, "invalid-field", field);
        }

        using var emptied = await hub.Client.PutAsync("/hub/v1/workers/tagged/affinity", """{"lines":[]}""".AsJson());
        Assert.Empty((await emptied.JsonAsync())["affinity"]!.AsArray());
    }

    [Theory]
    [InlineData("GET", ""), InlineData("GET", "/history"), InlineData("POST", "/drain"), InlineData("POST", "/stop"), InlineData("POST", "/terminate"), InlineData("POST", "/start"), InlineData("DELETE", ""), InlineData("PUT", "/affinity")]
    public async Task Worker_ThatNobodyKnows_IsNotFound(string method, string path)
    {
        using var request = new HttpRequestMessage(new HttpMethod(method), $"/hub/v1/workers/nobody{path}") { Content = method == "PUT" ? """{"lines":[["A"]]}""".AsJson() : null };
        using var answer = await hub.Client.SendAsync(request);
        await answer.IsProblemAsync(HttpStatusCode.NotFound, "worker-not-found");
    }

    [Fact]
    public async Task Worker_ToAMember_IsReadAndNotChanged_AndJobsOfOthersAreCountedOnly()
    {
        var callers = new Callers(hub);
        await using var worker = await WorkerDouble.OpenAsync(hub, name: "shared");
        using var admin = hub.NewClient(HubHost.AdminToken);
        using var made = await admin.PostAsync($"/jobs?project={await callers.ProjectAsync()}", """{"command":"true"}""".AsJson());
        await Eventually.GetAsync(() => worker.ClaimAsync(1), claimed => claimed.Length == 1, "the task is given out");
        using var member = await callers.ClientAsync(Callers.Member);
        var seen = await member.GetFromJsonNodeAsync("/hub/v1/workers/shared");
        Assert.Equal((0, 1, 1), (seen["runs"]!.AsArray().Count, (int)seen["hidden"]!, (int)seen["worker"]!["busy"]!));
        Assert.Single((await admin.GetFromJsonNodeAsync("/hub/v1/workers/shared"))["runs"]!.AsArray());
        foreach (var verb in (string[])["drain", "stop", "start", "terminate"])
        {
            using var refused = await member.PostAsync($"/hub/v1/workers/shared/{verb}", null);
            await refused.IsProblemAsync(HttpStatusCode.Forbidden, "role-not-allowed");
        }

        Assert.Equal("Active", (string)(await admin.GetFromJsonNodeAsync("/hub/v1/workers/shared"))["worker"]!["state"]!);
    }

    [Fact]
    public async Task History_OfAWorkerThatRenews_HasItsMinutes()
    {
        await using var worker = await WorkerDouble.OpenAsync(hub, slots: 3, name: "sampled");
        foreach (var path in (string[])["/hub/v1/workers/sampled/history", "/hub/v1/overview/load"])
        {
            var minutes = await Eventually.GetAsync(() => hub.Client.GetFromJsonNodeAsync(path), m => m["items"]!.AsArray().Count > 0, "a minute is kept");
            Assert.Equal((3, 0), ((int)minutes["items"]![0]!["slots"]!, (int)minutes["items"]![0]!["busy"]!));
            var then = await ListAsync($"?at={Uri.EscapeDataString((string)minutes["items"]![0]!["at"]!)}");
            Assert.Equal("sampled", (string)Assert.Single(then["items"]!.AsArray())!["name"]!);
        }
    }

    private async Task<string> SubmitAsync()
    {
        using var made = await hub.Client.PostAsync("/jobs", """{"command":"true"}""".AsJson());
        return made.Headers.Location!.ToString().Split('/')[^1];
    }

    private async Task<JsonNode> ChangeAsync(string name, string verb)
    {
        using var answer = await hub.Client.PostAsync($"/hub/v1/workers/{Uri.EscapeDataString(name)}/{verb}", null);
        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        return await answer.JsonAsync();
    }

    private Task<JsonNode> ListAsync(string query = "") => hub.Client.GetFromJsonNodeAsync("/hub/v1/workers" + query);

    private static string Text(JsonNode list) => string.Join(", ", list["items"]!.AsArray().Select(w => $"{w!["name"]} {w["state"]} {w["pool"]}"));
}
