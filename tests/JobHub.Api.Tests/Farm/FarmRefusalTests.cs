using System.Net;
using System.Text;

namespace JobHub.Api.Tests.Farm;

/// <summary>What /api/jobs refuses: by the field's name, and nothing has changed.</summary>
[Collection(FarmCollection.Name)]
public sealed class FarmRefusalTests(HubFixture fixture)
{
    private HttpClient Client => fixture.Hub.Client;

    /// <summary>Bodies, codes and fields. [F] stands where the members of a job stand, with whatever is around them.</summary>
    public static TheoryData<string, string, string?> BadMembers => new()
    {
        { "\"what\":1", "unknown-field", "what" },
        { "\"Title\":\"x\"", "unknown-field", "Title" },
        { "\"title\":1", "invalid-field", "title" },
        { "\"title\":[\"x\"]", "invalid-field", "title" },
        { "\"title\":{}", "invalid-field", "title" },
        { "\"title\":true", "invalid-field", "title" },
        { "\"title\":\"a\\u0000b\"", "invalid-field", "title" },
        { "\"title\":\"half \\ud83d pair\"", "invalid-field", "title" },
        { "\"title\":\"half \\ude00 pair\"", "invalid-field", "title" },
        { "\"title\":\"x\",\"title\":\"y\"", "repeated-field", "title" },
        { "\"command\":[]", "invalid-field", "command" },
        { "\"command\":\"echo \\u0000\"", "invalid-field", "command" },
        { "\"dir\":5", "invalid-field", "dir" },
        { "\"environment\":{\"A\":\"1\"}", "invalid-field", "environment" },
        { "\"environment\":\"A=1\\\\nJOBHUB_ATTEMPT=x\"", "invalid-field", "environment" },
        { "\"environment\":\"A=1\\njobhub_x=x\"", "invalid-field", "environment" },
        { "\"state\":1", "invalid-field", "state" },
        { "\"paused\":2", "invalid-field", "paused" },
        { "\"paused\":\"true\"", "invalid-field", "paused" },
        { "\"paused\":0.0", "invalid-field", "paused" },
        { "\"retry\":-1", "invalid-field", "retry" },
        { "\"retry\":1.5", "invalid-field", "retry" },
        { "\"retry\":\"1\"", "invalid-field", "retry" },
        { "\"retry\":1e3", "invalid-field", "retry" },
        { "\"retry\":99999999999999999999", "invalid-field", "retry" },
        { "\"retry\":2147483648", "invalid-field", "retry" },
        { "\"timeout\":-1", "invalid-field", "timeout" },
        { "\"timeout\":4294967296", "invalid-field", "timeout" },
        { "\"timeout\":1e400", "invalid-field", "timeout" },
        { "\"priority\":\"high\"", "invalid-field", "priority" },
        { "\"priority\":0.5", "invalid-field", "priority" },
        { "\"priority\":99999999999999999999", "invalid-field", "priority" },
        { "\"affinity\":[\"LINUX\"]", "invalid-field", "affinity" },
        { "\"affinity\":\"A\\nB\"", "invalid-field", "affinity" },
        { "\"user\":7", "invalid-field", "user" },
        { "\"url\":false", "invalid-field", "url" },
        { "\"progress_pattern\":0", "invalid-field", "progress_pattern" },
        { "\"parent\":-1", "invalid-field", "parent" },
        { "\"parent\":1.0", "invalid-field", "parent" },
        { "\"parent\":\"1\"", "invalid-field", "parent" },
        { "\"parent\":18446744073709551616", "invalid-field", "parent" },
        { "\"dependencies\":1", "invalid-field", "dependencies" },
        { "\"dependencies\":[1,\"2\"]", "invalid-field", "dependencies[1]" },
        { "\"dependencies\":[0]", "invalid-field", "dependencies[0]" },
        { "\"dependencies\":[-5]", "invalid-field", "dependencies[0]" },
        { "\"dependencies\":[1.5]", "invalid-field", "dependencies[0]" },
        { "\"dependencies\":[[1]]", "invalid-field", "dependencies[0]" },
        { "\"dependencies\":[99999999999999999999]", "invalid-field", "dependencies[0]" },
    };

    [Theory, MemberData(nameof(BadMembers))]
    public async Task Put_AWrongMember_IsRefusedByItsName(string members, string code, string? field) =>
        await ChangesNothingAsync("PUT", "/api/jobs", "{" + members + "}", HttpStatusCode.BadRequest, code, field);

    [Theory, MemberData(nameof(BadMembers))]
    public async Task Put_AWrongMemberInAnArray_IsRefusedByItsPlace(string members, string code, string? field) =>
        await ChangesNothingAsync("PUT", "/api/jobs", "[{\"title\":\"good\"},{" + members + "}]", HttpStatusCode.BadRequest, code, "[1]." + field);

