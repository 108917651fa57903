using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using JobHub.Engine;
using JobHub.Engine.Protocol;

namespace JobHub.Benchmarks.Queue;

/// <summary>A worker that only speaks the agent protocol: no programs, no outbox.</summary>
internal sealed class HttpAgent : IAsyncDisposable
{
    private readonly HttpClient _http;
    private readonly CancellationTokenSource _over = new();
    private long _session;
    private Guid[] _held = [];
    private Task _renewing = Task.CompletedTask;

    private HttpAgent(HttpClient http) => _http = http;

    public static async Task<HttpAgent> OpenAsync(Uri hub, string token, string name, int slots, string[][]? affinity = null)
    {
        var handler = new SocketsHttpHandler { UseProxy = false, UseCookies = false, AllowAutoRedirect = false };
        var agent = new HttpAgent(new HttpClient(handler) { BaseAddress = hub, Timeout = TimeSpan.FromMinutes(1) });
        agent._http.DefaultRequestHeaders.Authorization = new("Bearer", token);
        var opened = await agent.PostAsync("agent/v1/sessions", new OpenSession(name, "bench", slots, 4, 8L << 30, 0, affinity ?? [], ["/"], "plain", "bench"),
            EngineJson.Default.OpenSession, EngineJson.Default.SessionOpened);
        agent._session = opened.Session;
        agent._renewing = Task.Run(agent.RenewAsync);
        return agent;
    }

    public async Task<AttemptSpec[]> ClaimAsync(int max, int waitMs)
    {
        var claimed = (await PostAsync($"agent/v1/sessions/{_session}/claim", new ClaimRequest(Guid.NewGuid(), max, waitMs),
            EngineJson.Default.ClaimRequest, EngineJson.Default.ClaimAnswer)).Attempts;
        Volatile.Write(ref _held, Array.ConvertAll(claimed, c => c.Token));
        return claimed;
    }

    public async Task CompleteAsync(AttemptResult[] results)
    {
        var answer = await PostAsync($"agent/v1/sessions/{_session}/complete", new CompleteRequest(results), EngineJson.Default.CompleteRequest, EngineJson.Default.CompleteAnswer);
        if (answer.Answers.Any(a => a != CompletionAnswer.Accepted)) throw new InvalidOperationException("A completion was refused.");
    }

    private async Task RenewAsync()
    {
        while (!_over.IsCancellationRequested)
        {
            await PostAsync($"agent/v1/sessions/{_session}/renew", new RenewRequest(Volatile.Read(ref _held), [], [], 0, 0), EngineJson.Default.RenewRequest, EngineJson.Default.RenewAnswer);
            await Task.Delay(1000, _over.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private async Task<TOut> PostAsync<TIn, TOut>(string path, TIn body, JsonTypeInfo<TIn> type, JsonTypeInfo<TOut> answerType)
    {
        // Bytes with a known length, as the worker's own client sends them.
        using var content = new ByteArrayContent(JsonSerializer.SerializeToUtf8Bytes(body, type)) { Headers = { ContentType = new MediaTypeHeaderValue("application/json") } };
        using var answer = await _http.PostAsync(path, content);
        answer.EnsureSuccessStatusCode();
        return (await answer.Content.ReadFromJsonAsync(answerType))!;
    }

    public async ValueTask DisposeAsync()
    {
        await _over.CancelAsync();
        await _renewing;
        using (await _http.DeleteAsync($"agent/v1/sessions/{_session}"))
        {
            // Ended in good order.
        }

        _over.Dispose();
        _http.Dispose();
    }
}
