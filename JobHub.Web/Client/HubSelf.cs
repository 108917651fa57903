namespace JobHub.Web.Client;

/// <summary>What the hub API says and does for a visitor about himself: his tokens, and for admins the audit.</summary>
public sealed class HubSelf(HubHttp hub)
{
    private const int TokenPage = 50, AuditPage = 100;

    /// <summary>Own tokens and sessions, newest first.</summary>
    public Task<HubPage<HubToken>> TokensAsync(string? after, CancellationToken ct) => hub.GetAsync<HubPage<HubToken>>(HubHttp.Path("/hub/v1/tokens", ("limit", TokenPage), ("after", after)), ct);

    /// <summary>Makes a token; the answer alone holds it.</summary>
    public Task<HubToken> MakeTokenAsync(string name, string scope, string? project, int days, CancellationToken ct) =>
        hub.AskAsync<HubToken>(HttpMethod.Post, "/hub/v1/tokens", new { name, scopes = new[] { scope }, project, expiresInDays = days }, ct);

    /// <summary>Ends a token; one that is gone is no fault.</summary>
    public async Task RevokeTokenAsync(Guid id, CancellationToken ct)
    {
        try
        {
            await hub.DoAsync(HttpMethod.Delete, $"/hub/v1/tokens/{id:D}", null, ct);
        }
        catch (HubRefusedException gone) when (gone.Status == StatusCodes.Status404NotFound)
        {
            // It has ended before.
        }
    }

    /// <summary>Who did what, newest first.</summary>
    public Task<HubPage<HubAuditRow>> AuditAsync(string? caller, string? action, string? kind, string? @object, string? after, CancellationToken ct) =>
        hub.GetAsync<HubPage<HubAuditRow>>(HubHttp.Path("/hub/v1/audit", ("limit", AuditPage), ("caller", caller), ("action", action), ("kind", kind), ("object", @object), ("after", after)), ct);
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
public sealed record HubAuditRow(long Id, DateTimeOffset At, string Caller, string Action, string Kind, string Object, string? Project, string? Address, string? Token, Dictionary<string, string>? Details);
