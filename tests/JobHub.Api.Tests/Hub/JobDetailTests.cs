using System.Net;
using System.Net.Http.Headers;
using System.Text.Json.Nodes;
using JobHub.Engine.Attempts;
using JobHub.Engine.Jobs;
using JobHub.Testing;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;

namespace JobHub.Api.Tests.Hub;

/// <summary>/hub/v1/jobs/{id}: all tasks at once, attempts over time, inputs and outputs, once more.</summary>
public sealed class JobDetailTests(HubFixture fixture) : IClassFixture<HubFixture>
{
    private readonly HubHost hub = fixture.Hub;
    private readonly string project = "p" + Guid.NewGuid().ToString("N")[..10];

    private NpgsqlDataSource Database => hub.Services.GetRequiredService<NpgsqlDataSource>();

    [Fact]
    public async Task States_OfEveryKindOfTask_AreBytesInTaskOrder()
    {
        var (id, number) = await MapReduceAsync("one\ntwo\nthree\nfour\nfive\nsix\n", splitSize: 3);
        var first = number << 20;
        await ExecuteAsync($"""
            DELETE FROM live WHERE task_id IN ({first}, {first + 1}, {first + 2});
            INSERT INTO task (id, state, error) VALUES ({first}, 4, NULL), ({first + 1}, 5, '{"{"}"type":"timeout","message":""{"}"}'), ({first + 2}, 5, '{"{"}"type":"exit-code","message":""{"}"}');
            UPDATE live SET not_before = clock_timestamp() + interval '1 hour', claimable = false WHERE task_id = {first + 3};
            UPDATE live SET paused = true WHERE task_id = {first + 4};
            """);

        using var answer = await hub.Client.GetAsync($"/hub/v1/jobs/{id}/tasks/states");

        var squares = await answer.Content.ReadAsByteArrayAsync();
        Assert.Equal($"Map={squares.Length - 2},Reduce=2", answer.Headers.GetValues("JobHub-Phases").Single());
        Assert.Equal([7, 9, 8, 2, 6, 1], squares[..6].Select(static b => (int)b));
        Assert.Equal([0, 0], squares[^2..].Select(static b => (int)b));
        await ExecuteAsync($"UPDATE job SET stop = 1, dirty = true WHERE number = {number}");
    }

    [Fact]
    public async Task States_OfAHundredThousandTasks_AreOneSmallAnswer()
    {
        var (id, number) = await MapReduceAsync("x\n", splitSize: 10);
        await ExecuteAsync($"""
            UPDATE job SET maps = 100000, paused = true WHERE number = {number};
            INSERT INTO task (id, state) SELECT ({number}::bigint << 20) + i, 4 FROM generate_series(3, 100001) i;
            """);
        var squares = await hub.Client.GetByteArrayAsync($"/hub/v1/jobs/{id}/tasks/states");
        Assert.Equal(100_002, squares.Length);
        Assert.Equal(99_999, squares.Count(static square => square == (byte)TaskSquare.Succeeded));
        await ExecuteAsync($"DELETE FROM live WHERE task_id >> 20 = {number}");
    }

    [Fact]
    public async Task Tasks_ByStatesKindAndIndexes_AreThoseAlone()
    {
        var (id, number) = await MapReduceAsync("aaaaaaaaaaaaaaaaaaaaaaaaa\n", splitSize: 5);
        await ExecuteAsync($"DELETE FROM live WHERE task_id = {number << 20}; INSERT INTO task (id, state) VALUES ({number << 20}, 4)");

        Assert.Equal(["m-1", "m-2"], await NamesAsync("?kind=Map&from=1&to=2"));
        Assert.Equal(["r-1"], await NamesAsync("?kind=Reduce&from=1"));
        Assert.Equal(["m-0", "r-0", "r-1"], await NamesAsync("?state=succeeded,blocked"));
        Assert.Equal(["m-0"], await NamesAsync("?state=Succeeded"));
        Assert.Empty(await NamesAsync("?kind=Map&from=1000"));
        var page = await GetAsync($"/hub/v1/jobs/{id}/tasks?state=blocked,ready&limit=1");
        Assert.EndsWith("m-1", (string)page["next"]!);
        Assert.Equal(["m-2"], (await NamesAsync($"?state=ready&limit=1&after={page["next"]}")));
        using (var word = await hub.Client.GetAsync($"/hub/v1/jobs/{id}/tasks?state=busy")) await word.IsProblemAsync(HttpStatusCode.BadRequest, "invalid-field", "state");
        using (var alone = await hub.Client.GetAsync($"/hub/v1/jobs/{id}/tasks?from=3")) await alone.IsProblemAsync(HttpStatusCode.BadRequest, "invalid-field", "kind");

        async Task<string[]> NamesAsync(string query) =>
            [.. (await GetAsync($"/hub/v1/jobs/{id}/tasks{query}"))["items"]!.AsArray().Select(task => ((string)task!["id"]!)[37..])];
    }

