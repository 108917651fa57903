using System.Buffers;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using JobHub.Engine.Protocol;
using JobHub.Worker.Runtime.Trees;
using Polly;
using Polly.Retry;

namespace JobHub.Worker.Agent;

/// <summary>The agent protocol over HTTP/1.1. 410 is <see cref="SessionEndedException"/>, 404 on an attempt's route <see cref="AttemptLostException"/>; the rest is <see cref="HubException"/>.</summary>
public sealed class AgentClient : IDisposable
{
    /// <summary>A call that only asks must be answered within this, beside its own long-poll.</summary>
    private static readonly TimeSpan AnswerTime = TimeSpan.FromSeconds(10);

    /// <summary>No byte of a large body moves for this long: the connection is dead. Storing what was sent is part of it.</summary>
    private static readonly TimeSpan StandstillTime = TimeSpan.FromMinutes(2);

    private readonly HttpClient _hub;
    private readonly HttpClient _stores;
    private readonly WorkerToken _token;
    private readonly ResiliencePipeline _retry;

    public AgentClient(HubAddress address, WorkerToken token, TimeProvider clock)
    {
        _token = token;
        // One handler for all: connections are kept, nothing is compressed (programs and shuffle blocks are not text), nothing is redirected.
        var handler = new SocketsHttpHandler
        {
            AutomaticDecompression = DecompressionMethods.None, AllowAutoRedirect = false, UseCookies = false, UseProxy = false,
            ConnectTimeout = TimeSpan.FromSeconds(5), PooledConnectionIdleTimeout = TimeSpan.FromMinutes(2), PooledConnectionLifetime = TimeSpan.FromMinutes(10),
            MaxConnectionsPerServer = 512,
        };
        _hub = new HttpClient(handler) { BaseAddress = address.Base, Timeout = Timeout.InfiniteTimeSpan };
        _stores = new HttpClient(handler, disposeHandler: false) { Timeout = Timeout.InfiniteTimeSpan };
        _retry = new ResiliencePipelineBuilder { TimeProvider = clock }
            .AddRetry(new RetryStrategyOptions
            {
                ShouldHandle = args => ValueTask.FromResult(args.Outcome.Exception is { } e && Faults.IsTransient(e)),
                BackoffType = DelayBackoffType.Exponential, UseJitter = true, MaxRetryAttempts = 8,
                Delay = TimeSpan.FromMilliseconds(100), MaxDelay = TimeSpan.FromSeconds(5),
            })
            .Build();
    }

    public Task<SessionOpened> OpenAsync(OpenSession request, CancellationToken ct) =>
        AskAsync(HttpMethod.Post, "agent/v1/sessions", request, AgentJson.Default.OpenSession, AgentJson.Default.SessionOpened, AnswerTime, ct);

    /// <summary>False when the folder is another's.</summary>
    public async Task<bool> ProveAsync(long session, string text, CancellationToken ct)
    {
        using var request = Request(HttpMethod.Post, $"agent/v1/sessions/{session}/shares");
        request.Content = Json(new FolderProof(text), AgentJson.Default.FolderProof);
        using var limit = Limit(AnswerTime, ct);
        using var answer = await GuardAsync(SendHubAsync(request, HttpCompletionOption.ResponseContentRead, limit.Token), limit, ct);
        if (answer.StatusCode == HttpStatusCode.Conflict) return false;
        await ThrowAsync(answer, limit.Token);
        return true;
    }

    public Task<ClaimAnswer> ClaimAsync(long session, ClaimRequest request, CancellationToken ct) =>
        AskAsync(HttpMethod.Post, $"agent/v1/sessions/{session}/claim", request, AgentJson.Default.ClaimRequest, AgentJson.Default.ClaimAnswer,
            AnswerTime + TimeSpan.FromMilliseconds(request.WaitMs), ct);

    /// <summary>One try: the renew loop itself knows how long it may still try.</summary>
    public Task<RenewAnswer> RenewAsync(long session, RenewRequest request, TimeSpan within, CancellationToken ct) =>
        AskAsync(HttpMethod.Post, $"agent/v1/sessions/{session}/renew", request, AgentJson.Default.RenewRequest, AgentJson.Default.RenewAnswer, within, ct);

