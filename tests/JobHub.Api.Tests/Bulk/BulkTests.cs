using System.Net;
using System.Text.Json.Nodes;
using JobHub.Engine.Attempts;
using JobHub.Engine.Protocol;
using JobHub.Testing;

namespace JobHub.Api.Tests.Bulk;

[Collection(BulkCollection.Name)]
public sealed class BulkTests(HubFixture fixture)
{
    private readonly HubHost hub = fixture.Hub;
    private readonly BulkHub calls = new(fixture.Hub);

    [Fact]
    public async Task Bulk_OfIds_CancelsThem_AndNamesTheOnesLeft()
    {
        string[] jobs = [await calls.CommandAsync(), await calls.CommandAsync(), await calls.CommandAsync()];
        await calls.DoneAsync(jobs[2], "cancel");
        await calls.StateAsync(jobs[2], "Canceled");
        var unknown = Guid.NewGuid().ToString();
        var done = await calls.BulkAsync(new() { ["action"] = "cancel", ["ids"] = new JsonArray([.. jobs.Append(unknown).Select(static j => (JsonNode)j)]) });

        Assert.Equal(("Done", 4, 2, 2), ((string?)done["state"], (int)done["total"]!, (int)done["done"]!, (int)done["failed"]!));
        var left = done["left"]!.AsArray().ToDictionary(static l => (string)l!["id"]!, static l => (string?)l!["reason"]);
        Assert.Equal(("job-already-finished", "job-not-found"), (left[jobs[2]], left[unknown]));
        foreach (var job in jobs) await calls.StateAsync(job, "Canceled");
    }

    [Fact]
    public async Task Bulk_OfAFilter_IsCountedFirst_ReachesEveryPage_AndIsTakenBack()
    {
        const int count = 450;
        var project = $"bulk-{Guid.NewGuid():N}";
        var jobs = new List<string>();
        for (var i = 0; i < count; i++) jobs.Add(await calls.CommandAsync($",\"priority\":{i % 7}", project));
        using var asked = await hub.Client.PostAsync("/hub/v1/bulk?preview=true", new JsonObject { ["action"] = "priority", ["priority"] = 77, ["filter"] = $"project={project}" }.ToJsonString().AsJson());
        var preview = await asked.JsonAsync();
        Assert.Equal((count, count, count), ((int)preview["total"]!, (int)preview["touched"]!, (int)preview["states"]!["Queued"]!));
        Assert.Equal(6, (int)(await calls.JobAsync(jobs[6]))["priority"]!);
        // It only looked, and is no change of anything.
        using var admin = hub.NewClient(HubHost.AdminToken);
        Assert.DoesNotContain("/hub/v1/bulk", await LastChangeAsync(), StringComparison.Ordinal);

        var done = await calls.BulkAsync(new() { ["action"] = "priority", ["priority"] = 77, ["filter"] = $"project={project}" });
        Assert.Equal((count, count, true), ((int)done["done"]!, (int)done["total"]!, (bool)done["canUndo"]!));
        Assert.Contains("/hub/v1/bulk", await LastChangeAsync(), StringComparison.Ordinal);
        foreach (var i in (int[])[0, 6, 220, count - 1]) Assert.Equal(77, (int)(await calls.JobAsync(jobs[i]))["priority"]!);

        using var undo = await hub.Client.PostAsync($"/hub/v1/bulk/{done["id"]}/undo", null);
        Assert.Equal(HttpStatusCode.Accepted, undo.StatusCode);
        var back = await calls.EndOfAsync((string)(await undo.JsonAsync())["id"]!);
        Assert.Equal((count, (string?)done["id"]), ((int)back["done"]!, (string?)back["undoOf"]));
        foreach (var i in (int[])[0, 6, 220, count - 1]) Assert.Equal(i % 7, (int)(await calls.JobAsync(jobs[i]))["priority"]!);
        using var twice = await hub.Client.PostAsync($"/hub/v1/bulk/{back["id"]}/undo", null);
        await twice.IsProblemAsync(HttpStatusCode.Conflict, "cannot-undo");

        Task<string> LastChangeAsync() => admin.GetStringAsync("/hub/v1/audit?limit=1");
    }

