using System.Runtime.CompilerServices;
using Npgsql;
using NpgsqlTypes;

namespace JobHub.Engine.Accounts;

/// <summary>What a new token is to be.</summary>
/// <param name="Lifetime">Null: it does not expire.</param>
public sealed record NewToken(long Account, TokenKind Kind, string Name, string[] Scopes, string? Project, TimeSpan? Lifetime)
{
    /// <summary>The account's password must still be this one's; null: whatever it is.</summary>
    public string? PasswordHash { get; init; }
}

/// <summary>Access tokens. Whether one is valid is asked of the database each time, so that a revoked one is refused at once.</summary>
public sealed class TokenStore(NpgsqlDataSource database)
{
    // Expired, revoked, of a disabled account or not there at all: the same statement, and no row.
    private const string FindSql = """
        SELECT t.id, t.kind, a.number, a.name, a.role, t.scopes, t.project, t.expires_at, t.last_used_at IS NULL OR t.last_used_at < clock_timestamp() - interval '1 minute'
        FROM (SELECT * FROM access_token WHERE hash = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > clock_timestamp()) OFFSET 0) t
        CROSS JOIN LATERAL (SELECT * FROM account WHERE number = t.account AND disabled_at IS NULL OFFSET 0) a
        """;

    private const string Columns = "t.id, a.name, t.kind, t.name, t.scopes, t.project, t.created_at, t.expires_at, t.last_used_at, t.revoked_at";

    /// <summary>Whose a token is, by its hash, and whether its last use should be noted; null when it is not valid, whyever.</summary>
    public async Task<(TokenOwner Owner, bool UseIsDue)?> FindAsync(byte[] hash, CancellationToken ct)
    {
        await using var command = database.CreateCommand(FindSql);
        command.Parameters.AddWithValue(hash);
        await using var reader = await command.ExecuteReaderAsync(ct);
        if (!await reader.ReadAsync(ct)) return null;
        return (new(reader.GetGuid(0), (TokenKind)reader.GetInt16(1), reader.GetInt64(2), reader.GetString(3), (AccountRole)reader.GetInt16(4), reader.GetFieldValue<string[]>(5),
            Text(reader, 6), Time(reader, 7)), reader.GetBoolean(8));
    }

    /// <summary>Makes a token. Null when its account is gone or disabled.</summary>
    /// <returns>The token, which is never shown again, and what is known of it later.</returns>
    public async Task<(string Token, AccessToken Known)?> CreateAsync(NewToken wanted, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(wanted);
        var (id, token) = (Guid.CreateVersion7(), TokenText.New());
        // The account is locked against its own disabling, which ends the tokens that it sees.
        await using var command = database.CreateCommand("""
            WITH owner AS (SELECT number, name FROM account WHERE number = $2 AND disabled_at IS NULL AND ($9 IS NULL OR password_hash = $9) FOR SHARE)
            INSERT INTO access_token (id, account, hash, kind, name, scopes, project, expires_at)
            SELECT $1, owner.number, $3, $4, $5, $6, $7, clock_timestamp() + $8 FROM owner
            RETURNING created_at, expires_at, (SELECT name FROM owner)
            """);
        command.Parameters.AddWithValue(id);
        command.Parameters.AddWithValue(wanted.Account);
        command.Parameters.AddWithValue(TokenText.Hash(token));
        command.Parameters.AddWithValue((short)wanted.Kind);
        command.Parameters.AddWithValue(wanted.Name);
        command.Parameters.AddWithValue(wanted.Scopes);
        command.Parameters.Add(new() { Value = (object?)wanted.Project ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Text });
        command.Parameters.Add(new() { Value = (object?)wanted.Lifetime ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Interval });
        command.Parameters.Add(new() { Value = (object?)wanted.PasswordHash ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Text });
        await using var reader = await command.ExecuteReaderAsync(ct);
        if (!await reader.ReadAsync(ct)) return null;
        return (token, new(id, reader.GetString(2), wanted.Kind, wanted.Name, wanted.Scopes, wanted.Project, reader.GetFieldValue<DateTimeOffset>(0), Time(reader, 1), null, null));
    }

    /// <summary>Tokens of an account, newest first, those that ended included until they are cleared away.</summary>
    /// <param name="after">Only older ones than this.</param>
    public async IAsyncEnumerable<AccessToken> ListAsync(long account, Guid? after, int limit, [EnumeratorCancellation] CancellationToken ct)
    {
        await using var command = database.CreateCommand($"""
            SELECT {Columns} FROM access_token t CROSS JOIN LATERAL (SELECT name FROM account WHERE number = t.account OFFSET 0) a
            WHERE t.account = $1 AND t.id < $2 ORDER BY t.id DESC LIMIT $3
            """);
        command.Parameters.AddWithValue(account);
        command.Parameters.AddWithValue(after ?? Guid.AllBitsSet);
        command.Parameters.AddWithValue(limit);
        await using var reader = await command.ExecuteReaderAsync(ct);
        while (await reader.ReadAsync(ct)) yield return Read(reader);
    }

    /// <summary>One token, whoever's it is; null when there is none.</summary>
    public async Task<(AccessToken Token, long Account)?> GetAsync(Guid id, CancellationToken ct)
    {
        await using var command = database.CreateCommand(
            $"SELECT {Columns}, t.account FROM access_token t CROSS JOIN LATERAL (SELECT name FROM account WHERE number = t.account OFFSET 0) a WHERE t.id = $1");
        command.Parameters.AddWithValue(id);
        await using var reader = await command.ExecuteReaderAsync(ct);
        return await reader.ReadAsync(ct) ? (Read(reader), reader.GetInt64(10)) : null;
    }

    /// <summary>Ends a token. False when there is none, or it is not of this account (null: of anybody). One that has ended already stays as it is.</summary>
    public async Task<bool> RevokeAsync(Guid id, long? account, CancellationToken ct)
    {
        await using var command = database.CreateCommand("""
            UPDATE access_token SET revoked_at = coalesce(revoked_at, clock_timestamp()) WHERE id = $1 AND account = coalesce($2, account)
            """);
        command.Parameters.AddWithValue(id);
        command.Parameters.Add(new() { Value = (object?)account ?? DBNull.Value, NpgsqlDbType = NpgsqlDbType.Bigint });
        return await command.ExecuteNonQueryAsync(ct) > 0;
    }

    /// <summary>Notes that tokens are in use, not oftener than once a minute each.</summary>
    public async Task NoteUseAsync(Guid[] tokens, CancellationToken ct)
    {
        await using var command = database.CreateCommand("""
            UPDATE access_token SET last_used_at = clock_timestamp() WHERE id = ANY (ARRAY (
                SELECT id FROM access_token WHERE id = ANY ($1) AND (last_used_at IS NULL OR last_used_at < clock_timestamp() - interval '1 minute') FOR NO KEY UPDATE SKIP LOCKED))
            """);
        command.Parameters.AddWithValue(tokens);
        await command.ExecuteNonQueryAsync(ct);
    }

    private static AccessToken Read(NpgsqlDataReader r) => new(
        r.GetGuid(0), r.GetString(1), (TokenKind)r.GetInt16(2), r.GetString(3), r.GetFieldValue<string[]>(4), Text(r, 5), r.GetFieldValue<DateTimeOffset>(6), Time(r, 7), Time(r, 8), Time(r, 9));

    private static string? Text(NpgsqlDataReader r, int i) => r.IsDBNull(i) ? null : r.GetString(i);

    private static DateTimeOffset? Time(NpgsqlDataReader r, int i) => r.IsDBNull(i) ? null : r.GetFieldValue<DateTimeOffset>(i);
}