    [Theory, MemberData(nameof(BadMembers))]
    public async Task Post_AWrongMember_IsRefusedByItsPlace(string members, string code, string? field)
    {
        var (good, bad) = (await Client.PutJobAsync("{\"command\":\"true\"}"), await Client.PutJobAsync("{\"title\":\"before\",\"command\":\"true\"}"));
        await ChangesNothingAsync("POST", "/api/jobs", "{\"" + good + "\":{\"title\":\"changed\"},\"" + bad + "\":{" + members + "}}", HttpStatusCode.BadRequest, code, $"{bad}.{field}", good, bad);
    }

    [Theory]
    [InlineData("id"), InlineData("worker"), InlineData("start_time"), InlineData("duration"), InlineData("ping_time"), InlineData("run_done"), InlineData("affinity_bits"), InlineData("finished")]
    [InlineData("errors"), InlineData("working"), InlineData("total"), InlineData("total_finished"), InlineData("total_errors"), InlineData("total_working"), InlineData("progress")]
    [InlineData("h_affinity"), InlineData("h_priority"), InlineData("h_paused"), InlineData("h_depth")]
    public async Task ReadOnlyField_IsIgnoredInANewJobAndRefusedInAChange(string field)
    {
        foreach (var value in (string[])["5", "\"x\"", "null", "{\"a\":[1,{}]}"])
        {
            var id = await Client.PutJobAsync("{\"" + field + "\":" + value + ",\"title\":\"kept\",\"command\":\"true\"}");
            Assert.Equal("kept", (string?)(await Client.JobAsync(id))["title"]);
            await ChangesNothingAsync("POST", "/api/jobs", "{\"" + id + "\":{\"title\":\"changed\",\"" + field + "\":" + value + "}}", HttpStatusCode.BadRequest, "read-only-field", $"{id}.{field}", id);
        }
    }

    [Theory]
    [InlineData("PUT", "/api/jobs", "5", "invalid-field", "body")]
    [InlineData("PUT", "/api/jobs", "null", "invalid-field", "body")]
    [InlineData("PUT", "/api/jobs", "\"job\"", "invalid-field", "body")]
    [InlineData("PUT", "/api/jobs", "[1]", "invalid-field", "[0]")]
    [InlineData("PUT", "/api/jobs", "[[]]", "invalid-field", "[0]")]
    [InlineData("PUT", "/api/jobs", "{\"title\":\"x\"", "invalid-json", null)]
    [InlineData("PUT", "/api/jobs", "{\"title\":\"x\"} {}", "invalid-json", null)]
    [InlineData("PUT", "/api/jobs", "{\"title\":\"x\"}]", "invalid-json", null)]
    [InlineData("PUT", "/api/jobs", "{\"title\" \"x\"}", "invalid-json", null)]
    [InlineData("PUT", "/api/jobs", "{,}", "invalid-json", null)]
    [InlineData("PUT", "/api/jobs", "{\"title\":\"line\nend\"}", "invalid-json", null)]
    [InlineData("PUT", "/api/jobs", "{\"retry\":+1}", "invalid-json", null)]
    [InlineData("PUT", "/api/jobs", "{\"retry\":NaN}", "invalid-json", null)]
    [InlineData("PUT", "/api/jobs", "{\"paused\":True}", "invalid-json", null)]
    [InlineData("PUT", "/api/jobs", "/* a comment */ {}", "invalid-json", null)]
    [InlineData("PUT", "/api/jobs", "title=x&command=y", "invalid-json", null)]
    [InlineData("POST", "/api/jobs", "[]", "invalid-field", "body")]
    [InlineData("POST", "/api/jobs", "{\"1.5\":{}}", "invalid-field", "1.5")]
    [InlineData("POST", "/api/jobs", "{\"-1\":{}}", "invalid-field", "-1")]
    [InlineData("POST", "/api/jobs", "{\"0\":{}}", "invalid-field", "0")]
    [InlineData("POST", "/api/jobs", "{\"99999999999999999999\":{}}", "invalid-field", "99999999999999999999")]
    [InlineData("POST", "/api/jobs", "{\"worker-1\":{}}", "invalid-field", "worker-1")]
    [InlineData("POST", "/api/jobs", "{\"\\ud800\":{}}", "invalid-field", "body")]
    [InlineData("POST", "/api/jobs", "{\"1\":[]}", "invalid-field", "1")]
    [InlineData("POST", "/api/jobs", "{\"1\":null}", "invalid-field", "1")]
    [InlineData("POST", "/api/jobs", "{\"1\":{},\"1\":{}}", "repeated-field", "1")]
    [InlineData("DELETE", "/api/jobs", "{}", "invalid-field", "body")]
    [InlineData("DELETE", "/api/jobs", "[\"1\"]", "invalid-field", "[0]")]
    [InlineData("DELETE", "/api/jobs", "[1,-2]", "invalid-field", "[1]")]
    [InlineData("POST", "/api/resetjobs", "1", "invalid-field", "body")]
    [InlineData("POST", "/api/resetjobs", "[0]", "invalid-field", "[0]")]
    [InlineData("POST", "/api/reseterrorjobs", "[1.5]", "invalid-field", "[0]")]
    [InlineData("POST", "/api/startjobs", "[null]", "invalid-field", "[0]")]
    [InlineData("POST", "/api/pausejobs", "[99999999999999999999]", "invalid-field", "[0]")]
    [InlineData("POST", "/api/pausejobs", "[[1]]", "invalid-field", "[0]")]
    [InlineData("POST", "/api/pausejobs", "[1", "invalid-json", null)]
    public async Task Body_OfAnotherShape_IsRefused(string method, string path, string body, string code, string? field) =>
        await ChangesNothingAsync(method, path, body, HttpStatusCode.BadRequest, code, field);

