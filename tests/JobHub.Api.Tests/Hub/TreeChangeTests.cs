using System.Net;
using System.Text.Json.Nodes;
using JobHub.Api.Tests.Farm;

namespace JobHub.Api.Tests.Hub;

/// <summary>/hub/v1/trees: values, place and dependencies of many jobs of trees at once.</summary>
public sealed class TreeChangeTests(HubFixture fixture) : IClassFixture<HubFixture>
{
    private HttpClient Client => fixture.Hub.Client;

    [Fact]
    public async Task Change_OfManyJobs_GivesAllTheSameValuesAndLeavesTheRest()
    {
        var (root, first, second) = await TreeAsync();
        await ChangeAsync($$"""{"jobs":[{{first}},{{second}}],"priority":77,"affinity":"LINUX","retry":3,"timeoutSeconds":60}""", HttpStatusCode.NoContent);
        var items = await GetAsync(first, second);
        Assert.All(items, job => Assert.Equal((77, "LINUX", 3, 60, root), ((int)job!["priority"]!, (string?)job["affinity"], (int)job["retry"]!, (int)job["timeoutSeconds"]!, (long)job["parent"]!)));
        Assert.Equal(["first", "second"], items.Select(static job => (string?)job!["title"]).Order());
    }

    [Fact]
    public async Task Change_OfTheGroup_MovesJobsAndBackAmongTheRoots()
    {
        var (root, first, second) = await TreeAsync();
        var other = await Client.PutJobAsync("""{"title":"other tree"}""");
        await ChangeAsync($$"""{"jobs":[{{first}},{{second}}],"parent":{{other}}}""", HttpStatusCode.NoContent);
        Assert.Equal([first, second], await Client.IdsAsync($"/api/jobs/{other}/children"));
        Assert.Empty(await Client.IdsAsync($"/api/jobs/{root}/children"));
        await ChangeAsync($$"""{"jobs":[{{first}}],"parent":0}""", HttpStatusCode.NoContent);
        Assert.Equal(0, (long)Assert.Single(await GetAsync(first))!["parent"]!);
    }

    [Fact]
    public async Task Change_OfDependencies_ReplacesThemAndRefusesACircle()
    {
        var (_, first, second) = await TreeAsync();
        await ChangeAsync($$"""{"jobs":[{{second}}],"dependencies":[{{first}}]}""", HttpStatusCode.NoContent);
        Assert.Equal([first], Assert.Single(await GetAsync(second))!["dependencies"]!.AsArray().Select(static d => (long)d!));
        await ChangeAsync($$"""{"jobs":[{{first}}],"dependencies":[{{second}}]}""", HttpStatusCode.Conflict);
        await ChangeAsync($$"""{"jobs":[{{second}}],"dependencies":[]}""", HttpStatusCode.NoContent);
        Assert.Empty(Assert.Single(await GetAsync(second))!["dependencies"]!.AsArray());
    }

    [Fact]
    public async Task Change_ByWhatIsAddedAndTakenAway_LeavesTheRestOfEachJob()
    {
        var (root, first, second) = await TreeAsync();
        await ChangeAsync($$"""{"jobs":[{{first}}],"affinity":"LINUX,GPU"}""", HttpStatusCode.NoContent);
        await ChangeAsync($$"""{"jobs":[{{first}},{{second}}],"addAffinity":["BIG"],"removeAffinity":["GPU"]}""", HttpStatusCode.NoContent);
        Assert.Equal("LINUX,BIG", (string?)Assert.Single(await GetAsync(first))!["affinity"]);
        Assert.Equal("BIG", (string?)Assert.Single(await GetAsync(second))!["affinity"]);

        var other = await Client.PutJobAsync("""{"title":"other"}""");
        var third = await Client.PutJobAsync($$"""{"parent":{{root}},"title":"third","command":"true","dependencies":[{{first}}]}""");
        await ChangeAsync($$"""{"jobs":[{{second}},{{third}}],"addDependencies":[{{other}}]}""", HttpStatusCode.NoContent);
        Assert.Equal([first, other], Assert.Single(await GetAsync(third))!["dependencies"]!.AsArray().Select(static d => (long)d!).Order());
        await ChangeAsync($$"""{"jobs":[{{second}},{{third}}],"removeDependencies":[{{first}}]}""", HttpStatusCode.NoContent);
        Assert.All(await GetAsync(second, third), job => Assert.Equal([other], job!["dependencies"]!.AsArray().Select(static d => (long)d!)));
        await ChangeAsync($$"""{"jobs":[{{second}}],"addDependencies":[{{second}}]}""", HttpStatusCode.Conflict);
        await ChangeAsync($$"""{"jobs":[{{second}}],"addDependencies":[999999]}""", HttpStatusCode.NotFound);
    }

