using System.Globalization;
using System.Net;
using System.Text.Json.Nodes;
using JobHub.Api.Features.Farm;
using JobHub.Testing;

namespace JobHub.Api.Tests.Farm;

/// <summary>/api/jobs over HTTP: shapes, lists, changes and trees. Nothing runs here.</summary>
[Collection(FarmCollection.Name)]
public sealed class FarmJobTests(HubFixture fixture)
{
    private static readonly string[] Fields =
    [
        "id", "parent", "title", "command", "dir", "environment", "state", "paused", "worker", "start_time", "duration", "ping_time", "run_done", "retry", "timeout", "priority", "affinity",
        "affinity_bits", "user", "finished", "errors", "working", "total", "total_finished", "total_errors", "total_working", "url", "progress", "progress_pattern", "h_affinity", "h_priority",
        "h_paused", "h_depth",
    ];

    private readonly string user = "u" + Guid.NewGuid().ToString("N")[..12];

    private HttpClient Client => fixture.Hub.Client;

    [Fact]
    public async Task Job_AloneAndInLists_HasExactlyTheFieldsInTheirOrder()
    {
        var parent = await Client.PutJobAsync($$"""{"title":"group","user":"{{user}}"}""");
        var first = await Client.PutJobAsync($$"""{"parent":{{parent}},"command":"true"}""");
        var second = await Client.PutJobAsync($$"""{"parent":{{parent}},"command":"true","dependencies":[{{first}}]}""");

        Assert.Equal(Fields, FarmJobWire.Names);
        foreach (var path in (string[])[$"/api/jobs?user={user}", $"/api/jobs/{parent}/children", $"/api/jobs/{second}/dependencies"])
        {
            var list = JsonNode.Parse(await Client.GetStringAsync(path))!.AsArray();
            Assert.NotEmpty(list);
            Assert.All(list, job => Assert.Equal(Fields, job!.AsObject().Select(static member => member.Key)));
        }

        var alone = await Client.JobAsync(second);
        Assert.Equal([.. Fields, "dependencies"], alone.Select(static member => member.Key));
        Assert.Equal($"[{first}]", alone["dependencies"]!.ToJsonString());
        Assert.Equal("[]", (await Client.JobAsync(first))["dependencies"]!.ToJsonString());
    }

    [Theory, InlineData(null), InlineData(""), InlineData("{}"), InlineData(" \r\n\t"), InlineData("{\"title\":null,\"dependencies\":null}")]
    public async Task EmptyBody_MakesAnEmptyGroupThatWaits(string? body)
    {
        var id = await Client.PutJobAsync(body!);

        var expected = $$"""
            {"id":{{id}},"parent":0,"title":"","command":"","dir":"","environment":"","state":"WAITING","paused":0,"worker":"","start_time":0,"duration":0,"ping_time":0,"run_done":0,"retry":0,
            "timeout":1000,"priority":255,"affinity":"","affinity_bits":0,"user":"","finished":0,"errors":0,"working":0,"total":0,"total_finished":0,"total_errors":0,"total_working":0,"url":"",
            "progress":null,"progress_pattern":"","h_affinity":0,"h_priority":18374686479671623680,"h_paused":0,"h_depth":0,"dependencies":[]}
            """;
        Assert.Equal(expected.ReplaceLineEndings(""), await Client.GetStringAsync($"/api/jobs/{id}"));
        await Client.IsOneAsync("DELETE", "/api/jobs", $"[{id}]");
    }

