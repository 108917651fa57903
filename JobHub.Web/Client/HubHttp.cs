using System.Net;
using System.Text.Json;
using Microsoft.AspNetCore.Components;

namespace JobHub.Web.Client;

/// <summary>The visitor's calls of the Api: one scope's, over connections that all share.</summary>
public sealed class HubHttp : IDisposable
{
    /// <summary>The name of the shared connections.</summary>
    public const string Shared = "hub";

    public static readonly JsonSerializerOptions Json = new(JsonSerializerDefaults.Web);

    private static readonly TimeSpan Longest = TimeSpan.FromSeconds(10);

    public HubHttp(IHttpMessageHandlerFactory handlers, Visitor visitor, IConfiguration configuration)
    {
        ArgumentNullException.ThrowIfNull(handlers);
        // What is streamed may take as long as it takes; short calls are limited one by one.
        Client = new HttpClient(new VisitorToken(visitor) { InnerHandler = handlers.CreateHandler(Shared) }, disposeHandler: false)
        {
            BaseAddress = AddressOf(configuration), Timeout = Timeout.InfiniteTimeSpan,
        };
    }

    /// <summary>For what is streamed; everything else goes by the calls below.</summary>
    public HttpClient Client { get; }

    /// <summary>The Api's address as commands name it, with a slash at its end.</summary>
    public string Address => Client.BaseAddress!.ToString();

    public static Uri AddressOf(IConfiguration configuration) => new(configuration["services:api:http:0"] ?? "http://127.0.0.1:4750");

    /// <summary>A path with query values; those that are null or empty are left out, those of an array come several times.</summary>
    public static string Path(string path, params (string Name, object? Value)[] query)
    {
        ArgumentNullException.ThrowIfNull(query);
        var pairs = query.SelectMany(static q => q.Value is IEnumerable<string> many && q.Value is not string ? many.Select(v => (q.Name, Value: v)) : [(q.Name, Value: Convert.ToString(q.Value, System.Globalization.CultureInfo.InvariantCulture) ?? "")])
            .Where(static q => q.Value.Length > 0).Select(static q => $"{q.Name}={Uri.EscapeDataString(q.Value)}");
        var text = string.Join('&', pairs);
        return text.Length == 0 ? path : $"{path}{(path.Contains('?', StringComparison.Ordinal) ? '&' : '?')}{text}";
    }

    /// <summary>What the Api answers to a GET.</summary>
    /// <exception cref="HubAwayException">It does not answer, or cannot.</exception>
    /// <exception cref="HubRefusedException">It refuses and says why.</exception>
    public Task<T> GetAsync<T>(string path, CancellationToken ct) => AskAsync<T>(HttpMethod.Get, path, null, ct);

    /// <summary>The same, or null when it knows nothing of the kind.</summary>
    public async Task<T?> FindAsync<T>(string path, CancellationToken ct)
        where T : class
    {
        using var answer = await SendAsync(HttpMethod.Get, path, null, ct);
        if (answer.StatusCode is HttpStatusCode.NotFound) return null;
        return await ReadAsync<T>(answer, ct);
    }

    /// <summary>Sends a body as JSON (or none) and reads the answer.</summary>
    public async Task<T> AskAsync<T>(HttpMethod method, string path, object? body, CancellationToken ct)
    {
        using var answer = await SendAsync(method, path, body, ct);
        return await ReadAsync<T>(answer, ct);
    }

    /// <summary>Sends a body as JSON (or none); only whether it was done matters.</summary>
    public async Task DoAsync(HttpMethod method, string path, object? body, CancellationToken ct)
    {
        using var answer = await SendAsync(method, path, body, ct);
        await CheckAsync(answer, ct);
    }

    public void Dispose() => Client.Dispose();

    private static async Task<T> ReadAsync<T>(HttpResponseMessage answer, CancellationToken ct)
    {
        await CheckAsync(answer, ct);
        try
        {
            return await answer.Content.ReadFromJsonAsync<T>(Json, ct) ?? throw new JsonException();
        }
        catch (JsonException e)
        {
            throw new HubAwayException("The API's answer could not be read.", e);
        }
    }

    private async Task<HttpResponseMessage> SendAsync(HttpMethod method, string path, object? body, CancellationToken ct)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(ct);
        limit.CancelAfter(Longest);
        try
        {
            using var request = new HttpRequestMessage(method, path) { Content = body is null ? null : body as HttpContent ?? JsonContent.Create(body, options: Json) };
            return await Client.SendAsync(request, limit.Token);
        }
        catch (Exception e) when (e is HttpRequestException or IOException || (e is OperationCanceledException && !ct.IsCancellationRequested))
        {
            throw new HubAwayException("The API does not answer.", e);
        }
    }

    private static async Task CheckAsync(HttpResponseMessage answer, CancellationToken ct)
    {
        if (answer.IsSuccessStatusCode) return;
        var status = (int)answer.StatusCode;
        HubProblem? problem = null;
        try
        {
            problem = await answer.Content.ReadFromJsonAsync<HubProblem>(Json, ct);
        }
        catch (Exception e) when (e is JsonException or HttpRequestException or InvalidOperationException)
        {
            // Then its status is all there is to say.
        }

        if (status >= 500 && status != (int)HttpStatusCode.InsufficientStorage) throw new HubAwayException(problem?.Detail ?? $"The API answered {status}.", null);
        throw new HubRefusedException(status, problem?.Detail ?? problem?.Title ?? $"The API answered {status}.", problem?.Type, problem?.Field);
    }

    private sealed record HubProblem(string? Type, string? Title, string? Detail, string? Field);
}
