using System.Net;
using System.Text.Json;

namespace JobHub.Web.Client;

/// <summary>What the hub API says and does for a visitor about himself: his tokens, and for admins the audit.</summary>
public sealed class HubSelf(HubHttp hub)
{
    private readonly HttpClient http = hub.Client;

    private const int TokenPage = 50, AuditPage = 100;
    private static readonly JsonSerializerOptions Json = new(JsonSerializerDefaults.Web);

    /// <summary>Own tokens and sessions, newest first.</summary>
    /// <exception cref="HubRefusedException">The Api refuses, or is away; it says why.</exception>
    public Task<HubPage<HubToken>> TokensAsync(string? after, CancellationToken cancellationToken) =>
        AskAsync<HubPage<HubToken>>(HttpMethod.Get, $"/hub/v1/tokens?limit={TokenPage}{Query("after", after)}", null, cancellationToken);

    /// <summary>Makes a token; the answer alone holds it.</summary>
    /// <exception cref="HubRefusedException">The Api refuses, or is away; it says why.</exception>
    public Task<HubToken> MakeTokenAsync(string name, string scope, string? project, int days, CancellationToken cancellationToken) =>
        AskAsync<HubToken>(HttpMethod.Post, "/hub/v1/tokens", new { name, scopes = new[] { scope }, project, expiresInDays = days }, cancellationToken);

    /// <summary>Ends a token; one that is gone is no fault.</summary>
    /// <exception cref="HubRefusedException">The Api refuses, or is away; it says why.</exception>
    public async Task RevokeTokenAsync(Guid id, CancellationToken cancellationToken)
    {
        using var answer = await SendAsync(HttpMethod.Delete, $"/hub/v1/tokens/{id:D}", null, cancellationToken);
        if (answer.StatusCode is not HttpStatusCode.NotFound) await CheckAsync(answer, cancellationToken);
    }

    /// <summary>Who did what, newest first.</summary>
    /// <exception cref="HubRefusedException">The Api refuses, or is away; it says why.</exception>
    public Task<HubPage<HubAuditRow>> AuditAsync(string? caller, string? kind, string? after, CancellationToken cancellationToken) =>
        AskAsync<HubPage<HubAuditRow>>(HttpMethod.Get, $"/hub/v1/audit?limit={AuditPage}{Query("caller", caller)}{Query("kind", kind)}{Query("after", after)}", null, cancellationToken);

    private static string Query(string name, string? value) => string.IsNullOrWhiteSpace(value) ? "" : $"&{name}={Uri.EscapeDataString(value.Trim())}";

    private async Task<T> AskAsync<T>(HttpMethod method, string address, object? body, CancellationToken cancellationToken)
        where T : class
    {
        using var answer = await SendAsync(method, address, body, cancellationToken);
        await CheckAsync(answer, cancellationToken);
        try
        {
            return await answer.Content.ReadFromJsonAsync<T>(Json, cancellationToken) ?? throw new JsonException();
        }
        catch (JsonException)
        {
            throw new HubRefusedException(StatusCodes.Status502BadGateway, "The API's answer could not be read.");
        }
    }

    private async Task<HttpResponseMessage> SendAsync(HttpMethod method, string address, object? body, CancellationToken cancellationToken)
    {
        try
        {
            using var request = new HttpRequestMessage(method, address) { Content = body is null ? null : JsonContent.Create(body) };
            return await http.SendAsync(request, cancellationToken);
        }
        catch (Exception e) when (e is HttpRequestException || (e is OperationCanceledException && !cancellationToken.IsCancellationRequested))
        {
            throw new HubRefusedException(StatusCodes.Status503ServiceUnavailable, "The API does not answer. Try again in a moment.");
        }
    }

    private static async Task CheckAsync(HttpResponseMessage answer, CancellationToken cancellationToken)
    {
        if (answer.IsSuccessStatusCode) return;
        string? detail = null;
        try
        {
            detail = (await answer.Content.ReadFromJsonAsync<Refusal>(Json, cancellationToken))?.Detail;
        }
        catch (Exception e) when (e is JsonException or HttpRequestException)
        {
            // Then its status is all there is to say.
        }

        var status = (int)answer.StatusCode;
        throw new HubRefusedException(status < 500 ? status : StatusCodes.Status503ServiceUnavailable, detail ?? $"The API answered {status}.");
    }

    private sealed record Refusal(string? Detail);
}

/// <summary>A token or a session of the visitor.</summary>
public sealed record HubToken
{
    public required Guid Id { get; init; }
    /// <summary>token, or session.</summary>
    public string Kind { get; init; } = "";
    public string Name { get; init; } = "";
    public IReadOnlyList<string> Scopes { get; init; } = [];
    public string? Project { get; init; }
    public DateTimeOffset CreatedAt { get; init; }
    public DateTimeOffset? ExpiresAt { get; init; }
    public DateTimeOffset? LastUsedAt { get; init; }
    public DateTimeOffset? RevokedAt { get; init; }
    /// <summary>In the answer to its making only.</summary>
    public string? Token { get; init; }
}

/// <summary>A row of the audit.</summary>
public sealed record HubAuditRow(long Id, DateTimeOffset At, string Caller, string Action, string Kind, string Object, string? Project, string? Address);
