using System.Net;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json.Nodes;

namespace JobHub.Api.Tests;

/// <summary>/jobs over HTTP: what is taken, refused and shown. Nothing runs here; whole runs are in the tests of the AppHost.</summary>
[Collection(HubCollection.Name)]
public sealed class CommandJobTests(HubFixture fixture)
{
    private readonly HubHost hub = fixture.Hub;
    private readonly string project = "p" + Guid.NewGuid().ToString("N")[..12];

    private HttpClient Client => hub.Client;

    [Fact]
    public async Task Submit_AsInTheSeed_IsCreatedWithItsFileInTheFileSpace()
    {
        using var form = Form(("command", "ls -al /tmp"));
        form.Add(File("png-bytes"), "file[]", "/tmp/file.png");

        using var answer = await Client.PostAsync($"/submission?project={project}", form);

        Assert.Equal(HttpStatusCode.Created, answer.StatusCode);
        var body = await answer.JsonAsync();
        Assert.Equal("ls -al /tmp", (string?)body["command"]);
        Assert.Null(body["gpus"]);
        Assert.Equal($"/jobs/{body["job_id"]}", answer.Headers.Location?.ToString());
        Assert.Equal("png-bytes", await Client.GetStringAsync($"/files?path=/tmp/file.png&project={project}"));
        Assert.Equal("png-bytes", await Client.GetStringAsync($"/files?path=/tmp/file.png&project={project}&job_id={body["job_id"]}"));
        var status = await GetAsync($"/status/{body["job_id"]}?project={project}");
        Assert.Equal("QUEUED", (string?)status["status"]);
        Assert.Equal("no-worker", (string?)status["waiting"]!["reason"]);
        Assert.Matches(@"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$", (string?)status["created"]);
    }

    [Fact]
    public async Task Submit_PartsInAnyOrder_AreOneJob()
    {
        using var form = new MultipartFormDataContent();
        form.Add(File("1"), "file[]", "in/first.txt");
        form.Add(new StringContent("/data/run"), "workdir");
        form.Add(File("2"), "file[]", "/abs/second.txt");
        form.Add(new StringContent("cat in/first.txt"), "command");
        form.Add(new StringContent("2"), "gpus");

        using var answer = await Client.PostAsync($"/jobs?project={project}", form);

        var body = await answer.JsonAsync();
        Assert.Equal(2, (int)body["gpus"]!);
        Assert.Equal("1", await Client.GetStringAsync($"/files?path=/data/run/in/first.txt&project={project}"));
        Assert.Equal("2", await Client.GetStringAsync($"/files?path=/abs/second.txt&project={project}"));
    }

    [Fact]
    public async Task Submit_FileNameStar_IsTheDestination()
    {
        using var form = Form(("command", "true"));
        var file = File("x");
        file.Headers.ContentDisposition = new ContentDispositionHeaderValue("form-data") { Name = "\"file[]\"", FileName = "\"wrong.txt\"", FileNameStar = "/tmp/Grüße 木.txt" };
        form.Add(file);

        using var answer = await Client.PostAsync($"/jobs?project={project}", form);

        Assert.Equal(HttpStatusCode.Created, answer.StatusCode);
        Assert.Equal("x", await Client.GetStringAsync($"/files?path={Uri.EscapeDataString("/tmp/Grüße 木.txt")}&project={project}"));
    }

    [Fact]
    public async Task Submit_WithoutFiles_TakesAnEncodedForm()
    {
        using var answer = await Client.PostAsync($"/jobs?project={project}", new FormUrlEncodedContent([new("command", "echo 'a+b' && true"), new("env[NAME]", "ü=&"), new("priority", "7")]));

        Assert.Equal(HttpStatusCode.Created, answer.StatusCode);
        Assert.Equal("echo 'a+b' && true", (string?)(await answer.JsonAsync())["command"]);
    }

