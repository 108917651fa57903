using JobHub.Engine.Accounts;

namespace JobHub.Api.Http.Access;

/// <summary>Whom a request's token belongs to: the files' tokens from memory, all others by their hash from the database, each time anew.</summary>
public sealed class CallerReader(BearerTokens files, TokenStore tokens, TokenUse use, ProviderTokens providers)
{
    /// <summary>Reads the Authorization header.</summary>
    /// <exception cref="Npgsql.NpgsqlException">Nobody knows whether the token is good: the caller is told to try again, not that it is bad.</exception>
    public async ValueTask<(TokenCheck Check, Caller? Caller)> ReadAsync(HttpContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        var read = files.Read(context.Request);
        if (read.Check != TokenCheck.Unknown || BearerTokens.TokenOf(context.Request) is not { } token) return read;
        if (await tokens.FindAsync(TokenText.Hash(token), context.RequestAborted) is (var owner, var due))
        {
            if (due) use.Note(owner.Token);
            return (TokenCheck.Known, Of(owner));
        }

        // Somebody else's token, where one is taken.
        if (!context.Request.Path.StartsWithSegments("/projects") || context.Request.Query["provider"] is not [{ Length: > 0 } provider]) return read;
        return await providers.AccountAsync(provider, token, context.RequestAborted) is { } account ? (TokenCheck.Known, Of(account)) : read;
    }

    /// <summary>Whether a long answer may go on: its token is good and its role is what it was. Where nobody knows it goes on.</summary>
    public async ValueTask<bool> IsStillAsync(HttpContext context, Caller caller, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(caller);
        try
        {
            return BearerTokens.TokenOf(context.Request) is { } token && await tokens.FindAsync(TokenText.Hash(token), ct) is { } found && RoleOf(found.Owner) == caller.Role;
        }
        catch (Npgsql.NpgsqlException)
        {
            return true;
        }
    }

    /// <summary>By a provider's token nobody administers the hub: it may have been given to any program.</summary>
    private static Caller Of(Account account) => new(account.Name, account.Role switch
    {
        AccountRole.Admin or AccountRole.Member => CallerRole.Member,
        AccountRole.Worker => CallerRole.Worker,
        _ => CallerRole.Viewer,
    }) { Account = account.Number };

    private static Caller Of(TokenOwner owner) => new(owner.Name, RoleOf(owner)) { Account = owner.Account, Token = owner.Token, Project = owner.Project };

    /// <summary>What the scopes leave of the role that the account has now.</summary>
    internal static CallerRole RoleOf(TokenOwner owner)
    {
        bool For(string scope) => owner.Scopes.Contains(scope, StringComparer.Ordinal);
        return owner.Role switch
        {
            AccountRole.Worker => CallerRole.Worker,
            AccountRole.Admin when For(TokenScopes.Worker) => CallerRole.Worker,
            // A token for one project administers nothing: the rest of the hub is not its.
            AccountRole.Admin when For(TokenScopes.Admin) && owner.Project is null => CallerRole.Admin,
            AccountRole.Admin when For(TokenScopes.Admin) => CallerRole.Member,
            AccountRole.Admin or AccountRole.Member when For(TokenScopes.Write) => CallerRole.Member,
            _ => CallerRole.Viewer,
        };
    }
}