    public Task<ControlAnswer> ControlAsync(long session, int waitMs, CancellationToken ct) =>
        AskAsync(HttpMethod.Get, $"agent/v1/sessions/{session}/control?waitMs={waitMs}", null, AgentJson.Default.ControlAnswer, AnswerTime + TimeSpan.FromMilliseconds(waitMs), ct);

    /// <summary>Sends results that are JSON already, as the outbox keeps them.</summary>
    public async Task<CompletionAnswer[]> CompleteAsync(long session, IReadOnlyList<ReadOnlyMemory<byte>> results, CancellationToken ct)
    {
        var body = new ArrayBufferWriter<byte>(results.Sum(r => r.Length + 1) + 16);
        body.Write("{\"results\":["u8);
        for (var i = 0; i < results.Count; i++)
        {
            if (i > 0) body.Write(","u8);
            body.Write(results[i].Span);
        }
        body.Write("]}"u8);
        using var request = Request(HttpMethod.Post, $"agent/v1/sessions/{session}/complete");
        request.Content = new ReadOnlyMemoryContent(body.WrittenMemory) { Headers = { ContentType = new MediaTypeHeaderValue("application/json") } };
        var answer = await AskAsync(request, AgentJson.Default.CompleteAnswer, AnswerTime + AnswerTime, ct);
        return answer.Answers.Length == results.Count ? answer.Answers
            : throw new HubException(HttpStatusCode.BadGateway, $"The hub answered {answer.Answers.Length} of {results.Count} results.");
    }

    /// <summary>Graceful end: what is still held returns uncharged.</summary>
    public async Task EndAsync(long session, CancellationToken ct)
    {
        using var request = Request(HttpMethod.Delete, $"agent/v1/sessions/{session}");
        using var answer = await SendHubAsync(request, HttpCompletionOption.ResponseContentRead, ct);
        if (answer.StatusCode is HttpStatusCode.Gone or HttpStatusCode.NotFound) return;
        await ThrowAsync(answer, ct);
    }

    /// <summary>The spec again, with fresh grants.</summary>
    public Task<AttemptSpec> SpecAsync(long session, Guid token, CancellationToken ct) =>
        RetryAsync(t => AskAsync(HttpMethod.Get, $"agent/v1/sessions/{session}/attempts/{token}", null, AgentJson.Default.AttemptSpec, AnswerTime, t), ct);

    /// <summary>One page of a reducer's runs; after = null is the first.</summary>
    public Task<RunPage> RunsAsync(long session, Guid token, int? after, int limit, CancellationToken ct) =>
        RetryAsync(t => AskAsync(HttpMethod.Get, $"agent/v1/sessions/{session}/attempts/{token}/runs?limit={limit}{(after is { } a ? $"&after={a}" : "")}",
            null, AgentJson.Default.RunPage, AnswerTime, t), ct);

    /// <summary>One page of the files to place; after = null is the first.</summary>
    public Task<FilePage> FilesAsync(long session, Guid token, string? after, int limit, CancellationToken ct) =>
        RetryAsync(t => AskAsync(HttpMethod.Get, $"agent/v1/sessions/{session}/attempts/{token}/files?limit={limit}{(after is null ? "" : $"&after={Uri.EscapeDataString(after)}")}",
            null, AgentJson.Default.FilePage, AnswerTime, t), ct);

    /// <summary>One try at sending a file of a command's tree. Its time is limited by standstill and not by size.</summary>
    internal async Task PutFileAsync(long session, Guid token, string path, bool executable, TreeFileContent content, CancellationToken ct)
    {
        using var request = Request(HttpMethod.Put, $"agent/v1/sessions/{session}/attempts/{token}/files?path={Uri.EscapeDataString(path)}&executable={(executable ? "true" : "false")}");
        content.Headers.ContentType = new MediaTypeHeaderValue("application/octet-stream");
        request.Content = content;
        // A large file that the hub does not want is refused before it is sent.
        request.Headers.ExpectContinue = content.Headers.ContentLength > 1 << 20;
        using var limit = Limit(StandstillTime, ct);
        content.Moved = () => limit.CancelAfter(StandstillTime);
        using var answer = await GuardAsync(SendHubAsync(request, HttpCompletionOption.ResponseHeadersRead, limit.Token), limit, ct);
        limit.CancelAfter(StandstillTime);
        if (answer.StatusCode == HttpStatusCode.BadRequest) throw new HubException(answer.StatusCode, AttemptFiles.Reason(await HeadOfAsync(answer, limit.Token)));
        await ThrowAsync(answer, limit.Token);
    }