    [Fact]
    public async Task Timeline_OfAttempts_HasThoseThatRunFirst()
    {
        var (id, number) = await MapReduceAsync("aaaaaaaaaaaaaaaaaaaaaaaaa\n", splitSize: 10);
        var first = number << 20;
        await ExecuteAsync($"""
            INSERT INTO worker_session (worker, host, slots, cpus, memory, gpus, affinity, mounts, isolation, version, lease_until) VALUES ('w-{id}', 'h', 1, 1, 1, 0, '[]', ARRAY[]::text[], 'plain', '1', clock_timestamp() + interval '1 minute');
            INSERT INTO attempt (task_id, number, token, session_id, outcome, reported, started_at, ended_at)
            SELECT {first}, n, gen_random_uuid(), s.id, CASE n WHEN 1 THEN 1 ELSE 0 END, true, clock_timestamp() - make_interval(secs => 100 - n), clock_timestamp() - make_interval(secs => 50 - n)
            FROM generate_series(1, 2) n, worker_session s WHERE s.worker = 'w-{id}';
            UPDATE live SET session_id = (SELECT id FROM worker_session WHERE worker = 'w-{id}'), token = gen_random_uuid(), state = 3, attempt = 1, leased_at = clock_timestamp(), claimable = false WHERE task_id = {first + 1};
            """);

        var bars = (await GetAsync($"/hub/v1/jobs/{id}/timeline"))["items"]!.AsArray();

        Assert.Equal([("m-1", 1, null, false), ("m-0", 2, "Succeeded", true), ("m-0", 1, "Failed", false)],
            bars.Select(bar => (((string)bar!["task"]!)[37..], (int)bar["attempt"]!, (string?)bar["outcome"], (bool)bar["speculative"]!)));
        Assert.All(bars, bar => Assert.Equal($"w-{id}", (string?)bar!["worker"]));
        Assert.Single((await GetAsync($"/hub/v1/jobs/{id}/timeline?limit=1"))["items"]!.AsArray());
        using var many = await hub.Client.GetAsync($"/hub/v1/jobs/{id}/timeline?limit=2001");
        await many.IsProblemAsync(HttpStatusCode.BadRequest, "invalid-field", "limit");
        await ExecuteAsync($"DELETE FROM live WHERE task_id >> 20 = {number}");
    }

    [Fact]
    public async Task Outputs_OfACommand_AreDownloadedAndItsInputsStay()
    {
        using (await hub.Client.PutAsync($"/files?path=/in/a.txt&project={project}", new StringContent("given")))
        {
        }

        var (id, number) = await CommandAsync(new JsonObject { ["command"] = "make", ["files"] = new JsonArray(new JsonObject { ["path"] = "/in/a.txt" }), ["env"] = new JsonObject { ["A"] = "b" }, ["priority"] = 255 });
        // A session that says nothing for its lease is over, so it begins when there is something to claim.
        await using var worker = await WorkerDouble.OpenAsync(hub);
        var attempt = (await Eventually.GetAsync(() => worker.ClaimOfAsync(number), static attempt => attempt is not null, "the attempt"))!;
        (await worker.SendAsync(attempt, "/job/ä <b>.html", new StringContent("0123456789"))).EnsureSuccessStatusCode();
        await worker.CompleteAsync(attempt, AttemptOutcome.Succeeded, files: 1);

        Assert.Equal("/in/a.txt", (string)Assert.Single((await GetAsync($"/hub/v1/jobs/{id}/inputs"))["items"]!.AsArray())!["path"]!);
        var made = Assert.Single((await GetAsync($"/hub/v1/jobs/{id}/outputs"))["items"]!.AsArray())!;
        Assert.Equal(("/job/ä <b>.html", 10), ((string)made["name"]!, (int)made["size"]!));
        using var request = new HttpRequestMessage(HttpMethod.Get, $"/hub/v1/jobs/{id}/outputs/content?name={Uri.EscapeDataString("/job/ä <b>.html")}");
        request.Headers.Range = new RangeHeaderValue(2, 4);
        using var part = await hub.Client.SendAsync(request);
        Assert.Equal(HttpStatusCode.PartialContent, part.StatusCode);
        Assert.Equal("234", await part.Content.ReadAsStringAsync());
        Assert.Equal("attachment", part.Content.Headers.ContentDisposition!.DispositionType);
        Assert.Equal("nosniff", part.Headers.GetValues("X-Content-Type-Options").Single());
        using var none = await hub.Client.GetAsync($"/hub/v1/jobs/{id}/outputs/content?name=/etc/passwd");
        await none.IsProblemAsync(HttpStatusCode.NotFound, "output-not-found");

        using var again = await hub.Client.PostAsync($"/hub/v1/jobs/{id}/run-again", null);
        Assert.Equal(HttpStatusCode.Created, again.StatusCode);
        var second = (string)(await again.JsonAsync())["id"]!;
        Assert.Equal($"/hub/v1/jobs/{second}", again.Headers.Location!.ToString());
        var job = await GetAsync($"/hub/v1/jobs/{second}");
        Assert.Equal(("Queued", "make", "b"), ((string)job["state"]!, (string)job["details"]!["command"]!, (string)job["details"]!["environment"]!["A"]!));
        Assert.Equal("/in/a.txt", (string)Assert.Single((await GetAsync($"/hub/v1/jobs/{second}/inputs"))["items"]!.AsArray())!["path"]!);
        (await hub.Client.PostAsync($"/hub/v1/jobs/{second}/cancel", null)).EnsureSuccessStatusCode();
    }

