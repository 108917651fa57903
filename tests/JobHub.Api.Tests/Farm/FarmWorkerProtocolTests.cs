using System.Diagnostics;
using System.Net;
using System.Text;
using System.Text.Json.Nodes;
using JobHub.Testing;

namespace JobHub.Api.Tests.Farm;

/// <summary>What the original worker says and hears.</summary>
public sealed class FarmWorkerProtocolTests(FarmWorkerHub farm) : IClassFixture<FarmWorkerHub>, IAsyncLifetime
{
    public Task InitializeAsync() => farm.ClearAsync();

    public Task DisposeAsync() => Task.CompletedTask;

    [Fact]
    public async Task Pick_WithNothingToDo_AnswersTheEmptyTuple()
    {
        using var worker = farm.Worker();
        using var answer = await worker.PostAsync("pickjob", $"hostname={worker.Host}&load=%5B43%5D&free_memory=1&total_memory=2");
        Assert.Equal("(-1, '', '', '', None)"u8.ToArray(), await answer.Content.ReadAsByteArrayAsync());
        var view = await farm.WorkerAsync(worker.Host);
        Assert.Equal($$"""{"name":"{{worker.Host}}","ip":"127.0.0.1","affinity":"","state":"WAITING","finished":0,"error":0,"last_job":0,"current_event":0,"cpu":"[43]","free_memory":1,"total_memory":2,"active":1}""",
            Without(view, "ping_time", "start_time"));
        Assert.InRange((long)view["ping_time"]!, DateTimeOffset.UtcNow.ToUnixTimeSeconds() - 60, DateTimeOffset.UtcNow.ToUnixTimeSeconds() + 1);
    }

    [Fact]
    public async Task Pick_OfHostileText_AnswersATupleOfByteStrings()
    {
        var id = await farm.MakeAsync(new JsonObject
        {
            ["command"] = "echo 'é' \"\\n\" $(WHO) $(date) $(NOT)\ttab\u0001 ~\u007f\nsecond", ["dir"] = "C:\\$(WHO)\\x", ["user"] = "o'neil\\", ["environment"] = "WHO=it's\\nB=ü=2\nC=",
        });
        using var worker = farm.Worker();
        var text = await worker.PickTextAsync();
        Assert.Equal($@"({id}, 'echo \'\xc3\xa9\' ""\\n"" it\'s $(date) $(NOT)\x09tab\x01 ~\x7f\x0asecond', 'C:\\it\'s\\x', 'o\'neil\\', 'WHO=it\'s\\nB=\xc3\xbc=2\\nC=')", text);
        Assert.Equal(
            [id.ToString(), "echo 'é' \"\\n\" it's $(date) $(NOT)\ttab\u0001 ~\u007f\nsecond", "C:\\it's\\x", "o'neil\\", "WHO=it's\\nB=ü=2\\nC="], await EvaluateAsync(text));
    }

    [Fact]
    public async Task Pick_OfAJobWithoutFolderAndEnvironment_AnswersThemEmptyAndADotAsItIs()
    {
        var id = await farm.MakeAsync(new JsonObject { ["command"] = "true" });
        var dotted = await farm.MakeAsync(new JsonObject { ["command"] = "true", ["dir"] = "." });
        using var worker = farm.Worker();
        Assert.Equal($"({id}, 'true', '', '', '')", await worker.PickTextAsync());
        await worker.EndAsync(id);
        Assert.Equal($"({dotted}, 'true', '.', '', '')", await worker.PickTextAsync());
    }

