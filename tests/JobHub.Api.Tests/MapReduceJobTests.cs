using System.Net;
using System.Text.Json.Nodes;

namespace JobHub.Api.Tests;

[Collection(HubCollection.Name)]
public sealed class MapReduceJobTests(HubFixture fixture)
{
    private readonly HubHost hub = fixture.Hub;

    [Fact]
    public async Task Submit_OfAGoodJob_AnswersItFlatAndBesideItsPrograms()
    {
        var input = hub.WriteInput("flat.txt", "one\ntwo\nthree\n");
        var submission = hub.Submission(input);
        submission["splitSize"] = 5;
        submission["title"] = "flat";
        using var answer = await hub.Client.PostAsync("/api/v1/jobs", submission);
        Assert.Equal(HttpStatusCode.Created, answer.StatusCode);
        var body = (await answer.JsonAsync()).AsObject();
        var id = (string)body["id"]!;
        Assert.True(Guid.TryParse(id, out _));
        Assert.Equal($"/api/v1/jobs/{id}", answer.Headers.Location?.ToString());
        Assert.Equal(2, (int)body["nReducers"]!);
        Assert.Equal((string?)submission["outputPath"], (string?)body["outputLocation"]!["location"]);
        Assert.False((bool)body["outputLocation"]!["useSSL"]!);
        Assert.Equal(input, (string?)body["inputData"]!["path"]);
        Assert.Equal("file/txt", (string?)body["inputData"]!["type"]);
        Assert.Equal(0, (long)body["inputData"]!["splitStart"]!);
        Assert.Equal(14, (long)body["inputData"]!["splitEnd"]!);
        Assert.Equal("scheduled", (string?)body["status"]);
        Assert.Equal(0, (double)body["progress"]!);
        Assert.InRange((long)body["startTime"]!, 1_600_000_000_000, 9_000_000_000_000);
        Assert.False(body.ContainsKey("endTime"));
        Assert.False(body.ContainsKey("error"));
        Assert.Equal(id, (string?)body["job"]!["id"]);
        Assert.Equal("mapper.sh", (string?)body["mProgram"]!["name"]);
        Assert.Equal("reducer.sh", (string?)body["rProgram"]!["name"]);

        var tasks = JsonNode.Parse(await hub.Client.GetStringAsync($"/api/v1/jobs/{id}/tasks"))!.AsArray();
        Assert.Equal([$"{id}-m-0", $"{id}-m-1", $"{id}-m-2", $"{id}-r-0", $"{id}-r-1"], tasks.Select(task => (string)task!["id"]!));
        Assert.Equal(["mapper", "mapper", "mapper", "reducer", "reducer"], tasks.Select(task => (string)task!["type"]!));
        Assert.All(tasks, task => Assert.Equal("scheduled", (string?)task!["status"]));
        Assert.Equal((5, 10), ((int)tasks[1]!["inputData"]!["splitStart"]!, (int)tasks[1]!["inputData"]!["splitEnd"]!));
        Assert.False(tasks[3]!.AsObject().ContainsKey("inputData"));
        Assert.False(tasks[0]!.AsObject().ContainsKey("podName"));
        Assert.Equal("streaming", (string?)tasks[4]!["program"]!["type"]);

        using var page = await hub.Client.GetAsync($"/api/v1/jobs/{id}/tasks?limit=2&after={id}-m-1&status=scheduled");
        Assert.Equal([$"{id}-m-2", $"{id}-r-0"], (await page.JsonAsync()).AsArray().Select(task => (string)task!["id"]!));
        Assert.Contains($"after={id}-r-0", page.Headers.GetValues("Link").Single());
    }

    [Fact]
    public async Task Submit_OfAnEmptyInput_HasNoMap()
    {
        var id = await SubmitAsync(hub.Submission(hub.WriteInput("empty.txt", "")));
        var tasks = JsonNode.Parse(await hub.Client.GetStringAsync($"/api/v1/jobs/{id}/tasks"))!.AsArray();
        Assert.Equal([$"{id}-r-0", $"{id}-r-1"], tasks.Select(task => (string)task!["id"]!));
    }

