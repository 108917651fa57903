using System.Net;
using System.Text.Json.Nodes;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;

namespace JobHub.Api.Tests.Hub;

/// <summary>/hub/v1/jobs/{id}/graph, and what is summed or grouped over all tasks of a job.</summary>
public sealed class JobGraphTests(HubFixture fixture) : IClassFixture<HubFixture>
{
    private readonly HubHost hub = fixture.Hub;

    private NpgsqlDataSource Database => hub.Services.GetRequiredService<NpgsqlDataSource>();

    [Fact]
    public async Task Graph_OfAGroup_HasWhatIsBelowItAndWhatItWaitsFor()
    {
        var (outer, far) = (await MakeAsync(new() { ["title"] = "outer" }), await MakeAsync(new() { ["title"] = "far", ["command"] = "true" }));
        var before = await MakeAsync(new() { ["title"] = "before", ["command"] = "true", ["dependencies"] = new JsonArray(far) });
        var group = await MakeAsync(new() { ["title"] = "group", ["parent"] = outer, ["dependencies"] = new JsonArray(before) });
        var (first, inner) = (await MakeAsync(new() { ["title"] = "first", ["parent"] = group, ["command"] = "true" }), await MakeAsync(new() { ["title"] = "inner", ["parent"] = group }));
        var second = await MakeAsync(new() { ["title"] = "second", ["parent"] = inner, ["command"] = "true", ["dependencies"] = new JsonArray(first) });
        var after = await MakeAsync(new() { ["title"] = "after", ["command"] = "true", ["dependencies"] = new JsonArray(group) });
        var beside = await MakeAsync(new() { ["title"] = "beside", ["parent"] = outer, ["command"] = "true" });

        var graph = await GetAsync($"/hub/v1/jobs/{await IdAsync(group)}/graph");

        Assert.Equal(["after", "before", "far", "first", "group", "inner", "outer", "second"], Titles(graph).Order());
        Assert.Equal(new[] { (far, before), (before, group), (first, second), (group, after) }.Order(), graph["edges"]!.AsArray().Select(edge => (long.Parse((string)edge!["from"]!), long.Parse((string)edge["to"]!))).Order());
        var nodes = graph["nodes"]!.AsArray().ToDictionary(node => (string)node!["title"]!, node => node!);
        Assert.Equal(($"{outer}", $"{group}", $"{inner}"), ((string)nodes["group"]["parent"]!, (string)nodes["inner"]["parent"]!, (string)nodes["second"]["parent"]!));
        Assert.Equal(("Group", 2), ((string)nodes["group"]["kind"]!, (int)nodes["group"]["tasks"]!["total"]!));
        Assert.Equal(("Job", "Queued", await IdAsync(second)), ((string)nodes["second"]["kind"]!, (string)nodes["second"]["state"]!, (string)nodes["second"]["job"]!));
        Assert.Equal((0, false), ((int)graph["hidden"]!, (bool)graph["more"]!));
        Assert.Equal(["after", "before", "far", "first", "group", "inner", "outer", "second"], Titles(await GetAsync($"/hub/v1/jobs/{await IdAsync(second)}/graph")).Order());
        Assert.Equal(["beside", "outer"], Titles(await GetAsync($"/hub/v1/jobs/{await IdAsync(beside)}/graph")).Order());
        Assert.Equal(["after", "before", "far", "group"], Titles(await GetAsync($"/hub/v1/jobs/{await IdAsync(far)}/graph")).Order());
        // In development a project that somebody made is its members' alone.
        await ExecuteAsync($"INSERT INTO project (id, name, visibility) VALUES ('graph-{far}', 'secret', 0); UPDATE job SET project = 'graph-{far}' WHERE number = {far}");
        var seen = await GetAsync($"/hub/v1/jobs/{await IdAsync(before)}/graph");
        Assert.Equal((1, "after before group"), ((int)seen["hidden"]!, string.Join(' ', Titles(seen).Order())));
        Assert.DoesNotContain(seen["edges"]!.AsArray(), edge => (string)edge!["from"]! == $"{far}");
        await hub.Client.DeleteAsync($"/api/jobs/{outer}");
    }

    [Fact]
    public async Task Graph_OfTooManyJobs_SaysThatThereAreMore()
    {
        var group = await MakeAsync(new() { ["title"] = "many" });
        var child = await MakeAsync(new() { ["title"] = "child", ["parent"] = group, ["command"] = "true", ["paused"] = true });
        await ExecuteAsync($"""
            INSERT INTO job (id, parent, family, project, priority, rank, class, max_attempts, speculative, details, commands)
            SELECT gen_random_uuid(), parent, family, project, priority, rank, class, max_attempts, speculative, details, 1 FROM job, generate_series(1, 10000) WHERE number = {child};
            INSERT INTO dependency (job, dependency) SELECT number, {child} FROM job WHERE parent = {group} AND number <> {child};
            """);
        var graph = await GetAsync($"/hub/v1/jobs/{await IdAsync(group)}/graph");
        Assert.Equal((10_000, true), (graph["nodes"]!.AsArray().Count, (bool)graph["more"]!));
        Assert.InRange(graph["edges"]!.AsArray().Count, 9_000, 10_000);
        await ExecuteAsync($"DELETE FROM dependency WHERE dependency = {child}; DELETE FROM job WHERE parent = {group} AND number <> {child}");
    }