    [Fact]
    public async Task Job_AsTheSeedMakesIt_ReadsBackWithItsPriorityKeptWithinTheLargest()
    {
        var id = await Client.PutJobAsync("""
            { 
            "parent": 0,
            "title": "Job 1",
            "command": "echo test",
            "dir": ".",
            "environment": "",
            "state": "WAITING",
            "retry": 10,
            "timeout": 10000,
            "priority": 1000,
            "affinity": "LINUX",
            "user": "render",
            "url": "http://localhost/image.png",
            "progress_pattern": "#%percent",
            }
            """);

        var job = await Client.JobAsync(id);
        Assert.Equal(("Job 1", "echo test", ".", "WAITING", 0), ((string?)job["title"], (string?)job["command"], (string?)job["dir"], (string?)job["state"], (int)job["paused"]!));
        Assert.Equal((10, 10000, 255, "LINUX", "render"), ((int)job["retry"]!, (int)job["timeout"]!, (int)job["priority"]!, (string?)job["affinity"], (string?)job["user"]));
        Assert.Equal(("http://localhost/image.png", "#%percent"), ((string?)job["url"], (string?)job["progress_pattern"]));
        Assert.NotEqual(0UL, (ulong)job["affinity_bits"]!);
        Assert.Equal((ulong)job["affinity_bits"]!, (ulong)job["h_affinity"]!);
    }

    [Theory]
    [InlineData("\"state\":\"PAUSED\"", true), InlineData("\"paused\":true", true), InlineData("\"paused\":1", true), InlineData("\"state\":\"PAUSED\",\"paused\":false", true), InlineData("\"paused\":0", false)]
    [InlineData("\"paused\":false", false), InlineData("\"state\":\"WORKING\"", false), InlineData("\"state\":\"nonsense\"", false), InlineData("\"state\":\"\"", false), InlineData("\"state\":\"paused\"", false)]
    public async Task NewJob_IsPausedOnlyWhenToldSo(string members, bool paused)
    {
        var job = await Client.JobAsync(await Client.PutJobAsync("{\"command\":\"true\"," + members + "}"));
        Assert.Equal((paused ? "PAUSED" : "WAITING", paused ? 1 : 0, paused ? 1 : 0), ((string?)job["state"], (int)job["paused"]!, (int)job["h_paused"]!));
    }

    [Theory, InlineData(-5, 0), InlineData(0, 0), InlineData(7, 7), InlineData(256, 255), InlineData(long.MaxValue, 255), InlineData(long.MinValue, 0)]
    public async Task Priority_IsKeptWithinWhatTheQueueKnows(long asked, int kept)
    {
        var id = await Client.PutJobAsync($$"""{"command":"true","priority":{{asked}} }""");
        var job = await Client.JobAsync(id);
        Assert.Equal((kept, (ulong)kept << 56), ((int)job["priority"]!, (ulong)job["h_priority"]!));
        await Client.IsOneAsync("POST", "/api/jobs", $$"""{"{{id}}":{"priority":3} }""");
        await Client.IsOneAsync("POST", "/api/jobs", $$"""{"{{id}}":{"priority":{{asked}} } }""");
        Assert.Equal(kept, (int)(await Client.JobAsync(id))["priority"]!);
    }

    [Fact]
    public async Task Lists_AreInTheOrderOfIdsAndPagedOnlyWithALimit()
    {
        var ids = JsonNode.Parse(await Client.FarmTextAsync("PUT", "/api/jobs", "[" + string.Join(',', Enumerable.Range(0, 7).Select(i => $$"""{"title":"page {{i}} of {{user}}","user":"{{user}}","command":"true"}""")) + "]"))!
            .AsArray().Select(id => (long)id!).ToArray();
        Assert.Equal(ids.Order(), ids);

        using (var whole = await Client.GetAsync($"/api/jobs?user={user}"))
        {
            Assert.False(whole.Headers.Contains("Link"));
            Assert.Equal(ids, (await whole.JsonAsync()).AsArray().Select(job => (long)job!["id"]!));
        }

        var seen = new List<long>();
        var pages = 0;
        for (var path = $"/api/jobs?user={user}&limit=3"; path is not null; pages++)
        {
            using var page = await Client.GetAsync(path);
            seen.AddRange((await page.JsonAsync()).AsArray().Select(job => (long)job!["id"]!));
            path = page.Headers.TryGetValues("Link", out var links) ? links.Single().Split('<', '>')[1] : null;
        }

        Assert.Equal((3, ids.Length), (pages, seen.Count));
        Assert.Equal(ids, seen);
        Assert.Equal((long[])[.. ids.Skip(4)], await Client.IdsAsync($"/api/jobs?user={user}&after={ids[3]}"));
        Assert.Equal((long[])[ids[5]], await Client.IdsAsync($"/api/jobs?q={Uri.EscapeDataString($"5 OF {user.ToUpperInvariant()}")}"));
        Assert.Equal(ids, await Client.IdsAsync($"/api/jobs?user={user}&state=&q=&limit=&project="));
        Assert.Equal(ids, await Client.IdsAsync($"/api/jobs/0/children?user={user}"));
        Assert.Empty(await Client.IdsAsync($"/api/jobs?user={user}&project=elsewhere"));
        await Client.IsOneAsync("POST", "/api/pausejobs", $"[{ids[1]},{ids[2]}]");
        Assert.Equal((long[])[ids[1], ids[2]], await Client.IdsAsync($"/api/jobs?user={user}&state=PAUSED"));
        Assert.Equal((long[])[ids[0], .. ids.Skip(3)], await Client.IdsAsync($"/api/jobs?user={user}&state=waiting"));
        foreach (var state in (string[])["PENDING", "WORKING", "FINISHED", "ERROR"]) Assert.Empty(await Client.IdsAsync($"/api/jobs?user={user}&state={state}"));
    }

