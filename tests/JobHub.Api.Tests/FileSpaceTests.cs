using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Text;
using System.Text.Json.Nodes;
using JobHub.Engine.Attempts;
using JobHub.Engine.Protocol;
using JobHub.Testing;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;

namespace JobHub.Api.Tests;

/// <summary>/files, and how files of jobs get there.</summary>
[Collection(HubCollection.Name)]
public sealed class FileSpaceTests(HubFixture fixture)
{
    private readonly HubHost hub = fixture.Hub;
    private readonly string project = "f" + Guid.NewGuid().ToString("N")[..12];

    private HttpClient Client => hub.Client;

    [Fact]
    public async Task Put_ThenGet_IsTheSameBytesAsAnAttachment()
    {
        var bytes = new byte[700_000];
        Random.Shared.NextBytes(bytes);
        using (var put = await PutAsync("/data/a b.csv", bytes))
        {
            Assert.Equal(HttpStatusCode.Created, put.StatusCode);
            Assert.Equal(bytes.Length, (int)(await put.JsonAsync())["size"]!);
        }

        using var answer = await Client.GetAsync(At("/data/a b.csv"));

        Assert.Equal(bytes, await answer.Content.ReadAsByteArrayAsync());
        Assert.Equal("text/csv", answer.Content.Headers.ContentType?.MediaType);
        Assert.Equal("attachment", answer.Content.Headers.ContentDisposition?.DispositionType);
        Assert.Equal("nosniff", answer.Headers.GetValues("X-Content-Type-Options").Single());
        using var head = await Client.SendAsync(new HttpRequestMessage(HttpMethod.Head, At("/data/a b.csv")));
        Assert.Equal(bytes.Length, head.Content.Headers.ContentLength);
        using var part = await Client.SendAsync(new HttpRequestMessage(HttpMethod.Get, At("/data/a b.csv")) { Headers = { Range = new RangeHeaderValue(1000, 1999) } });
        Assert.Equal(HttpStatusCode.PartialContent, part.StatusCode);
        Assert.Equal(bytes[1000..2000], await part.Content.ReadAsByteArrayAsync());
        using var known = await Client.SendAsync(new HttpRequestMessage(HttpMethod.Get, At("/data/a b.csv")) { Headers = { IfNoneMatch = { answer.Headers.ETag! } } });
        Assert.Equal(HttpStatusCode.NotModified, known.StatusCode);
        using (await PutAsync("/data/a b.csv", [1])) { }
        using var changed = await Client.SendAsync(new HttpRequestMessage(HttpMethod.Get, At("/data/a b.csv")) { Headers = { IfNoneMatch = { answer.Headers.ETag! } } });
        Assert.Equal([1], await changed.Content.ReadAsByteArrayAsync());
    }

    [Fact]
    public async Task Folder_ListsItsTopLevelOnly_HoweverMuchIsBelow()
    {
        await using (var insert = hub.Services.GetRequiredService<NpgsqlDataSource>().CreateCommand("""
            INSERT INTO file (project, job, path, object, size)
            SELECT $1, 0, CASE WHEN i % 2 = 0 THEN '/many/f' || i ELSE '/many/d' || i || '/x/' || j END, 'artifacts/none', i FROM generate_series(1, 2500) i, generate_series(1, 2) j
            WHERE i % 2 = 1 OR j = 1
            """))
        {
            insert.Parameters.AddWithValue(project);
            await insert.ExecuteNonQueryAsync();
        }

        foreach (var path in (string[])["/many/0", "/many/f20", "/many/é/z", "/many/d1!", "/many/d10", "/other"])
        {
            using var _ = await PutAsync(path, "x"u8.ToArray());
        }

        var listed = await ListAsync("/many");
        var expected = Enumerable.Range(1, 2500).Select(i => i % 2 == 0 ? $"f{i}" : $"d{i}").Concat(["0", "d1!", "d10", "é"]).Distinct();
        Assert.Equal(expected.Order(StringComparer.Ordinal), listed.Select(e => (string)e!["name"]!).Order(StringComparer.Ordinal));
        Assert.Equal(listed.Count, listed.Select(e => (string)e!["name"]!).Distinct().Count());
        var file = listed.Single(e => (string)e!["name"]! == "f20")!;
        Assert.Equal(("file", 1), ((string)file["type"]!, (int)file["size"]!));
        Assert.Matches("Z$", (string)file["modified"]!);
        Assert.Equal("folder", (string)listed.Single(e => (string)e!["name"]! == "é")!["type"]!);
        Assert.Equal(["many", "other"], (await ListAsync("/")).Select(e => (string)e!["name"]!));
    }