    [Fact]
    public async Task Graph_OfMapReduce_HasItsPhasesWithTheirBytes()
    {
        var (id, number) = await MapReduceAsync("one\ntwo\nthree\n", splitSize: 5);
        await ExecuteAsync($$"""
            DELETE FROM live WHERE task_id = {{number << 20}}; INSERT INTO task (id, state) VALUES ({{number << 20}}, 4);
            UPDATE job SET counters = '{"map_input_bytes": 4, "map_input_records": 1}' WHERE number = {{number}};
            """);
        var graph = await GetAsync($"/hub/v1/jobs/{id}/graph");
        Assert.Equal(["Input", "Map", "Shuffle", "Reduce", "Output"], graph["nodes"]!.AsArray().Select(static node => (string)node!["kind"]!));
        var (input, map, reduce) = (graph["nodes"]![0]!, graph["nodes"]![1]!, graph["nodes"]![3]!);
        Assert.Equal((4, 1), ((int)input["bytes"]!, (int)input["records"]!));
        Assert.Equal(("Running", 3, 1), ((string)map["state"]!, (int)map["tasks"]!["total"]!, (int)map["tasks"]!["succeeded"]!));
        Assert.Equal("Blocked", (string)reduce["state"]!);
        Assert.Equal(4, graph["edges"]!.AsArray().Count);

        // Nothing runs in a job that was canceled.
        foreach (var maps in (int[])[1, 3])
        {
            await ExecuteAsync($$"""
                DELETE FROM live WHERE task_id >> 20 = {{number}}; DELETE FROM task WHERE id >> 20 = {{number}};
                INSERT INTO task (id, state) SELECT {{number << 20}} + i, CASE WHEN i < {{maps}} THEN 4 ELSE 6 END FROM generate_series(0, 4) i;
                """);
            var ended = await GetAsync($"/hub/v1/jobs/{id}/graph");
            Assert.Equal(["Canceled", "Canceled", "Canceled"], ended["nodes"]!.AsArray().Skip(2).Select(static node => (string)node!["state"]!));
        }
    }