    [Theory]
    [InlineData("{title:\"x\"}", "\"title\"")]
    [InlineData("{ title : \"x\"}", "\"title\"")]
    [InlineData("{\"title\":\"x\",\n  command: \"echo\"}", "\"command\"")]
    [InlineData("{'title':'x'}", "\"title\"")]
    [InlineData("[{title:\"x\"}]", "\"title\"")]
    public async Task NameWithoutQuotes_IsSaidToNeedThem(string body, string shown)
    {
        using var answer = await Client.FarmAsync("PUT", "/api/jobs", body);
        Assert.Contains("double quotes. Write " + shown, (string?)(await answer.IsProblemAsync(HttpStatusCode.BadRequest, "invalid-json"))["detail"]);
    }

    [Fact]
    public async Task IdWithoutQuotes_AsTheOldPagesPrintIt_IsSaidToNeedThem()
    {
        using var answer = await Client.FarmAsync("POST", "/api/jobs", "{ \n  123:\n  {\n    \"title\": \"Job renamed 123\",\n    \"command\": \"echo renamed\",\n  }\n}");
        Assert.Contains("Write \"123\" (see line 2, byte 3)", (string?)(await answer.IsProblemAsync(HttpStatusCode.BadRequest, "invalid-json"))["detail"]);
    }

    [Fact]
    public async Task Body_ThatIsNotUtf8_IsRefusedByTheField()
    {
        using var request = new HttpRequestMessage(HttpMethod.Put, "/api/jobs") { Content = new ByteArrayContent([.. "{\"title\":\"caf"u8, 0xE9, .. "\"}"u8]) };
        using var answer = await Client.SendAsync(request);
        await answer.IsProblemAsync(HttpStatusCode.BadRequest, "invalid-field", "title");
    }

    [Fact]
    public async Task Text_OverItsLimit_IsRefusedAndAtItTaken()
    {
        foreach (var (field, most) in ((string, int)[])[("title", 64 << 10), ("command", 131_071), ("dir", 4096), ("affinity", 8 << 10), ("user", 1024), ("url", 64 << 10), ("progress_pattern", 4096)])
        {
            await ChangesNothingAsync("PUT", "/api/jobs", "{\"" + field + "\":\"" + new string('x', most + 1) + "\"}", HttpStatusCode.BadRequest, "invalid-field", field);
            // Characters of three bytes each.
            await ChangesNothingAsync("PUT", "/api/jobs", "{\"" + field + "\":\"" + new string('木', (most / 3) + 1) + "\"}", HttpStatusCode.BadRequest, "invalid-field", field);
        }

        var id = await Client.PutJobAsync("{\"command\":\"" + new string('x', 131_071) + "\"}");
        Assert.Equal(131_071, ((string)(await Client.JobAsync(id))["command"]!).Length);
        await Client.IsOneAsync("DELETE", "/api/jobs", $"[{id}]");
    }

    [Fact]
    public async Task Body_OverItsLimit_Is413WithTheLimit()
    {
        using var jobs = await Client.FarmAsync("PUT", "/api/jobs", "[" + string.Concat(Enumerable.Repeat("{},", 50_001)) + "]");
        Assert.Contains("50000 jobs", (string?)(await jobs.IsProblemAsync(HttpStatusCode.RequestEntityTooLarge, "too-many-jobs"))["detail"]);
        using var bytes = await Client.FarmAsync("PUT", "/api/jobs", "{\"title\":\"" + new string('x', 64 << 20) + "\"}");
        Assert.Contains("67108864 bytes", (string?)(await bytes.IsProblemAsync(HttpStatusCode.RequestEntityTooLarge, "body-too-large"))["detail"]);
        using var many = await Client.FarmAsync("POST", "/api/resetjobs", "[" + string.Concat(Enumerable.Repeat("1,", 50_001)) + "]");
        await many.IsProblemAsync(HttpStatusCode.RequestEntityTooLarge, "too-many-jobs");
        using var ids = await Client.FarmAsync("POST", "/api/resetjobs", "[" + string.Join(',', Enumerable.Repeat("1000000", 600_000)) + "]");
        await ids.IsProblemAsync(HttpStatusCode.RequestEntityTooLarge, "body-too-large");
    }