    [Fact]
    public async Task Undo_OfAPause_LeavesPausedWhatWasPausedBefore()
    {
        string[] jobs = [await calls.CommandAsync(), await calls.CommandAsync()];
        await calls.DoneAsync(jobs[0], "pause");
        var done = await calls.BulkAsync(new() { ["action"] = "pause", ["ids"] = new JsonArray(jobs[0], jobs[1]) });
        Assert.Equal("Paused", await calls.StateAsync(jobs[1]));
        using var undo = await hub.Client.PostAsync($"/hub/v1/bulk/{done["id"]}/undo", null);
        await calls.EndOfAsync((string)(await undo.JsonAsync())["id"]!);
        Assert.Equal(("Paused", "Queued"), (await calls.StateAsync(jobs[0]), await calls.StateAsync(jobs[1])));
    }

    [Fact]
    public async Task Undo_OfAResume_LeavesWhatHasEndedSince()
    {
        var (own, its) = await BulkHub.StartAsync(fixture, "00:00:30");
        await using var closed = own;
        foreach (var title in (string[])["ran", "tagged"])
        {
            using var put = await own.Client.PutAsync("/api/jobs", $$"""{"title":"{{title}}","command":"true","paused":true,"affinity":"{{(title == "tagged" ? "nobody" : "")}}"}""".AsJson());
            Assert.True(put.IsSuccessStatusCode);
        }

        var ids = JsonNode.Parse(await own.Client.GetStringAsync("/hub/v1/jobs"))!["items"]!.AsArray().ToDictionary(static j => (string)j!["title"]!, static j => (string)j!["id"]!);
        var done = await its.BulkAsync(new() { ["action"] = "resume", ["ids"] = new JsonArray(ids["ran"], ids["tagged"]) });
        await using var worker = await WorkerDouble.OpenAsync(own);
        AttemptSpec[] given = [];
        await Eventually.TrueAsync(async () => (given = await worker.ClaimAsync(1)) is [_], "the job is given");
        await worker.CompleteAsync(given[0], AttemptOutcome.Succeeded);
        await its.StateAsync(ids["ran"], "Succeeded");

        using var undo = await own.Client.PostAsync($"/hub/v1/bulk/{done["id"]}/undo", null);
        var back = await its.EndOfAsync((string)(await undo.JsonAsync())["id"]!);
        Assert.Equal((2, 1, 1), ((int)back["total"]!, (int)back["done"]!, (int)back["failed"]!));
        Assert.Equal((ids["ran"], "job-already-finished"), ((string)back["left"]![0]!["id"]!, (string?)back["left"]![0]!["reason"]));
        await its.StateAsync(ids["tagged"], "Paused");
    }

    [Fact]
    public async Task Bulk_SentTwiceWithItsKey_IsOne()
    {
        var body = new JsonObject { ["action"] = "pause", ["ids"] = new JsonArray(await calls.CommandAsync()) }.ToJsonString();
        var key = Guid.NewGuid().ToString();
        async Task<HttpResponseMessage> SendAsync(string text)
        {
            using var request = new HttpRequestMessage(HttpMethod.Post, "/hub/v1/bulk") { Content = text.AsJson() };
            request.Headers.Add("Idempotency-Key", key);
            return await hub.Client.SendAsync(request);
        }

        using var first = await SendAsync(body);
        using var second = await SendAsync(body);
        Assert.Equal((string?)(await first.JsonAsync())["id"], (string?)(await second.JsonAsync())["id"]);
        using var other = await SendAsync(body.Replace("pause", "cancel", StringComparison.Ordinal));
        await other.IsProblemAsync(HttpStatusCode.UnprocessableEntity, "idempotency-key-reused");
    }

