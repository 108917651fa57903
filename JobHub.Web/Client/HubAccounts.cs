using System.Net;
using System.Net.Http.Headers;
using System.Text.Json;
using JobHub.Web.SignIn;

namespace JobHub.Web.Client;

/// <summary>The hub API's sign-in. It sends no visitor's token but the one it is given.</summary>
public sealed class HubAccounts(HttpClient http, IHttpContextAccessor visitors)
{
    private static readonly JsonSerializerOptions Json = new(JsonSerializerDefaults.Web);

    /// <exception cref="SignInRefusedException">Nobody was signed in; it says why.</exception>
    public Task<HubSession> SignInAsync(string name, string password, CancellationToken cancellationToken) =>
        AskAsync<HubSession>(HttpMethod.Post, "/hub/v1/sign-in", new { name, password }, null, SignInWords.Refused, cancellationToken);

    /// <summary>Gives a provider's access token for a session of the hub.</summary>
    /// <exception cref="SignInRefusedException">Nobody was signed in; it says why.</exception>
    public Task<HubSession> SignInByProviderAsync(string provider, string token, CancellationToken cancellationToken) =>
        AskAsync<HubSession>(HttpMethod.Post, "/hub/v1/sign-in/provider", new { provider, token }, null, SignInWords.ProviderRefused, cancellationToken);

    /// <summary>Whose token this is.</summary>
    /// <exception cref="SignInRefusedException">It is nobody's, or the hub is away.</exception>
    public async Task<HubSession> SignInByTokenAsync(string token, CancellationToken cancellationToken)
    {
        var me = await AskAsync<HubUser>(HttpMethod.Get, "/hub/v1/me", null, token, SignInWords.TokenRefused, cancellationToken);
        return new HubSession(token, me.ExpiresAt, me);
    }

    /// <summary>Ends a session at the hub.</summary>
    /// <returns>False when the hub is away: the session ends with its time.</returns>
    public async Task<bool> SignOutAsync(string token, CancellationToken cancellationToken)
    {
        try
        {
            using var request = Request(HttpMethod.Post, "/hub/v1/sign-out", null, token);
            using var answer = await http.SendAsync(request, cancellationToken);
            // 401: it has ended before.
            return answer.IsSuccessStatusCode || answer.StatusCode is HttpStatusCode.Unauthorized;
        }
        catch (Exception e) when (e is HttpRequestException || (e is OperationCanceledException && !cancellationToken.IsCancellationRequested))
        {
            return false;
        }
    }

    private HttpRequestMessage Request(HttpMethod method, string path, object? body, string? token)
    {
        var request = new HttpRequestMessage(method, path)
        {
            Content = body is null ? null : JsonContent.Create(body), Headers = { Authorization = token is null ? null : new AuthenticationHeaderValue("Bearer", token) },
        };
        // The Api counts failures by address: without this one visitor's would be everybody's.
        if (visitors.HttpContext?.Connection.RemoteIpAddress is { } address) request.Headers.Add("X-Forwarded-For", address.ToString());
        return request;
    }

    private async Task<T> AskAsync<T>(HttpMethod method, string path, object? body, string? token, string refusal, CancellationToken cancellationToken)
        where T : class
    {
        // What cannot stand in a header is no token.
        if (token is not null && !token.All(static c => c is > ' ' and <= '~')) throw new SignInRefusedException(refusal);
        try
        {
            using var request = Request(method, path, body, token);
            using var answer = await http.SendAsync(request, cancellationToken);
            if (answer.IsSuccessStatusCode)
                return await answer.Content.ReadFromJsonAsync<T>(Json, cancellationToken) ?? throw new SignInRefusedException(SignInWords.Away);
            throw new SignInRefusedException(answer.StatusCode switch
            {
                HttpStatusCode.TooManyRequests => SignInWords.TooMany,
                >= HttpStatusCode.BadRequest and < HttpStatusCode.InternalServerError => refusal,
                _ => SignInWords.Away,
            });
        }
        catch (Exception e) when (e is HttpRequestException or JsonException || (e is OperationCanceledException && !cancellationToken.IsCancellationRequested))
        {
            throw new SignInRefusedException(SignInWords.Away);
        }
    }
}

/// <summary>A session of the hub; the token never leaves the dashboard but inside the sealed cookie.</summary>
public sealed record HubSession(string Token, DateTimeOffset? ExpiresAt, HubUser User);

/// <summary>Who is signed in.</summary>
public sealed record HubUser(string Name, string? Role)
{
    public DateTimeOffset? ExpiresAt { get; init; }
}