    public static TheoryData<string, string, string, string> BadFields => new()
    {
        { "nReducers", "null", "missing-field", "nReducers" }, { "nReducers", "0", "invalid-field", "nReducers" }, { "nReducers", "10001", "invalid-field", "nReducers" },
        { "nReducers", "\"2\"", "invalid-field", "nReducers" }, { "nReducers", "1.5", "invalid-field", "nReducers" }, { "inputPath", "\"\"", "missing-field", "inputPath" },
        { "inputPath", "null", "missing-field", "inputPath" }, { "inputType", "\"text\"", "invalid-field", "inputType" }, { "outputPath", "null", "missing-field", "outputPath" },
        { "mapperName", "null", "missing-field", "mapperName" }, { "reducerName", "[]", "invalid-field", "reducerName" }, { "useSSL", "\"no\"", "invalid-field", "useSSL" },
        { "splitSize", "0", "invalid-field", "splitSize" }, { "mapperArgs", "[1]", "invalid-field", "mapperArgs[0]" }, { "environment", "{\"A\":1}", "invalid-field", "environment.A" },
        { "environment", "{\"JOBHUB_JOB_ID\":\"x\"}", "invalid-field", "environment.JOBHUB_JOB_ID" }, { "priority", "256", "invalid-field", "priority" },
        { "maxAttempts", "0", "invalid-field", "maxAttempts" }, { "timeoutSeconds", "0", "invalid-field", "timeoutSeconds" }, { "inputTyp", "\"x\"", "unknown-field", "inputTyp" },
        { "inputStorageCredentials", "{\"user\":\"x\"}", "unknown-field", "inputStorageCredentials.user" }, { "title", "\"a\\u0000\"", "invalid-field", "title" },
        { "outputStorageCredentials", "{\"username\":\"x\"}", "invalid-field", "outputStorageCredentials.password" }, { "labels", "[]", "invalid-field", "labels" },
    };

    [Theory, MemberData(nameof(BadFields))]
    public async Task Submit_WithABadField_NamesItAndStoresNothing(string field, string value, string code, string named)
    {
        var before = await CountAsync();
        var submission = hub.Submission(hub.WriteInput("bad.txt", "x\n"));
        submission[field] = JsonNode.Parse(value);
        using var answer = await hub.Client.PostAsync("/api/v1/jobs", submission);
        await answer.IsProblemAsync(HttpStatusCode.BadRequest, code, named);
        Assert.Equal(before, await CountAsync());
    }

    [Fact]
    public async Task Submit_WithAFieldTwice_NamesIt()
    {
        var text = hub.Submission("file:///x").ToJsonString();
        using var answer = await hub.Client.PostAsync("/api/v1/jobs", (text[..^1] + ",\"inputPath\":\"file:///y\"}").AsJson());
        await answer.IsProblemAsync(HttpStatusCode.BadRequest, "repeated-field", "inputPath");
    }

    [Theory]
    [InlineData("inputPath", "file:///nowhere/at/all.txt", HttpStatusCode.BadRequest, "input-not-found")]
    [InlineData("inputPath", "file:///proc/sys/nothing-*", HttpStatusCode.BadRequest, "input-not-found")]
    [InlineData("inputPath", "ftp://host/x", HttpStatusCode.BadRequest, "invalid-path")]
    [InlineData("inputPath", "file:///etc/../etc/passwd", HttpStatusCode.BadRequest, "invalid-path")]
    [InlineData("inputPath", "http://127.0.0.1:9/bucket/key", HttpStatusCode.BadRequest, "endpoint-not-allowed")]
    [InlineData("outputPath", "http://127.0.0.1:9", HttpStatusCode.BadRequest, "endpoint-not-allowed")]
    [InlineData("mapperName", "unknown.sh", HttpStatusCode.NotFound, "artifact-not-found")]
    [InlineData("combinerName", "unknown.sh", HttpStatusCode.NotFound, "artifact-not-found")]
    public async Task Submit_OfWhatIsNotThere_IsRefusedAndStoresNothing(string field, string value, HttpStatusCode status, string code)
    {
        var before = await CountAsync();
        var submission = hub.Submission(hub.WriteInput("there.txt", "x\n"));
        submission[field] = value;
        using var answer = await hub.Client.PostAsync("/api/v1/jobs", submission);
        var problem = await answer.IsProblemAsync(status, code, field);
        if (code == "endpoint-not-allowed") Assert.Contains("JobHub:Storage:AllowedEndpoints", (string?)problem["detail"]);
        Assert.Equal(before, await CountAsync());
    }