    [Fact]
    public async Task Inputs_OfACommandThatWasRetried_AreNotWhatItsFirstLifeLeft()
    {
        await using var worker = await WorkerDouble.OpenAsync(hub);
        using (await hub.Client.PutAsync($"/files?path=/in/a.txt&project={project}", new StringContent("given")))
        {
        }

        var (id, number) = await CommandAsync(new JsonObject { ["command"] = "make", ["files"] = new JsonArray(new JsonObject { ["path"] = "/in/a.txt" }), ["priority"] = 255 });
        var first = (await Eventually.GetAsync(() => worker.ClaimOfAsync(number), static attempt => attempt is not null, "the attempt"))!;
        (await worker.SendAsync(first, "/job/out.txt", new StringContent("made"))).EnsureSuccessStatusCode();
        await worker.CompleteAsync(first, AttemptOutcome.Failed, exitCode: 1, error: new("exit-code", "1"), files: 1);
        await StateAsync("Failed");
        (await hub.Client.PostAsync($"/hub/v1/jobs/{id}/retry", null)).EnsureSuccessStatusCode();
        var second = (await Eventually.GetAsync(() => worker.ClaimOfAsync(number), static attempt => attempt is not null, "the attempt after the retry"))!;
        await worker.CompleteAsync(second, AttemptOutcome.Succeeded);
        await StateAsync("Succeeded");

        Assert.Equal("/in/a.txt", (string)Assert.Single((await GetAsync($"/hub/v1/jobs/{id}/inputs"))["items"]!.AsArray())!["path"]!);
        Assert.Equal("/job/out.txt", (string)Assert.Single((await GetAsync($"/hub/v1/jobs/{id}/outputs"))["items"]!.AsArray())!["name"]!);
        using var again = await AgainAsync(id, null);
        Assert.Equal(HttpStatusCode.Created, again.StatusCode);
        (await hub.Client.PostAsync($"/hub/v1/jobs/{(string)(await again.JsonAsync())["id"]!}/cancel", null)).EnsureSuccessStatusCode();

        Task StateAsync(string state) => Eventually.TrueAsync(async () => (string)(await GetAsync($"/hub/v1/jobs/{id}"))["state"]! == state, $"it reads as {state}");
    }

    [Fact]
    public async Task RunAgain_OfMapReduceWithKeys_SealsThemForTheNewJobAndKeepsThePrograms()
    {
        var submission = hub.Submission(hub.WriteInput($"{project}.txt", "one\ntwo\n"));
        submission["title"] = "again";
        submission["inputStorageCredentials"] = new JsonObject { ["username"] = "reader", ["password"] = "of-the-input" };
        using var answer = await hub.Client.PostAsync("/api/v1/jobs", submission);
        var id = (string)(await answer.JsonAsync())["id"]!;
        hub.WriteInput($"{project}.txt", "one\ntwo\nthree\n");

        using var first = await AgainAsync(id, "k" + project);
        using var resent = await AgainAsync(id, "k" + project);

        var second = (string)(await first.JsonAsync())["id"]!;
        Assert.Equal(second, (string)(await resent.JsonAsync())["id"]!);
        var job = await GetAsync($"/hub/v1/jobs/{second}");
        Assert.Equal(("again", 14L), ((string)job["title"]!, (long)job["details"]!["inputSize"]!));
        Assert.Equal((string)(await GetAsync($"/hub/v1/jobs/{id}"))["details"]!["mapper"]!["hash"]!, (string)job["details"]!["mapper"]!["hash"]!);
        var contexts = hub.Services.GetRequiredService<JobContexts>();
        Assert.Equal("of-the-input", (await contexts.GetAsync((long)job["number"]!, CancellationToken.None))!.InputCredentials!.Password);
        Assert.Equal(14, (long)Assert.Single((await GetAsync($"/hub/v1/jobs/{second}/inputs"))["items"]!.AsArray())!["size"]!);
        using (var other = await AgainAsync(second, "k" + project)) await other.IsProblemAsync(HttpStatusCode.UnprocessableEntity, "idempotency-key-reused");
        File.Delete(Path.Combine(hub.Folder, $"{project}.txt"));
        using (var gone = await AgainAsync(id, null)) await gone.IsProblemAsync(HttpStatusCode.Conflict, "input-not-available");
        foreach (var one in (string[])[id, second]) (await hub.Client.PostAsync($"/hub/v1/jobs/{one}/cancel", null)).EnsureSuccessStatusCode();
    }

