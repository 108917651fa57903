using JobHub.Engine.Accounts;
using Microsoft.Extensions.DependencyInjection;

namespace JobHub.Api.Tests.Accounts;

/// <summary>Accounts and tokens for tests, made beside the API.</summary>
internal static class TestAccounts
{
    /// <summary>A new account with a name of its own.</summary>
    public static async Task<Account> AccountAsync(this HubHost hub, AccountRole role, string? name = null) =>
        await hub.Services.GetRequiredService<AccountStore>().CreateAsync(name ?? $"{role.ToString().ToLowerInvariant()}-{Guid.NewGuid():N}", role, null, CancellationToken.None)
        ?? throw new InvalidOperationException("The name is taken.");

    /// <summary>A token of an account, by default for all that its role may do.</summary>
    public static async Task<(string Token, AccessToken Known)> TokenAsync(this HubHost hub, Account account, string[]? scopes = null, string? project = null, TimeSpan? lifetime = null, TokenKind kind = TokenKind.Made) =>
        await hub.Services.GetRequiredService<TokenStore>().CreateAsync(
            new NewToken(account.Number, kind, "test", scopes ?? TokenScopes.Of(account.Role), project, lifetime ?? TimeSpan.FromHours(1)), CancellationToken.None)
        ?? throw new InvalidOperationException("The account is gone.");

    /// <summary>A client of a new account of a role.</summary>
    public static async Task<HttpClient> ClientAsync(this HubHost hub, AccountRole role, string[]? scopes = null, string? project = null) =>
        hub.NewClient((await hub.TokenAsync(await hub.AccountAsync(role), scopes, project)).Token);
}