    [Fact]
    public async Task Submit_OfProgramsThatDoNotFit_IsRefused()
    {
        (await hub.UploadAsync("socket", "x", "executable")).Dispose();
        var submission = hub.Submission(hub.WriteInput("fit.txt", "x\n"));
        submission["reducerName"] = "socket";
        using var types = await hub.Client.PostAsync("/api/v1/jobs", submission);
        await types.IsProblemAsync(HttpStatusCode.BadRequest, "programs-differ", "reducerName");
        submission["mapperName"] = "socket";
        submission["combinerName"] = "socket";
        using var combiner = await hub.Client.PostAsync("/api/v1/jobs", submission);
        await combiner.IsProblemAsync(HttpStatusCode.BadRequest, "programs-differ", "combinerName");
    }

    [Fact]
    public async Task Submit_CutTooFinely_NamesTheSmallestSplitSize()
    {
        var submission = hub.Submission(hub.WriteInput("fine.txt", new string('x', 300_001)));
        submission["splitSize"] = 2;
        using var answer = await hub.Client.PostAsync("/api/v1/jobs", submission);
        var problem = await answer.IsProblemAsync(HttpStatusCode.BadRequest, "too-many-splits", "splitSize");
        Assert.Contains(" 4.", (string?)problem["detail"]);
    }

    [Fact]
    public async Task Submit_AgainWithItsKey_AnswersTheFirstJobAlsoWhenItsInputIsGone()
    {
        var input = hub.WriteInput("once.txt", "x\n");
        var key = Guid.NewGuid().ToString();
        var body = hub.Submission(input).ToJsonString();
        using var first = await SendAsync(body);
        var id = (string?)(await first.JsonAsync())["id"];
        File.Delete(input["file://".Length..]);
        using var second = await SendAsync(body);
        Assert.Equal(HttpStatusCode.Created, second.StatusCode);
        Assert.Equal(id, (string?)(await second.JsonAsync())["id"]);
        using var other = await SendAsync(body.Replace("\"nReducers\":2", "\"nReducers\":3"));
        await other.IsProblemAsync(HttpStatusCode.UnprocessableEntity, "idempotency-key-reused", "Idempotency-Key");

        async Task<HttpResponseMessage> SendAsync(string text)
        {
            using var request = new HttpRequestMessage(HttpMethod.Post, "/api/v1/jobs") { Content = text.AsJson() };
            request.Headers.Add("Idempotency-Key", key);
            return await hub.Client.SendAsync(request);
        }
    }

    [Fact]
    public async Task List_WithLimit_PagesByLinkNewestFirst()
    {
        var submission = hub.Submission(hub.WriteInput("page.txt", "x\n"));
        var ids = new List<string>();
        for (var i = 0; i < 3; i++) ids.Insert(0, await SubmitAsync(submission));
        using var page = await hub.Client.GetAsync("/api/v1/jobs?limit=2&status=&after=");
        Assert.Equal(ids[..2], (await page.JsonAsync()).AsArray().Select(job => (string)job!["id"]!));
        var link = page.Headers.GetValues("Link").Single();
        Assert.EndsWith(">; rel=\"next\"", link);
        var next = JsonNode.Parse(await hub.Client.GetStringAsync(link[1..link.IndexOf('>')]))!.AsArray();
        Assert.Equal(ids[2], (string?)next[0]!["id"]);

        var whole = JsonNode.Parse(await hub.Client.GetStringAsync("/api/v1/jobs"))!.AsArray();
        Assert.Equal(ids, whole.Take(3).Select(job => (string)job!["id"]!));
    }

