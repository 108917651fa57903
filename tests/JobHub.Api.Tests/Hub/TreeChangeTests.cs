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

    [Theory]
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
