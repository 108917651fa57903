using System.Net;
using System.Net.Http.Json;
using JobHub.Faults.Tests.Hubs;
using JobHub.Faults.Tests.Ledger;
using JobHub.Faults.Tests.Runs;
using JobHub.Testing;
using Xunit.Abstractions;

namespace JobHub.Faults.Tests;

/// <summary>Stops, submissions that are sent again, and what races them.</summary>
public class StopTests(ProgramHub fixture, ITestOutputHelper output) : IClassFixture<ProgramHub>
{
    private readonly FaultHub hub = fixture.Hub;

    [Fact]
    public async Task Stop_OfAThousandTasks_EndsThemAllAndLeavesNothing()
    {
        // Deaf to SIGTERM: the grace is used up.
        await hub.UploadAsync("deaf.sh", "#!/bin/sh\n" + ProgramLedger.Say + "trap '' TERM\nsay start\nwhile :; do sleep 1; done\n");
        var input = hub.Input(Enumerable.Repeat((byte)'\n', 1000).ToArray());
        var id = await hub.SubmitAsync(new FaultJob("deaf.sh", "cat.sh", input) { Reducers = 4, SplitSize = 1 });
        await hub.Ledger.WaitAsync(l => l.Word == "start" && l.Task.StartsWith(id, StringComparison.Ordinal), "a task that runs");
        Assert.Equal(1004, (await hub.JobAsync(id)).GetProperty("tasks").GetProperty("total").GetInt32());
        var at = TimeProvider.System.GetTimestamp();

        using var answer = await hub.Http.DeleteAsync($"/api/v1/jobs/{id}");

        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        Assert.Equal($"Job {id} was successfully stopped", await answer.Content.ReadAsStringAsync());
        var job = await hub.EndAsync(id);
        output.WriteLine($"all of 1004 tasks ended after {TimeProvider.System.GetElapsedTime(at).TotalSeconds:0.0} s, grace 1 s");
        Assert.Equal("Canceled", job.GetProperty("state").GetString());
        Assert.Equal(1004, job.GetProperty("tasks").GetProperty("canceled").GetInt32());
        using var again = await hub.Http.DeleteAsync($"/api/v1/jobs/{id}");
        Assert.Equal(HttpStatusCode.Conflict, again.StatusCode);
        Assert.Empty(await new LedgerChecker(hub).CheckAsync(new Dictionary<string, WordCount?> { [id] = null }));
    }

    [Fact]
    public async Task Stop_RacingTheEnd_IsEitherWholeOrNothing()
    {
        const int Seed = 701;
        await WordCount.UploadAsync(hub);
        await using var watch = new HubWatch(hub);
        var jobs = new Dictionary<string, WordCount?>();
        var random = new Random(Seed);
        for (var n = FaultHub.IsLong ? 60 : 8; n > 0; n--)
        {
            var text = new WordCount(Seed, 2_000);
            var id = await hub.SubmitAsync(text.Job(hub, maps: 2, reducers: 1, work: 0.15));
            watch.Add(id, text.Lines);
            // From the reducer's beginning to after the end.
            await hub.Ledger.WaitAsync(l => l.Task == $"{id}-r-0" && l.Word == "start", "the reducer");
            await Task.Delay(random.Next(500));
            using var answer = await hub.Http.DeleteAsync($"/api/v1/jobs/{id}");
            var state = (await hub.EndAsync(id)).GetProperty("state").GetString();
            Assert.Contains(answer.StatusCode, new[] { HttpStatusCode.OK, HttpStatusCode.Conflict });
            Assert.Equal(answer.StatusCode == HttpStatusCode.OK ? "Canceled" : "Succeeded", state);
            jobs[id] = state == "Canceled" ? null : text;
        }

        // Nothing of a stopped job is left, once upkeep has been round.
        await Eventually.TrueAsync(async () => await hub.CountAsync("SELECT count(*) FROM job WHERE cleanup") == 0, "upkeep");
        output.WriteLine($"seed {Seed}, jobs {jobs.Count}, stopped {jobs.Values.Count(v => v is null)}");
        Assert.Empty(await new LedgerChecker(hub).CheckAsync(jobs, watch));
    }

    [Fact]
    public async Task Submission_SentTwentyTimesWhileTheApiIsKilled_IsOneJob()
    {
        await WordCount.UploadAsync(hub);
        var text = new WordCount(702, 5_000);
        for (var round = FaultHub.IsLong ? 20 : 2; round > 0; round--)
        {
            var job = text.Job(hub, maps: 2, work: 0);
            var key = Guid.NewGuid().ToString("N");
            var submissions = Enumerable.Range(0, 20).Select(_ => hub.SubmitAsync(job, key)).ToArray();
            await Task.WhenAny(submissions);
            var before = await hub.Process.KillAsync("api");
            var ids = await Task.WhenAll(submissions);
            await hub.Process.WaitRestartedAsync("api", before);

            var id = Assert.Single(ids.Distinct());
            Assert.Equal(1, await hub.CountAsync($"SELECT count(*) FROM idempotency WHERE key = '{key}' AND job_id = '{id}'"));
            await hub.EndAsync(id);
            Assert.Empty(await new LedgerChecker(hub).CheckAsync(new Dictionary<string, WordCount?> { [id] = text }));
        }

        Assert.Equal(await hub.CountAsync("SELECT count(*) FROM idempotency"), await hub.CountAsync("SELECT count(*) FROM job"));
        // The same key with another body is another matter.
        var other = text.Job(hub, maps: 2, work: 0);
        var taken = Guid.NewGuid().ToString("N");
        await hub.EndAsync(await hub.SubmitAsync(other, taken));
        using var request = new HttpRequestMessage(HttpMethod.Post, "/api/v1/jobs") { Content = JsonContent.Create((other with { Reducers = 3 }).ToBody(hub.Ledger.Pipe, $"file://{hub.Files}/out")) };
        request.Headers.Add("Idempotency-Key", taken);
        using var refused = await hub.Http.SendAsync(request);
        Assert.Equal(HttpStatusCode.UnprocessableEntity, refused.StatusCode);
    }
}