    [Fact]
    public async Task Remove_TakesAFile_AndAFolderOnlyWhenAsked()
    {
        foreach (var path in (string[])["/a/b/c", "/a/d", "/ab"])
        {
            using var _ = await PutAsync(path, "x"u8.ToArray());
        }

        using (var folder = await Client.DeleteAsync(At("/a"))) await folder.IsProblemAsync(HttpStatusCode.Conflict, "folder-not-empty", "path");
        using (var file = await Client.DeleteAsync(At("/a/d"))) Assert.Equal(HttpStatusCode.NoContent, file.StatusCode);
        using (var again = await Client.DeleteAsync(At("/a/d"))) await again.IsProblemAsync(HttpStatusCode.NotFound, "file-not-found");
        using (var folder = await Client.DeleteAsync(At("/a") + "&recursive=true")) Assert.Equal(HttpStatusCode.NoContent, folder.StatusCode);
        Assert.Equal(["ab"], (await ListAsync("/")).Select(e => (string)e!["name"]!));
    }

    [Fact]
    public async Task Slash_MeansTheFolder_WhereAFileHasItsName()
    {
        using (await PutAsync("/dd", "file"u8.ToArray())) { }
        using (var form = new MultipartFormDataContent { { new StringContent("true"), "command" }, { new StringContent("in the folder"), "file[]", "/dd/in" } })
        using (var submitted = await Client.PostAsync($"/jobs?project={project}", form)) Assert.Equal(HttpStatusCode.Created, submitted.StatusCode);
        Assert.Equal("file", await Client.GetStringAsync(At("/dd")));
        Assert.Equal("in", (string?)Assert.Single(await ListAsync("/dd/"))!["name"]);
        foreach (var (path, expected) in new[] { ("/dd", "/dd"), ("/dd/", "/dd/in") })
        {
            using var answer = await Client.PostAsync($"/jobs?project={project}", new JsonObject { ["command"] = "true", ["files"] = new JsonArray(new JsonObject { ["path"] = path }) });
            var job = (string)(await answer.JsonAsync())["job_id"]!;
            using var placed = await Client.GetAsync(At(expected) + $"&job_id={job}");
            Assert.Equal(HttpStatusCode.OK, placed.StatusCode);
        }

        using (var folder = await Client.DeleteAsync(At("/dd/") + "&recursive=true")) Assert.Equal(HttpStatusCode.NoContent, folder.StatusCode);
        Assert.Equal("file", await Client.GetStringAsync(At("/dd")));
        using (var gone = await Client.DeleteAsync(At("/dd/"))) await gone.IsProblemAsync(HttpStatusCode.NotFound, "file-not-found");
    }

    [Fact]
    public async Task Put_WhereANameIsTakenOtherwise_IsRefused()
    {
        using (await PutAsync("/x/y", [1])) { }
        using (var folder = await PutAsync("/x", [1])) await folder.IsProblemAsync(HttpStatusCode.Conflict, "path-is-folder", "path");
        using (var below = await PutAsync("/x/y/z", [1])) await below.IsProblemAsync(HttpStatusCode.Conflict, "path-below-file", "path");
        using (var root = await PutAsync("/", [1])) await root.IsProblemAsync(HttpStatusCode.BadRequest, "invalid-path", "path");
        using (var slash = await PutAsync("/q/", [1])) await slash.IsProblemAsync(HttpStatusCode.BadRequest, "invalid-path", "path");
        using (var none = await Client.GetAsync("/files")) await none.IsProblemAsync(HttpStatusCode.BadRequest, "missing-field", "path");
        using (var tree = await Client.PutAsync(At("/t") + "&job_id=1", new ByteArrayContent([1]))) await tree.IsProblemAsync(HttpStatusCode.BadRequest, "invalid-field", "job_id");
        Assert.Equal([1], await Client.GetByteArrayAsync(At("/x/y")));
    }

