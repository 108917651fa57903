using System.Net;
using System.Text.Json.Nodes;
using JobHub.Api.Tests.Farm;
using JobHub.Engine.Attempts;
using JobHub.Engine.Jobs;
using JobHub.Testing;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;

namespace JobHub.Api.Tests;

/// <summary>Search, order, counts and CSV of jobs over /hub/v1. Each test has a project of its own.</summary>
public sealed class JobListTests(HubFixture fixture) : IClassFixture<HubFixture>
{
    private readonly string _project = "p" + Guid.NewGuid().ToString("N")[..12];

    private HttpClient Client => fixture.Hub.Client;

    [Fact]
    public async Task List_ThatIsNotFoundInTime_SaysSo()
    {
        await using var connection = await fixture.Hub.Services.GetRequiredService<NpgsqlDataSource>().OpenConnectionAsync();
        await using (await connection.BeginTransactionAsync())
        {
            // Whoever looks at jobs waits.
            await using (var held = new NpgsqlCommand("LOCK TABLE job IN ACCESS EXCLUSIVE MODE", connection)) await held.ExecuteNonQueryAsync();
            using var answer = await Client.GetAsync($"/hub/v1/jobs?project={_project}&-q=zz");
            var problem = await answer.IsProblemAsync(HttpStatusCode.UnprocessableEntity, "filter-too-slow");
            Assert.Contains("Narrow", (string)problem["detail"]!, StringComparison.Ordinal);
        }

        using var later = await Client.GetAsync($"/hub/v1/jobs?project={_project}&-q=zz");
        Assert.Equal(HttpStatusCode.OK, later.StatusCode);
    }