    [Fact]
    public async Task Routes_WithASlashAtTheirEnd_AreTheSame()
    {
        var id = await Client.PutJobAsync($$"""{"command":"true","user":"{{user}}"}""");
        foreach (var path in (string[])["/api/jobs", $"/api/jobs/{id}", $"/api/jobs/{id}/children", $"/api/jobs/{id}/dependencies", $"/api/jobs/{id}/childrendependencies", $"/api/jobs/{id}/log",
            "/api/jobs/users", "/api/jobs/states", "/api/jobs/workers", "/api/jobs/priorities", "/api/jobs/affinities", "/json/getjobs"])
        {
            Assert.Equal(await Client.GetStringAsync(path), await Client.GetStringAsync(path + "/"));
        }

        foreach (var path in (string[])["/api/resetjobs/", "/api/reseterrorjobs/", "/api/startjobs/", "/api/pausejobs/"]) await Client.IsOneAsync("POST", path, $"[{id}]");
        await Client.IsOneAsync("POST", "/api/jobs/", $$"""{"{{id}}":{"title":"x"} }""");
        await Client.IsOneAsync("DELETE", "/api/jobs/", $"[{id}]");
    }

    [Fact]
    public async Task Values_AreListedOnce()
    {
        await Client.FarmTextAsync("PUT", "/api/jobs", $$"""[{"user":"{{user}}","priority":7,"affinity":"V1","command":"true"},{"user":"{{user}}","priority":7,"affinity":"V1","command":"true","paused":1}]""");
        async Task<JsonNode?[]> OfAsync(string path, string member)
        {
            var list = JsonNode.Parse(await Client.GetStringAsync($"/api/jobs/{path}/"))!.AsArray();
            Assert.All(list, value => Assert.Equal([member], value!.AsObject().Select(static pair => pair.Key)));
            var values = list.Select(value => value![member]).ToArray();
            Assert.Distinct(values.Select(value => value!.ToJsonString()));
            return values;
        }

        Assert.Contains(await OfAsync("users", "user"), value => (string?)value == user);
        Assert.Contains(await OfAsync("priorities", "priority"), value => value!.GetValue<int>() == 7);
        Assert.Contains(await OfAsync("affinities", "affinity"), value => (string?)value == "V1");
        await OfAsync("workers", "worker");
        var states = (await OfAsync("states", "state")).Select(value => (string)value!).ToArray();
        Assert.Contains("PAUSED", states);
        Assert.Empty(states.Except(["WAITING", "PENDING", "PAUSED", "WORKING", "FINISHED", "ERROR"]));
    }