    [Fact]
    public async Task Job_PickedBeatenAndEnded_IsFinishedWithItsLogAndItsEvent()
    {
        var id = await farm.MakeAsync(new JsonObject { ["command"] = "render", ["title"] = "frame 1", ["progress_pattern"] = "at %percent%" });
        using var worker = farm.Worker();
        Assert.Equal(id, await worker.PickAsync());
        var working = await farm.JobAsync(id);
        Assert.Equal(("WORKING", worker.Host), ((string)working["state"]!, (string)working["worker"]!));
        var view = await farm.WorkerAsync(worker.Host);
        var run = Assert.Single(await farm.EventsAsync($"?job={id}"))!;
        Assert.Equal(("WORKING", id, (long)run["id"]!), ((string)view["state"]!, (long)view["last_job"]!, (long)view["current_event"]!));
        Assert.Equal(("WORKING", "frame 1", worker.Host), ((string)run["state"]!, (string)run["job_title"]!, (string)run["worker"]!));

        Assert.True(await worker.HeartbeatAsync(id, "begun\nat 4"));
        Assert.True(await worker.HeartbeatAsync(id, "0%\n"));
        Assert.Equal(0.4, (double)(await farm.JobAsync(id))["progress"]!, 3);
        Assert.Contains("begun\nat 40%\n", (string)(await farm.GetAsync($"/api/jobs/{id}/log"))!, StringComparison.Ordinal);
        Assert.True(await worker.HeartbeatAsync(id, [0xff, 0x00, 0x0a]));
        await worker.EndAsync(id);

        var done = await farm.UntilAsync(id, "FINISHED");
        Assert.Equal((1, 1.0), ((int)done["run_done"]!, (double)done["progress"]!));
        Assert.Contains("begun\nat 40%\n\ufffd\0\n* EXIT : 0\n", (string)(await farm.GetAsync($"/api/jobs/{id}/log"))!, StringComparison.Ordinal);
        var ended = Assert.Single(await farm.EventsAsync($"?job={id}"))!;
        Assert.Equal(("FINISHED", (long)run["id"]!), ((string)ended["state"]!, (long)ended["id"]!));
        var after = await farm.WorkerAsync(worker.Host);
        Assert.Equal(("WAITING", 1, 0, id, (long)run["id"]!), ((string)after["state"]!, (int)after["finished"]!, (int)after["error"]!, (long)after["last_job"]!, (long)after["current_event"]!));
    }

    [Theory]
    [InlineData("3", 3)]
    [InlineData("-9", -9)]
    [InlineData("3221225477", -1073741819)]
    [InlineData("99999999999", int.MaxValue)]
    public async Task End_WithACode_FailsTheJobWithIt(string code, int kept)
    {
        var id = await farm.MakeAsync();
        using var worker = farm.Worker();
        Assert.Equal(id, await worker.PickAsync());
        Assert.Equal("1", await worker.TextAsync("endjob", ("hostname", worker.Host), ("jobId", id.ToString()), ("errorCode", code)));
        await farm.UntilAsync(id, "ERROR");
        Assert.Contains($"* EXIT : {kept}\n", (string)(await farm.GetAsync($"/api/jobs/{id}/log"))!, StringComparison.Ordinal);
        Assert.Equal("ERROR", (string)Assert.Single(await farm.EventsAsync($"?job={id}"))!["state"]!);
        Assert.Equal(1, (int)(await farm.WorkerAsync(worker.Host))["error"]!);
    }

    [Fact]
    public async Task Pick_WhileItHoldsAJob_GivesThatBackAndClosesItsEvent()
    {
        var (first, second) = (await farm.MakeAsync(new JsonObject { ["command"] = "a", ["priority"] = 9 }), await farm.MakeAsync(new JsonObject { ["command"] = "b", ["priority"] = 8 }));
        using var worker = farm.Worker();
        Assert.Equal(first, await worker.PickAsync());
        Assert.True(await worker.HeartbeatAsync(first, "of the first run\n"));
        // It comes back first: its priority is higher.
        Assert.Equal(first, await worker.PickAsync());
        var events = await farm.EventsAsync($"?job={first}");
        Assert.Equal(["WAITING", "WORKING"], events.Select(e => (string)e!["state"]!));
        Assert.Contains("of the first run\n", (string)(await farm.GetAsync($"/api/jobs/{first}/log"))!, StringComparison.Ordinal);
        Assert.Equal("WAITING", (string)(await farm.JobAsync(second))["state"]!);
        await worker.EndAsync(first);
        Assert.Equal(second, await worker.PickAsync());
    }