    [Fact]
    public async Task Outputs_OfMapReduce_AreItsResultsAndNothingBesideThem()
    {
        var (id, number) = await MapReduceAsync("x\n", splitSize: 10);
        var folder = Directory.CreateDirectory(Path.Combine(hub.Folder, "out", id)).FullName;
        foreach (var name in (string[])["part-00000", "part-00001", "other"]) await File.WriteAllTextAsync(Path.Combine(folder, name), name);

        Assert.Equal(["part-00000", "part-00001"], (await GetAsync($"/hub/v1/jobs/{id}/outputs"))["items"]!.AsArray().Select(static item => (string)item!["name"]!));
        Assert.Equal("part-00001", (string)Assert.Single((await GetAsync($"/hub/v1/jobs/{id}/outputs?limit=1&after=part-00000"))["items"]!.AsArray())!["name"]!);
        Assert.Equal("part-00001", await hub.Client.GetStringAsync($"/hub/v1/jobs/{id}/outputs/content?name=part-00001"));
        foreach (var name in (string[])["other", "../../flat.txt", "part-00009", "part-00000%0A"])
        {
            using var none = await hub.Client.GetAsync($"/hub/v1/jobs/{id}/outputs/content?name={name}");
            await none.IsProblemAsync(HttpStatusCode.NotFound, "output-not-found");
        }

        await ExecuteAsync($"DELETE FROM live WHERE task_id >> 20 = {number}");
    }

    [Fact]
    public async Task RunAgain_OfAJobOfATree_SaysWhatToDoInstead()
    {
        using var made = await hub.Client.PutAsync("/api/jobs", """{"title":"t","command":"true"}""".AsJson());
        await using var command = Database.CreateCommand($"SELECT id FROM job WHERE number = {await made.Content.ReadAsStringAsync()}");
        var id = (Guid)(await command.ExecuteScalarAsync())!;
        using var answer = await AgainAsync(id.ToString(), null);
        var problem = await answer.IsProblemAsync(HttpStatusCode.Conflict, "not-supported");
        Assert.Contains("reset", (string)problem["detail"]!);
        using var unknown = await AgainAsync(Guid.NewGuid().ToString(), null);
        await unknown.IsProblemAsync(HttpStatusCode.NotFound, "job-not-found");
        await hub.Client.DeleteAsync($"/api/jobs/{id}");
        await ExecuteAsync($"DELETE FROM live WHERE task_id >> 20 = (SELECT number FROM job WHERE id = '{id}')");
    }

    private async Task<HttpResponseMessage> AgainAsync(string id, string? key)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, $"/hub/v1/jobs/{id}/run-again");
        if (key is not null) request.Headers.Add("Idempotency-Key", key);
        return await hub.Client.SendAsync(request);
    }

    private async Task<(string Id, long Number)> MapReduceAsync(string text, long splitSize)
    {
        var submission = hub.Submission(hub.WriteInput($"{Guid.NewGuid():N}.txt", text));
        submission["splitSize"] = splitSize;
        using var answer = await hub.Client.PostAsync("/api/v1/jobs", submission);
        Assert.Equal(HttpStatusCode.Created, answer.StatusCode);
        var id = (string)(await answer.JsonAsync())["id"]!;
        return (id, (long)(await GetAsync($"/hub/v1/jobs/{id}"))["number"]!);
    }

    private async Task<(string Id, long Number)> CommandAsync(JsonObject body)
    {
        using var answer = await hub.Client.PostAsync($"/jobs?project={project}", body);
        var id = (string)(await answer.JsonAsync())["job_id"]!;
        return (id, (long)(await GetAsync($"/hub/v1/jobs/{id}"))["number"]!);
    }

    private async Task<JsonNode> GetAsync(string path) => JsonNode.Parse(await hub.Client.GetStringAsync(path))!;

    private async Task ExecuteAsync(string sql)
    {
        await using var command = Database.CreateCommand(sql);
        await command.ExecuteNonQueryAsync();
    }
}