    /// <summary>The final log object. The content is made anew for each try.</summary>
    public Task<LogContent> PutLogAsync(long session, Guid token, long size, IReadOnlyList<LogGap> gaps, Func<HttpContent> content, CancellationToken ct) =>
        RetryAsync(async t =>
        {
            using var request = Request(HttpMethod.Put, $"agent/v1/sessions/{session}/attempts/{token}/log");
            request.Content = content();
            request.Headers.Add("JobHub-Log-Size", size.ToString());
            if (gaps.Count > 0) request.Headers.Add("JobHub-Log-Gaps", string.Join(',', gaps.Select(g => $"{g.Offset}+{g.Length}")));
            return await AskAsync(request, AgentJson.Default.LogContent, TimeSpan.FromMinutes(5), t);
        }, ct);

    /// <summary>A piece of a running attempt's output. Best effort: the caller drops it when this throws.</summary>
    public async Task PushLiveAsync(long session, Guid token, long offset, ReadOnlyMemory<byte> bytes, CancellationToken ct)
    {
        using var request = Request(HttpMethod.Post, $"agent/v1/sessions/{session}/attempts/{token}/live?offset={offset}");
        request.Content = new ReadOnlyMemoryContent(bytes) { Headers = { ContentType = new MediaTypeHeaderValue("application/octet-stream") } };
        using var limit = Limit(AnswerTime, ct);
        using var answer = await GuardAsync(SendHubAsync(request, HttpCompletionOption.ResponseContentRead, limit.Token), limit, ct);
        await ThrowAsync(answer, limit.Token);
    }

    /// <summary>Asks and reads JSON, with retries: for calls that may be repeated.</summary>
    internal Task<TOut> PostAgainAsync<TIn, TOut>(string url, TIn body, JsonTypeInfo<TIn> bodyType, JsonTypeInfo<TOut> answerType, CancellationToken ct) =>
        RetryAsync(t => AskAsync(HttpMethod.Post, url, body, bodyType, answerType, AnswerTime, t), ct);

    internal Task<UploadOpened> OpenUploadAsync(string url, CancellationToken ct) =>
        RetryAsync(t => AskAsync(HttpMethod.Post, url, null, AgentJson.Default.UploadOpened, AnswerTime + AnswerTime, t), ct);

    internal Task<PendingOutput> PutOutputAsync(string url, Func<HttpContent> content, CancellationToken ct) =>
        RetryAsync(async t =>
        {
            using var request = Request(HttpMethod.Put, url);
            request.Content = content();
            return await AskAsync(request, AgentJson.Default.PendingOutput, TimeSpan.FromHours(1), t);
        }, ct);

