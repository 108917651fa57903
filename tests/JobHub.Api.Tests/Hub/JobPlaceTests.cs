using System.Net;
using System.Text.Json.Nodes;
using JobHub.Api.Tests.Farm;
using JobHub.Engine.Attempts;
using JobHub.Testing;

namespace JobHub.Api.Tests.Hub;

/// <summary>Places in lists of jobs: a number to begin at, the groups above a job; and what the tasks of what was found took. On a hub of its own: tests here claim what they made.</summary>
public sealed class JobPlaceTests(HubFixture fixture) : IClassFixture<HubFixture>
{
    private HttpClient Client => fixture.Hub.Client;

    [Fact]
    public async Task List_BegunAtANumber_GoesOnFromThereBothWays()
    {
        var user = "u" + Guid.NewGuid().ToString("N")[..8];
        List<long> numbers = [];
        for (var i = 0; i < 6; i++) numbers.Add(await Client.PutJobAsync($$"""{"title":"place {{i}}","user":"{{user}}"}"""));
        Assert.Equal([numbers[3], numbers[2]], await NumbersAsync($"?user={user}&at={numbers[3]}&limit=2"));
        Assert.Equal([numbers[4], numbers[5]], await NumbersAsync($"?user={user}&sort=number&at={numbers[4]}"));
        Assert.Equal(numbers.AsEnumerable().Reverse(), await NumbersAsync($"?user={user}&at=999999999"));
        Assert.Empty(await NumbersAsync($"?user={user}&at=0"));
        foreach (var query in (string[])["?state=queued&sort=-priority&at=1", "?createdAfter=2026-01-01T00:00:00Z&at=1", "?at=x"])
        {
            using var answer = await Client.GetAsync("/hub/v1/jobs" + query);
            await answer.IsProblemAsync(HttpStatusCode.BadRequest, "invalid-field", "at");
        }
    }

    [Fact]
    public async Task List_ThatAsksForPaths_NamesTheGroupsAboveEachJob()
    {
        var root = await Client.PutJobAsync("""{"title":"a show"}""");
        var group = await Client.PutJobAsync($$"""{"parent":{{root}},"title":"a shot"}""");
        var leaf = await Client.PutJobAsync($$"""{"parent":{{group}},"title":"a frame","command":"true"}""");
        var items = JsonNode.Parse(await Client.GetStringAsync($"/hub/v1/jobs?ids={root},{leaf}&path=true"))!["items"]!.AsArray();
        Assert.Equal([root, group], items[0]!["path"]!.AsArray().Select(static n => (long)n!));
        Assert.Null(items[1]!["path"]);
        Assert.Null(JsonNode.Parse(await Client.GetStringAsync($"/hub/v1/jobs?ids={leaf}"))!["items"]![0]!["path"]);
    }

    [Fact]
    public async Task Sums_OfAGroup_AreThoseOfTheTasksBelowItThatHaveEnded()
    {
        var root = await Client.PutJobAsync("""{"title":"summed","priority":255}""");
        for (var i = 0; i < 3; i++) await Client.PutJobAsync($$"""{"parent":{{root}},"title":"task {{i}}","command":"true","priority":255}""");
        await using var worker = await WorkerDouble.OpenAsync(fixture.Hub);
        var none = await SumsAsync($"?ids={root}");
        Assert.Equal((1, 0, true), ((int)none["jobs"]!, (int)none["tasks"]!, (bool)none["exact"]!));
        Assert.Null(none["averageSeconds"]);
        var leaves = await Client.IdsAsync($"/api/jobs/{root}/children");
        foreach (var leaf in leaves[..2])
        {
            var attempt = (await Eventually.GetAsync(() => worker.ClaimOfAsync(leaf), static a => a is not null, "it is given out"))!;
            await worker.CompleteAsync(attempt, AttemptOutcome.Succeeded);
        }

        await Eventually.TrueAsync(async () => (int)(await SumsAsync($"?ids={root}"))["tasks"]! == 2, "both have ended");
        var both = await SumsAsync($"?ids={root}");
        Assert.Equal((double)both["seconds"]! / 2, (double)both["averageSeconds"]!, 6);
        Assert.True((double)both["seconds"]! > 0);
        // The same task once, however it was named.
        Assert.Equal(2, (int)(await SumsAsync($"?ids={root},{leaves[0]},{leaves[1]}"))["tasks"]!);
        Assert.Equal(1, (int)(await SumsAsync($"?ids={leaves[0]},{leaves[2]}"))["tasks"]!);
    }

    private async Task<JsonNode> SumsAsync(string query) => JsonNode.Parse(await Client.GetStringAsync("/hub/v1/jobs/sums" + query))!;

    private async Task<long[]> NumbersAsync(string query) => [.. JsonNode.Parse(await Client.GetStringAsync("/hub/v1/jobs" + query))!["items"]!.AsArray().Select(static job => (long)job!["number"]!)];
}