    [Fact]
    public async Task Submit_AsJson_NamesFilesAndFoldersOfTheSpaceAndArtifacts()
    {
        foreach (var path in (string[])["/in/a.txt", "/in/deep/b.txt", "/other.txt"])
        {
            using var put = await Client.PutAsync($"/files?path={path}&project={project}", new StringContent("of " + path));
            Assert.Equal(HttpStatusCode.Created, put.StatusCode);
        }

        var job = await SubmitAsync(new JsonObject
        {
            ["command"] = "sh mapper.sh", ["files"] = new JsonArray(new JsonObject { ["path"] = "/in" }, new JsonObject { ["artifact"] = "mapper.sh" }, new JsonObject { ["artifact"] = "reducer.sh", ["path"] = "bin/r" }),
        });

        var seen = new List<string>();
        foreach (var path in (string[])["/in/a.txt", "/in/deep/b.txt", "/job/mapper.sh", "/job/bin/r"])
        {
            using var answer = await Client.GetAsync($"/files?path={path}&project={project}&job_id={job}");
            if (answer.IsSuccessStatusCode) seen.Add(path);
        }

        Assert.Equal(4, seen.Count);
        using var unnamed = await Client.GetAsync($"/files?path=/other.txt&project={project}&job_id={job}");
        await unnamed.IsProblemAsync(HttpStatusCode.NotFound, "file-not-found");
    }

    [Theory]
    [InlineData("{}", "missing-field", "command")]
    [InlineData("""{"command":""}""", "missing-field", "command")]
    [InlineData("""{"command":"   "}""", "missing-field", "command")]
    [InlineData("""{"command":"a\u0000b"}""", "invalid-field", "command")]
    [InlineData("""{"command":"true","gpus":-1}""", "invalid-field", "gpus")]
    [InlineData("""{"command":"true","gpus":"2"}""", "invalid-field", "gpus")]
    [InlineData("""{"command":"true","gpus":99999999999}""", "invalid-field", "gpus")]
    [InlineData("""{"command":"true","cpus":1.5}""", "invalid-field", "cpus")]
    [InlineData("""{"command":"true","memory":"lots"}""", "invalid-field", "memory")]
    [InlineData("""{"command":"true","memory":"-1Gi"}""", "invalid-field", "memory")]
    [InlineData("""{"command":"true","memory":"10"}""", "invalid-field", "memory")]
    [InlineData("""{"command":"true","memory":"99999999999999999999Ti"}""", "invalid-field", "memory")]
    [InlineData("""{"command":"true","timeout":0}""", "invalid-field", "timeout")]
    [InlineData("""{"command":"true","priority":256}""", "invalid-field", "priority")]
    [InlineData("""{"command":"true","max_attempts":0}""", "invalid-field", "max_attempts")]
    [InlineData("""{"command":"true","unique_id":"a/b"}""", "invalid-field", "unique_id")]
    [InlineData("""{"command":"true","unique_id":".."}""", "invalid-field", "unique_id")]
    [InlineData("""{"command":"true","env":{"JOBHUB_ATTEMPT":"x"}}""", "invalid-field", "env.JOBHUB_ATTEMPT")]
    [InlineData("""{"command":"true","env":{"A=B":"x"}}""", "invalid-field", "env.A=B")]
    [InlineData("""{"command":"true","workdir":"job"}""", "invalid-field", "workdir")]
    [InlineData("""{"command":"true","workdir":"/a/../b"}""", "invalid-field", "workdir")]
    [InlineData("""{"command":"true","image":"a b"}""", "invalid-field", "image")]
    [InlineData("""{"command":"true","what":1}""", "unknown-field", "what")]
    [InlineData("""{"command":"true","files":[{}]}""", "missing-field", "files[0]")]
    [InlineData("""{"command":"true","files":[{"path":"/a/../../b"}]}""", "invalid-path", "files[0].path")]
    [InlineData("not json", "invalid-json", null)]
    public async Task Submit_WrongField_IsRefusedByItsName(string body, string code, string? field)
    {
        using var answer = await Client.PostAsync($"/jobs?project={project}", body.AsJson());

        await answer.IsProblemAsync(HttpStatusCode.BadRequest, code, field);
        Assert.Equal(0, (long)(await GetAsync($"/jobs?status=all&project={project}"))["count"]!);
    }

    [Theory]
    [InlineData("gpus", "two")]
    [InlineData("cpus", "1.5")]
    [InlineData("timeout", "soon")]
    [InlineData("priority", "-1")]
    public async Task Submit_FormWithABadNumber_IsRefused(string field, string value)
    {
        using var answer = await Client.PostAsync("/jobs", new FormUrlEncodedContent([new("command", "true"), new(field, value)]));

        await answer.IsProblemAsync(HttpStatusCode.BadRequest, "invalid-field", field);
    }