    [Fact]
    public async Task Change_OfEveryField_ReadsBackAndLeavesTheOthers()
    {
        var group = await Client.PutJobAsync("{}");
        var other = await Client.PutJobAsync("""{"command":"true"}""");
        var id = await Client.PutJobAsync("""{"title":"t","command":"c","dir":"d","environment":"A=1","retry":1,"timeout":2,"priority":3,"affinity":"E1","user":"u","url":"l","progress_pattern":"p"}""");
        var expected = await Client.JobAsync(id);
        foreach (var (field, value) in ((string, JsonNode)[])[("title", "T"), ("command", "C"), ("dir", "D"), ("environment", "B=2"), ("retry", 4), ("timeout", 5), ("priority", 6), ("affinity", "E1,E2"),
            ("user", "U"), ("url", "L"), ("progress_pattern", "P")])
        {
            await Client.IsOneAsync("POST", "/api/jobs", new JsonObject { [id.ToString(CultureInfo.InvariantCulture)] = new JsonObject { [field] = value.DeepClone() } }.ToJsonString());
            expected[field] = value;
            var job = await Client.JobAsync(id);
            foreach (var same in Fields.Except(["affinity_bits", "h_affinity", "h_priority"])) Assert.True(JsonNode.DeepEquals(expected[same], job[same]), $"{same} after {field}: {job[same]}");
        }

        await Client.IsOneAsync("POST", "/api/jobs", $$"""{"{{id}}":{"parent":{{group}},"dependencies":[{{other}}],"paused":true,},}""");
        var moved = await Client.JobAsync(id);
        Assert.Equal((group, 1, 1, $"[{other}]"), ((long)moved["parent"]!, (int)moved["paused"]!, (int)moved["h_depth"]!, moved["dependencies"]!.ToJsonString()));
        await Client.IsOneAsync("POST", "/api/jobs", $$"""{"{{id}}":{"parent":0,"dependencies":[],"state":"WAITING","paused":0} }""");
        moved = await Client.JobAsync(id);
        Assert.Equal((0, 0, 0, "[]", "WAITING"), ((long)moved["parent"]!, (int)moved["paused"]!, (int)moved["h_depth"]!, moved["dependencies"]!.ToJsonString(), (string?)moved["state"]));
    }

    [Theory, InlineData("\"state\":\"FINISHED\"", "state"), InlineData("\"state\":\"\"", "state"), InlineData("\"state\":\"PAUSED\",\"paused\":0", "paused"), InlineData("\"state\":\"WAITING\",\"paused\":true", "paused")]
    public async Task Change_ToAStateThatCannotBeSet_Is400(string members, string field)
    {
        var id = await Client.PutJobAsync("""{"command":"true"}""");
        var before = await Client.GetStringAsync($"/api/jobs/{id}");
        using var answer = await Client.FarmAsync("POST", "/api/jobs", "{\"" + id + "\":{\"title\":\"x\"," + members + "}}");
        await answer.IsProblemAsync(HttpStatusCode.BadRequest, "invalid-field", $"{id}.{field}");
        Assert.Equal(before, await Client.GetStringAsync($"/api/jobs/{id}"));
    }

