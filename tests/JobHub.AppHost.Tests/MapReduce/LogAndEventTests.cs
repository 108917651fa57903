using System.Net;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json.Nodes;

namespace JobHub.AppHost.Tests.MapReduce;

/// <summary>What programs print and what happens to a job can be followed while it runs, and read when its worker and its Api are others.</summary>
[Collection(HubsCollection.Name)]
public sealed class LogAndEventTests(HubsFixture hubs) : IAsyncLifetime
{
    private const int Kept = 32 << 20;

    private HubClient hub = null!;

    public async Task InitializeAsync() => hub = await hubs.FilesAsync();

    public Task DisposeAsync() => Task.CompletedTask;

    [Fact]
    public async Task Log_OfARunningTask_CanBeFollowedToItsEndAndReadWhenTheWorkerIsGone()
    {
        var gate = new Gate(hub);
        var id = await hub.SubmitAsync(await gate.JobAsync(1));
        using var answer = await hub.Http.GetAsync($"/hub/v1/jobs/{id}/log?task={id}-m-0&follow=true", HttpCompletionOption.ResponseHeadersRead);
        Assert.Equal((HttpStatusCode.OK, "text/plain"), (answer.StatusCode, answer.Content.Headers.ContentType?.MediaType));
        using var reader = new StreamReader(await answer.Content.ReadAsStreamAsync(), Encoding.UTF8);
        // It is there while the program still waits.
        Assert.Equal("waits", await reader.ReadLineAsync());
        Assert.Equal("waits\n", await hub.Http.GetStringAsync($"/hub/v1/jobs/{id}/log?task=m-0"));
        gate.Open();
        Assert.Equal("goes\n", await reader.ReadToEndAsync());
        await hub.CompletedAsync(id);

        var before = await hub.Hub.KillAsync("worker");
        foreach (var (query, text) in new[] { ("", "waits\ngoes\n"), ("&offset=6", "goes\n"), ("&offset=11", ""), ("&offset=500", ""), ("&attempt=1", "waits\ngoes\n"), ("&follow=true&offset=6", "goes\n") })
            Assert.Equal(text, await hub.Http.GetStringAsync($"/hub/v1/jobs/{id}/log?task=m-0{query}"));
        await hub.Hub.WaitRestartedAsync("worker", before);

        using var none = await hub.Http.GetAsync($"/hub/v1/jobs/{id}/log?task=m-0&attempt=2");
        await hub.ProblemAsync(none, HttpStatusCode.NotFound, "attempt-not-found");
        using var unnamed = await hub.Http.GetAsync($"/hub/v1/jobs/{id}/log");
        await hub.ProblemAsync(unnamed, HttpStatusCode.BadRequest, "missing-field");
        using var unknown = await hub.Http.GetAsync($"/hub/v1/jobs/{id}/log?task=m-1");
        await hub.ProblemAsync(unknown, HttpStatusCode.NotFound, "task-not-found");
        Assert.Equal("", await hub.Http.GetStringAsync($"/hub/v1/jobs/{id}/log?task=r-0"));
    }

    [Fact]
    public async Task Log_OverWhatTravelsWithACompletion_IsWholeAndServedInRanges()
    {
        var printed = string.Concat(Enumerable.Range(0, 12_500).Select(static i => $"{i:D7}\n"));
        hub.Write("printed", printed);
        await hub.UploadAsync("print.sh", "#!/bin/sh\ncat \"$1\" >&2\n");
        var submission = await new Gate(hub).JobAsync(1);
        (submission["mapperName"], submission["mapperArgs"]) = ("print.sh", new JsonArray($"{hub.Folder}/printed"));
        var id = await hub.RunAsync(submission);
        var log = $"/hub/v1/jobs/{id}/log?task=m-0";

        using var whole = await hub.Http.GetAsync(log);
        Assert.Equal(printed, await whole.Content.ReadAsStringAsync());
        Assert.Equal("100000", whole.Headers.GetValues("JobHub-Log-Size").Single());
        Assert.False(whole.Headers.Contains("JobHub-Log-Gaps"));
        Assert.Equal("nosniff", whole.Headers.GetValues("X-Content-Type-Options").Single());
        Assert.Equal(printed[50_004..], await hub.Http.GetStringAsync(log + "&offset=50004"));
        using var asked = new HttpRequestMessage(HttpMethod.Get, log) { Headers = { Range = new RangeHeaderValue(70_000, 70_015) } };
        using var range = await hub.Http.SendAsync(asked);
        Assert.Equal(HttpStatusCode.PartialContent, range.StatusCode);
        Assert.Equal(printed[70_000..70_016], await range.Content.ReadAsStringAsync());
        using var head = await hub.Http.SendAsync(new HttpRequestMessage(HttpMethod.Head, log));
        Assert.Equal(100_000, head.Content.Headers.ContentLength);
        using var again = new HttpRequestMessage(HttpMethod.Get, log) { Headers = { IfNoneMatch = { whole.Headers.ETag! } } };
        using var unchanged = await hub.Http.SendAsync(again);
        Assert.Equal(HttpStatusCode.NotModified, unchanged.StatusCode);
    }

