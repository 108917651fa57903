using System.Net;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;
using JobHub.Engine.Accounts;
using JobHub.Engine.Storage;
using JobHub.ServiceDefaults;
using Microsoft.Extensions.Options;

namespace JobHub.Api.Http.Access;

/// <summary>
/// Whose a provider's access token is. The provider is asked over connections that the rules for callers' addresses hold, and its answer holds for a minute at most; whether the account may
/// still use the hub is asked of the database each time.
/// </summary>
public sealed partial class ProviderTokens : IDisposable
{
    private const int MostCached = 10_000, LongestToken = 8192, LongestAnswer = 64 << 10, MostAsked = 32;

    private readonly Dictionary<string, (ProviderOptions Options, string? Secret)> providers = new(StringComparer.Ordinal);
    private readonly Dictionary<string, (long At, TimeSpan Holds, Person? Person)> cached = new(StringComparer.Ordinal);
    private readonly Lock gate = new();
    private readonly SemaphoreSlim turns = new(MostAsked);
    private readonly HttpClient http;
    private readonly ProvidersOptions settings;
    private readonly AccountStore accounts;
    private readonly TimeProvider clock;
    private readonly ILogger<ProviderTokens> logger;

    private sealed record Person(string Subject, string Name, DateTimeOffset? Until);

    public ProviderTokens(IOptions<ProvidersOptions> options, AccountStore accounts, TimeProvider clock, ILogger<ProviderTokens> logger)
    {
        ArgumentNullException.ThrowIfNull(options);
        (settings, this.accounts, this.clock, this.logger) = (options.Value, accounts, clock, logger);
        foreach (var (name, provider) in settings.Providers) providers[name] = (provider, SecretOf(name, provider.ClientSecretFile));
        var listed = settings.AllowedEndpoints.Select(static text => StorageEndpoint.TryParse(text, "http")).OfType<StorageEndpoint>().ToArray();
        http = new(GuardedHttp.Create(listed, "JobHub:Auth:AllowedEndpoints")) { Timeout = settings.ProviderTimeout, MaxResponseContentBufferSize = LongestAnswer };
    }

    /// <summary>The account behind a provider's token, made at first sight. Null: no such provider, or the token is not good there, or the account is disabled here.</summary>
    /// <exception cref="RefusedException">503: the provider cannot be asked, so nobody knows.</exception>
    public async Task<Account?> AccountAsync(string provider, string token, CancellationToken ct)
    {
        if (!providers.TryGetValue(provider, out var known) || token.Length is 0 or > LongestToken || token.Any(static c => c is <= ' ' or > '~')) return null;
        var key = provider + ":" + Convert.ToHexString(TokenText.Hash(token));
        if (!TryRecall(key, out var person))
        {
            person = await AskAsync(provider, known.Options, known.Secret, token, ct);
            Remember(key, person);
        }

        if (person is null) return null;
        var account = await accounts.OfProviderAsync(provider, person.Subject, person.Name, ct);
        return account.DisabledAt is null ? account : null;
    }

    /// <inheritdoc />
    public void Dispose()
    {
        http.Dispose();
        turns.Dispose();
    }

    private async Task<Person?> AskAsync(string name, ProviderOptions provider, string? secret, string token, CancellationToken ct)
    {
        if (!await turns.WaitAsync(settings.ProviderTimeout, ct)) throw Away(name, "too many requests to it are under way");
        try
        {
            using var request = RequestFor(provider, secret, token);
            using var answer = await http.SendAsync(request, ct);
            if (provider.UserInfo is not null && answer.StatusCode is HttpStatusCode.BadRequest or HttpStatusCode.Unauthorized or HttpStatusCode.Forbidden) return null;
            if (answer.StatusCode != HttpStatusCode.OK) throw Away(name, $"it answered {(int)answer.StatusCode}");
            using var body = JsonDocument.Parse(await answer.Content.ReadAsByteArrayAsync(ct));
            return PersonOf(name, provider, body.RootElement);
        }
        catch (Exception fault) when (fault is HttpRequestException or IOException or JsonException || (fault is OperationCanceledException && !ct.IsCancellationRequested))
        {
            throw Away(name, fault is JsonException ? "its answer is not JSON" : fault.InnerException is AddressDeniedException denied ? denied.Message : fault.Message);
        }
        finally
        {
            turns.Release();
        }
    }

