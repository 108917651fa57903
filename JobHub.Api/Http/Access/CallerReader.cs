using JobHub.Engine.Accounts;

namespace JobHub.Api.Http.Access;

/// <summary>Whom a request's token belongs to: the files' tokens from memory, all others by their hash from the database, each time anew.</summary>
public sealed class CallerReader(BearerTokens files, TokenStore tokens, TokenUse use)
{
    /// <summary>Reads the Authorization header.</summary>
    /// <exception cref="Npgsql.NpgsqlException">Nobody knows whether the token is good: the caller is told to try again, not that it is bad.</exception>
    public async ValueTask<(TokenCheck Check, Caller? Caller)> ReadAsync(HttpContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        var read = files.Read(context.Request);
        if (read.Check != TokenCheck.Unknown || BearerTokens.TokenOf(context.Request) is not { } token) return read;
        if (await tokens.FindAsync(TokenText.Hash(token), context.RequestAborted) is not (var owner, var due)) return read;
        if (due) use.Note(owner.Token);
        return (TokenCheck.Known, Of(owner));
    }

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
