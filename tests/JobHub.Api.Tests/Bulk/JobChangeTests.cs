using System.Net;
using System.Text.Json.Nodes;
using JobHub.Engine.Attempts;
using JobHub.Engine.Protocol;
using JobHub.Testing;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;

namespace JobHub.Api.Tests.Bulk;

/// <summary>A hub of its own for each: they look at what a worker is given.</summary>
[Collection(BulkCollection.Name)]
public sealed class JobChangeTests(HubFixture fixture) : IAsyncLifetime
{
    private HubHost hub = null!;
    private BulkHub calls = null!;

    public async Task InitializeAsync() => (hub, calls) = await BulkHub.StartAsync(fixture, "00:00:01");

    public async Task DisposeAsync() => await hub.DisposeAsync();

    [Fact]
    public async Task Pause_OfAMapReduceJob_StartsNothingMore_AndWhatRunsIsFinished()
    {
        await using var worker = await WorkerDouble.OpenAsync(hub, mounts: ["/"]);
        var job = await calls.MapReduceAsync(maps: 3);
        var running = Assert.Single(await worker.ClaimAsync(1));
        await calls.DoneAsync(job, "pause");

        Assert.Equal("Paused", await calls.StateAsync(job));
        Assert.Empty(await worker.ClaimAsync(10));
        Assert.Equal(CompletionAnswer.Accepted, await worker.CompleteAsync(running, AttemptOutcome.Failed, exitCode: 1, error: new AttemptError("exit-code", "1")));
        Assert.Equal("paused", await calls.ReasonAsync(job));
        await Eventually.TrueAsync(async () => await LiveAsync(job, "claimable OR NOT paused") == 0, "its rows leave the queue's order");
        Assert.Empty(await worker.ClaimAsync(10));

        await calls.DoneAsync(job, "resume");
        var given = new List<AttemptSpec>();
        await Eventually.TrueAsync(async () =>
        {
            given.AddRange(await worker.ClaimAsync(10));
            return given.Count == 3;
        }, "all maps are given");
        Assert.Equal("Running", await calls.StateAsync(job));
        await calls.DoneAsync(job, "cancel");
    }

    [Fact]
    public async Task Priority_Raised_BringsAWaitingJobForward()
    {
        await using var worker = await WorkerDouble.OpenAsync(hub);
        var first = await calls.CommandAsync(",\"priority\":100");
        var second = await calls.CommandAsync(",\"priority\":50");
        using var answer = await calls.PatchAsync(second, """{"priority":200}""");
        Assert.Equal(HttpStatusCode.Accepted, answer.StatusCode);
        Assert.Equal(200, (int)(await calls.JobAsync(second))["priority"]!);
        await Eventually.TrueAsync(async () => await LiveAsync(second, $"rank <> ({200 - 128}::bigint << 56)") == 0, "its row has its place");

        Assert.Equal(second, Assert.Single(await worker.ClaimAsync(1)).JobId.ToString());
        Assert.Equal(first, Assert.Single(await worker.ClaimAsync(1)).JobId.ToString());
    }

    [Theory, InlineData("""{"priority":256}""", "priority"), InlineData("{}", "priority"), InlineData("""{"title":"x"}""", "title")]
    public async Task Priority_ThatIsNone_IsNamed(string body, string field)
    {
        using var answer = await calls.PatchAsync(await calls.CommandAsync(), body);
        Assert.Equal(HttpStatusCode.BadRequest, answer.StatusCode);
        Assert.Equal(field, (string?)(await answer.JsonAsync())["field"]);
    }

    [Fact]
    public async Task Retry_OfAFailedCommand_RunsItAgain_AndItsAttemptsCountOn()
    {
        await using var worker = await WorkerDouble.OpenAsync(hub);
        var job = await calls.CommandAsync(",\"max_attempts\":1");
        await worker.CompleteAsync(Assert.Single(await worker.ClaimAsync(1)), AttemptOutcome.Failed, exitCode: 3, error: new AttemptError("exit-code", "3"));
        await calls.StateAsync(job, "Failed");
        await calls.DoneAsync(job, "retry");

        var again = await GivenAsync(worker, job);
        Assert.Equal(2, again.Attempt);
        Assert.Equal(CompletionAnswer.Accepted, await worker.CompleteAsync(again, AttemptOutcome.Succeeded));
        await calls.StateAsync(job, "Succeeded");
        var shown = await calls.JobAsync(job);
        Assert.Null(shown["error"]);
        Assert.Equal((1, 0), ((int)shown["tasks"]!["succeeded"]!, (int)shown["tasks"]!["failed"]!));
        using var nothing = await calls.DoAsync(job, "retry");
        await nothing.IsProblemAsync(HttpStatusCode.Conflict, "nothing-to-retry");
    }

    [Fact]
    public async Task Retry_OfACanceledMapReduceJob_RunsAllOfItAgain()
    {
        await using var worker = await WorkerDouble.OpenAsync(hub, mounts: ["/"]);
        var job = await calls.MapReduceAsync(maps: 2, reducers: 1);
        await calls.DoneAsync(job, "cancel");
        await calls.StateAsync(job, "Canceled");
        await calls.DoneAsync(job, "retry");
        await calls.StateAsync(job, "Queued");
        await Eventually.TrueAsync(async () => (await calls.JobAsync(job))["tasks"] is { } t && ((int)t["ready"]!, (int)t["blocked"]!, (int)t["canceled"]!) == (2, 1, 0), "its tasks wait again");
        Assert.Equal(2, (await BulkHub.ClaimAllAsync(worker, job)).Length);
        await calls.DoneAsync(job, "cancel");
    }

