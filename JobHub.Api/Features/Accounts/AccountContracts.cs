namespace JobHub.Api.Features.Accounts;

/// <summary>A new user. Role: viewer, member (without a word), admin or worker. Without a password he is known by tokens only.</summary>
public sealed record CreateUser
{
    public string? Name { get; init; }
    public string? Role { get; init; }
    /// <summary>12 to 256 characters.</summary>
    public string? Password { get; init; }
}

/// <summary>What is to be other about a user; what is left out stays.</summary>
public sealed record ChangeUser
{
    public string? Role { get; init; }
    public bool? Disabled { get; init; }
    public string? Password { get; init; }
}

/// <summary>A user. Times are RFC 3339, UTC.</summary>
public sealed record UserWire(string Name, string Role, bool Disabled, bool HasPassword, string? Provider, DateTimeOffset CreatedAt);

/// <summary>A page of users; <paramref name="Next"/> is the next page's <c>after</c>, absent on the last.</summary>
public sealed record UserPage(IReadOnlyList<UserWire> Items, string? Next);

/// <summary>Who calls. Role is what his token's scopes leave; the project is the one that the token is for.</summary>
public sealed record MeWire(string Name, string Role, string? Project, UserWire? User, TokenWire? Token)
{
    /// <summary>When the token ends.</summary>
    public DateTimeOffset? ExpiresAt => Token?.ExpiresAt;
}

/// <summary>A change of one's own password.</summary>
public sealed record ChangePassword
{
    public string? Old { get; init; }
    public string? New { get; init; }
}

/// <summary>A new token.</summary>
public sealed record CreateToken
{
    /// <summary>What it is for.</summary>
    public string? Name { get; init; }
    /// <summary>read, write, admin (each includes those before it), or worker alone. Without any: read.</summary>
    public string[]? Scopes { get; init; }
    /// <summary>The one project it is for.</summary>
    public string? Project { get; init; }
    /// <summary>1 to 366; without it and expiresAt 90. A worker's may be longer.</summary>
    public int? ExpiresInDays { get; init; }
    public DateTimeOffset? ExpiresAt { get; init; }
    /// <summary>Whose it will be: for admins.</summary>
    public string? User { get; init; }
}

/// <summary>A token without the token; that stands in the answer to its creation only.</summary>
public sealed record TokenWire(
    string Id, string User, string Kind, string Name, string[] Scopes, string? Project, DateTimeOffset CreatedAt, DateTimeOffset? ExpiresAt, DateTimeOffset? LastUsedAt, DateTimeOffset? RevokedAt)
{
    /// <summary>What to send as <c>Authorization: Bearer</c>. It is not shown again.</summary>
    public string? Token { get; init; }
}

/// <summary>A page of tokens, newest first.</summary>
public sealed record TokenPage(IReadOnlyList<TokenWire> Items, string? Next);

/// <summary>A name and its password.</summary>
public sealed record SignInWire
{
    public string? Name { get; init; }
    public string? Password { get; init; }
}

/// <summary>An access token that a provider gave.</summary>
public sealed record ProviderSignInWire
{
    public string? Provider { get; init; }
    public string? Token { get; init; }
}

/// <summary>A session: its token is sent as <c>Authorization: Bearer</c> until it expires or is signed out.</summary>
public sealed record SessionWire(string Token, DateTimeOffset ExpiresAt, UserWire User);

/// <summary>A row of the audit.</summary>
public sealed record AuditWire(
    long Id, DateTimeOffset At, string Caller, string? Token, string Action, string Kind, string Object, string? Project, string? Address, IReadOnlyDictionary<string, string>? Details);

/// <summary>A page of the audit, newest first. It may be short, even empty, and have a next one.</summary>
public sealed record AuditPage(IReadOnlyList<AuditWire> Items, string? Next);