    [Fact]
    public async Task Submit_FormMistakes_AreNamed()
    {
        using (var twice = Form(("command", "true"), ("command", "false")))
        using (var answer = await Client.PostAsync("/jobs", twice)) await answer.IsProblemAsync(HttpStatusCode.BadRequest, "repeated-field", "command");
        using (var unknown = Form(("command", "true"), ("colour", "red")))
        using (var answer = await Client.PostAsync("/jobs", unknown)) await answer.IsProblemAsync(HttpStatusCode.BadRequest, "unknown-field", "colour");
        using (var text = Form(("command", "true"), ("file[]", "no file")))
        using (var answer = await Client.PostAsync("/jobs", text)) await answer.IsProblemAsync(HttpStatusCode.BadRequest, "invalid-field", "file[]");
        using (var answer = await Client.PostAsync("/jobs", new StringContent("command=true", Encoding.UTF8, "text/plain"))) await answer.IsProblemAsync(HttpStatusCode.UnsupportedMediaType, "unsupported-media-type");
        using (var answer = await Client.PostAsync("/jobs", new FormUrlEncodedContent([new("command", new string('x', 131_072))]))) await answer.IsProblemAsync(HttpStatusCode.RequestEntityTooLarge, "value-too-large", "command");
        using (var missing = await Client.PostAsync("/jobs", """{"command":"true","files":[{"path":"/none"}]}""".AsJson())) await missing.IsProblemAsync(HttpStatusCode.NotFound, "file-not-found");
        using (var missing = await Client.PostAsync("/jobs", """{"command":"true","files":[{"artifact":"none"}]}""".AsJson())) await missing.IsProblemAsync(HttpStatusCode.NotFound, "artifact-not-found");
    }

    [Theory]
    [InlineData("a.txt", "/job/a.txt", "repeated-file")]
    [InlineData("/x", "/x/y", "path-conflict")]
    [InlineData("/job", "b", "path-conflict")]
    [InlineData("/tmp", "b", "path-conflict")]
    [InlineData("/", "b", "path-conflict")]
    [InlineData("/etc", "b", "path-conflict")]
    [InlineData("/usr/bin", "b", "path-conflict")]
    [InlineData("folder/", "b", "invalid-path")]
    public async Task Submit_DestinationsThatCannotBothBe_AreRefused(string first, string second, string code)
    {
        using var form = Form(("command", "true"));
        form.Add(File("1"), "file[]", first);
        form.Add(File("2"), "file[]", second);

        using var answer = await Client.PostAsync($"/jobs?project={project}", form);

        await answer.IsProblemAsync(HttpStatusCode.BadRequest, first == "/" ? "invalid-path" : code, "file[]");
        Assert.Empty((await GetAsync($"/files?path=/&project={project}"))["entries"]!.AsArray());
    }

    [Fact]
    public async Task UniqueId_IsTheJobsId_AndTakenOnceAProject()
    {
        Assert.Equal("run_1.a~b-C", await SubmitAsync(new JsonObject { ["command"] = "true", ["unique_id"] = "run_1.a~b-C" }));
        Assert.Equal("run_1.a~b-C", (string?)(await GetAsync($"/jobs/run_1.a~b-C?project={project}"))["job_id"]);

        using var again = await Client.PostAsync($"/jobs?project={project}", """{"command":"false","unique_id":"run_1.a~b-C"}""".AsJson());
        await again.IsProblemAsync(HttpStatusCode.Conflict, "job-id-taken", "unique_id");
        using var elsewhere = await Client.PostAsync($"/jobs?project={project}x", """{"command":"true","unique_id":"run_1.a~b-C"}""".AsJson());
        Assert.Equal(HttpStatusCode.Created, elsewhere.StatusCode);
        using var foreign = await Client.GetAsync("/jobs/run_1.a~b-C");
        await foreign.IsProblemAsync(HttpStatusCode.NotFound, "job-not-found");
    }

    [Fact]
    public async Task UniqueId_ThatIsAUuid_IsTaken_ButNotTheOneOfAnotherJob()
    {
        var own = Guid.NewGuid().ToString();
        Assert.Equal(own, await SubmitAsync(new JsonObject { ["command"] = "true", ["unique_id"] = own }));
        var victim = await SubmitAsync(new JsonObject { ["command"] = "echo precious" });

        foreach (var spelling in (string[])[victim, victim.ToUpperInvariant()])
        {
            using var imposter = await Client.PostAsync($"/jobs?project={project}", new JsonObject { ["command"] = "echo imposter", ["unique_id"] = spelling });
            await imposter.IsProblemAsync(HttpStatusCode.Conflict, "job-id-taken", "unique_id");
        }

        Assert.Equal("echo precious", (string?)(await GetAsync($"/jobs/{victim}?project={project}"))["command"]);
    }