    private static HttpRequestMessage RequestFor(ProviderOptions provider, string? secret, string token)
    {
        var request = new HttpRequestMessage(provider.UserInfo is null ? HttpMethod.Post : HttpMethod.Get, provider.UserInfo ?? provider.Introspection);
        request.Headers.Accept.ParseAdd("application/json");
        // Some providers refuse callers that do not say who they are.
        request.Headers.UserAgent.ParseAdd("JobHub");
        if (provider.UserInfo is not null)
        {
            request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", token);
            return request;
        }

        var client = $"{Uri.EscapeDataString(provider.ClientId!)}:{Uri.EscapeDataString(secret!)}";
        request.Headers.Authorization = new AuthenticationHeaderValue("Basic", Convert.ToBase64String(Encoding.UTF8.GetBytes(client)));
        request.Content = new FormUrlEncodedContent([new("token", token), new("token_type_hint", "access_token")]);
        return request;
    }

    private Person? PersonOf(string name, ProviderOptions provider, JsonElement answer)
    {
        if (answer.ValueKind != JsonValueKind.Object) throw Away(name, "its answer is no JSON object");
        DateTimeOffset? until = null;
        if (provider.Introspection is not null)
        {
            if (!answer.TryGetProperty("active", out var active) || active.ValueKind != JsonValueKind.True) return null;
            if (provider.Clients.Count > 0 && !provider.Clients.Contains(Text(answer, "client_id") ?? "")) return null;
            if (answer.TryGetProperty("exp", out var exp) && exp.TryGetInt64(out var seconds) && seconds is > 0 and < 253_402_300_800) until = DateTimeOffset.FromUnixTimeSeconds(seconds);
            if (until <= clock.GetUtcNow()) return null;
        }

        if (Text(answer, provider.SubjectField) is not { Length: > 0 and <= 512 } subject) throw Away(name, "its answer has no subject");
        return new(subject, Text(answer, provider.NameField) ?? Text(answer, "name") ?? Text(answer, "username") ?? name, until);
    }

    private static string? Text(JsonElement answer, string field) => answer.TryGetProperty(field, out var value)
        ? value.ValueKind switch { JsonValueKind.String => value.GetString()!.Replace("\0", "", StringComparison.Ordinal), JsonValueKind.Number => value.GetRawText(), _ => null } : null;

    private bool TryRecall(string key, out Person? person)
    {
        lock (gate)
        {
            if (cached.TryGetValue(key, out var found) && clock.GetElapsedTime(found.At) < found.Holds)
            {
                person = found.Person;
                return true;
            }
        }

        person = null;
        return false;
    }

    private void Remember(string key, Person? person)
    {
        var holds = settings.ProviderCache;
        if (person?.Until is { } until && until - clock.GetUtcNow() is var rest && rest < holds) holds = rest;
        lock (gate)
        {
            if (cached.Count >= MostCached)
            {
                foreach (var old in cached.Where(one => clock.GetElapsedTime(one.Value.At) >= one.Value.Holds).Select(static one => one.Key).ToArray()) cached.Remove(old);
                // Tokens are a caller's to choose; whoever is forgotten is asked about again.
                if (cached.Count >= MostCached) cached.Clear();
            }

            cached[key] = (clock.GetTimestamp(), holds, person);
        }
    }

    private RefusedException Away(string provider, string reason)
    {
        ProviderAway(logger, provider, reason);
        return new(new Problem(503, "provider-unavailable", "The provider that knows this token cannot be asked now. Try again.") { Headers = new Dictionary<string, string> { ["Retry-After"] = "5" } });
    }

    private static string? SecretOf(string name, string? file)
    {
        if (string.IsNullOrWhiteSpace(file)) return null;
        try
        {
            return File.ReadAllText(file).Trim();
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            throw new StartRefusedException($"JobHub:Auth:Providers:{name}:ClientSecretFile names {file}, which cannot be read: {fault.Message}");
        }
    }

    [LoggerMessage(1121, LogLevel.Warning, "Provider {Provider} cannot be asked about tokens: {Reason}")]
    private static partial void ProviderAway(ILogger logger, string provider, string reason);
}