    [Theory]
    [InlineData("PUT", "/api/jobs", "{\"parent\":999999999,\"command\":\"true\"}", 404)]
    [InlineData("PUT", "/api/jobs", "[{\"command\":\"true\"},{\"parent\":999999999}]", 404)]
    [InlineData("PUT", "/api/jobs", "[{\"command\":\"true\"},{\"parent\":9223372036854775807}]", 404)]
    [InlineData("PUT", "/api/jobs", "{\"dependencies\":[A,999999999]}", 404)]
    [InlineData("PUT", "/api/jobs", "{\"dependencies\":[9223372036854775807]}", 404)]
    [InlineData("PUT", "/api/jobs", "{\"parent\":A,\"command\":\"true\"}", 409)]
    [InlineData("PUT", "/api/jobs", "[{\"title\":\"x\"},{\"parent\":A}]", 409)]
    [InlineData("POST", "/api/jobs", "{\"A\":{\"title\":\"x\"},\"999999999\":{\"title\":\"x\"}}", 404)]
    [InlineData("POST", "/api/jobs", "{\"A\":{\"title\":\"x\",\"parent\":999999999}}", 404)]
    [InlineData("POST", "/api/jobs", "{\"A\":{\"title\":\"x\",\"parent\":B}}", 409)]
    [InlineData("POST", "/api/jobs", "{\"A\":{\"title\":\"x\",\"dependencies\":[A]}}", 409)]
    [InlineData("POST", "/api/jobs", "{\"A\":{\"title\":\"x\",\"dependencies\":[999999999]}}", 404)]
    [InlineData("POST", "/api/jobs", "{\"A\":{\"title\":\"x\",\"dependencies\":[B]}}", 409)]
    [InlineData("POST", "/api/jobs", "{\"A\":{\"dependencies\":[C]},\"C\":{\"dependencies\":[A]}}", 409)]
    [InlineData("POST", "/api/jobs", "{\"G\":{\"title\":\"x\",\"parent\":G}}", 409)]
    [InlineData("POST", "/api/jobs", "{\"G\":{\"title\":\"x\",\"parent\":H}}", 409)]
    [InlineData("POST", "/api/jobs", "{\"H\":{\"title\":\"x\",\"dependencies\":[G]}}", 409)]
    [InlineData("POST", "/api/jobs", "{\"G\":{\"title\":\"x\",\"dependencies\":[H]}}", 409)]
    [InlineData("POST", "/api/jobs/A/dependencies", "[A]", 409)]
    [InlineData("POST", "/api/jobs/A/dependencies", "[B]", 409)]
    [InlineData("POST", "/api/jobs/A/dependencies", "[C,999999999]", 404)]
    [InlineData("DELETE", "/api/jobs", "[A,999999999]", 404)]
    [InlineData("POST", "/api/resetjobs", "[A,999999999]", 404)]
    [InlineData("POST", "/api/reseterrorjobs", "[A,999999999]", 404)]
    [InlineData("POST", "/api/startjobs", "[A,999999999]", 404)]
    [InlineData("POST", "/api/pausejobs", "[A,999999999]", 404)]
    public async Task Call_ThatCannotBe_IsRefusedAndChangesNothing(string method, string path, string body, int status)
    {
        // B waits for A; H is in G; A is paused so that a start would show.
        var a = await Client.PutJobAsync($$"""{"title":"a","command":"true","user":"{{user}}"}""");
        var b = await Client.PutJobAsync($$"""{"title":"b","command":"true","user":"{{user}}","dependencies":[{{a}}]}""");
        var c = await Client.PutJobAsync($$"""{"title":"c","command":"true","user":"{{user}}"}""");
        var g = await Client.PutJobAsync($$"""{"title":"g","user":"{{user}}"}""");
        var h = await Client.PutJobAsync($$"""{"title":"h","user":"{{user}}","parent":{{g}} }""");
        foreach (var (name, id) in ((string, long)[])[("A", a), ("B", b), ("C", c), ("G", g), ("H", h)])
        {
            body = System.Text.RegularExpressions.Regex.Replace(body, $@"\b{name}\b", id.ToString(CultureInfo.InvariantCulture));
            path = path.Replace($"/{name}/", $"/{id}/", StringComparison.Ordinal);
        }

        var roots = await Client.IdsAsync("/api/jobs");
        var before = await AllAsync();
        using (var answer = await Client.FarmAsync(method, path, body))
        {
            var text = await answer.Content.ReadAsStringAsync();
            Assert.True((int)answer.StatusCode == status, $"{body}: {(int)answer.StatusCode} {text}");
            Assert.Equal("application/problem+json", answer.Content.Headers.ContentType?.MediaType);
        }

        Assert.Equal(before, await AllAsync());
        Assert.Equal(roots, await Client.IdsAsync("/api/jobs"));
        async Task<string[]> AllAsync() => await Task.WhenAll(((long[])[a, b, c, g, h]).Select(id => Client.GetStringAsync($"/api/jobs/{id}")));
    }

