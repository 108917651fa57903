using System.Net;
using System.Text;
using System.Text.Json.Nodes;
using JobHub.Testing;

namespace JobHub.AppHost.Tests.Commands;

/// <summary>One hub as a scientist sees it: /jobs and /files over HTTP. Each has a project of its own a test.</summary>
public sealed class CommandHub(HubProcess hub) : IAsyncDisposable
{
    private static readonly TimeSpan JobLimit = TimeSpan.FromMinutes(4);

    public HubProcess Hub { get; } = hub;

    public HttpClient Http { get; } = hub.CreateClient();

    public static string NewProject() => "c" + Guid.NewGuid().ToString("N")[..12];

    public static MultipartFormDataContent Form(string command, params (string Path, byte[] Content)[] files)
    {
        var form = new MultipartFormDataContent { { new StringContent(command), "command" } };
        foreach (var (path, content) in files) form.Add(new ByteArrayContent(content), "file[]", path);
        return form;
    }

    public async Task<string> SubmitAsync(string project, HttpContent content)
    {
        using (content)
        using (var answer = await Http.PostAsync($"/jobs?project={project}", content))
        {
            var text = await answer.Content.ReadAsStringAsync();
            Assert.True(answer.StatusCode == HttpStatusCode.Created, text);
            return (string)JsonNode.Parse(text)!["job_id"]!;
        }
    }

    public Task<string> SubmitAsync(string project, JsonObject body) => SubmitAsync(project, new StringContent(body.ToJsonString(), Encoding.UTF8, "application/json"));

    /// <summary>Runs to the end.</summary>
    public async Task<Ended> RunAsync(string project, HttpContent content) => await EndAsync(project, await SubmitAsync(project, content));

    public async Task<Ended> RunAsync(string project, JsonObject body) => await EndAsync(project, await SubmitAsync(project, body));

    public Task<Ended> RunAsync(string project, string command) => RunAsync(project, new JsonObject { ["command"] = command });

    public async Task<Ended> EndAsync(string project, string job)
    {
        var status = await Eventually.GetAsync(() => StatusAsync(project, job), s => (string?)s["status"] is "COMPLETE" or "FAILED", $"the end of job {job}", JobLimit);
        return new Ended(job, status, await Http.GetStringAsync($"/jobs/{job}/log?project={project}"));
    }

    public async Task<JsonNode> StatusAsync(string project, string job) => JsonNode.Parse(await Http.GetStringAsync($"/jobs/{job}?project={project}"))!;

    public Task<byte[]> FileAsync(string project, string path, string? job = null) => Http.GetByteArrayAsync(At(project, path, job));

    public async Task<string> TextAsync(string project, string path, string? job = null) => Encoding.UTF8.GetString(await FileAsync(project, path, job));

    public async Task<bool> HasAsync(string project, string path, string? job = null)
    {
        using var answer = await Http.SendAsync(new HttpRequestMessage(HttpMethod.Head, At(project, path, job)));
        return answer.StatusCode == HttpStatusCode.OK;
    }

    public async Task<string[]> ListAsync(string project, string folder, string? job = null) =>
        [.. JsonNode.Parse(await Http.GetStringAsync(At(project, folder, job)))!["entries"]!.AsArray().Select(e => (string)e!["name"]!)];

    public static string At(string project, string path, string? job = null) =>
        $"/files?project={project}&path={Uri.EscapeDataString(path)}" + (job is null ? "" : $"&job_id={job}");

    public async ValueTask DisposeAsync()
    {
        Http.Dispose();
        await Hub.DisposeAsync();
    }
}

/// <summary>A job that has ended.</summary>
public sealed record Ended(string Id, JsonNode Status, string Log)
{
    public string Word => (string)Status["status"]!;

    public int? ExitCode => (int?)Status["exit_code"];

    public string? ErrorType => (string?)Status["error"]?["type"];

    public override string ToString() => $"{Status.ToJsonString()}\n{Log}";
}

/// <summary>A hub with the best sandbox there is, one without, and one whose store is S3: each started when a test wants it.</summary>
public sealed class CommandHubs : IAsyncLifetime
{
    private readonly SemaphoreSlim starting = new(1);
    private readonly Dictionary<string, CommandHub> hubs = [];
    private S3Server s3 = null!;

    public const string Sandbox = "sandbox", Unshare = "unshare", Plain = "plain", S3 = "s3";

    public async Task<CommandHub> GetAsync(string kind = Sandbox)
    {
        await starting.WaitAsync();
        try
        {
            if (hubs.TryGetValue(kind, out var running)) return running;
            return hubs[kind] = new CommandHub(await HubProcess.StartAsync(new HubOptions
            {
                Environment = kind switch
                {
                    Plain => new Dictionary<string, string?> { ["JobHub__Worker__Isolation"] = "Plain" },
                    Unshare => new Dictionary<string, string?> { ["JobHub__Worker__Isolation"] = "Unshare" },
                    S3 => new Dictionary<string, string?>
                    {
                        ["JobHub__Storage__Kind"] = "s3", ["JobHub__Storage__Endpoint"] = s3.Endpoint, ["JobHub__Storage__Bucket"] = $"jobhub-{Guid.NewGuid():N}",
                        ["JobHub__Storage__AccessKey"] = s3.AccessKey, ["JobHub__Storage__SecretKey"] = s3.SecretKey,
                    },
                    _ => new Dictionary<string, string?>(),
                },
            }));
        }
        finally
        {
            starting.Release();
        }
    }

    public async Task InitializeAsync() => s3 = await S3Server.StartAsync();

    public async Task DisposeAsync()
    {
        foreach (var hub in hubs.Values) await hub.DisposeAsync();
        await s3.DisposeAsync();
        starting.Dispose();
    }
}

[CollectionDefinition(Name)]
public sealed class CommandHubsCollection : ICollectionFixture<CommandHubs>
{
    public const string Name = "command hubs";
}