    [Fact]
    public async Task Dependencies_AddedToAsManyAsAJobMayHave_AreRefused()
    {
        var (_, first, _) = await TreeAsync();
        var jobs = new JsonArray([.. Enumerable.Range(0, 10_001).Select(static _ => new JsonObject { ["title"] = "before" })]);
        var numbers = JsonNode.Parse(await Client.FarmTextAsync("PUT", "/api/jobs", jobs.ToJsonString()))!.AsArray().Select(static n => (long)n!).ToArray();
        using (var set = await Client.PostAsync($"/api/jobs/{first}/dependencies", $"[{string.Join(',', numbers[..10_000])}]".AsJson())) Assert.Equal(HttpStatusCode.OK, set.StatusCode);
        using (var answer = await Client.PostAsync("/hub/v1/trees/jobs", $$"""{"jobs":[{{first}}],"addDependencies":[{{numbers[^1]}}]}""".AsJson())) await answer.IsProblemAsync(HttpStatusCode.Conflict, "too-many-dependencies");
        await ChangeAsync($$"""{"jobs":[{{first}}],"addDependencies":[{{numbers[^1]}}],"removeDependencies":[{{numbers[0]}}]}""", HttpStatusCode.NoContent);
    }

    [Fact]
    public async Task Slots_AreNamedAllOrNone_AndOneThatIsUsedKeepsItsName()
    {
        var (_, first, _) = await TreeAsync();
        var mine = "S" + Guid.NewGuid().ToString("N")[..8];
        await NameAsync($$$"""{"names":{"60":"{{{mine}}}","61":"free {{{mine}}}"}}""", HttpStatusCode.NoContent);
        await ChangeAsync($$"""{"jobs":[{{first}}],"addAffinity":["{{mine}}"]}""", HttpStatusCode.NoContent);
        await NameAsync("""{"names":{"60":"","61":""}}""", HttpStatusCode.Conflict);
        var names = JsonNode.Parse(await Client.GetStringAsync("/hub/v1/trees/affinities"))!["names"]!;
        Assert.Equal((mine, "free " + mine), ((string?)names["60"], (string?)names["61"]));
        await NameAsync("""{"names":{"61":""}}""", HttpStatusCode.NoContent);
        Assert.Null(JsonNode.Parse(await Client.GetStringAsync("/hub/v1/trees/affinities"))!["names"]!["61"]);
        foreach (var bad in (string[])["""{"names":{"65":"x"}}""", """{"names":{"1":"a,b"}}""", """{"names":{}}""", """{"names":{"1":null}}"""]) await NameAsync(bad, HttpStatusCode.BadRequest);
    }

    private async Task NameAsync(string body, HttpStatusCode expected)
    {
        using var answer = await Client.PostAsync("/hub/v1/trees/affinities", body.AsJson());
        Assert.True(expected == answer.StatusCode, $"{body}: {(int)answer.StatusCode} {await answer.Content.ReadAsStringAsync()}");
    }