    [Fact]
    public async Task Attempt_ThatSucceeds_LeavesItsFilesInTheTreeAndTheSpace()
    {
        await using var worker = await WorkerDouble.OpenAsync(hub);
        var (job, attempt) = await RunAsync(worker, ("/job/in.txt", "given"));
        var placed = Assert.Single((await worker.FilesAsync(attempt)).Files);
        Assert.Equal("/job/in.txt", placed.Path);
        Assert.Equal("given"u8.ToArray(), await worker.ReadAsync(placed));
        using (var sent = await worker.SendAsync(attempt, "/tmp/out 1.csv", new ByteArrayContent("first"u8.ToArray()))) Assert.Equal(HttpStatusCode.NoContent, sent.StatusCode);
        using (var again = await worker.SendAsync(attempt, "/tmp/out 1.csv", new ByteArrayContent("second"u8.ToArray()))) Assert.Equal(HttpStatusCode.NoContent, again.StatusCode);
        using (var before = await Client.GetAsync(At("/tmp/out 1.csv"))) Assert.Equal(HttpStatusCode.NotFound, before.StatusCode);

        Assert.Equal(CompletionAnswer.Accepted, await worker.CompleteAsync(attempt, AttemptOutcome.Succeeded, files: 1));

        Assert.Equal("second", await Client.GetStringAsync(At("/tmp/out 1.csv")));
        Assert.Equal("second", await Client.GetStringAsync(At("/tmp/out 1.csv") + $"&job_id={job}"));
        var status = await EndedAsync(job);
        Assert.Equal("COMPLETE", (string?)status["status"]);
        Assert.Equal(0, (int)status["exit_code"]!);
        using (var late = await worker.SendAsync(attempt, "/tmp/late", new ByteArrayContent([1]))) await late.IsProblemAsync(HttpStatusCode.NotFound, "attempt-lost");
        Assert.Equal(CompletionAnswer.AlreadyAccepted, await worker.CompleteAsync(attempt, AttemptOutcome.Succeeded, files: 1));
    }

    [Fact]
    public async Task Attempt_ThatFails_LeavesItsFilesOnlyWhenItIsTheLast()
    {
        await using var worker = await WorkerDouble.OpenAsync(hub);
        var (job, first) = await RunAsync(worker, ("/job/in.txt", "given"), ("max_attempts", "2"));
        using (var sent = await worker.SendAsync(first, "/job/out", new ByteArrayContent("of the first"u8.ToArray()))) Assert.Equal(HttpStatusCode.NoContent, sent.StatusCode);
        var error = new AttemptError("exit-code", "The program ended with exit code 3.");
        Assert.Equal(CompletionAnswer.Accepted, await worker.CompleteAsync(first, AttemptOutcome.Failed, files: 1, exitCode: 3, error));
        using (var none = await Client.GetAsync(At("/job/out"))) Assert.Equal(HttpStatusCode.NotFound, none.StatusCode);
        Assert.Equal("QUEUED", (string?)(await StatusAsync(job))["status"]);

        var second = Assert.Single(await Eventually.GetAsync(() => worker.ClaimAsync(1), claimed => claimed.Length == 1, "the retry"));
        using (var sent = await worker.SendAsync(second, "/job/out", new ByteArrayContent("of the second"u8.ToArray()))) Assert.Equal(HttpStatusCode.NoContent, sent.StatusCode);
        Assert.Equal(CompletionAnswer.Accepted, await worker.CompleteAsync(second, AttemptOutcome.Failed, files: 1, exitCode: 3, error));

        Assert.Equal("of the second", await Client.GetStringAsync(At("/job/out")));
        var status = await EndedAsync(job);
        Assert.Equal(("FAILED", 3, "exit-code"), ((string)status["status"]!, (int)status["exit_code"]!, (string)status["error"]!["type"]!));
        await NothingIsLeftAsync();
    }