    [Fact]
    public async Task Tree_DeeperThanEightLevels_IsRefused()
    {
        var parent = 0L;
        for (var depth = 0; depth < 7; depth++) parent = await Client.PutJobAsync($$"""{"parent":{{parent}},"priority":1}""");
        var leaf = await Client.PutJobAsync($$"""{"parent":{{parent}},"command":"true","priority":2}""");
        var job = await Client.JobAsync(leaf);
        Assert.Equal((7, 0x0101010101010102UL), ((int)job["h_depth"]!, (ulong)job["h_priority"]!));
        var last = await Client.PutJobAsync($$"""{"parent":{{parent}} }""");
        using var deeper = await Client.FarmAsync("PUT", "/api/jobs", $$"""{"parent":{{last}},"command":"true"}""");
        Assert.Equal(HttpStatusCode.Conflict, deeper.StatusCode);
        var pair = await Client.PutJobAsync("{}");
        await Client.PutJobAsync($$"""{"parent":{{pair}},"command":"true"}""");
        using var moved = await Client.FarmAsync("POST", "/api/jobs", $$"""{"{{pair}}":{"parent":{{parent}} } }""");
        Assert.Equal(HttpStatusCode.Conflict, moved.StatusCode);
        Assert.Equal(0, (long)(await Client.JobAsync(pair))["parent"]!);
    }

    [Fact]
    public async Task Dependencies_AreReplacedListedAndCleared()
    {
        var (a, b) = (await Client.PutJobAsync("""{"command":"true"}"""), await Client.PutJobAsync("""{"command":"true"}"""));
        var group = await Client.PutJobAsync("{}");
        var id = await Client.PutJobAsync($$"""{"parent":{{group}},"command":"true","dependencies":[{{b}},{{a}},{{b}}]}""");
        Assert.Equal([a, b], await Client.IdsAsync($"/api/jobs/{id}/dependencies"));
        Assert.Equal("PENDING", await Client.StateAsync(id));
        Assert.Equal($$$"""[{"id":{{{id}}},"dependency":{{{a}}}},{"id":{{{id}}},"dependency":{{{b}}}}]""", await Client.GetStringAsync($"/api/jobs/{group}/childrendependencies"));
        await Client.IsOneAsync("POST", $"/api/jobs/{id}/dependencies", $"[{a},]");
        Assert.Equal([a], await Client.IdsAsync($"/api/jobs/{id}/dependencies"));
        await Client.IsOneAsync("POST", $"/api/jobs/{id}/dependencies");
        Assert.Equal([a], await Client.IdsAsync($"/api/jobs/{id}/dependencies"));
        await Client.IsOneAsync("POST", $"/api/jobs/{id}/dependencies", "[]");
        Assert.Empty(await Client.IdsAsync($"/api/jobs/{id}/dependencies"));
        await Eventually.TrueAsync(async () => await Client.StateAsync(id) == "WAITING", "the job waits for nothing");
        var root = await Client.PutJobAsync($$"""{"command":"true","dependencies":[{{a}}]}""");
        Assert.Contains($$$"""{"id":{{{root}}},"dependency":{{{a}}}}""", await Client.GetStringAsync("/api/jobs/0/childrendependencies"));
    }

    [Fact]
    public async Task EmptyBodies_OfWrites_DoNothingAndAnswerOne()
    {
        var roots = await Client.IdsAsync("/api/jobs");
        foreach (var (method, path) in ((string, string)[])[("POST", "/api/jobs"), ("DELETE", "/api/jobs"), ("POST", "/api/resetjobs"), ("POST", "/api/reseterrorjobs"), ("POST", "/api/startjobs"), ("POST", "/api/pausejobs")])
        {
            await Client.IsOneAsync(method, path);
            await Client.IsOneAsync(method, path, "");
            await Client.IsOneAsync(method, path, path == "/api/jobs" && method == "POST" ? "{}" : "[]");
        }

        Assert.Equal("[]", await Client.FarmTextAsync("PUT", "/api/jobs", "[]"));
        Assert.Equal(roots, await Client.IdsAsync("/api/jobs"));
    }

    [Theory, InlineData("text/plain"), InlineData("application/x-www-form-urlencoded"), InlineData("application/json"), InlineData("multipart/form-data; boundary=x"), InlineData("image/png")]
    public async Task Body_IsReadAsJsonWhateverItsContentType(string type)
    {
        using var content = new ByteArrayContent([0xEF, 0xBB, 0xBF, .. "{\"title\":\"typed\",\"command\":\"true\",}"u8]);
        content.Headers.TryAddWithoutValidation("Content-Type", type);
        using var answer = await Client.PutAsync("/api/jobs", content);
        Assert.Equal("typed", (string?)(await Client.JobAsync(long.Parse(await answer.Content.ReadAsStringAsync(), CultureInfo.InvariantCulture)))["title"]);
    }

