using System.Net;
using System.Text.Json.Nodes;

namespace JobHub.Api.Tests.Farm;

/// <summary>Workers as operators see and steer them.</summary>
public sealed class FarmWorkerTests(FarmWorkerHub farm) : IClassFixture<FarmWorkerHub>, IAsyncLifetime
{
    public Task InitializeAsync() => farm.ClearAsync();

    public Task DisposeAsync() => Task.CompletedTask;

    [Fact]
    public async Task Stop_OfAFormWorker_TakesItsJobBackAtOnceUntilItIsStarted()
    {
        var id = await farm.MakeAsync();
        using var worker = farm.Worker();
        Assert.Equal(id, await worker.PickAsync());
        Assert.Equal("1", await farm.CallAsync(HttpMethod.Post, "/api/stopworkers", new JsonArray(worker.Host)));
        Assert.Equal("WAITING", (string)(await farm.JobAsync(id))["state"]!);
        var view = await farm.WorkerAsync(worker.Host);
        Assert.Equal(("WAITING", 0), ((string)view["state"]!, (int)view["active"]!));
        Assert.False(await worker.HeartbeatAsync(id));
        Assert.Equal(-1, await worker.PickAsync());
        await worker.EndAsync(id);
        Assert.Equal("WAITING", (string)(await farm.JobAsync(id))["state"]!);
        await farm.CallAsync(HttpMethod.Post, "/api/startworkers", new JsonArray(worker.Host));
        Assert.Equal(id, await worker.PickAsync());
        Assert.Equal(0, (int)(await farm.JobAsync(id))["run_done"]!);
    }

    [Fact]
    public async Task Stop_OfAnAgent_TellsItAndItsJobGoesBackUncharged()
    {
        var id = await farm.MakeAsync();
        await using var agent = await WorkerDouble.OpenAsync(farm.Hub);
        var attempt = Assert.Single(await agent.ClaimAsync(1));
        var name = (string)Assert.Single((await farm.GetAsync("/api/workers")).AsArray())!["name"]!;
        await farm.CallAsync(HttpMethod.Post, "/api/terminateworkers", new JsonArray(name));
        Assert.Empty(await agent.ClaimAsync(1));
        // Its program has ended well while it was being told: that does not count any more.
        await agent.CompleteAsync(attempt, Engine.Attempts.AttemptOutcome.Succeeded);
        var job = await farm.UntilAsync(id, "WAITING");
        Assert.Equal(0, (int)job["run_done"]!);
        Assert.Equal("WAITING", (string)Assert.Single(await farm.EventsAsync($"?job={id}"))!["state"]!);
    }

    [Fact]
    public async Task Edit_OfAffinity_DecidesWhatAWorkerIsGivenLineByLine()
    {
        var plain = await farm.MakeAsync(new JsonObject { ["command"] = "a", ["priority"] = 200 });
        var second = await farm.MakeAsync(new JsonObject { ["command"] = "b", ["affinity"] = "NUKE", ["priority"] = 100 });
        var first = await farm.MakeAsync(new JsonObject { ["command"] = "c", ["affinity"] = "LINUX, GPU", ["priority"] = 1 });
        var never = await farm.MakeAsync(new JsonObject { ["command"] = "d", ["affinity"] = "LINUX,NUKE", ["priority"] = 255 });
        using var worker = farm.Worker();
        await worker.TextAsync("heartbeat", ("hostname", worker.Host), ("jobId", "1"), ("log", ""));
        await farm.CallAsync(HttpMethod.Post, "/api/workers", new JsonObject { [worker.Host] = new JsonObject { ["affinity"] = "LINUX,GPU\nNUKE", ["active"] = 1 } });
        Assert.Equal("LINUX,GPU\nNUKE", (string)(await farm.WorkerAsync(worker.Host))["affinity"]!);
        foreach (var expected in new[] { first, second, plain })
        {
            Assert.Equal(expected, await worker.PickAsync());
            await worker.EndAsync(expected);
        }

        Assert.Equal(-1, await worker.PickAsync());
        Assert.Equal("WAITING", (string)(await farm.JobAsync(never))["state"]!);
        Assert.Equal(["LINUX", "GPU", "NUKE"], (await farm.GetAsync("/api/affinities")).AsObject().Select(s => (string)s.Value!).Where(n => n is "LINUX" or "GPU" or "NUKE").OrderBy(n => n == "LINUX" ? 0 : n == "GPU" ? 1 : 2));
    }