    [Theory, InlineData("limit=0", "limit"), InlineData("limit=x", "limit"), InlineData("after=x", "after"), InlineData("status=running", "status"), InlineData("limit=1&limit=2", "limit")]
    public async Task List_WithABadQuery_NamesIt(string query, string field)
    {
        using var answer = await hub.Client.GetAsync("/api/v1/jobs?" + query);
        await answer.IsProblemAsync(HttpStatusCode.BadRequest, "invalid-field", field);
    }

    [Fact]
    public async Task Stop_OfAJob_ReadsAsStoppedAtOnceAndRefusesOnceEnded()
    {
        var id = await SubmitAsync(hub.Submission(hub.WriteInput("stop.txt", "x\n")));
        using var answer = await hub.Client.DeleteAsync($"/api/v1/jobs/{id}");
        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        Assert.Equal("text/plain", answer.Content.Headers.ContentType?.MediaType);
        Assert.Equal($"Job {id} was successfully stopped", await answer.Content.ReadAsStringAsync());
        Assert.Equal("stopped", (string?)JsonNode.Parse(await hub.Client.GetStringAsync($"/api/v1/jobs/{id}"))!["status"]);
        Assert.Contains(JsonNode.Parse(await hub.Client.GetStringAsync("/api/v1/jobs?status=stopped"))!.AsArray(), job => (string?)job!["id"] == id);
        await Testing.Eventually.TrueAsync(
            async () => (string?)JsonNode.Parse(await hub.Client.GetStringAsync($"/hub/v1/jobs/{id}"))!["state"] == "Canceled", "the job is canceled");
        using var again = await hub.Client.DeleteAsync($"/api/v1/jobs/{id}");
        await again.IsProblemAsync(HttpStatusCode.Conflict, "job-already-finished");
    }

    [Fact]
    public async Task Stop_WithoutAnId_SaysThatOneIsNeeded()
    {
        using var answer = await hub.Client.DeleteAsync("/api/v1/jobs");
        await answer.IsProblemAsync(HttpStatusCode.BadRequest, "job-id-missing", "id");
    }

    [Theory, InlineData("not-an-id"), InlineData("00000000-0000-7000-8000-000000000000"), InlineData("a%2Fb")]
    public async Task Job_ThatIsNotThere_Is404(string id)
    {
        foreach (var path in (string[])[$"/api/v1/jobs/{id}", $"/api/v1/jobs/{id}/tasks", $"/hub/v1/jobs/{id}", $"/hub/v1/jobs/{id}/tasks", $"/hub/v1/jobs/{id}/log", $"/hub/v1/events?job={id}"])
        {
            using var answer = await hub.Client.GetAsync(path);
            await answer.IsProblemAsync(HttpStatusCode.NotFound, "job-not-found");
        }

        using var stop = await hub.Client.DeleteAsync($"/api/v1/jobs/{id}");
        await stop.IsProblemAsync(HttpStatusCode.NotFound, "job-not-found");
    }

    private async Task<string> SubmitAsync(JsonNode submission)
    {
        using var answer = await hub.Client.PostAsync("/api/v1/jobs", submission);
        var text = await answer.Content.ReadAsStringAsync();
        Assert.True(answer.StatusCode == HttpStatusCode.Created, text);
        return (string)JsonNode.Parse(text)!["id"]!;
    }

    private async Task<int> CountAsync() => JsonNode.Parse(await hub.Client.GetStringAsync("/api/v1/jobs"))!.AsArray().Count;
}