    /// <summary>
    /// Sends to a granted URL. A relative one is the hub's own and takes the worker's token; an absolute one is presigned and takes none.
    /// The answer's body is left to read, whatever its status.
    /// </summary>
    internal Task<HttpResponseMessage> SendGrantedAsync(HttpMethod method, string url, Action<HttpRequestMessage>? shape, CancellationToken ct)
    {
        var own = !IsAbsolute(url);
        var request = own ? Request(method, url) : new HttpRequestMessage(method, url);
        shape?.Invoke(request);
        return own ? SendHubAsync(request, HttpCompletionOption.ResponseHeadersRead, ct) : _stores.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, ct);
    }

    internal async Task<T> RetryAsync<T>(Func<CancellationToken, Task<T>> call, CancellationToken ct) =>
        await _retry.ExecuteAsync(static async (c, t) => await c(t), call, ct);

    private static bool IsAbsolute(string url) => url.StartsWith("http://", StringComparison.OrdinalIgnoreCase) || url.StartsWith("https://", StringComparison.OrdinalIgnoreCase);

    private HttpRequestMessage Request(HttpMethod method, string path)
    {
        var target = new Uri(_hub.BaseAddress!, path);
        // "//host/x" is relative by its looks and elsewhere by its meaning; the bearer token must not go there.
        if (target.Host != _hub.BaseAddress!.Host || target.Port != _hub.BaseAddress.Port) throw new InvalidOperationException("A grant's relative URL leads away from the hub.");
        return new HttpRequestMessage(method, target);
    }

    private async Task<HttpResponseMessage> SendHubAsync(HttpRequestMessage request, HttpCompletionOption completion, CancellationToken ct)
    {
        request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", _token.Read());
        var answer = await _hub.SendAsync(request, completion, ct);
        if (answer.StatusCode == HttpStatusCode.Unauthorized) _token.Forget();
        return answer;
    }

    private Task<TOut> AskAsync<TIn, TOut>(HttpMethod method, string path, TIn body, JsonTypeInfo<TIn> bodyType, JsonTypeInfo<TOut> answerType, TimeSpan within, CancellationToken ct)
        => AskAsync(method, path, Json(body, bodyType), answerType, within, ct);

    private async Task<TOut> AskAsync<TOut>(HttpMethod method, string path, HttpContent? body, JsonTypeInfo<TOut> answerType, TimeSpan within, CancellationToken ct)
    {
        using var request = Request(method, path);
        request.Content = body;
        return await AskAsync(request, answerType, within, ct);
    }

    private async Task<TOut> AskAsync<TOut>(HttpRequestMessage request, JsonTypeInfo<TOut> answerType, TimeSpan within, CancellationToken ct)
    {
        using var limit = Limit(within, ct);
        using var answer = await GuardAsync(SendHubAsync(request, HttpCompletionOption.ResponseHeadersRead, limit.Token), limit, ct);
        await ThrowAsync(answer, limit.Token);
        return await GuardAsync(answer.Content.ReadFromJsonAsync(answerType, limit.Token), limit, ct)
            ?? throw new HubException(HttpStatusCode.BadGateway, "The hub answered null.");
    }

    /// <summary>Our own time limit is a fault worth a retry; the caller's cancellation is not.</summary>
    private static async Task<T> GuardAsync<T>(Task<T> call, CancellationTokenSource limit, CancellationToken ct)
    {
        try { return await call; }
        catch (OperationCanceledException e) when (limit.IsCancellationRequested && !ct.IsCancellationRequested) { throw new TimeoutException("The hub did not answer in time.", e); }
        catch (JsonException e) { throw new HubException(HttpStatusCode.BadGateway, "The hub's answer cannot be read: " + e.Message); }
    }

    // Bytes with a known length: no chunked framing on the many small calls.
    private static ReadOnlyMemoryContent Json<T>(T body, JsonTypeInfo<T> type) =>
        new(JsonSerializer.SerializeToUtf8Bytes(body, type)) { Headers = { ContentType = new MediaTypeHeaderValue("application/json") } };

    private static CancellationTokenSource Limit(TimeSpan within, CancellationToken ct)
    {
        var limit = CancellationTokenSource.CreateLinkedTokenSource(ct);
        limit.CancelAfter(within);
        return limit;
    }

    private static async Task ThrowAsync(HttpResponseMessage answer, CancellationToken ct)
    {
        if (answer.IsSuccessStatusCode) return;
        var path = answer.RequestMessage?.RequestUri?.AbsolutePath ?? "";
        if (answer.StatusCode == HttpStatusCode.Gone) throw new SessionEndedException();
        if (answer.StatusCode == HttpStatusCode.NotFound && path.Contains("/attempts/", StringComparison.Ordinal)) throw new AttemptLostException();
        throw new HubException(answer.StatusCode, $"{(int)answer.StatusCode} from {path}: {await HeadOfAsync(answer, ct)}");
    }

    internal static async Task<string> HeadOfAsync(HttpResponseMessage answer, CancellationToken ct)
    {
        var buffer = new byte[512];
        try
        {
            await using var stream = await answer.Content.ReadAsStreamAsync(ct);
            var n = await stream.ReadAtLeastAsync(buffer, buffer.Length, throwOnEndOfStream: false, ct);
            return Encoding.UTF8.GetString(buffer, 0, n);
        }
        catch (Exception e) when (e is IOException or HttpRequestException) { return ""; }
    }

    public void Dispose()
    {
        _stores.Dispose();
        _hub.Dispose();
    }
}
