using System.Net;
using System.Text.Json.Nodes;

namespace JobHub.AppHost.Tests.MapReduce;

/// <summary>How a job and its tasks read while they wait, run and have ended.</summary>
[Collection(HubsCollection.Name)]
public sealed class LifeTests(HubsFixture hubs) : IAsyncLifetime
{
    private static readonly string[] JobFields = ["id", "nReducers", "outputLocation", "inputData", "startTime", "status", "progress"];
    private static readonly string[] TaskFields = ["id", "type", "status", "program", "attempts"];

    private HubClient hub = null!;

    public async Task InitializeAsync() => hub = await hubs.FilesAsync();

    public Task DisposeAsync() => Task.CompletedTask;

    [Fact]
    public async Task Job_FromSubmitToCompletion_ReadsAsTheContractSays()
    {
        var gate = new Gate(hub);
        var submission = await gate.JobAsync(3);
        var earliest = DateTimeOffset.UtcNow.ToUnixTimeMilliseconds();
        using var created = await hub.PostAsync(submission);
        Assert.Equal(HttpStatusCode.Created, created.StatusCode);
        var answer = JsonNode.Parse(await created.Content.ReadAsStringAsync())!.AsObject();
        var id = (string)answer["id"]!;
        Fields(answer, [.. JobFields, "job", "mProgram", "rProgram"], ["counters"]);
        Fields(answer["mProgram"]!, ["name", "type", "size", "hash"]);
        Assert.Equal(("gate.sh", "cat"), ((string?)answer["mProgram"]!["name"], (string?)answer["rProgram"]!["name"]));

        var tasks = await gate.RunningAsync(id, 2);
        var job = await hub.JobAsync(id);
        Fields(job, JobFields, ["counters"]);
        Fields(job["inputData"]!, ["id", "path", "type", "splitStart", "splitEnd"]);
        Fields(job["outputLocation"]!, ["location", "useSSL"]);
        Assert.Equal("in-progress", (string?)job["status"]);
        Assert.InRange((double)job["progress"]!, 0, 0.99);
        Assert.InRange((long)job["startTime"]!, earliest - 1000, DateTimeOffset.UtcNow.ToUnixTimeMilliseconds() + 1000);
        Assert.Equal([$"{id}-m-0", $"{id}-m-1", $"{id}-m-2", $"{id}-r-0"], tasks.Select(static task => (string)task!["id"]!));
        foreach (var running in tasks.Where(static task => (string?)task!["status"] == "in-progress"))
        {
            Fields(running!, [.. TaskFields, "inputData", "podName", "startTime"]);
            Assert.Equal(1, (int)running!["attempts"]!);
            Assert.InRange((long)running["startTime"]!, (long)job["startTime"]! - 1000, DateTimeOffset.UtcNow.ToUnixTimeMilliseconds() + 1000);
        }
        var waiting = Assert.Single(tasks, static task => (string?)task!["status"] == "scheduled" && (string?)task["type"] == "mapper");
        Fields(waiting!, [.. TaskFields, "inputData"]);
        Fields(tasks[3]!, TaskFields);
        Assert.Equal(("scheduled", 0), ((string?)tasks[3]!["status"], (int)tasks[3]!["attempts"]!));
        Assert.Equal((18, 27), ((long)tasks[2]!["inputData"]!["splitStart"]!, (long)tasks[2]!["inputData"]!["splitEnd"]!));
        Assert.Contains((await hub.GetAsync("/api/v1/jobs?status=in-progress")).AsArray(), listed => (string?)listed!["id"] == id);

        gate.Open();
        job = await hub.CompletedAsync(id);
        Fields(job, [.. JobFields, "endTime", "counters"]);
        Assert.Equal(1, (double)job["progress"]!);
        Assert.True((long)job["endTime"]! >= (long)job["startTime"]!);
        tasks = await hub.TasksAsync(id);
        Assert.All(tasks, static task =>
        {
            Fields(task!, [.. TaskFields, "podName", "startTime", "endTime"], ["inputData"]);
            Assert.Equal(("completed", 1), ((string?)task!["status"], (int)task["attempts"]!));
            Assert.True((long)task["endTime"]! >= (long)task["startTime"]!);
        });
        // A reducer starts when every map has ended.
        Assert.True((long)tasks[3]!["startTime"]! >= tasks.Take(3).Max(static task => (long)task!["endTime"]!));
        Assert.Equal("line 000\nline 001\nline 002\n", System.Text.Encoding.ASCII.GetString(hub.Parts(id, 1)[0]).Replace("\t", "", StringComparison.Ordinal));
        Assert.Contains((await hub.GetAsync("/api/v1/jobs?status=completed&limit=5")).AsArray(), listed => (string?)listed!["id"] == id);
        using var stop = await hub.Http.DeleteAsync($"/api/v1/jobs/{id}");
        await hub.ProblemAsync(stop, HttpStatusCode.Conflict, "job-already-finished");

        using var page = await hub.Http.GetAsync($"/api/v1/jobs/{id}/tasks?limit=3");
        var next = page.Headers.GetValues("Link").Single();
        Assert.EndsWith(">; rel=\"next\"", next);
        var rest = (await hub.GetAsync(next[1..next.IndexOf('>', StringComparison.Ordinal)])).AsArray();
        Assert.Equal($"{id}-r-0", (string?)Assert.Single(rest)!["id"]);
    }