    [Fact]
    public async Task Put_WithAKey_MakesItsJobsOnce()
    {
        var key = Guid.NewGuid().ToString();
        var body = $$"""[{"user":"{{user}}","command":"true"},{"user":"{{user}}"}]""";
        var first = await Client.FarmTextAsync("PUT", "/api/jobs", body, key);
        Assert.Equal(first, await Client.FarmTextAsync("PUT", "/api/jobs", body, key));
        Assert.Equal(2, (await Client.IdsAsync($"/api/jobs?user={user}")).Length);
        using (var other = await Client.FarmAsync("PUT", "/api/jobs", body + " ", key)) await other.IsProblemAsync(HttpStatusCode.UnprocessableEntity, "idempotency-key-reused", "Idempotency-Key");
        var alone = $$"""{"user":"{{user}}"}""";
        var one = await Client.FarmTextAsync("PUT", "/api/jobs", alone, key + "2");
        Assert.Equal(one, await Client.FarmTextAsync("PUT", "/api/jobs", alone, key + "2"));
        Assert.Equal(3, (await Client.IdsAsync($"/api/jobs?user={user}")).Length);
        // Many at once, as after a broken connection.
        var answers = await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => Client.FarmTextAsync("PUT", "/api/jobs", body, key + "3")));
        Assert.Single(answers.Distinct());
        Assert.Equal(5, (await Client.IdsAsync($"/api/jobs?user={user}")).Length);
    }

    [Fact]
    public async Task Put_OfManyJobs_AnswersTheirIdsInOrder()
    {
        var parent = await Client.PutJobAsync("{}");
        const int count = 5000;
        var ids = JsonNode.Parse(await Client.FarmTextAsync("PUT", "/api/jobs", "[" + string.Join(',', Enumerable.Range(0, count).Select(i => $$"""{"parent":{{parent}},"title":"{{i}}","command":"echo {{i}}"}""")) + "]"))!
            .AsArray().Select(id => (long)id!).ToArray();
        var children = JsonNode.Parse(await Client.GetStringAsync($"/api/jobs/{parent}/children"))!.AsArray();
        Assert.Equal(ids, children.Select(job => (long)job!["id"]!));
        Assert.Equal(Enumerable.Range(0, count).Select(i => $"echo {i}"), children.Select(job => (string)job!["command"]!));
        var group = await Client.JobAsync(parent);
        Assert.Equal((count, 0, 0), ((int)group["total"]!, (int)group["finished"]!, (int)group["total_errors"]!));
        await Client.IsOneAsync("DELETE", "/api/jobs", $"[{parent}]");
        foreach (var id in (long[])[parent, ids[0], ids[^1]])
        {
            using var gone = await Client.GetAsync($"/api/jobs/{id}");
            await gone.IsProblemAsync(HttpStatusCode.NotFound, "job-not-found");
        }
    }

    [Fact]
    public async Task Description_NamesWhatAddressesAndBodiesHold()
    {
        using var answer = await Client.GetAsync("/openapi/farm.json");
        var paths = (await answer.JsonAsync())["paths"]!;
        string[] Names(string path, string method) => [.. paths[path]![method]!["parameters"]!.AsArray().Select(p => $"{p!["in"]}:{p["name"]}").Order()];
        Assert.Equal(["query:after", "query:limit", "query:project", "query:q", "query:state", "query:user"], Names("/api/jobs", "get"));
        Assert.Equal(["path:id", "query:offset", "query:tail"], Names("/api/jobs/{id}/log", "get"));
        Assert.Equal(["query:project"], Names("/api/jobs", "put"));
        Assert.Contains("query:cmd", Names("/json/addjob", "get"));
        foreach (var (path, method) in ((string, string)[])[("/api/jobs", "put"), ("/api/jobs", "post"), ("/api/jobs", "delete"), ("/api/jobs/{id}/dependencies", "post"), ("/api/resetjobs", "post")])
            Assert.NotNull(paths[path]![method]!["requestBody"]!["content"]!["application/json"]!["example"]);
    }
}
