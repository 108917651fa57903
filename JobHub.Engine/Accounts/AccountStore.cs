using System.Runtime.CompilerServices;
using Npgsql;
using NpgsqlTypes;

namespace JobHub.Engine.Accounts;

/// <summary>What is to be other about an account; null stays.</summary>
/// <param name="PasswordHash">The hash of a new password.</param>
public sealed record AccountChange(AccountRole? Role = null, bool? Disabled = null, string? PasswordHash = null);

/// <summary>Accounts. Names are unique and never change.</summary>
public sealed class AccountStore(NpgsqlDataSource database)
{
    private const string Columns = "number, name, role, password_hash IS NOT NULL, provider, created_at, disabled_at";

    /// <summary>Makes an account. Null when the name is taken.</summary>
    public async Task<Account?> CreateAsync(string name, AccountRole role, string? passwordHash, CancellationToken ct)
    {
        await using var command = database.CreateCommand($"INSERT INTO account (name, role, password_hash) VALUES ($1, $2, $3) ON CONFLICT (name) DO NOTHING RETURNING {Columns}");
        command.Parameters.AddWithValue(name);
        command.Parameters.AddWithValue((short)role);
        command.Parameters.Add(Text(passwordHash));
        return await OneAsync(command, ct);
    }

    /// <summary>One account by its name, or null.</summary>
    public async Task<Account?> GetAsync(string name, CancellationToken ct)
    {
        await using var command = database.CreateCommand($"SELECT {Columns} FROM account WHERE name = $1");
        command.Parameters.AddWithValue(name);
        return await OneAsync(command, ct);
    }

    /// <summary>One account by its number, or null.</summary>
    public async Task<Account?> GetAsync(long number, CancellationToken ct)
    {
        await using var command = database.CreateCommand($"SELECT {Columns} FROM account WHERE number = $1");
        command.Parameters.AddWithValue(number);
        return await OneAsync(command, ct);
    }

    /// <summary>Accounts by name.</summary>
    /// <param name="after">Only names after this one.</param>
    public async IAsyncEnumerable<Account> ListAsync(string? after, int limit, [EnumeratorCancellation] CancellationToken ct)
    {
        await using var command = database.CreateCommand($"SELECT {Columns} FROM account WHERE name > $1 ORDER BY name LIMIT $2");
        command.Parameters.AddWithValue(after ?? "");
        command.Parameters.AddWithValue(limit);
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct)) yield return Read(reader);
    }

    /// <summary>Changes an account; a disabled one's sessions end, and a new password ends them too. Null when there is none.</summary>
    public async Task<Account?> ChangeAsync(string name, AccountChange change, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(change);
        await using var command = database.CreateCommand($"""
            WITH changed AS (
                UPDATE account SET role = coalesce($2, role), password_hash = coalesce($4, password_hash),
                    disabled_at = CASE WHEN $3 THEN coalesce(disabled_at, clock_timestamp()) WHEN NOT $3 THEN NULL ELSE disabled_at END
                WHERE name = $1 RETURNING {Columns}),
            ended AS (
                UPDATE access_token SET revoked_at = clock_timestamp()
                WHERE account = (SELECT number FROM changed) AND kind = 1 AND revoked_at IS NULL AND ($3 OR $4 IS NOT NULL))
            SELECT * FROM changed
            """);
        command.Parameters.AddWithValue(name);
        command.Parameters.Add(new() { Value = change.Role is { } role ? (short)role : DBNull.Value, NpgsqlDbType = NpgsqlDbType.Smallint });
        command.Parameters.Add(new() { Value = (object?)change.Disabled ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Boolean });
        command.Parameters.Add(Text(change.PasswordHash));
        return await OneAsync(command, ct);
    }

    /// <summary>Removes an account with its tokens and memberships. False when there is none.</summary>
    public async Task<bool> DeleteAsync(string name, CancellationToken ct)
    {
        await using var command = database.CreateCommand("DELETE FROM account WHERE name = $1");
        command.Parameters.AddWithValue(name);
        return await command.ExecuteNonQueryAsync(ct) > 0;
    }

    /// <summary>Whom a provider's subject is here: his account, made at first sight as a member. Never somebody else's, whatever the provider calls him.</summary>
    /// <param name="wanted">What he would be called; another name when it is taken.</param>
    public async Task<Account> OfProviderAsync(string provider, string subject, string wanted, CancellationToken ct)
    {
        var name = AccountNames.From(wanted);
        for (var attempt = 1; ; attempt++)
        {
            await using (var find = database.CreateCommand($"SELECT {Columns} FROM account WHERE provider = $1 AND subject = $2"))
            {
                find.Parameters.AddWithValue(provider);
                find.Parameters.AddWithValue(subject);
                if (await OneAsync(find, ct) is { } known) return known;
            }

            await using var make = database.CreateCommand($"INSERT INTO account (name, role, provider, subject) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING RETURNING {Columns}");
            make.Parameters.AddWithValue(attempt switch { 1 => name, < 5 => $"{name}-{attempt}", _ => $"{name}-{Guid.NewGuid().ToString("N")[..12]}" });
            make.Parameters.AddWithValue((short)AccountRole.Member);
            make.Parameters.AddWithValue(provider);
            make.Parameters.AddWithValue(subject);
            if (await OneAsync(make, ct) is { } made) return made;
        }
    }

    private static async Task<Account?> OneAsync(NpgsqlCommand command, CancellationToken ct)
    {
        await using var reader = await command.ExecuteReaderAsync(ct);
        return await reader.ReadAsync(ct) ? Read(reader) : null;
    }

    private static Account Read(NpgsqlDataReader r) => new(
        r.GetInt64(0), r.GetString(1), (AccountRole)r.GetInt16(2), r.GetBoolean(3), r.IsDBNull(4) ? null : r.GetString(4), r.GetFieldValue<DateTimeOffset>(5),
        r.IsDBNull(6) ? null : r.GetFieldValue<DateTimeOffset>(6));

    private static NpgsqlParameter Text(string? value) => new() { Value = (object?)value ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Text };
}