    [Fact]
    public async Task Newest_OfOnePath_IsWhatTheSpaceShows_AndEachJobKeepsItsOwn()
    {
        await using var worker = await WorkerDouble.OpenAsync(hub);
        var jobs = new List<string>();
        foreach (var text in (string[])["one", "two"])
        {
            var (job, attempt) = await RunAsync(worker, ("/job/in.txt", text));
            using (await worker.SendAsync(attempt, "/job/out", new ByteArrayContent(Encoding.UTF8.GetBytes("out " + text)))) { }
            await worker.CompleteAsync(attempt, AttemptOutcome.Succeeded, files: 1);
            jobs.Add(job);
        }

        Assert.Equal("out two", await Client.GetStringAsync(At("/job/out")));
        Assert.Equal("out one", await Client.GetStringAsync(At("/job/out") + $"&job_id={jobs[0]}"));
        Assert.Equal("one", await Client.GetStringAsync(At("/job/in.txt") + $"&job_id={jobs[0]}"));
        using (await Client.DeleteAsync(At("/job") + "&recursive=true")) { }
        Assert.Equal("out two", await Client.GetStringAsync(At("/job/out") + $"&job_id={jobs[1]}"));
        await NothingIsLeftAsync();
        Assert.Equal("one", await Client.GetStringAsync(At("/job/in.txt") + $"&job_id={jobs[0]}"));
    }

    [Fact]
    public async Task Retention_OfAnOldJob_TakesItsTree_AndLeavesTheSpace()
    {
        await using var worker = await WorkerDouble.OpenAsync(hub);
        var (job, attempt) = await RunAsync(worker, ("/job/in.txt", "given"));
        using (await worker.SendAsync(attempt, "/job/out", new ByteArrayContent("made"u8.ToArray()))) { }
        await worker.CompleteAsync(attempt, AttemptOutcome.Succeeded, files: 1);
        await EndedAsync(job);
        using (await Client.DeleteAsync(At("/job/in.txt"))) { }
        await using (var age = hub.Services.GetRequiredService<NpgsqlDataSource>().CreateCommand("UPDATE job SET ended_at = ended_at - interval '40 days' WHERE id = $1"))
        {
            age.Parameters.AddWithValue(Guid.Parse(job));
            await age.ExecuteNonQueryAsync();
        }

        var retention = ActivatorUtilities.CreateInstance<JobHub.Engine.Jobs.Retention>(hub.Services);
        await Eventually.TrueAsync(async () =>
        {
            await retention.ApplyAsync(CancellationToken.None);
            using var gone = await Client.GetAsync($"/jobs/{job}?project={project}");
            return gone.StatusCode == HttpStatusCode.NotFound;
        }, "the old job to be forgotten");

        Assert.Equal(0, await CountAsync($"SELECT count(*) FROM file WHERE project = '{project}' AND job > 0"));
        Assert.Equal("made", await Client.GetStringAsync(At("/job/out")));
        await NothingIsLeftAsync();
        Assert.Equal("made", await Client.GetStringAsync(At("/job/out")));
    }

    [Fact]
    public async Task Upload_CutInTheMiddle_LeavesNothing()
    {
        using (var socket = new TcpClient())
        {
            await socket.ConnectAsync(hub.Address.Host, hub.Address.Port);
            var head = $"POST /jobs?project={project} HTTP/1.1\r\nHost: {hub.Address.Authority}\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 90000000\r\n\r\n"
                + "--b\r\nContent-Disposition: form-data; name=\"command\"\r\n\r\ntrue\r\n--b\r\nContent-Disposition: form-data; name=\"file[]\"; filename=\"/a\"\r\n\r\nwhole\r\n"
                + "--b\r\nContent-Disposition: form-data; name=\"file[]\"; filename=\"/b\"\r\n\r\n";
            await socket.GetStream().WriteAsync(Encoding.ASCII.GetBytes(head + new string('x', 3_000_000)));
            await Eventually.TrueAsync(async () => await CountAsync("SELECT count(*) FROM file_garbage WHERE due_at > clock_timestamp() + interval '1 hour'") >= 2, "both uploads to be under way");
        }

        await NothingIsLeftAsync();
        Assert.Empty(await ListAsync("/"));
    }