    [Fact]
    public async Task Pick_OfWorkForAgents_GivesNothing()
    {
        using (var answer = await farm.SendAsync(HttpMethod.Post, "/jobs", """{"command":"true"}""")) Assert.NotEqual(HttpStatusCode.NotFound, answer.StatusCode);
        await farm.RunSqlAsync("""
            INSERT INTO requirement_class (affinity, gpus, cpus, memory, mount) VALUES ('{}', 0, 0, 0, '') ON CONFLICT DO NOTHING;
            WITH j AS (INSERT INTO job (id, family, project, priority, rank, class, max_attempts, speculative, details, commands)
                SELECT gen_random_uuid(), 1, 'default', 255, 9000000000000000000, id, 1, false, '{"command":"true"}', 1 FROM requirement_class WHERE affinity = '{}' AND gpus + cpus + memory = 0 AND mount = '' RETURNING number, rank, class)
            INSERT INTO live (task_id, class, rank, state, claimable) SELECT number << 20, class, rank, 1, true FROM j
            """);
        var id = await farm.MakeAsync();
        using var worker = farm.Worker();
        Assert.Equal(id, await worker.PickAsync());
        await worker.EndAsync(id);
        Assert.Equal(-1, await worker.PickAsync());
        await farm.RunSqlAsync("DELETE FROM live WHERE run IS NULL");
    }

    [Theory]
    [InlineData("POST", "/api/workers", """{"w":{"affinity":"A"},"nobody":{"active":0}}""", 404, "worker-not-found", null)]
    [InlineData("POST", "/api/workers", """{"w":{"speed":9}}""", 400, "unknown-field", "w.speed")]
    [InlineData("POST", "/api/workers", """{"w":{"active":2}}""", 400, "invalid-field", "w.active")]
    [InlineData("POST", "/api/workers", """{"w":{"active":0,"active":1}}""", 400, "repeated-field", "w.active")]
    [InlineData("POST", "/api/workers", """{"w":{"affinity":7}}""", 400, "invalid-field", "w.affinity")]
    [InlineData("POST", "/api/workers", """{"w":1}""", 400, "invalid-field", "w")]
    [InlineData("POST", "/api/workers", """{w:{"active":1}}""", 400, "invalid-json", null)]
    [InlineData("DELETE", "/api/workers", """["w","nobody"]""", 404, "worker-not-found", null)]
    [InlineData("POST", "/api/stopworkers", """["w","nobody"]""", 404, "worker-not-found", null)]
    [InlineData("POST", "/api/terminateworkers", """["nobody"]""", 404, "worker-not-found", null)]
    [InlineData("POST", "/api/startworkers", """{"w":1}""", 400, "invalid-field", "body")]
    public async Task Calls_ThatAreWrong_AreRefusedAndChangeNothing(string method, string path, string body, int status, string code, string? field)
    {
        using var worker = farm.Worker("w");
        await worker.PickAsync();
        using (var answer = await farm.SendAsync(new HttpMethod(method), path, body)) await answer.IsProblemAsync((HttpStatusCode)status, code, field);
        var view = await farm.WorkerAsync("w");
        Assert.Equal(("", 1), ((string)view["affinity"]!, (int)view["active"]!));
    }

    [Theory]
    [InlineData("POST", "/api/workers", "")]
    [InlineData("POST", "/api/workers", "{}")]
    [InlineData("POST", "/api/workers", "[]")]
    [InlineData("DELETE", "/api/workers", "[]")]
    [InlineData("POST", "/api/stopworkers", "")]
    [InlineData("POST", "/api/startworkers", "[]")]
    public async Task Calls_WithNothingToDo_AnswerOne(string method, string path, string body)
    {
        using var answer = await farm.SendAsync(new HttpMethod(method), path, body);
        Assert.Equal("1", await answer.Content.ReadAsStringAsync());
    }

    [Fact]
    public async Task Removed_WhileItWorks_GoesOnAndComesBack()
    {
        var id = await farm.MakeAsync();
        using var worker = farm.Worker();
        Assert.Equal(id, await worker.PickAsync());
        await farm.CallAsync(HttpMethod.Delete, "/api/workers", new JsonArray(worker.Host));
        Assert.Empty((await farm.GetAsync("/api/workers")).AsArray());
        await JobHub.Testing.Eventually.TrueAsync(async () => await worker.HeartbeatAsync(id) && (await farm.GetAsync("/api/workers")).AsArray().Count == 1, "it is listed again");
        await worker.EndAsync(id);
        await farm.UntilAsync(id, "FINISHED");
    }
}