    [Theory]
    [InlineData("GET", "/api/jobs/ID"), InlineData("GET", "/api/jobs/ID/children"), InlineData("GET", "/api/jobs/ID/dependencies"), InlineData("GET", "/api/jobs/ID/childrendependencies")]
    [InlineData("GET", "/api/jobs/ID/log"), InlineData("POST", "/api/jobs/ID/dependencies")]
    public async Task Id_OfNoJob_Is404(string method, string path)
    {
        foreach (var id in (string[])["999999999", "9223372036854775807", "99999999999999999999", "-1", "1.5", "x", "%2F", "%00", "1%20", "+1", "0x1", "١"])
        {
            using var answer = await Client.FarmAsync(method, path.Replace("ID", id, StringComparison.Ordinal), method == "POST" ? "[]" : null);
            if (id == "%00" && answer.StatusCode == HttpStatusCode.BadRequest) continue;
            await answer.IsProblemAsync(HttpStatusCode.NotFound, "job-not-found");
        }
    }

    [Theory]
    [InlineData("limit=0", "limit"), InlineData("limit=10001", "limit"), InlineData("limit=x", "limit"), InlineData("limit=1&limit=2", "limit"), InlineData("after=-1", "after"), InlineData("after=x", "after")]
    [InlineData("state=SLEEPING", "state"), InlineData("state=Queued", "state"), InlineData("project=No%20Such", "project"), InlineData("user=%00", "user"), InlineData("q=%00", "q")]
    public async Task List_WithABadQuery_NamesIt(string query, string field)
    {
        foreach (var path in (string[])["/api/jobs", "/api/jobs/0/children"])
        {
            using var answer = await Client.GetAsync($"{path}?{query}");
            await answer.IsProblemAsync(HttpStatusCode.BadRequest, "invalid-field", field);
        }
    }

    [Theory, InlineData("offset=-1", "offset"), InlineData("tail=x", "tail"), InlineData("tail=-5", "tail"), InlineData("offset=1.5", "offset")]
    public async Task Log_WithABadQuery_NamesIt(string query, string field)
    {
        using var answer = await Client.GetAsync($"/api/jobs/1/log?{query}");
        await answer.IsProblemAsync(HttpStatusCode.BadRequest, "invalid-field", field);
    }

    [Theory, InlineData("PATCH", "/api/jobs"), InlineData("GET", "/api/resetjobs"), InlineData("DELETE", "/api/jobs/1"), InlineData("POST", "/api/jobs/1"), InlineData("POST", "/json/addjob")]
    public async Task Method_ThatIsNotThere_Is405(string method, string path)
    {
        using var answer = await Client.FarmAsync(method, path, "[]");
        await answer.IsProblemAsync(HttpStatusCode.MethodNotAllowed, "method-not-allowed");
    }

    private async Task ChangesNothingAsync(string method, string path, string body, HttpStatusCode status, string code, string? field, params long[] watched)
    {
        var (roots, jobs) = (await Client.IdsAsync("/api/jobs"), await Task.WhenAll(watched.Select(id => Client.GetStringAsync($"/api/jobs/{id}"))));
        using (var answer = await Client.FarmAsync(method, path, body)) await answer.IsProblemAsync(status, code, field);
        Assert.Equal(roots, await Client.IdsAsync("/api/jobs"));
        Assert.Equal(jobs, await Task.WhenAll(watched.Select(id => Client.GetStringAsync($"/api/jobs/{id}"))));
    }
    [Fact]
    public async Task RefusedJobs_TakeNoAffinitySlots()
    {
        foreach (var (method, body) in ((string, string)[])[("PUT", """{"parent":999999999,"affinity":"NEVER1"}"""), ("PUT", """{"dependencies":[999999999],"command":"true","affinity":"NEVER2"}"""),
            ("POST", """{"999999999":{"affinity":"NEVER3"}}""")])
        {
            using var answer = await Client.FarmAsync(method, "/api/jobs", body);
            Assert.Equal(HttpStatusCode.NotFound, answer.StatusCode);
        }

        Assert.DoesNotContain("NEVER", await Client.GetStringAsync("/api/affinities"));
    }
}