    [Fact]
    public async Task Log_OfAProgramThatPrintsTooMuch_KeepsHeadAndTailAndSaysWhatIsMissing()
    {
        const int Lines = 9 << 20, Line = 8, Size = Lines * Line;
        await hub.UploadAsync("flood.sh", $"#!/bin/sh\nexec seq -f %07.0f 0 {Lines - 1} >&2\n");
        var submission = await new Gate(hub).JobAsync(1);
        submission["mapperName"] = "flood.sh";
        var id = await hub.RunAsync(submission);
        var log = $"/hub/v1/jobs/{id}/log?task=m-0";

        using var whole = await hub.Http.GetAsync(log);
        Assert.Equal($"{Size}", whole.Headers.GetValues("JobHub-Log-Size").Single());
        Assert.Equal($"{Kept}+{Size - (2 * Kept)}", whole.Headers.GetValues("JobHub-Log-Gaps").Single());
        var kept = await whole.Content.ReadAsByteArrayAsync();
        Assert.Equal(2 * Kept, kept.Length);
        Assert.True(kept.AsSpan(0, 16).SequenceEqual("0000000\n0000001\n"u8));
        Assert.Equal($"{(Kept / Line) - 1:D7}\n{(Size - Kept) / Line:D7}\n", Encoding.ASCII.GetString(kept, Kept - Line, 2 * Line));
        // Offsets count what was printed: this one is in the gap, the next behind it.
        var behind = $"{(Size - Kept) / Line:D7}\n";
        Assert.StartsWith(behind, await hub.Http.GetStringAsync($"{log}&offset={Kept + 1000}"));
        Assert.Equal($"{Lines - 2:D7}\n{Lines - 1:D7}\n", await hub.Http.GetStringAsync($"{log}&offset={Size - (2 * Line)}"));
    }

    [Fact]
    public async Task Events_OfAJob_ResumeAfterTheLastIdAcrossARestartOfTheApi()
    {
        var gate = new Gate(hub);
        var id = await hub.SubmitAsync(await gate.JobAsync(2));
        await gate.RunningAsync(id, 2);
        var seen = await EventsAsync(id, null, static e => e.Kind == "job-submitted");
        var before = await hub.Hub.KillAsync("api");
        await hub.Hub.WaitRestartedAsync("api", before);
        gate.Open();
        var rest = await EventsAsync(id, seen[^1].Id, static e => e.Kind == "job-ended");

        var whole = await EventsAsync(id, null, static e => e.Kind == "job-ended");
        Assert.Equal(whole, [.. seen, .. rest]);
        Assert.Equal(whole.Select(static e => e.Id).Order().Distinct(), whole.Select(static e => e.Id));
        Assert.Equal("job-submitted", whole[0].Kind);
        Assert.Equal("Succeeded", (string?)JsonNode.Parse(whole[^1].Data)!["payload"]!["state"]);
        Assert.Equal(id, (string?)JsonNode.Parse(whole[^1].Data)!["job"]);
        Assert.Equal(3, whole.Where(static e => e.Kind == "tasks-ended").Sum(static e => JsonNode.Parse(e.Data)!["payload"]!["tasks"]!.AsArray().Count));
        // Attempts outlive an Api that is back within their lease; on a busy machine it may take longer, and then they run again. The result is the same.
        Assert.Equal("line 000\nline 001\n", Encoding.ASCII.GetString(hub.Parts(id, 1)[0]).Replace("\t", "", StringComparison.Ordinal));
    }

    private async Task<List<Sent>> EventsAsync(string job, long? after, Func<Sent, bool> last)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, $"/hub/v1/events?job={job}");
        if (after is { } id) request.Headers.Add("Last-Event-ID", $"{id}");
        using var answer = await hub.Http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
        Assert.Equal((HttpStatusCode.OK, "text/event-stream"), (answer.StatusCode, answer.Content.Headers.ContentType?.MediaType));
        using var limit = new CancellationTokenSource(TimeSpan.FromMinutes(2));
        using var reader = new StreamReader(await answer.Content.ReadAsStreamAsync(), Encoding.UTF8);
        var events = new List<Sent>();
        var fields = new Dictionary<string, string>();
        while (await reader.ReadLineAsync(limit.Token) is { } line)
        {
            if (line.Split(": ", 2) is [{ Length: > 0 } name, var value])
            {
                fields[name] = value;
            }
            else if (line.Length == 0 && fields.Count > 0)
            {
                events.Add(new Sent(long.Parse(fields["id"], null), fields["event"], fields["data"]));
                fields.Clear();
                if (last(events[^1])) return events;
            }
        }
        throw new InvalidOperationException($"The stream ended after {events.Count} events.");
    }

    private sealed record Sent(long Id, string Kind, string Data);
}
