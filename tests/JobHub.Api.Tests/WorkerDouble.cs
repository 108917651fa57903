using System.Net;
using System.Text.Json;
using JobHub.Engine;
using JobHub.Engine.Analyses;
using JobHub.Engine.Attempts;
using JobHub.Engine.Protocol;

namespace JobHub.Api.Tests;

/// <summary>A worker as the hub sees one: it speaks the agents' protocol and runs nothing.</summary>
internal sealed class WorkerDouble : IAsyncDisposable
{
    private readonly HttpClient client;
    private readonly long session;

    private WorkerDouble(HttpClient client, long session, string name) => (this.client, this.session, Name) = (client, session, name);

    public string Name { get; }

    public static async Task<WorkerDouble> OpenAsync(HubHost hub, int gpus = 0, int cpus = 8, long memory = 8L << 30, int slots = 16, string[]? tags = null, string? name = null, string[]? mounts = null)
    {
        var client = hub.NewClient(HubHost.WorkerToken);
        var open = new OpenSession(name ?? $"double-{Guid.NewGuid():N}", "here", slots, cpus, memory, gpus, tags is null ? [] : [tags], mounts ?? [], "plain", "test");
        using var answer = await client.PostAsync("/agent/v1/sessions", JsonSerializer.Serialize(open, EngineJson.Default.OpenSession).AsJson());
        Assert.Equal(HttpStatusCode.Created, answer.StatusCode);
        return new WorkerDouble(client, (long)(await answer.JsonAsync())["session"]!, open.Worker);
    }

    public async Task<AttemptSpec[]> ClaimAsync(int max)
    {
        using var answer = await client.PostAsync($"/agent/v1/sessions/{session}/claim", JsonSerializer.Serialize(new ClaimRequest(Guid.NewGuid(), max, 0), EngineJson.Default.ClaimRequest).AsJson());
        answer.EnsureSuccessStatusCode();
        return JsonSerializer.Deserialize(await answer.Content.ReadAsStringAsync(), EngineJson.Default.ClaimAnswer)!.Attempts;
    }

    /// <summary>The attempt of the only job that waits, or null when it is not given out yet.</summary>
    public async Task<AttemptSpec?> ClaimOfAsync(long number)
    {
        if (await ClaimAsync(1) is not [var attempt]) return null;
        Assert.Equal(number, attempt.TaskId >> 20);
        return attempt;
    }

    public async Task<FilePage> FilesAsync(AttemptSpec attempt) =>
        JsonSerializer.Deserialize(await client.GetStringAsync($"{Of(attempt)}/files"), EngineJson.Default.FilePage)!;

    public Task<byte[]> ReadAsync(TreeFile file) => client.GetByteArrayAsync(file.Source.Url);

    /// <summary>The whole object that a map reads, by the hub's route or, where it is shared, from its folder.</summary>
    public async Task<string> InputAsync(AttemptSpec attempt) => attempt.Map!.Input.Url is { } url ? await client.GetStringAsync(url) : await File.ReadAllTextAsync(attempt.Map.Input.Path!);

    public Task<HttpResponseMessage> SendAsync(AttemptSpec attempt, string path, HttpContent content, bool executable = false) =>
        client.PutAsync($"{Of(attempt)}/files?path={Uri.EscapeDataString(path)}&executable={(executable ? "true" : "false")}", content);

    public async Task<CompletionAnswer> CompleteAsync(AttemptSpec attempt, AttemptOutcome outcome, int files = 0, int? exitCode = 0, AttemptError? error = null, string? log = null, int? signal = null, LogContent? stored = null)
    {
        var result = new AttemptResult { Token = attempt.Token, TaskId = attempt.TaskId, Outcome = outcome, ExitCode = exitCode, Files = files, Error = error, Signal = signal, Log = stored ?? LogOf(log) };
        return await CompleteAsync(result);
    }

    public async ValueTask DisposeAsync()
    {
        using (await client.DeleteAsync($"/agent/v1/sessions/{session}"))
        {
        }

        client.Dispose();
    }