    [Fact]
    public async Task IdempotencyKey_InAnotherProject_IsAnotherSubmission()
    {
        var key = Guid.NewGuid().ToString();
        async Task<string> SendAsync(string to)
        {
            using var request = new HttpRequestMessage(HttpMethod.Post, $"/jobs?project={to}") { Content = """{"command":"true"}""".AsJson(), Headers = { { "Idempotency-Key", key } } };
            using var answer = await Client.SendAsync(request);
            return (string)(await answer.JsonAsync())["job_id"]!;
        }

        Assert.NotEqual(await SendAsync(project), await SendAsync(project + "x"));
        Assert.Equal(await SendAsync(project), await SendAsync(project));
    }

    [Theory]
    [InlineData("application/json")]
    [InlineData("application/x-www-form-urlencoded")]
    public async Task Submit_BodyWithoutAnEnd_IsRefusedWhileItComes(string type)
    {
        var before = GC.GetTotalAllocatedBytes();
        var endless = new EndlessStream();
        using var request = new HttpRequestMessage(HttpMethod.Post, "/jobs") { Content = new StreamContent(endless) { Headers = { ContentType = new MediaTypeHeaderValue(type) } } };
        request.Headers.TransferEncodingChunked = true;
        try
        {
            using var answer = await Client.SendAsync(request);
            await answer.IsProblemAsync(HttpStatusCode.RequestEntityTooLarge, "body-too-large");
        }
        catch (HttpRequestException)
        {
            // The hub hung up while the client still sent; its answer was on the way.
        }

        // The client of this test is in this process, too, and has sent up to a gigabyte.
        Assert.InRange(GC.GetTotalAllocatedBytes() - before, 0, 256 << 20);
    }