    [Theory]
    [InlineData("""{"jobs":[1],"affinity":"A","addAffinity":["B"]}""", "addAffinity"), InlineData("""{"jobs":[1],"removeAffinity":["A,B"]}""", "removeAffinity"), InlineData("""{"jobs":[1],"dependencies":[],"addDependencies":[2]}""", "addDependencies")]
    [InlineData("""{"jobs":[]}""", "jobs"), InlineData("""{"priority":1}""", "jobs"), InlineData("""{"jobs":[1],"priority":256}""", "priority"), InlineData("""{"jobs":[1],"retry":-1}""", "retry")]
    [InlineData("""{"jobs":[1],"title":"a\u0000b"}""", "title"), InlineData("""{"jobs":[1],"affinity":"a\u0000b"}""", "affinity")]
    public async Task Change_WithABadBody_NamesTheField(string body, string field)
    {
        using var answer = await Client.PostAsync("/hub/v1/trees/jobs", body.AsJson());
        await answer.IsProblemAsync(HttpStatusCode.BadRequest, "invalid-field", field);
    }

    [Fact]
    public async Task Move_IntoAGroupOfAnotherProject_IsRefused()
    {
        var callers = new Callers(fixture.Hub);
        var account = await callers.AccountAsync(Callers.Member);
        using var member = fixture.Hub.NewClient(await callers.TokenAsync(account));
        async Task<long> GroupAsync(string project)
        {
            using var put = await member.PutAsync($"/api/jobs?project={project}", """{"title":"group"}""".AsJson());
            Assert.True(put.IsSuccessStatusCode, await put.Content.ReadAsStringAsync());
            return long.Parse(await put.Content.ReadAsStringAsync(), System.Globalization.CultureInfo.InvariantCulture);
        }

        var (one, other) = (await callers.ProjectAsync(members: account), await callers.ProjectAsync(members: account));
        var (job, there, beside) = (await GroupAsync(one), await GroupAsync(other), await GroupAsync(one));
        using (var moved = await member.PostAsync("/hub/v1/trees/jobs", $$"""{"jobs":[{{job}}],"parent":{{there}}}""".AsJson())) await moved.IsProblemAsync(HttpStatusCode.Conflict, "other-project");
        using (var moved = await member.PostAsync("/hub/v1/trees/jobs", $$"""{"jobs":[{{job}}],"parent":{{beside}}}""".AsJson())) Assert.Equal(HttpStatusCode.NoContent, moved.StatusCode);
    }

    [Fact]
    public async Task Change_OfWhatIsNotThere_IsUnknown()
    {
        using var answer = await Client.PostAsync("/hub/v1/trees/jobs", """{"jobs":[999999],"priority":1}""".AsJson());
        await answer.IsProblemAsync(HttpStatusCode.NotFound, "job-not-found");
        using var read = await Client.GetAsync("/hub/v1/trees/jobs?ids=999999");
        await read.IsProblemAsync(HttpStatusCode.NotFound, "job-not-found");
    }

    private async Task<(long Root, long First, long Second)> TreeAsync()
    {
        var root = await Client.PutJobAsync("""{"title":"tree"}""");
        return (root, await Client.PutJobAsync($$"""{"parent":{{root}},"title":"first","command":"true","paused":true}"""), await Client.PutJobAsync($$"""{"parent":{{root}},"title":"second","command":"true","paused":true}"""));
    }

    private async Task ChangeAsync(string body, HttpStatusCode status)
    {
        using var answer = await Client.PostAsync("/hub/v1/trees/jobs", body.AsJson());
        Assert.True(answer.StatusCode == status, await answer.Content.ReadAsStringAsync());
    }

    private async Task<JsonArray> GetAsync(params long[] numbers) => JsonNode.Parse(await Client.GetStringAsync($"/hub/v1/trees/jobs?ids={string.Join(',', numbers)}"))!["items"]!.AsArray();
}