    /// <summary>Renews the lease of an attempt that has begun, and says how far it is.</summary>
    public async Task RenewAsync(AttemptSpec attempt, double fraction)
    {
        var request = new RenewRequest([attempt.Token], [attempt.Token], [new(attempt.Token, fraction, null, null)], 0, 0);
        using var answer = await client.PostAsync($"/agent/v1/sessions/{session}/renew", JsonSerializer.Serialize(request, EngineJson.Default.RenewRequest).AsJson());
        answer.EnsureSuccessStatusCode();
    }

    /// <summary>What the program has printed since the last call, while it runs.</summary>
    public async Task PrintAsync(AttemptSpec attempt, long offset, byte[] bytes)
    {
        using var answer = await client.PostAsync($"{Of(attempt)}/live?offset={offset}", new ByteArrayContent(bytes));
        answer.EnsureSuccessStatusCode();
    }

    /// <summary>Stores an attempt's final log, as one that is too long to travel with its report.</summary>
    public async Task<LogContent> StoreLogAsync(AttemptSpec attempt, byte[] kept, long size, params LogGap[] gaps)
    {
        using var request = new HttpRequestMessage(HttpMethod.Put, $"{Of(attempt)}/log") { Content = new ByteArrayContent(kept) };
        request.Headers.Add("JobHub-Log-Size", $"{size}");
        request.Headers.Add("JobHub-Log-Gaps", string.Join(',', gaps.Select(static gap => $"{gap.Offset}+{gap.Length}")));
        using var answer = await client.SendAsync(request);
        answer.EnsureSuccessStatusCode();
        return JsonSerializer.Deserialize(await answer.Content.ReadAsStringAsync(), EngineJson.Default.LogContent)!;
    }

    /// <summary>Runs an analysis as a worker does that shares no folder: what it reads and writes goes by the hub's routes.</summary>
    public async Task<CompletionAnswer> AnalyseAsync(AttemptSpec attempt)
    {
        var spec = attempt.Analysis!;
        await using var profiles = await client.GetStreamAsync(spec.Profiles.Url);
        var table = await AnalysisFiles.ReadProfilesAsync(profiles, CancellationToken.None);
        var edges = new List<TreeEdge>();
        if (spec.Edges is { } grant)
        {
            await using var stream = await client.GetStreamAsync(grant.Url);
            await foreach (var edge in AnalysisFiles.ReadEdgesAsync(stream, CancellationToken.None)) edges.Add(edge);
        }

        var lines = new Lines();
        Algorithm.Find(spec.Kind, spec.Algorithm)!.Run(new(table, edges, spec.Numbers), lines, new Progress<double>(), CancellationToken.None);
        using var put = await client.PutAsync(spec.Output.PutUrl, new StringContent(lines.Text.ToString()));
        put.EnsureSuccessStatusCode();
        var output = JsonSerializer.Deserialize(await put.Content.ReadAsStringAsync(), EngineJson.Default.PendingOutput)!;
        return await CompleteAsync(new AttemptResult { Token = attempt.Token, TaskId = attempt.TaskId, Outcome = AttemptOutcome.Succeeded, Output = output });
    }

    private async Task<CompletionAnswer> CompleteAsync(AttemptResult result)
    {
        using var answer = await client.PostAsync($"/agent/v1/sessions/{session}/complete", JsonSerializer.Serialize(new CompleteRequest([result]), EngineJson.Default.CompleteRequest).AsJson());
        answer.EnsureSuccessStatusCode();
        return JsonSerializer.Deserialize(await answer.Content.ReadAsStringAsync(), EngineJson.Default.CompleteAnswer)!.Answers[0];
    }

    private sealed class Lines : AnalysisOutput
    {
        public System.Text.StringBuilder Text { get; } = new();

        public override void Edge(string from, string to, double distance) => Text.Append(AnalysisFiles.EdgeLine(new(from, to, distance)));

        public override void Point(string profile, int component, double x, double y) => Text.Append(AnalysisFiles.PointLine(new(profile, component, x, y)));
    }

    private static LogContent? LogOf(string? text) => text is null ? null : new(System.Text.Encoding.Latin1.GetBytes(text), null, text.Length, null);

    private string Of(AttemptSpec attempt) => $"/agent/v1/sessions/{session}/attempts/{attempt.Token}";
}