    private sealed class EndlessStream : JobHub.Engine.Storage.ReadingStream
    {
        private long given;

        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            buffer.Span.Fill((byte)'a');
            given += buffer.Length;
            return new(given < 1L << 30 ? buffer.Length : 0);
        }
    }

    [Fact]
    public async Task IdempotencyKey_ResentForm_IsOneJob_AndAnotherBodyIsRefused()
    {
        var key = Guid.NewGuid().ToString();
        async Task<HttpResponseMessage> SendAsync(string content)
        {
            using var form = Form(("command", "true"), ("unique_id", key));
            form.Add(File(content), "file[]", "/in.txt");
            using var request = new HttpRequestMessage(HttpMethod.Post, $"/jobs?project={project}") { Content = form, Headers = { { "Idempotency-Key", key } } };
            return await Client.SendAsync(request);
        }

        using var first = await SendAsync("one");
        using var second = await SendAsync("one");
        using var other = await SendAsync("two");

        Assert.Equal(HttpStatusCode.Created, first.StatusCode);
        Assert.Equal(HttpStatusCode.Created, second.StatusCode);
        Assert.Equal(await first.Content.ReadAsStringAsync(), await second.Content.ReadAsStringAsync());
        await other.IsProblemAsync(HttpStatusCode.UnprocessableEntity, "idempotency-key-reused");
        Assert.Equal("one", await Client.GetStringAsync($"/files?path=/in.txt&project={project}"));
        Assert.Equal(1, (long)(await GetAsync($"/jobs?project={project}"))["count"]!);
    }

    [Fact]
    public async Task List_IsNewestFirst_ByStatusAndPage()
    {
        var ids = new List<string>();
        for (var i = 0; i < 5; i++) ids.Add(await SubmitAsync(new JsonObject { ["command"] = $"echo {i}" }));
        using (var stopped = await Client.DeleteAsync($"/jobs/{ids[0]}?project={project}"))
        {
            Assert.Equal(HttpStatusCode.Accepted, stopped.StatusCode);
            Assert.Equal(ids[0], (string?)(await stopped.JsonAsync())["id"]);
        }

        await JobHub.Testing.Eventually.TrueAsync(async () => (string?)(await GetAsync($"/jobs/{ids[0]}?project={project}"))["status"] == "FAILED", "the stopped job to end");

        var open = await GetAsync($"/jobs?project={project}");
        Assert.Equal(4, (long)open["count"]!);
        Assert.Equal(ids.Skip(1).Reverse(), open["results"]!.AsArray().Select(job => (string)job!["job_id"]!));
        var failed = await GetAsync($"/jobs?status=failed&project={project}");
        Assert.Equal("cancelled", (string?)Assert.Single(failed["results"]!.AsArray())!["error"]!["type"]);
        Assert.Equal(5, (long)(await GetAsync($"/jobs?status=all&project={project}"))["count"]!);
        Assert.Equal(0, (long)(await GetAsync($"/jobs?status=RUNNING&project={project}"))["count"]!);
        Assert.Equal(4, (long)(await GetAsync($"/jobs?status=QUEUED&project={project}"))["count"]!);
        var page = await GetAsync($"/jobs?limit=2&after={ids[4]}&project={project}");
        Assert.Equal(4, (long)page["count"]!);
        Assert.Equal([ids[3], ids[2]], page["results"]!.AsArray().Select(job => (string)job!["job_id"]!));
        using var again = await Client.DeleteAsync($"/jobs/{ids[0]}?project={project}");
        await again.IsProblemAsync(HttpStatusCode.Conflict, "job-already-finished");
        using var wrong = await Client.GetAsync("/jobs?status=done");
        await wrong.IsProblemAsync(HttpStatusCode.BadRequest, "invalid-field", "status");
    }

    [Theory]
    [InlineData("/jobs/none")]
    [InlineData("/status/00000000-0000-0000-0000-000000000000")]
    [InlineData("/jobs/a%2Fb")]
    [InlineData("/jobs/%25")]
    [InlineData("/jobs/none/log")]
    public async Task Get_UnknownId_IsNotFound(string path)
    {
        using var answer = await Client.GetAsync(path);
        await answer.IsProblemAsync(HttpStatusCode.NotFound, "job-not-found");
    }

    [Fact]
    public async Task Get_JobOfAnotherFamily_DoesNotExistHere()
    {
        using var submitted = await Client.PostAsync("/api/v1/jobs", hub.Submission(hub.WriteInput("in.txt", "a b\n")));
        var id = (string)(await submitted.JsonAsync())["id"]!;

        using var answer = await Client.GetAsync($"/jobs/{id}");

        await answer.IsProblemAsync(HttpStatusCode.NotFound, "job-not-found");
    }

    [Fact]
    public async Task Image_WithoutAnExecutorForIt_IsExplained()
    {
        await using var worker = await OpenWorkerAsync(gpus: 0);
        var job = await SubmitAsync(new JsonObject { ["command"] = "true", ["image"] = "debian:12" });

        var status = await GetAsync($"/jobs/{job}?project={project}");

        Assert.Equal("QUEUED", (string?)status["status"]);
        Assert.Equal("no-executor-for-image", (string?)status["waiting"]!["reason"]);
    }

    [Theory]
    [InlineData("POST", "/jobs")]
    [InlineData("POST", "/submission")]
    [InlineData("DELETE", "/jobs/none")]
    [InlineData("PUT", "/files?path=/x")]
    [InlineData("GET", "/files?path=/")]
    public async Task AnotherSitesPage_CannotUseTheHubOfWhoeverLooksAtIt(string method, string path)
    {
        using var request = new HttpRequestMessage(new HttpMethod(method), path) { Headers = { { "Origin", "https://elsewhere.example" }, { "Sec-Fetch-Site", "cross-site" } } };
        if (method is "POST") request.Content = new FormUrlEncodedContent([new("command", "true")]);

        using var answer = await Client.SendAsync(request);

        await answer.IsProblemAsync(HttpStatusCode.Forbidden, "cross-site-request");
    }

    private async Task<JsonNode> GetAsync(string path)
    {
        using var answer = await Client.GetAsync(path);
        Assert.True(answer.IsSuccessStatusCode, $"{path}: {(int)answer.StatusCode} {await answer.Content.ReadAsStringAsync()}");
        return await answer.JsonAsync();
    }

    private async Task<string> SubmitAsync(JsonObject body)
    {
        using var answer = await Client.PostAsync($"/jobs?project={project}", body);
        var text = await answer.Content.ReadAsStringAsync();
        Assert.True(answer.StatusCode == HttpStatusCode.Created, text);
        return (string)JsonNode.Parse(text)!["job_id"]!;
    }

    private async Task<WorkerDouble> OpenWorkerAsync(int gpus) => await WorkerDouble.OpenAsync(hub, gpus);

    private static MultipartFormDataContent Form(params (string Name, string Value)[] fields)
    {
        var form = new MultipartFormDataContent();
        foreach (var (name, value) in fields) form.Add(new StringContent(value), name);
        return form;
    }

    private static ByteArrayContent File(string text) => new(Encoding.UTF8.GetBytes(text));
}
