using Npgsql;

namespace JobHub.Engine.Accounts;

/// <summary>Somebody who has signed in, and the token of his session, which is never shown again.</summary>
public sealed record SignedIn(Account Account, string Token, AccessToken Session);

/// <summary>Sign-ins: a name with its password, or what a provider says, becomes a session.</summary>
public sealed class SignIns(NpgsqlDataSource database, AccountStore accounts, TokenStore tokens, Passwords passwords)
{
    /// <summary>How long a session lasts.</summary>
    public static readonly TimeSpan Lifetime = TimeSpan.FromHours(12);

    /// <summary>Signs in by password. Null: unknown, disabled, a worker, without a password or with another one; all take the same time.</summary>
    /// <returns>The session, and the account that was meant, if there is one.</returns>
    public async Task<(SignedIn? Done, Account? Meant)> ByPasswordAsync(string name, string password, CancellationToken ct)
    {
        var account = await accounts.GetAsync(name, ct);
        var hash = await HashOfAsync(account?.Number ?? 0, ct);
        var known = await passwords.IsAsync(hash, password, ct);
        return (known && account is not null ? await OpenAsync(account, hash, ct) : null, account);
    }

    /// <summary>Opens a session. Null for a disabled account, for a worker, and when the password is not that one any more.</summary>
    public async Task<SignedIn?> OpenAsync(Account account, string? passwordHash, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(account);
        if (account.DisabledAt is not null || account.Role == AccountRole.Worker) return null;
        return await tokens.CreateAsync(new(account.Number, TokenKind.Session, "sign-in", TokenScopes.Of(account.Role), null, Lifetime) { PasswordHash = passwordHash }, ct) is (var token, var session)
            ? new(account, token, session) : null;
    }

    /// <summary>Changes somebody's own password and ends his other sessions. False: the old one is not his.</summary>
    public async Task<bool> ChangePasswordAsync(long account, string old, string wanted, Guid? keep, CancellationToken ct)
    {
        var hash = await HashOfAsync(account, ct);
        if (!await passwords.IsAsync(hash, old, ct)) return false;
        var next = await passwords.HashAsync(wanted, ct);
        // Nobody else has changed it meanwhile, and no session of the old one is left.
        await using var command = database.CreateCommand("""
            WITH changed AS (UPDATE account SET password_hash = $3 WHERE number = $1 AND password_hash = $2 RETURNING number),
            ended AS (UPDATE access_token SET revoked_at = clock_timestamp() WHERE account = (SELECT number FROM changed) AND kind = 1 AND revoked_at IS NULL AND id <> $4)
            SELECT count(*) FROM changed
            """);
        command.Parameters.AddWithValue(account);
        command.Parameters.AddWithValue(hash!);
        command.Parameters.AddWithValue(next);
        command.Parameters.AddWithValue(keep ?? Guid.Empty);
        return await command.ExecuteScalarAsync(ct) is 1L;
    }

    private async Task<string?> HashOfAsync(long account, CancellationToken ct)
    {
        await using var command = database.CreateCommand("SELECT password_hash FROM account WHERE number = $1");
        command.Parameters.AddWithValue(account);
        return await command.ExecuteScalarAsync(ct) as string;
    }
}
