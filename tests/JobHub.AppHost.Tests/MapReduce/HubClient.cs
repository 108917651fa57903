using System.Net;
using System.Text;
using System.Text.Json.Nodes;
using JobHub.Testing;

namespace JobHub.AppHost.Tests.MapReduce;

/// <summary>One hub as its MapReduce users see it: only public HTTP, and a folder that hub, programs and test share.</summary>
public sealed class HubClient : IAsyncDisposable
{
    private static readonly TimeSpan JobLimit = TimeSpan.FromMinutes(4);

    private HubClient(HubProcess hub, string folder) => (Hub, Folder, Http) = (hub, folder, hub.CreateClient());

    public HubProcess Hub { get; }

    /// <summary>Below /var/tmp: a sandboxed program has a /tmp of its own, and sees this one. Programs, that run as nobody, may write in it.</summary>
    public string Folder { get; }

    public HttpClient Http { get; }

    public static async Task<HubClient> StartAsync(HubOptions? options = null)
    {
        var folder = $"/var/tmp/jobhub-matrix-{Guid.NewGuid():N}";
        Directory.CreateDirectory(folder);
        File.SetUnixFileMode(folder, (UnixFileMode)0b111_111_111);
        try
        {
            var client = new HubClient(await HubProcess.StartAsync(options), folder);
            foreach (var (name, sample) in new[] { ("map.awk", "wordcount/mapper.awk"), ("reduce.awk", "wordcount/reducer.awk") }) await client.UploadSampleAsync(name, sample);
            await client.UploadAsync("cat", "#!/bin/sh\nexec cat\n");
            return client;
        }
        catch
        {
            Directory.Delete(folder, recursive: true);
            throw;
        }
    }

    public Task UploadAsync(string name, string content, string? type = "streaming") => UploadAsync(name, Encoding.UTF8.GetBytes(content), type);

    public Task UploadSampleAsync(string name, string sample, string? type = "streaming") => UploadAsync(name, File.ReadAllBytes(Path.Combine(Samples, sample)), type);

    public async Task UploadAsync(string name, byte[] content, string? type = "streaming")
    {
        using var form = new MultipartFormDataContent { { new ByteArrayContent(content), "program", name } };
        if (type is not null) form.Add(new StringContent(type), "type");
        using var answer = await Http.PutAsync("/api/v1/artifacts", form);
        Assert.True(answer.IsSuccessStatusCode, await answer.Content.ReadAsStringAsync());
    }

    /// <summary>The repository's samples.</summary>
    public static string Samples { get; } = Path.Combine(Path.GetDirectoryName(HubProcess.Program)!, "../../../../samples");

    /// <summary>A file below <see cref="Folder"/>.</summary>
    /// <returns>Its address.</returns>
    public string Write(string name, byte[] content)
    {
        var path = Path.Combine(Folder, name);
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        File.WriteAllBytes(path, content);
        return $"file://{path}";
    }

    public string Write(string name, string content) => Write(name, Encoding.UTF8.GetBytes(content));

    /// <summary>A word count of an input with the awk programs, its output below <see cref="Folder"/>.</summary>
    public JsonObject WordCount(string inputPath, int reducers = 2) => new()
    {
        ["nReducers"] = reducers, ["inputPath"] = inputPath, ["inputType"] = "file/txt", ["outputPath"] = $"file://{Folder}/out", ["mapperName"] = "map.awk", ["reducerName"] = "reduce.awk",
    };

    public async Task<JsonNode> GetAsync(string path)
    {
        using var answer = await Http.GetAsync(path);
        var text = await answer.Content.ReadAsStringAsync();
        Assert.True(answer.StatusCode == HttpStatusCode.OK, $"{path}: {(int)answer.StatusCode} {text}");
        return JsonNode.Parse(text)!;
    }

    public Task<JsonNode> JobAsync(string id) => GetAsync($"/api/v1/jobs/{id}");

    public async Task<JsonArray> TasksAsync(string id) => (await GetAsync($"/api/v1/jobs/{id}/tasks")).AsArray();

    public async Task<HttpResponseMessage> PostAsync(JsonNode submission)
    {
        using var content = new StringContent(submission.ToJsonString(), Encoding.UTF8, "application/json");
        return await Http.PostAsync("/api/v1/jobs", content);
    }

    /// <returns>The new job's id.</returns>
    public async Task<string> SubmitAsync(JsonNode submission)
    {
        using var answer = await PostAsync(submission);
        var text = await answer.Content.ReadAsStringAsync();
        Assert.True(answer.StatusCode == HttpStatusCode.Created, $"{(int)answer.StatusCode} {text}");
        return (string)JsonNode.Parse(text)!["id"]!;
    }

    /// <summary>Waits for a job's end, however it ends.</summary>
    public async Task<JsonNode> EndAsync(string id)
    {
        var job = await Eventually.GetAsync(
            async () => Hub.Exited.IsCompleted ? null : await JobAsync(id), job => job is null || job["endTime"] is not null, $"the end of job {id}", JobLimit);
        if (job is null) Assert.Fail($"The hub ended with {await Hub.Exited}.\n{string.Join('\n', Hub.Output.TakeLast(40))}");
        return job;
    }

    /// <summary>Runs a job that must complete.</summary>
    public async Task<string> RunAsync(JsonNode submission)
    {
        var id = await SubmitAsync(submission);
        await CompletedAsync(id);
        return id;
    }

    public async Task<JsonNode> CompletedAsync(string id)
    {
        var job = await EndAsync(id);
        if ((string?)job["status"] != "completed") Assert.Fail($"{job.ToJsonString()}\n{string.Join('\n', Hub.Output.TakeLast(40))}");
        return job;
    }

    /// <summary>The parts of a job that wrote below <see cref="Folder"/>/out, checked to be whole: every part, and <c>_SUCCESS</c>, and nothing else.</summary>
    public byte[][] Parts(string id, int reducers, string folder = "out")
    {
        var at = Path.Combine(Folder, folder, id);
        var names = Enumerable.Range(0, reducers).Select(static i => $"part-{i:D5}").ToArray();
        Assert.Equal([.. names.Append("_SUCCESS").Order(StringComparer.Ordinal)], Directory.GetFileSystemEntries(at).Select(path => Path.GetFileName(path)).Order(StringComparer.Ordinal));
        return [.. names.Select(name => File.ReadAllBytes(Path.Combine(at, name)))];
    }

    /// <summary>The answer is a problem of the one shape.</summary>
    public async Task<JsonNode> ProblemAsync(HttpResponseMessage answer, HttpStatusCode status, string code)
    {
        var text = await answer.Content.ReadAsStringAsync();
        Assert.True(answer.StatusCode == status, $"{(int)answer.StatusCode} {text}\n{string.Join('\n', Hub.Output.TakeLast(20))}");
        Assert.Equal("application/problem+json", answer.Content.Headers.ContentType?.MediaType);
        var problem = JsonNode.Parse(text)!;
        Assert.Equal($"urn:jobhub:{code}", (string?)problem["type"]);
        Assert.Equal((int)status, (int)problem["status"]!);
        return problem;
    }

    public async ValueTask DisposeAsync()
    {
        Http.Dispose();
        await Hub.DisposeAsync();
        Directory.Delete(Folder, recursive: true);
    }
}