    [Fact]
    public async Task Retry_OfAJobInBackoff_IsDueAtOnce()
    {
        var (other, there) = await BulkHub.StartAsync(fixture, "00:01:00");
        await using var host = other;
        await using var worker = await WorkerDouble.OpenAsync(other);
        var job = await there.CommandAsync(",\"max_attempts\":3");
        await worker.CompleteAsync(Assert.Single(await worker.ClaimAsync(1)), AttemptOutcome.Failed, exitCode: 1, error: new AttemptError("exit-code", "1"));
        Assert.Equal("backoff", await there.ReasonAsync(job));
        await there.DoneAsync(job, "retry");
        await Eventually.TrueAsync(async () => await worker.ClaimAsync(1) is [{ Attempt: 2 }], "it is given at once");
    }

    [Fact]
    public async Task Delete_OfAnEndedJob_HidesItAtOnce_AndRemovesItsRows()
    {
        await using var worker = await WorkerDouble.OpenAsync(hub);
        var job = await calls.CommandAsync();
        var number = (long)(await calls.JobAsync(job))["number"]!;
        using (var early = await hub.Client.DeleteAsync($"/hub/v1/jobs/{job}")) await early.IsProblemAsync(HttpStatusCode.Conflict, "job-not-ended");
        await worker.CompleteAsync(Assert.Single(await worker.ClaimAsync(1)), AttemptOutcome.Succeeded, log: "done");
        await calls.StateAsync(job, "Succeeded");
        using (var answer = await hub.Client.DeleteAsync($"/hub/v1/jobs/{job}")) Assert.Equal(HttpStatusCode.Accepted, answer.StatusCode);

        using (var gone = await hub.Client.GetAsync($"/hub/v1/jobs/{job}")) await gone.IsProblemAsync(HttpStatusCode.NotFound, "job-not-found");
        using (var gone = await hub.Client.GetAsync($"/jobs/{job}")) Assert.Equal(HttpStatusCode.NotFound, gone.StatusCode);
        await Eventually.TrueAsync(async () => await CountAsync("SELECT (SELECT count(*) FROM job WHERE number = $1) + (SELECT count(*) FROM attempt WHERE task_id >> 20 = $1)", number) == 0, "its rows are gone");
    }

    [Fact]
    public async Task Changes_OfAJobThatHasEnded_AreRefused()
    {
        var job = await calls.CommandAsync();
        await calls.DoneAsync(job, "cancel");
        await calls.StateAsync(job, "Canceled");
        foreach (var verb in (string[])["pause", "resume"])
        {
            using var answer = await calls.DoAsync(job, verb);
            await answer.IsProblemAsync(HttpStatusCode.Conflict, "job-already-finished");
        }

        using var reset = await calls.DoAsync(job, "reset");
        await reset.IsProblemAsync(HttpStatusCode.Conflict, "not-supported");
        using var unknown = await calls.DoAsync(Guid.NewGuid().ToString(), "pause");
        await unknown.IsProblemAsync(HttpStatusCode.NotFound, "job-not-found");
    }

    [Fact]
    public async Task Resume_OfATree_TakesThePauseOff_AndWhatHasEndedStaysEnded()
    {
        var group = (await AddAsync("""{"title":"group"}""")).Id;
        var leaf = await AddAsync($$"""{"title":"leaf","command":"true","parent":{{group}}}""");
        await using var worker = await WorkerDouble.OpenAsync(hub);
        await worker.CompleteAsync(await GivenAsync(worker, leaf.Job), AttemptOutcome.Succeeded);
        await calls.StateAsync(leaf.Job, "Succeeded");
        var top = (string)(await calls.JobAsync(leaf.Job))["parent"]!;
        await calls.DoneAsync(top, "pause");
        Assert.True((bool)(await calls.JobAsync(top))["paused"]!);
        await calls.DoneAsync(top, "resume");
        Assert.False((bool)(await calls.JobAsync(top))["paused"]!);
        Assert.Equal("Succeeded", await calls.StateAsync(leaf.Job));
    }

    private static async Task<AttemptSpec> GivenAsync(WorkerDouble worker, string job)
    {
        AttemptSpec? given = null;
        await Eventually.TrueAsync(async () => (given ??= (await worker.ClaimAsync(1)).SingleOrDefault(a => a.JobId.ToString() == job)) is not null, "it is given");
        return given!;
    }

    private async Task<(long Id, string Job)> AddAsync(string body)
    {
        using var answer = await hub.Client.PutAsync("/api/jobs", body.AsJson());
        Assert.True(answer.IsSuccessStatusCode, await answer.Content.ReadAsStringAsync());
        var number = long.Parse(await answer.Content.ReadAsStringAsync());
        await using var command = hub.Services.GetRequiredService<NpgsqlDataSource>().CreateCommand("SELECT id FROM job WHERE number = $1");
        command.Parameters.AddWithValue(number);
        return (number, ((Guid)(await command.ExecuteScalarAsync())!).ToString());
    }

    private async Task<long> LiveAsync(string job, string condition) =>
        await CountAsync($"SELECT count(*) FROM live WHERE task_id >> 20 = $1 AND session_id IS NULL AND ({condition})", (long)(await calls.JobAsync(job))["number"]!);

    private async Task<long> CountAsync(string sql, long number)
    {
        await using var command = hub.Services.GetRequiredService<NpgsqlDataSource>().CreateCommand(sql);
        command.Parameters.AddWithValue(number);
        return (long)(await command.ExecuteScalarAsync())!;
    }
}