    [Fact]
    public async Task Job_ThatIsStopped_ReadsSoAtOnceAndLeavesNoProcessAndNoOutput()
    {
        var gate = new Gate(hub);
        var id = await hub.SubmitAsync(await gate.JobAsync(3));
        await gate.RunningAsync(id, 2);
        Assert.NotEmpty(gate.Held());
        using var answer = await hub.Http.DeleteAsync($"/api/v1/jobs/{id}");
        Assert.Equal((HttpStatusCode.OK, "text/plain"), (answer.StatusCode, answer.Content.Headers.ContentType?.MediaType));
        Assert.Equal($"Job {id} was successfully stopped", await answer.Content.ReadAsStringAsync());
        Assert.Equal("stopped", (string?)(await hub.JobAsync(id))["status"]);

        var job = await hub.EndAsync(id);
        Fields(job, [.. JobFields, "endTime"], ["counters"]);
        Assert.Equal("stopped", (string?)job["status"]);
        Assert.Empty(gate.Held());
        Assert.All(await hub.TasksAsync(id), static task => Assert.Equal("stopped", (string?)task!["status"]));
        Assert.False(Directory.Exists(Path.Combine(hub.Folder, "out", id)));
        using var again = await hub.Http.DeleteAsync($"/api/v1/jobs/{id}");
        await hub.ProblemAsync(again, HttpStatusCode.Conflict, "job-already-finished");
    }

    [Fact]
    public async Task Job_WhoseMapperFails_SaysWhichTaskAndWhy()
    {
        await hub.UploadAsync("fail.sh", "#!/bin/sh\nread line\ncase \"$line\" in *001) echo 'cannot go on' >&2; exit 3;; esac\ncat > /dev/null\n");
        var submission = await new Gate(hub).JobAsync(2);
        (submission["mapperName"], submission["maxAttempts"]) = ("fail.sh", 2);
        var id = await hub.SubmitAsync(submission);
        var job = await hub.EndAsync(id);

        Fields(job, [.. JobFields, "endTime", "error"], ["counters"]);
        Fields(job["error"]!, ["type", "message", "taskId"]);
        Assert.Equal(("failed", "exit-code", $"{id}-m-1"), ((string?)job["status"], (string?)job["error"]!["type"], (string?)job["error"]!["taskId"]));
        Assert.Contains("exit code 3", (string?)job["error"]!["message"]);
        Assert.Contains("cannot go on", (string?)job["error"]!["message"]);
        var tasks = await hub.TasksAsync(id);
        Fields(tasks[1]!, [.. TaskFields, "inputData", "podName", "startTime", "endTime", "error"]);
        Fields(tasks[1]!["error"]!, ["type", "message"]);
        Assert.Equal(("failed", 2, "exit-code"), ((string?)tasks[1]!["status"], (int)tasks[1]!["attempts"]!, (string?)tasks[1]!["error"]!["type"]));
        // The other map may have been done by then or not; the reducer cannot have begun.
        Assert.Contains((string?)tasks[0]!["status"], (string[])["completed", "stopped"]);
        Assert.Equal("stopped", (string?)tasks[2]!["status"]);
        Assert.False(Directory.Exists(Path.Combine(hub.Folder, "out", id)));
        Assert.Equal("cannot go on\n", await hub.Http.GetStringAsync($"/hub/v1/jobs/{id}/log?task={id}-m-1"));
    }

    [Fact]
    public async Task Task_ThatFailsTwice_SucceedsWithinItsAttempts()
    {
        await hub.UploadAsync("third.sh", "#!/bin/sh\n[ \"$JOBHUB_ATTEMPT_NUMBER\" -ge 3 ] || exit \"$JOBHUB_ATTEMPT_NUMBER\"\nexec cat\n");
        var submission = await new Gate(hub).JobAsync(1);
        (submission["mapperName"], submission["maxAttempts"]) = ("third.sh", 3);
        var id = await hub.RunAsync(submission);

        var task = (await hub.TasksAsync(id))[0]!;
        Assert.Equal(("completed", 3), ((string?)task["status"], (int)task["attempts"]!));
        Assert.False(task.AsObject().ContainsKey("error"));
        var attempts = (await hub.GetAsync($"/hub/v1/jobs/{id}/tasks/m-0/attempts")).AsArray();
        Assert.Equal([(1, "Failed", 1), (2, "Failed", 2), (3, "Succeeded", 0)], attempts.Select(static a => ((int)a!["number"]!, (string)a["outcome"]!, (int)a["exitCode"]!)));
        Assert.Equal(1, (long)(await hub.JobAsync(id))["counters"]!["map_input_records"]!);
    }

    [Fact]
    public async Task Task_OverItsTimeout_FailsWithThatCause()
    {
        var gate = new Gate(hub);
        var submission = await gate.JobAsync(1);
        (submission["timeoutSeconds"], submission["maxAttempts"]) = (0.5, 1);
        var id = await hub.SubmitAsync(submission);
        var job = await hub.EndAsync(id);

        Assert.Equal(("failed", "timeout"), ((string?)job["status"], (string?)job["error"]!["type"]));
        Assert.Empty(gate.Held());
        Assert.Equal("TimedOut", (string?)(await hub.GetAsync($"/hub/v1/jobs/{id}/tasks/m-0/attempts"))[0]!["outcome"]);
        Assert.Equal("waits\n", await hub.Http.GetStringAsync($"/hub/v1/jobs/{id}/log?task=m-0"));
    }

    private static void Fields(JsonNode node, string[] always, string[]? sometimes = null) =>
        Assert.Equal(always.Order(StringComparer.Ordinal), node.AsObject().Select(static member => member.Key).Except(sometimes ?? []).Order(StringComparer.Ordinal));
}
