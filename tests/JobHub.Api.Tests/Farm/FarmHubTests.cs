using System.Net;
using System.Text.Json.Nodes;
using JobHub.Engine.Attempts;
using JobHub.Testing;

namespace JobHub.Api.Tests.Farm;

/// <summary>/hub/v1 over trees of jobs.</summary>
public sealed class FarmHubTests(HubFixture fixture) : IClassFixture<HubFixture>
{
    private HttpClient Client => fixture.Hub.Client;

    [Fact]
    public async Task List_ShowsATreeAsItsRoot_AndWhatIsBelowByItsParent()
    {
        var root = await Client.PutJobAsync("""{"title":"the tree"}""");
        var group = await Client.PutJobAsync($$"""{"parent":{{root}},"title":"its group"}""");
        var leaves = new List<long>();
        for (var i = 0; i < 3; i++) leaves.Add(await Client.PutJobAsync($$"""{"parent":{{group}},"title":"its leaf {{i}}","command":"true"}"""));
        await using var worker = await WorkerDouble.OpenAsync(fixture.Hub);
        var first = (await Eventually.GetAsync(async () => await worker.ClaimOfAsync(leaves[0]), static a => a is not null, "a leaf is given out"))!;
        await worker.CompleteAsync(first, AttemptOutcome.Succeeded);
        var second = (await Eventually.GetAsync(async () => await worker.ClaimOfAsync(leaves[1]), static a => a is not null, "the next is given out"))!;

        var shown = Assert.Single(await ListAsync("?family=farm"));
        Assert.Equal((root, "the tree", true, null), ((long)shown["number"]!, (string?)shown["title"], (bool)shown["isGroup"]!, shown["parent"]));
        Assert.Equal("""{"total":3,"running":1,"succeeded":1,"failed":0}""", shown["leaves"]!.ToJsonString());
        Assert.Equal("""{"total":0,"running":0,"succeeded":0,"failed":0}""", shown["children"]!.ToJsonString());
        Assert.Equal(("Running", 1.0 / 3), ((string?)shown["state"], (double)shown["progress"]!));
        var inRoot = Assert.Single(await ListAsync($"?parent={shown["id"]}"));
        Assert.Equal((group, (string?)shown["id"]), ((long)inRoot["number"]!, (string?)inRoot["parent"]));
        var inGroup = await ListAsync($"?parent={inRoot["id"]}");
        Assert.Equal(Enumerable.Reverse(leaves), inGroup.Select(static job => (long)job["number"]!));
        Assert.All(inGroup, job => Assert.Equal((false, null), ((bool)job["isGroup"]!, job["leaves"])));
        Assert.Equal(["Queued", "Running", "Succeeded"], inGroup.Select(static job => (string)job["state"]!));
        Assert.Equal([leaves[1]], (await ListAsync($"?parent={inRoot["id"]}&state=running")).Select(static job => (long)job["number"]!).ToArray());
        var one = JsonNode.Parse(await Client.GetStringAsync($"/hub/v1/jobs/{inGroup[0]["id"]}"))!;
        Assert.Equal(((string?)inRoot["id"], "true"), ((string?)one["parent"], (string?)one["details"]!["command"]));
        await Eventually.TrueAsync(async () => (await ListAsync("?state=running")).Any(job => (long)job["number"]! == root), "the tree is among what runs");
        foreach (var unknown in (string[])[$"{Guid.NewGuid()}", "x", $"{root}"])
        {
            using var answer = await Client.GetAsync($"/hub/v1/jobs?parent={unknown}");
            await answer.IsProblemAsync(HttpStatusCode.NotFound, "job-not-found");
        }

        await worker.CompleteAsync(second, AttemptOutcome.Succeeded);
        await Client.IsOneAsync("DELETE", "/api/jobs", $"[{root}]");
        Assert.Empty(await ListAsync("?family=farm"));
        foreach (var id in (JsonNode?[])[shown["id"], inRoot["id"], one["id"]])
        {
            using var gone = await Client.GetAsync($"/hub/v1/jobs/{id}");
            await gone.IsProblemAsync(HttpStatusCode.NotFound, "job-not-found");
        }
    }

    [Fact]
    public async Task PauseResumeAndReset_OfATree_AreTheFarmsOwn()
    {
        var root = await Client.PutJobAsync("{}");
        var leaf = await Client.PutJobAsync($$"""{"parent":{{root}},"command":"true"}""");
        var id = (string)(await ListAsync("?family=farm")).Single(job => (long)job["number"]! == root)["id"]!;
        await ChangeAsync(id, "pause");
        Assert.Equal("PAUSED", await Client.StateAsync(leaf));
        Assert.Equal("Paused", (string?)Assert.Single(await ListAsync($"?parent={id}"))["state"]);
        await ChangeAsync(id, "resume");
        Assert.Equal("WAITING", await Client.StateAsync(leaf));
        await using var worker = await WorkerDouble.OpenAsync(fixture.Hub);
        await worker.CompleteAsync((await Eventually.GetAsync(async () => await worker.ClaimOfAsync(leaf), static a => a is not null, "it is given out"))!, AttemptOutcome.Succeeded);
        await Eventually.TrueAsync(async () => await Client.StateAsync(root) == "FINISHED", "the tree has finished");
        await ChangeAsync(id, "reset");
        await Eventually.TrueAsync(async () => await Client.StateAsync(root) == "WAITING", "it waits again");
        await Client.IsOneAsync("DELETE", "/api/jobs", $"[{root}]");

        async Task ChangeAsync(string job, string verb)
        {
            using var answer = await Client.PostAsync($"/hub/v1/jobs/{job}/{verb}", null);
            Assert.Equal(HttpStatusCode.Accepted, answer.StatusCode);
            Assert.Equal(job, (string?)(await answer.JsonAsync())["id"]);
        }
    }

    [Fact]
    public async Task Reset_OfOtherFamilies_IsRefused()
    {
        using var made = await Client.PostAsync("/jobs?project=others", """{"command":"true","image":"none"}""".AsJson());
        var id = (await made.JsonAsync())["job_id"];
        using var answer = await Client.PostAsync($"/hub/v1/jobs/{id}/reset", null);
        await answer.IsProblemAsync(HttpStatusCode.Conflict, "not-supported");
        using var unknown = await Client.PostAsync($"/hub/v1/jobs/{Guid.NewGuid()}/reset", null);
        await unknown.IsProblemAsync(HttpStatusCode.NotFound, "job-not-found");
        using var stop = await Client.DeleteAsync($"/jobs/{id}?project=others");
        Assert.Equal(HttpStatusCode.Accepted, stop.StatusCode);
    }

    private async Task<JsonNode[]> ListAsync(string query) => [.. JsonNode.Parse(await Client.GetStringAsync("/hub/v1/jobs" + query))!["items"]!.AsArray().Select(static job => job!)];
}