    [Fact]
    public async Task Bulk_OfAMember_TouchesOnlyWhatHeMayChange_AndIsHisOwn()
    {
        var callers = new Callers(hub);
        var account = await callers.AccountAsync(Callers.Member);
        using var member = hub.NewClient(await callers.TokenAsync(account));
        using var other = await callers.ClientAsync(Callers.Member);
        using var admin = hub.NewClient(HubHost.AdminToken);
        var (mine, shown, hidden) = (await callers.ProjectAsync(false, account), await callers.ProjectAsync(isPublic: true), await callers.ProjectAsync());
        var own = await calls.CommandAsync(project: mine, client: member);
        var readOnly = await calls.CommandAsync(project: shown, client: admin);
        var secret = await calls.CommandAsync(project: hidden, client: admin);

        var done = await calls.BulkAsync(new() { ["action"] = "pause", ["ids"] = new JsonArray(own, readOnly, secret) }, member);
        var left = done["left"]!.AsArray().ToDictionary(static l => (string)l!["id"]!, static l => (string?)l!["reason"]);
        Assert.Equal((1, "project-read-only", "job-not-found"), ((int)done["done"]!, left[readOnly], left[secret]));
        foreach (var (path, expected) in ((string, int)[])[($"/hub/v1/jobs/{own}", 1), ($"/hub/v1/jobs/{readOnly}", 0), ($"/hub/v1/jobs/{secret}", 0)])
            Assert.Equal(expected == 1, (bool)JsonNode.Parse(await admin.GetStringAsync(path))!["paused"]!);
        await calls.BulkAsync(new() { ["action"] = "cancel", ["filter"] = $"project={hidden}" }, member);
        Assert.Equal("Queued", (string?)JsonNode.Parse(await admin.GetStringAsync($"/hub/v1/jobs/{secret}"))!["state"]);

        using var foreign = await other.GetAsync($"/hub/v1/bulk/{done["id"]}");
        await foreign.IsProblemAsync(HttpStatusCode.NotFound, "bulk-not-found");
        Assert.Empty(JsonNode.Parse(await other.GetStringAsync("/hub/v1/bulk"))!["items"]!.AsArray());
        Assert.Equal(2, JsonNode.Parse(await member.GetStringAsync("/hub/v1/bulk"))!["items"]!.AsArray().Count);
    }

    [Theory]
    [InlineData("""{"action":"explode","ids":["x"]}""", "action")]
    [InlineData("""{"action":"pause"}""", "ids")]
    [InlineData("""{"action":"pause","ids":[]}""", "ids")]
    [InlineData("""{"action":"pause","ids":["x"]}""", "ids[0]")]
    [InlineData("""{"action":"priority","ids":["x"]}""", "priority")]
    [InlineData("""{"action":"pause","priority":3,"ids":["x"]}""", "priority")]
    [InlineData("""{"action":"pause","filter":"state=odd"}""", "state")]
    [InlineData("""{"action":"pause","filter":"colour=red"}""", "filter")]
    public async Task Bulk_WithAMistake_NamesIt(string body, string field)
    {
        using var answer = await hub.Client.PostAsync("/hub/v1/bulk", body.AsJson());
        await answer.IsProblemAsync(HttpStatusCode.BadRequest, "invalid-field", field);
    }

    [Fact]
    public async Task Bulk_ThatIsStopped_GoesNoFurther_AndSaysSo()
    {
        var done = await calls.BulkAsync(new() { ["action"] = "pause", ["ids"] = new JsonArray(await calls.CommandAsync()) });
        using var late = await hub.Client.PostAsync($"/hub/v1/bulk/{done["id"]}/cancel", null);
        await late.IsProblemAsync(HttpStatusCode.Conflict, "bulk-already-finished");
        using var unknown = await hub.Client.PostAsync($"/hub/v1/bulk/{Guid.NewGuid()}/cancel", null);
        await unknown.IsProblemAsync(HttpStatusCode.NotFound, "bulk-not-found");
    }

    [Fact]
    public async Task Bulk_OfATree_PausesItAndRetriesWhatFailed()
    {
        using var put = await hub.Client.PutAsync("/api/jobs", """{"title":"tree of a bulk"}""".AsJson());
        var list = JsonNode.Parse(await hub.Client.GetStringAsync("/hub/v1/jobs?family=farm&q=tree%20of%20a%20bulk"))!["items"]![0]!;
        var tree = (string)list["id"]!;
        foreach (var (action, paused) in ((string, bool)[])[("pause", true), ("resume", false), ("retry", false), ("reset", false)])
        {
            var done = await calls.BulkAsync(new() { ["action"] = action, ["ids"] = new JsonArray(tree) });
            Assert.Equal((1, paused), ((int)done["done"]!, (bool)(await calls.JobAsync(tree))["paused"]!));
        }

        await calls.BulkAsync(new() { ["action"] = "delete", ["ids"] = new JsonArray(tree) });
        using var gone = await hub.Client.GetAsync($"/hub/v1/jobs/{tree}");
        Assert.Equal(HttpStatusCode.NotFound, gone.StatusCode);
    }
}
