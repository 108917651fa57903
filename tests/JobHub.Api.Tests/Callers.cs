using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;

namespace JobHub.Api.Tests;

/// <summary>Accounts, tokens and projects of a host, put where the hub keeps them: what a test needs before it calls.</summary>
public sealed class Callers(HubHost hub)
{
    public const short Viewer = 0, Member = 1, Admin = 2, Worker = 3;

    private readonly NpgsqlDataSource database = hub.Services.GetRequiredService<NpgsqlDataSource>();

    /// <summary>A new account; its number.</summary>
    public Task<long> AccountAsync(short role, bool disabled = false) => OneAsync<long>(
        "INSERT INTO account (name, role, disabled_at) VALUES ($1, $2, CASE WHEN $3 THEN now() END) RETURNING number", $"user-{Guid.NewGuid():N}", role, disabled);

    /// <summary>A new token of an account; its text.</summary>
    public async Task<string> TokenAsync(long account, string scopes = "read write admin", string? project = null, string expires = "infinity", bool revoked = false)
    {
        var token = "jh_" + Convert.ToBase64String(RandomNumberGenerator.GetBytes(32)).Replace('+', '-').Replace('/', '_').TrimEnd('=');
        await OneAsync<Guid>("""
            INSERT INTO access_token (id, account, hash, kind, name, scopes, project, expires_at, revoked_at)
            VALUES ($1, $2, $3, 0, 'test', string_to_array($4, ' '), nullif($5, ''), $6::text::timestamptz, CASE WHEN $7 THEN now() END) RETURNING id
            """, Guid.CreateVersion7(), account, SHA256.HashData(Encoding.UTF8.GetBytes(token)), scopes, project ?? "", expires, revoked);
        return token;
    }

    /// <summary>A client of a new account of a role.</summary>
    public async Task<HttpClient> ClientAsync(short role, string scopes = "read write admin") => hub.NewClient(await TokenAsync(await AccountAsync(role), scopes));

    /// <summary>A new project; its id.</summary>
    public async Task<string> ProjectAsync(bool isPublic = false, params long[] members)
    {
        var id = Guid.NewGuid().ToString();
        await OneAsync<string>("INSERT INTO project (id, name, visibility) VALUES ($1, $1, $2) RETURNING id", id, (short)(isPublic ? 1 : 0));
        foreach (var member in members) await OneAsync<string>("INSERT INTO project_member (project, account) VALUES ($1, $2) RETURNING project", id, member);
        return id;
    }

    public static string Text(long number) => number.ToString(CultureInfo.InvariantCulture);

    private async Task<T> OneAsync<T>(string sql, params object[] values)
    {
        await using var command = database.CreateCommand(sql);
        foreach (var value in values) command.Parameters.AddWithValue(value);
        return (T)(await command.ExecuteScalarAsync())!;
    }
}