    [Fact]
    public async Task Uploads_HundredAtOnce_AreAllWhole()
    {
        await Parallel.ForAsync(0, 100, new ParallelOptions { MaxDegreeOfParallelism = 100 }, async (i, ct) =>
        {
            using var form = new MultipartFormDataContent { { new ByteArrayContent(Bytes(i)), "file[]", $"/up/{i}.bin" }, { new StringContent("true"), "command" } };
            using var answer = await Client.PostAsync($"/jobs?project={project}", form, ct);
            Assert.Equal(HttpStatusCode.Created, answer.StatusCode);
        });

        Assert.Equal(100, (await ListAsync("/up")).Count);
        for (var i = 0; i < 100; i++) Assert.Equal(Bytes(i), await Client.GetByteArrayAsync(At($"/up/{i}.bin")));
        await NothingIsLeftAsync();

        static byte[] Bytes(int seed)
        {
            var bytes = new byte[300_000 + seed];
            new Random(seed).NextBytes(bytes);
            return bytes;
        }
    }

    /// <summary>What upkeep will have removed at the end: no object in the store without a file that refers to it.</summary>
    private async Task NothingIsLeftAsync()
    {
        await using (var due = hub.Services.GetRequiredService<NpgsqlDataSource>().CreateCommand("UPDATE file_garbage SET due_at = clock_timestamp() WHERE due_at < clock_timestamp() + interval '1 hour'"))
        {
            await due.ExecuteNonQueryAsync();
        }

        var folder = new DirectoryInfo(Path.Combine(hub.Folder, "store"));
        await Eventually.TrueAsync(async () =>
        {
            var referred = new HashSet<string>();
            await using var command = hub.Services.GetRequiredService<NpgsqlDataSource>().CreateCommand("""
                SELECT object FROM file UNION SELECT object FROM captured_file UNION SELECT snapshot FROM dataset WHERE snapshot IS NOT NULL
                UNION SELECT object FROM analysis WHERE object IS NOT NULL UNION SELECT profiles FROM analysis WHERE profiles IS NOT NULL
                """);
            await using var reader = await command.ExecuteReaderAsync();
            while (await reader.ReadAsync()) referred.Add(reader.GetString(0));
            var objects = new DirectoryInfo(Path.Combine(folder.FullName, "jobhub", "files")) is { Exists: true } files ? files.GetFiles("*", SearchOption.AllDirectories).Select(f => "files/" + f.Name) : [];
            return objects.All(referred.Contains) && new DirectoryInfo(Path.Combine(folder.FullName, ".tmp")).GetFiles().All(f => f.Name.StartsWith("proof-", StringComparison.Ordinal));
        }, "upkeep to remove what nothing refers to");
    }

    private async Task<long> CountAsync(string sql)
    {
        await using var command = hub.Services.GetRequiredService<NpgsqlDataSource>().CreateCommand(sql);
        return (long)(await command.ExecuteScalarAsync())!;
    }

    private async Task<(string Job, AttemptSpec Attempt)> RunAsync(WorkerDouble worker, (string Path, string Text) file, params (string Name, string Value)[] fields)
    {
        using var form = new MultipartFormDataContent { { new StringContent("true"), "command" }, { new StringContent(file.Text), "file[]", file.Path } };
        foreach (var (name, value) in fields) form.Add(new StringContent(value), name);
        using var answer = await Client.PostAsync($"/jobs?project={project}", form);
        var job = (string)(await answer.JsonAsync())["job_id"]!;
        // Jobs of other tests may wait in the queue, too.
        while (true)
        {
            var claimed = await worker.ClaimAsync(1);
            Assert.NotEmpty(claimed);
            if (claimed[0].JobId == Guid.Parse(job)) return (job, claimed[0]);
            await worker.CompleteAsync(claimed[0], AttemptOutcome.Succeeded);
        }
    }

    private async Task<JsonNode> StatusAsync(string job)
    {
        using var answer = await Client.GetAsync($"/jobs/{job}?project={project}");
        return await answer.JsonAsync();
    }

    private Task<JsonNode> EndedAsync(string job) => Eventually.GetAsync(() => StatusAsync(job), status => (string?)status["ended"] is not null, "the job's end");

    private async Task<JsonArray> ListAsync(string folder)
    {
        using var answer = await Client.GetAsync(At(folder));
        return (await answer.JsonAsync())["entries"]!.AsArray();
    }

    private Task<HttpResponseMessage> PutAsync(string path, byte[] bytes) => Client.PutAsync(At(path), new ByteArrayContent(bytes));

    private string At(string path) => $"/files?path={Uri.EscapeDataString(path)}&project={project}";
}