    [Theory]
    [InlineData("q=ALPHA", "alpha one,alpha two")]
    [InlineData("q=one%20alp", "alpha one")]
    [InlineData("q=lph", "alpha one,alpha two")]
    [InlineData("q=%20t", "alpha two,beta three")]
    [InlineData("-q=alpha", "beta three")]
    [InlineData("q=nowhere", "")]
    [InlineData("q=100%25", "")]
    [InlineData("label=team=a", "alpha one,alpha two")]
    [InlineData("label=team=a&label=night=yes", "alpha two")]
    [InlineData("-label=night=yes", "alpha one,beta three")]
    [InlineData("label=team", null)]
    [InlineData("user=anonymous", "alpha one,alpha two,beta three")]
    [InlineData("user=nobody", "")]
    [InlineData("family=commands", "alpha one,alpha two,beta three")]
    [InlineData("family=-commands", "")]
    [InlineData("family=farm,mapreduce", "")]
    [InlineData("state=canceled", "beta three")]
    [InlineData("state=queued,canceled", "alpha one,alpha two,beta three")]
    [InlineData("state=-canceled", "alpha one,alpha two")]
    [InlineData("state=running,paused", "")]
    [InlineData("state=succeeded,failed,canceled&sort=-ended", "beta three")]
    [InlineData("minPriority=100&maxPriority=100", "alpha two")]
    [InlineData("state=queued&sort=-priority", "alpha one,alpha two")]
    [InlineData("sort=number", "alpha one,alpha two,beta three", false)]
    [InlineData("createdAfter=2026-01-01T00:00:00%2B00:00", "alpha one,alpha two,beta three")]
    [InlineData("createdAfter=2026-01-01T00:00:00.5+00:00", "alpha one,alpha two,beta three")]
    [InlineData("createdBefore=2026-01-01T00:00:00Z", "")]
    [InlineData("endedAfter=2026-01-01T00:00:00Z", "beta three")]
    [InlineData("cause=user-error", "")]
    [InlineData("exitCode=7", "")]
    [InlineData("worker=nobody", "")]
    public async Task List_ByAFilter_FindsWhatMatchesAndCountsIt(string query, string? titles, bool newestFirst = true)
    {
        await ThreeAsync();
        using var answer = await Client.GetAsync($"/hub/v1/jobs?project={_project}&{query}");
        if (titles is null)
        {
            await answer.IsProblemAsync(HttpStatusCode.BadRequest, "invalid-field");
            return;
        }

        var found = (await answer.JsonAsync())["items"]!.AsArray().Select(static job => (string)job!["title"]!).ToList();
        string[] expected = titles.Split(',', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(newestFirst && !query.Contains("priority", StringComparison.Ordinal) ? expected.Reverse() : expected, found);
        var counts = JsonNode.Parse(await Client.GetStringAsync($"/hub/v1/jobs/counts?project={_project}&{query}"))!;
        Assert.Equal((expected.Length, true), ((int)counts["total"]!, (bool)counts["exact"]!));
        Assert.Equal(expected.Contains("beta three") ? 1 : 0, (int)counts["byState"]!["Canceled"]!);

        // The same with the index of words as without it.
        await fixture.Hub.Services.GetRequiredService<JobUpkeep>().MakeWordsAsync(CancellationToken.None);
        var again = JsonNode.Parse(await Client.GetStringAsync($"/hub/v1/jobs?project={_project}&{query}"))!["items"]!.AsArray().Select(static job => (string)job!["title"]!);
        Assert.Equal(found, again);
    }

    [Theory]
    [InlineData("state=9", "state"), InlineData("state=queued,-x", "state"), InlineData("family=x", "family"), InlineData("limit=501", "limit"), InlineData("sort=size", "sort")]
    [InlineData("sort=-priority", "sort"), InlineData("sort=ended&state=running", "sort"), InlineData("after=x", "after"), InlineData("after=QUJD", "after"), InlineData("createdAfter=soon", "createdAfter")]
    [InlineData("minPriority=256", "minPriority"), InlineData("exitCode=256", "exitCode"), InlineData("exitCode=x", "exitCode"), InlineData("ids=1,x", "ids"), InlineData("flat=maybe", "flat"), InlineData("label=x", "label")]
    [InlineData("createdAfter=2026-11-21 10:00", "createdAfter"), InlineData("createdAfter=2026-11-21", "createdAfter"), InlineData("endedAfter=2026-11-21T10:00:00", "endedAfter"), InlineData("createdBefore=2026-11-21T10:00:00Z x", "createdBefore")]
    public async Task List_WithABadQuery_NamesIt(string query, string field)
    {
        using var answer = await Client.GetAsync("/hub/v1/jobs?" + query);
        await answer.IsProblemAsync(HttpStatusCode.BadRequest, "invalid-field", field);
    }

    [Theory]
    [InlineData(""), InlineData("&sort=number"), InlineData("&sort=-priority&state=queued,running,paused,canceling"), InlineData("&sort=priority&state=queued")]
    [InlineData("&createdAfter=2026-01-01T00:00:00Z"), InlineData("&sort=number&createdAfter=2026-01-01T00:00:00Z"), InlineData("&q=page")]
    public async Task List_PageByPage_GivesEachJobOnceInOrder(string query)
    {
        List<long> numbers = [];
        for (var i = 0; i < 7; i++) numbers.Add((long)(await SubmitAsync($"page {i}", priority: i % 3))["number"]!);
        var whole = await NumbersAsync($"?project={_project}{query}");
        Assert.Equal(numbers.Order(), whole.Order());
        var paged = new List<long>();
        string? after = null;
        do
        {
            var page = JsonNode.Parse(await Client.GetStringAsync($"/hub/v1/jobs?project={_project}{query}&limit=2{(after is null ? "" : "&after=" + after)}"))!;
            paged.AddRange(page["items"]!.AsArray().Select(static job => (long)job!["number"]!));
            after = (string?)page["next"];
        }
        while (after is not null);

        Assert.Equal(whole, paged);
    }

    [Fact]
    public async Task List_ByNumberOrIds_FindsJobsInGroupsToo()
    {
        var root = await Client.PutJobAsync("""{"title":"the tree"}""");
        var leaf = await Client.PutJobAsync($$"""{"parent":{{root}},"title":"the leaf","command":"true"}""");
        Assert.Equal([leaf], await NumbersAsync($"?q=%23{leaf}"));
        Assert.Equal([leaf, root], await NumbersAsync($"?ids={root},{leaf}"));
        Assert.Empty(await NumbersAsync("?q=the%20leaf"));
        Assert.Equal([leaf], await NumbersAsync("?q=the%20leaf&flat=true"));
        var shown = JsonNode.Parse(await Client.GetStringAsync($"/hub/v1/jobs?ids={leaf}"))!["items"]![0]!;
        var parent = JsonNode.Parse(await Client.GetStringAsync($"/hub/v1/jobs?ids={root}"))!["items"]![0]!;
        Assert.Equal((string?)parent["id"], (string?)shown["parent"]);
    }

    [Fact]
    public async Task List_OfAWorker_ShowsWhatRunsThereAndWhere()
    {
        var job = await SubmitAsync("on a worker", priority: 255);
        await using var worker = await WorkerDouble.OpenAsync(fixture.Hub);
        var attempt = (await Eventually.GetAsync(async () => await worker.ClaimOfAsync((long)job["number"]!), static a => a is not null, "it is given out"))!;
        var found = JsonNode.Parse(await Client.GetStringAsync($"/hub/v1/jobs?project={_project}&worker={worker.Name}"))!["items"]!.AsArray();
        var shown = Assert.Single(found)!;
        Assert.Equal((1, 1, worker.Name), ((int)shown["place"]!["slots"]!, (int)shown["place"]!["workers"]!, (string?)shown["place"]!["worker"]));
        Assert.Equal("Running", (string?)shown["state"]);
        var counts = JsonNode.Parse(await Client.GetStringAsync($"/hub/v1/jobs/counts?project={_project}"))!;
        Assert.Equal((1, 1, 0), ((int)counts["total"]!, (int)counts["byState"]!["Running"]!, (int)counts["byState"]!["Queued"]!));
        await worker.CompleteAsync(attempt, AttemptOutcome.Succeeded);
        await Eventually.TrueAsync(async () => (int)JsonNode.Parse(await Client.GetStringAsync($"/hub/v1/jobs/counts?project={_project}"))!["byState"]!["Succeeded"]! == 1, "it has succeeded");
        Assert.Empty(await NumbersAsync($"?project={_project}&worker={worker.Name}"));
    }

    [Fact]
    public async Task Counts_WhileManyChangeAtOnce_AreWhatTheJobsAre()
    {
        var upkeep = fixture.Hub.Services.GetRequiredService<JobUpkeep>();
        await Task.WhenAll(Enumerable.Range(0, 8).Select(async lane =>
        {
            for (var i = 0; i < 8; i++)
            {
                var job = await SubmitAsync($"counted {lane}");
                if (i % 2 == 0) await CancelAsync((string)job["id"]!);
                if (i % 3 == 0) await upkeep.AddCountsAsync(CancellationToken.None);
                var read = JsonNode.Parse(await Client.GetStringAsync($"/hub/v1/jobs/counts?project={_project}"))!;
                Assert.InRange((int)read["total"]!, i + 1, 64);
            }
        }));
        await Eventually.TrueAsync(
            async () => (await ByStateAsync("")) is { } now && (now["Queued"], now["Canceled"], now.Values.Sum()) == (32, 32, 64), "all have come to where they go");
        await upkeep.AddCountsAsync(CancellationToken.None);
        Assert.Equal(32, (await ByStateAsync("&state=queued")).Values.Sum());

        // As the jobs themselves say it, walked one by one.
        Assert.Equal(await ByStateAsync(""), await ByStateAsync("&createdAfter=2020-01-01T00:00:00Z"));
        var database = fixture.Hub.Services.GetRequiredService<NpgsqlDataSource>();
        await using var command = database.CreateCommand("""
            SELECT count(*) FROM (
                SELECT project, family, root, state, sum(jobs) AS jobs FROM (SELECT * FROM job_count UNION ALL SELECT * FROM job_count_change) c GROUP BY 1, 2, 3, 4 HAVING sum(jobs) <> 0
                EXCEPT
                SELECT project, family, parent IS NULL, job_word(state, stop, paused), count(*) FROM job WHERE deleted_at IS NULL GROUP BY 1, 2, 3, 4) d WHERE project = $1
            """);
        command.Parameters.AddWithValue(_project);
        Assert.Equal(0L, await command.ExecuteScalarAsync());
    }

    [Fact]
    public async Task Counts_OfATree_FollowItsPauseMoveAndDelete()
    {
        var root = await Client.PutJobAsync("""{"title":"tree"}""");
        var leaf = await Client.PutJobAsync($$"""{"parent":{{root}},"title":"leaf","command":"true"}""");
        var id = (string)JsonNode.Parse(await Client.GetStringAsync($"/hub/v1/jobs?ids={root}"))!["items"]![0]!["id"]!;
        var before = (await ByStateAsync("", "default"), await ByStateAsync("&flat=true", "default"));
        using (await Client.PostAsync($"/hub/v1/jobs/{id}/pause", null)) Assert.Equal(before.Item1["Paused"] + 1, (await ByStateAsync("", "default"))["Paused"]);
        await Client.IsOneAsync("DELETE", "/api/jobs", $"[{root}]");
        Assert.Equal(before.Item1.Values.Sum() - 1, (await ByStateAsync("", "default")).Values.Sum());
        await Eventually.TrueAsync(async () => (await ByStateAsync("&flat=true", "default")).Values.Sum() == before.Item2.Values.Sum() - 2, $"the leaf {leaf} is gone too");
    }

    [Fact]
    public async Task Csv_OfHostileTitles_IsQuotedAndNeverCalculates()
    {
        string[] titles = ["=1+2", "+x", "-x", "@SUM(A1)", "a \"b\", c", "<script>alert(1)</script>"];
        foreach (var title in titles) await SubmitAsync(title);
        using var answer = await Client.GetAsync($"/hub/v1/jobs.csv?project={_project}&sort=number");
        Assert.Equal(("text/csv", "attachment"), (answer.Content.Headers.ContentType?.MediaType, answer.Content.Headers.ContentDisposition?.DispositionType));
        var text = await answer.Content.ReadAsStringAsync();
        Assert.StartsWith("id,number,name,family,title,", text, StringComparison.Ordinal);
        foreach (var cell in (string[])[",'=1+2,", ",'+x,", ",'-x,", ",'@SUM(A1),", ",\"a \"\"b\"\", c\",", ",<script>alert(1)</script>,"]) Assert.Contains(cell, text, StringComparison.Ordinal);
        Assert.Equal(titles.Length + 1, text.Split("\r\n", StringSplitOptions.RemoveEmptyEntries).Length);
        Assert.Equal("id", (await Client.GetStringAsync($"/hub/v1/jobs.csv?project={_project}&q=nowhere")).Split(',')[0]);
    }

    private async Task ThreeAsync()
    {
        await SubmitAsync("alpha one", """{"team":"a"}""", 200);
        await SubmitAsync("alpha two", """{"team":"a","night":"yes"}""", 100);
        var third = await SubmitAsync("beta three");
        await CancelAsync((string)third["id"]!);
        await Eventually.TrueAsync(async () => (string?)JsonNode.Parse(await Client.GetStringAsync($"/hub/v1/jobs/{third["id"]}"))!["state"] == "Canceled", "it is canceled");
    }

    private async Task CancelAsync(string id)
    {
        using var answer = await Client.PostAsync($"/hub/v1/jobs/{id}/cancel", null);
        Assert.Equal(HttpStatusCode.Accepted, answer.StatusCode);
    }

    /// <summary>A command that nothing claims by itself.</summary>
    private async Task<JsonNode> SubmitAsync(string title, string labels = "{}", int priority = 150)
    {
        var body = new JsonObject { ["command"] = title, ["labels"] = JsonNode.Parse(labels), ["priority"] = priority };
        using var made = await Client.PostAsync($"/jobs?project={_project}", body);
        var answer = await made.JsonAsync();
        Assert.True(made.IsSuccessStatusCode, answer.ToJsonString());
        return JsonNode.Parse(await Client.GetStringAsync($"/hub/v1/jobs/{answer["job_id"]}"))!;
    }

    private async Task<Dictionary<string, int>> ByStateAsync(string query, string? project = null) =>
        JsonNode.Parse(await Client.GetStringAsync($"/hub/v1/jobs/counts?project={project ?? _project}{query}"))!["byState"]!.AsObject().ToDictionary(static s => s.Key, static s => (int)s.Value!);

    private async Task<long[]> NumbersAsync(string query) => [.. JsonNode.Parse(await Client.GetStringAsync("/hub/v1/jobs" + query))!["items"]!.AsArray().Select(static job => (long)job!["number"]!)];
}