    [Fact]
    public async Task States_ThatHaveNotChanged_AreNotSentAgain()
    {
        var (id, number) = await MapReduceAsync("one\ntwo\n", splitSize: 4);
        using var first = await hub.Client.GetAsync($"/hub/v1/jobs/{id}/tasks/states");
        Assert.Equal(HttpStatusCode.NotModified, await AgainAsync());
        await ExecuteAsync($"DELETE FROM live WHERE task_id = {number << 20}; INSERT INTO task (id, state) VALUES ({number << 20}, 4)");
        Assert.Equal(HttpStatusCode.OK, await AgainAsync());
        await ExecuteAsync($"DELETE FROM live WHERE task_id >> 20 = {number}");

        async Task<HttpStatusCode> AgainAsync()
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, $"/hub/v1/jobs/{id}/tasks/states");
            request.Headers.IfNoneMatch.Add(first.Headers.ETag!);
            using var answer = await hub.Client.SendAsync(request);
            return answer.StatusCode;
        }
    }

    [Fact]
    public async Task Vector_OfAHundredThousandTasks_NamesWorkersOnceAndCountsAttempts()
    {
        var (id, number) = await MapReduceAsync("x\n", splitSize: 10);
        var first = number << 20;
        await ExecuteAsync($"""
            UPDATE job SET maps = 100000, paused = true WHERE number = {number};
            INSERT INTO worker_session (worker, host, slots, cpus, memory, gpus, affinity, mounts, isolation, version, lease_until)
            SELECT w, 'h', 1, 1, 1, 0, '[]', ARRAY[]::text[], 'plain', '1', clock_timestamp() + interval '1 minute' FROM unnest(ARRAY['b-{id}', 'a-{id}', 'b-{id}']) w;
            INSERT INTO task (id, state, attempt, started_at, ended_at) SELECT {first} + i, 4, 1 + i % 2, now() - make_interval(secs => i % 7 + 1), now() FROM generate_series(3, 99999) i;
            INSERT INTO attempt (task_id, number, token, session_id, outcome, reported, started_at, ended_at)
            SELECT {first} + i, 1 + i % 2, gen_random_uuid(), (SELECT min(id) FROM worker_session WHERE worker LIKE '%-{id}') + i % 3, 0, true, now(), now() FROM generate_series(3, 99999) i;
            """);

        var workers = await GetAsync($"/hub/v1/jobs/{id}/tasks/vector?of=worker");

        Assert.Equal([$"a-{id}", $"b-{id}"], workers["names"]!.AsArray().Select(static name => (string)name!));
        var tasks = Numbers(workers);
        Assert.Equal(100_002, tasks.Length);
        Assert.Equal([0, 0, 0, 2, 1, 2, 2, 1], tasks.Take(8));
        Assert.Equal([0, 0, 0, 2, 1, 2, 1], Numbers(await GetAsync($"/hub/v1/jobs/{id}/tasks/vector?of=attempts")).Take(7));
        var times = await GetAsync($"/hub/v1/jobs/{id}/tasks/times?kind=Map&from=3&to=9");
        Assert.Equal((7, 4.0, $"{id}-m-6", 7.0), ((int)times["ended"]!, (double)times["meanSeconds"]!, (string)times["longest"]!, (double)times["longestSeconds"]!));
        Assert.Equal(0, (int)(await GetAsync($"/hub/v1/jobs/{id}/tasks/times?kind=Reduce"))["ended"]!);
        using (var none = await hub.Client.GetAsync($"/hub/v1/jobs/{id}/tasks/vector")) await none.IsProblemAsync(HttpStatusCode.BadRequest, "invalid-field", "of");
        using (var turned = await hub.Client.GetAsync($"/hub/v1/jobs/{id}/tasks/times?kind=Map&from=3&to=2")) await turned.IsProblemAsync(HttpStatusCode.BadRequest, "invalid-field", "to");
        await ExecuteAsync($"DELETE FROM live WHERE task_id >> 20 = {number}");

        static int[] Numbers(JsonNode vector)
        {
            var bytes = Convert.FromBase64String((string)vector["tasks"]!);
            return [.. Enumerable.Range(0, bytes.Length / 2).Select(i => (int)BitConverter.ToUInt16(bytes, 2 * i))];
        }
    }

    [Fact]
    public async Task Partitions_AreSummedOverTheMapsThatSucceeded()
    {
        var (id, number) = await MapReduceAsync("one\ntwo\nthree\n", splitSize: 5);
        var first = number << 20;
        await ExecuteAsync($$"""
            DELETE FROM live WHERE task_id < {{first + 2}} AND task_id >= {{first}};
            INSERT INTO task (id, state, offsets) VALUES ({{first}}, 4, '\x000000000000000005000000000000000901000000000000'), ({{first + 1}}, 4, '\x000000000000000000000000000000000200000000000000');
            DELETE FROM live WHERE task_id = {{first + 4}};
            INSERT INTO task (id, state, counters) VALUES ({{first + 4}}, 4, '{"reduce_input_records": 12, "reduce_input_groups": 3}');
            """);
        var partitions = await GetAsync($"/hub/v1/jobs/{id}/partitions");
        Assert.Equal((2, 3), ((int)partitions["maps"]!, (int)partitions["mapsTotal"]!));
        Assert.Equal([(5L, null, null), (262L, 12L, 3L)], partitions["items"]!.AsArray().Select(static p => ((long)p!["bytes"]!, (long?)p["records"], (long?)p["groups"])));
        using var unknown = await hub.Client.GetAsync($"/hub/v1/jobs/{Guid.NewGuid()}/partitions");
        await unknown.IsProblemAsync(HttpStatusCode.NotFound, "job-not-found");
        await ExecuteAsync($"DELETE FROM live WHERE task_id >> 20 = {number}");
    }

    private static IEnumerable<string> Titles(JsonNode graph) => graph["nodes"]!.AsArray().Select(static node => (string)node!["title"]!);

    private async Task<long> MakeAsync(JsonObject job)
    {
        job["paused"] ??= false;
        using var made = await hub.Client.PutAsync("/api/jobs", job.ToJsonString().AsJson());
        Assert.True(made.IsSuccessStatusCode, await made.Content.ReadAsStringAsync());
        return long.Parse(await made.Content.ReadAsStringAsync());
    }

    private async Task<string> IdAsync(long number)
    {
        await using var command = Database.CreateCommand($"SELECT id FROM job WHERE number = {number}");
        return ((Guid)(await command.ExecuteScalarAsync())!).ToString();
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

    private async Task<JsonNode> GetAsync(string path) => JsonNode.Parse(await hub.Client.GetStringAsync(path))!;

    private async Task ExecuteAsync(string sql)
    {
        await using var command = Database.CreateCommand(sql);
        await command.ExecuteNonQueryAsync();
    }
}
