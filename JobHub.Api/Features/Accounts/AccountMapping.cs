using JobHub.Api.Http;
using JobHub.Engine.Accounts;

namespace JobHub.Api.Features.Accounts;

/// <summary>Wire and engine.</summary>
internal static class AccountMapping
{
    public static UserWire ToWire(Account account) =>
        new(account.Name, account.Role.ToString().ToLowerInvariant(), account.DisabledAt is not null, account.HasPassword, account.Provider, account.CreatedAt);

    public static TokenWire ToWire(AccessToken token) => new(
        token.Id.ToString("D"), token.User, token.Kind == TokenKind.Session ? "session" : "token", token.Name, token.Scopes, token.Project, token.CreatedAt, token.ExpiresAt, token.LastUsedAt, token.RevokedAt);

    public static AccountRole RoleOf(string text) => text switch
    {
        "viewer" => AccountRole.Viewer,
        "member" => AccountRole.Member,
        "admin" => AccountRole.Admin,
        "worker" => AccountRole.Worker,
        _ => throw Problems.InvalidField("role", "'role' must be one of viewer, member, admin, worker."),
    };

    /// <summary>A user's name in a request that has to name one.</summary>
    public static ProblemResult UnknownUser() => Problems.NotFound("user-not-found", "There is no user of this name.");

    /// <summary>Answers with secrets are nobody's to keep.</summary>
    public static void NotStored(HttpContext context) => context.Response.Headers.CacheControl = "no-store";
}