    [Fact]
    public async Task Pick_ByOneNameTwiceAtOnce_LeavesOneJobHeld()
    {
        for (var round = 0; round < 8; round++)
        {
            for (var i = 0; i < 8; i++) await farm.MakeAsync();
            using var worker = farm.Worker();
            var picked = await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => worker.PickAsync()));
            Assert.All(picked, id => Assert.True(id > 0));
            var running = (await farm.EventsAsync($"?worker={worker.Host}")).Where(e => (string)e!["state"]! == "WORKING").ToList();
            var job = (long)Assert.Single(running)!["job_id"]!;
            Assert.True(await worker.HeartbeatAsync(job));
            await worker.EndAsync(job);
        }
    }

    [Fact]
    public async Task Heartbeat_OfWhoDoesNotHoldTheJob_AnswersFalseAndHisEndChangesNothing()
    {
        var id = await farm.MakeAsync();
        using var holder = farm.Worker();
        using var other = farm.Worker();
        Assert.Equal(id, await holder.PickAsync());
        Assert.False(await other.HeartbeatAsync(id, "not mine"));
        await other.EndAsync(id, 7);
        Assert.True(await holder.HeartbeatAsync(id, "mine"));
        Assert.Equal("WORKING", (string)(await farm.JobAsync(id))["state"]!);
        await holder.EndAsync(id);
        await farm.UntilAsync(id, "FINISHED");
        await holder.EndAsync(id, 1);
        Assert.False(await holder.HeartbeatAsync(id, "late"));
        Assert.Equal("FINISHED", (string)(await farm.JobAsync(id))["state"]!);
        var log = (string)(await farm.GetAsync($"/api/jobs/{id}/log"))!;
        Assert.Contains("mine\n", log, StringComparison.Ordinal);
        Assert.DoesNotContain("not mine", log, StringComparison.Ordinal);
        Assert.DoesNotContain("late", log, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("0")]
    [InlineData("-1")]
    [InlineData("999999999")]
    [InlineData("9223372036854775807")]
    public async Task Calls_ForAJobThatIsNot_AreAnsweredAsTheWorkerUnderstands(string job)
    {
        using var worker = farm.Worker();
        Assert.Equal("false", await worker.TextAsync("heartbeat", ("hostname", worker.Host), ("jobId", job), ("log", "")));
        Assert.Equal("1", await worker.TextAsync("endjob", ("hostname", worker.Host), ("jobId", job), ("errorCode", "0")));
        Assert.Equal(worker.Host, (string)(await farm.WorkerAsync(worker.Host))["name"]!);
    }

    [Fact]
    public async Task Heartbeat_AfterPause_AnswersFalseAndTheJobWaitsForItsStart()
    {
        var id = await farm.MakeAsync();
        using var worker = farm.Worker();
        Assert.Equal(id, await worker.PickAsync());
        Assert.True(await worker.HeartbeatAsync(id, "before\n"));
        await farm.CallAsync(HttpMethod.Post, "/api/pausejobs", new JsonArray(id));
        Assert.False(await worker.HeartbeatAsync(id));
        Assert.Equal("PAUSED", (string)(await farm.JobAsync(id))["state"]!);
        Assert.Equal(-1, await worker.PickAsync());
        Assert.Equal("WAITING", (string)Assert.Single(await farm.EventsAsync($"?job={id}"))!["state"]!);
        await farm.CallAsync(HttpMethod.Post, "/api/startjobs", new JsonArray(id));
        Assert.Equal(id, await worker.PickOneAsync());
        await worker.EndAsync(id);
        await farm.UntilAsync(id, "FINISHED");
        Assert.Contains("before\n", (string)(await farm.GetAsync($"/api/jobs/{id}/log"))!, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Heartbeat_AfterDeleteOrReset_AnswersFalseAndALateEndChangesNothing()
    {
        var (deleted, reset) = (await farm.MakeAsync(), await farm.MakeAsync());
        using var one = farm.Worker();
        using var two = farm.Worker();
        Assert.Equal((deleted, reset), (await one.PickAsync(), await two.PickAsync()));
        await farm.CallAsync(HttpMethod.Delete, "/api/jobs", new JsonArray(deleted));
        await farm.CallAsync(HttpMethod.Post, "/api/resetjobs", new JsonArray(reset));
        Assert.False(await one.HeartbeatAsync(deleted));
        await one.EndAsync(deleted);
        await two.EndAsync(reset);
        Assert.False(await two.HeartbeatAsync(reset));
        Assert.Equal(reset, await one.PickOneAsync());
    }

    [Fact]
    public async Task Heartbeat_PastTheTimeOfTheJob_AnswersFalseAndTheJobIsInError()
    {
        var id = await farm.MakeAsync(new JsonObject { ["command"] = "sleep", ["timeout"] = 5 });
        using var worker = farm.Worker();
        Assert.Equal(id, await worker.PickAsync());
        Assert.True(await worker.HeartbeatAsync(id, "printed\n"));
        await farm.RunSqlAsync($"UPDATE live SET leased_at = leased_at - interval '6 seconds' WHERE task_id = {id}::bigint << 20");
        Assert.False(await worker.HeartbeatAsync(id, "and killed\n"));
        var job = await farm.UntilAsync(id, "ERROR");
        Assert.Equal(1, (int)job["run_done"]!);
        await worker.EndAsync(id);
        Assert.Equal("ERROR", (string)(await farm.JobAsync(id))["state"]!);
        Assert.Contains("printed\nand killed\n", (string)(await farm.GetAsync($"/api/jobs/{id}/log"))!, StringComparison.Ordinal);
        Assert.Equal("ERROR", (string)Assert.Single(await farm.EventsAsync($"?job={id}"))!["state"]!);
        // A worker that asks on is given other work, and this job never again by itself.
        Assert.Equal(-1, await worker.PickAsync());
    }

    [Fact]
    public async Task Worker_SilentAtASleepOfTwoSeconds_LosesItsJobWithinTenSeconds()
    {
        var id = await farm.MakeAsync();
        using var worker = farm.Worker();
        Assert.Equal(id, await worker.PickAsync());
        // As if it had called each two seconds until now.
        await farm.RunSqlAsync($"UPDATE worker_session SET calls = ARRAY (SELECT clock_timestamp() - i * interval '2 seconds' FROM generate_series(4, 1, -1) i) WHERE worker = '{worker.Host}'");
        Assert.True(await worker.HeartbeatAsync(id, "last words\n"));
        await Eventually.TrueAsync(async () => (string)(await farm.JobAsync(id))["state"]! == "WAITING", "the job waits again", TimeSpan.FromSeconds(10));
        var run = Assert.Single(await farm.EventsAsync($"?job={id}"))!;
        Assert.Equal("WAITING", (string)run["state"]!);
        Assert.InRange((long)run["duration"]!, 7, 10);
        await worker.EndAsync(id);
        Assert.False(await worker.HeartbeatAsync(id, "too late\n"));
        Assert.Equal("WAITING", (string)(await farm.JobAsync(id))["state"]!);
        var log = (string)(await farm.GetAsync($"/api/jobs/{id}/log"))!;
        Assert.Contains("last words\n", log, StringComparison.Ordinal);
        Assert.DoesNotContain("too late", log, StringComparison.Ordinal);
        Assert.Equal(id, await worker.PickAsync());
    }

    [Fact]
    public async Task Log_OverManyPieces_IsKeptByteForByte()
    {
        var id = await farm.MakeAsync();
        using var worker = farm.Worker();
        Assert.Equal(id, await worker.PickAsync());
        var all = new MemoryStream();
        var random = new Random(7);
        foreach (var size in new[] { 1, 20_000, (5 << 20) + 3, 0, 1 << 20 })
        {
            var bytes = new byte[size];
            random.NextBytes(bytes);
            all.Write(bytes);
            Assert.True(await worker.HeartbeatAsync(id, bytes));
        }

        var guid = await JobGuidAsync(id);
        var expected = all.ToArray();
        Assert.Equal(expected, await farm.Hub.Client.GetByteArrayAsync($"/hub/v1/jobs/{guid}/log"));
        await worker.EndAsync(id);
        await farm.UntilAsync(id, "FINISHED");
        Assert.Equal(expected, await farm.Hub.Client.GetByteArrayAsync($"/hub/v1/jobs/{guid}/log"));
        Assert.Equal(expected[1_100_000..], await farm.Hub.Client.GetByteArrayAsync($"/hub/v1/jobs/{guid}/log?offset=1100000"));
    }

    [Theory]
    [InlineData("pickjob", "", "missing-field", "hostname", 400)]
    [InlineData("pickjob", "hostname=", "missing-field", "hostname", 400)]
    [InlineData("pickjob", "hostname=a%0Ab", "invalid-field", "hostname", 400)]
    [InlineData("pickjob", "hostname=a%00b", "invalid-field", "hostname", 400)]
    [InlineData("pickjob", "hostname=w&free_memory=much", "invalid-field", "free_memory", 400)]
    [InlineData("pickjob", "hostname=w&x=%G1", "invalid-form", null, 400)]
    [InlineData("pickjob", "hostname=w&x=%4", "invalid-form", null, 400)]
    [InlineData("heartbeat", "hostname=w&log=", "missing-field", "jobId", 400)]
    [InlineData("heartbeat", "hostname=w&jobId=one", "invalid-field", "jobId", 400)]
    [InlineData("heartbeat", "hostname=w&jobId=1&log=%%%", "invalid-form", null, 400)]
    [InlineData("heartbeat", "hostname=w&jobId=1&log=AA*A", "invalid-field", "log", 400)]
    [InlineData("heartbeat", "hostname=w&jobId=1&log=A", "invalid-field", "log", 400)]
    [InlineData("heartbeat", "hostname=w&jobId=1&log=AA%3D%3DAAAA", "invalid-field", "log", 400)]
    [InlineData("heartbeat", "log=AAAA&log=AAAA&hostname=w&jobId=1", "repeated-field", "log", 400)]
    [InlineData("endjob", "hostname=w&jobId=1", "missing-field", "errorCode", 400)]
    [InlineData("endjob", "hostname=w&jobId=1&errorCode=99999999999999999999", "invalid-field", "errorCode", 400)]
    public async Task Forms_ThatCannotBeRead_AreProblems(string call, string body, string code, string? field, int status)
    {
        using var worker = farm.Worker();
        using var answer = await worker.PostAsync(call, body);
        await answer.IsProblemAsync((HttpStatusCode)status, code, field);
    }

    [Fact]
    public async Task Forms_ThatAreTooLargeOrNone_AreProblems()
    {
        using var worker = farm.Worker();
        using (var answer = await worker.PostAsync("pickjob", "hostname=" + new string('h', 256))) await answer.IsProblemAsync(HttpStatusCode.BadRequest, "invalid-field", "hostname");
        using (var answer = await worker.PostAsync("pickjob", "hostname=" + new string('h', 5000))) await answer.IsProblemAsync(HttpStatusCode.BadRequest, "invalid-field", "hostname");
        using (var answer = await worker.PostAsync("pickjob", "hostname=w&x=" + new string('x', 70_000))) Assert.Equal(HttpStatusCode.RequestEntityTooLarge, answer.StatusCode);
        using (var answer = await worker.PostAsync("pickjob", "{\"hostname\":\"w\"}", "application/json")) Assert.Equal(HttpStatusCode.UnsupportedMediaType, answer.StatusCode);
        using (var answer = await worker.PostAsync("heartbeat", "hostname=w&jobId=1&log=" + new string('A', (64 << 20) + 4))) await answer.IsProblemAsync(HttpStatusCode.RequestEntityTooLarge, "form-value-too-large", "log");
        using (var answer = await worker.PostAsync("heartbeat", "hostname=w&jobId=1&log=" + new string('A', 64 << 20))) Assert.Equal("false", await answer.Content.ReadAsStringAsync());
        using (var answer = await worker.PostAsync("pickjob", $"hostname={worker.Host}", "")) Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
    }

    [Theory]
    [InlineData("'; DROP TABLE worker; --")]
    [InlineData("имя, \"c\" <b>\\")]
    [InlineData("__import__('os')")]
    public async Task HostNames_WhateverTheyHold_AreNamesAndNothingElse(string name)
    {
        var id = await farm.MakeAsync();
        using var worker = farm.Worker(name);
        Assert.Equal(id, await worker.PickAsync());
        Assert.True(await worker.HeartbeatAsync(id));
        Assert.Equal("WORKING", (string)(await farm.WorkerAsync(name))["state"]!);
        await worker.EndAsync(id);
        await farm.UntilAsync(id, "FINISHED");
        Assert.Equal(id, (long)Assert.Single(await farm.EventsAsync("?worker=" + Uri.EscapeDataString(name)))!["job_id"]!);
    }

    [Theory]
    [InlineData("[1,2.5, 30]", "[1,2.5, 30]")]
    [InlineData("[]", "[]")]
    [InlineData("[__import__('os')]", "[]")]
    [InlineData("43", "[]")]
    [InlineData("[1,]", "[]")]
    public async Task Load_ThatIsNoListOfNumbers_IsNotShown(string load, string shown)
    {
        using var worker = farm.Worker();
        await worker.TextAsync("pickjob", ("hostname", worker.Host), ("load", load), ("free_memory", "1e3"), ("total_memory", "-5"));
        var view = await farm.WorkerAsync(worker.Host);
        Assert.Equal((shown, 1000, 0), ((string)view["cpu"]!, (int)view["free_memory"]!, (int)view["total_memory"]!));
    }

    private async Task<string> JobGuidAsync(long number)
    {
        await using var command = ((Npgsql.NpgsqlDataSource)farm.Hub.Services.GetService(typeof(Npgsql.NpgsqlDataSource))!).CreateCommand("SELECT id::text FROM job WHERE number = $1");
        command.Parameters.AddWithValue(number);
        return (string)(await command.ExecuteScalarAsync())!;
    }

    private static string Without(JsonNode node, params string[] names)
    {
        var copy = node.DeepClone().AsObject();
        foreach (var name in names) Assert.True(copy.Remove(name));
        return copy.ToJsonString();
    }

    /// <summary>The tuple as Python evaluates it; its byte strings are text in UTF-8.</summary>
    private static async Task<string[]> EvaluateAsync(string literal)
    {
        const string script = """
            import ast, json, sys
            values = ast.literal_eval(sys.stdin.read())
            print(json.dumps([v if not isinstance(v, str) else v.encode('latin-1').decode('utf-8') for v in values]))
            """;
        using var python = Process.Start(new ProcessStartInfo("python3", ["-c", script]) { UseShellExecute = false, RedirectStandardInput = true, RedirectStandardOutput = true })!;
        await python.StandardInput.WriteAsync(literal);
        python.StandardInput.Close();
        var text = await python.StandardOutput.ReadToEndAsync();
        await python.WaitForExitAsync();
        return [.. JsonNode.Parse(text)!.AsArray().Select(v => v!.ToString())];
    }
}
