using System.Net;
using System.Text.Json.Nodes;

namespace JobHub.Api.Tests;

[Collection(HubCollection.Name)]
public sealed class HubTests(HubFixture fixture)
{
    private readonly HubHost hub = fixture.Hub;

    [Fact]
    public async Task Job_AsItsOwnApiShowsIt_HasStateTasksAndDetails()
    {
        var id = await SubmitAsync("shown job");
        var job = JsonNode.Parse(await hub.Client.GetStringAsync($"/hub/v1/jobs/{id}"))!;
        Assert.Equal(("MapReduce", "Queued", "shown job", "default"), ((string?)job["family"], (string?)job["state"], (string?)job["title"], (string?)job["project"]));
        Assert.Equal((3, 1, 2), ((int)job["tasks"]!["total"]!, (int)job["tasks"]!["ready"]!, (int)job["tasks"]!["blocked"]!));
        Assert.Equal(2, (int)job["details"]!["reducers"]!);

        var list = JsonNode.Parse(await hub.Client.GetStringAsync("/hub/v1/jobs?q=SHOWN&family=mapreduce&state=queued&limit=1"))!;
        Assert.Equal(id, (string?)list["items"]![0]!["id"]);
        Assert.False(list["items"]![0]!.AsObject().ContainsKey("details"));

        var tasks = JsonNode.Parse(await hub.Client.GetStringAsync($"/hub/v1/jobs/{id}/tasks?limit=1"))!;
        Assert.Equal($"{id}-m-0", (string?)tasks["next"]);
        Assert.Equal(("Map", "Ready"), ((string?)tasks["items"]![0]!["kind"], (string?)tasks["items"]![0]!["state"]));
        Assert.Equal("[]", await hub.Client.GetStringAsync($"/hub/v1/jobs/{id}/tasks/{id}-r-1/attempts"));
        Assert.Equal("", await hub.Client.GetStringAsync($"/hub/v1/jobs/{id}/log?task={id}-m-0"));
        foreach (var path in (string[])[$"tasks/{id}-r-2/attempts", "tasks/nonsense/attempts", $"log?task={id}-m-1"])
        {
            using var answer = await hub.Client.GetAsync($"/hub/v1/jobs/{id}/{path}");
            await answer.IsProblemAsync(HttpStatusCode.NotFound, "task-not-found");
        }
    }

    [Theory, InlineData("state=9", "state"), InlineData("family=x", "family"), InlineData("limit=501", "limit")]
    public async Task List_WithABadQuery_NamesIt(string query, string field)
    {
        using var answer = await hub.Client.GetAsync("/hub/v1/jobs?" + query);
        await answer.IsProblemAsync(HttpStatusCode.BadRequest, "invalid-field", field);
    }

    [Fact]
    public async Task Events_OfAJob_ComeInOrderAndResumeAfterTheLastSeen()
    {
        var id = await SubmitAsync("watched");
        using var cancel = await hub.Client.PostAsync($"/hub/v1/jobs/{id}/cancel", null);
        Assert.Equal(HttpStatusCode.Accepted, cancel.StatusCode);
        var seen = await ReadUntilAsync(id, null, "job-ended");
        Assert.Equal("job-submitted", seen[0].Kind);
        Assert.Contains(seen, happened => happened.Kind == "job-cancel-requested");
        Assert.True(seen.Zip(seen.Skip(1)).All(pair => pair.First.Position < pair.Second.Position));
        var rest = await ReadUntilAsync(id, seen[0].Position, "job-ended");
        Assert.Equal(seen[1..], rest);
    }

    private async Task<List<(long Position, string Kind)>> ReadUntilAsync(string job, long? after, string last)
    {
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        using var request = new HttpRequestMessage(HttpMethod.Get, $"/hub/v1/events?job={job}");
        if (after is not null) request.Headers.Add("Last-Event-ID", after.Value.ToString());
        using var answer = await hub.Client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, limit.Token);
        Assert.Equal("text/event-stream", answer.Content.Headers.ContentType?.MediaType);
        using var lines = new StreamReader(await answer.Content.ReadAsStreamAsync(limit.Token));
        var seen = new List<(long, string)>();
        var position = 0L;
        while (await lines.ReadLineAsync(limit.Token) is { } line)
        {
            if (line.StartsWith("id: ", StringComparison.Ordinal)) position = long.Parse(line[4..]);
            if (!line.StartsWith("event: ", StringComparison.Ordinal)) continue;
            seen.Add((position, line[7..]));
            if (line[7..] == last) break;
        }

        return seen;
    }

    private async Task<string> SubmitAsync(string title)
    {
        var submission = hub.Submission(hub.WriteInput($"{Guid.NewGuid():N}.txt", "x\n"));
        submission["title"] = title;
        using var answer = await hub.Client.PostAsync("/api/v1/jobs", submission);
        return (string)(await answer.JsonAsync())["id"]!;
    }
}
