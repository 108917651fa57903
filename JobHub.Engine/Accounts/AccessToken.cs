using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;

namespace JobHub.Engine.Accounts;

/// <summary>How a token came about; the numbers are the database's.</summary>
public enum TokenKind : short
{
    /// <summary>Somebody made it, for a program.</summary>
    Made = 0,
    /// <summary>A sign-in's, which ends with the sign-out.</summary>
    Session = 1,
}

/// <summary>A token as its owner sees it later: without the token.</summary>
public sealed record AccessToken(
    Guid Id, string User, TokenKind Kind, string Name, string[] Scopes, string? Project, DateTimeOffset CreatedAt, DateTimeOffset? ExpiresAt, DateTimeOffset? LastUsedAt, DateTimeOffset? RevokedAt);

/// <summary>Whom a valid token belongs to, and what it was made for.</summary>
public sealed record TokenOwner(Guid Token, TokenKind Kind, long Account, string Name, AccountRole Role, string[] Scopes, string? Project, DateTimeOffset? ExpiresAt);

/// <summary>What tokens look like. Whoever has one is its owner, so only hashes are kept.</summary>
public static class TokenText
{
    /// <summary>What every token of the hub begins with, so that scanners of leaked secrets know it.</summary>
    public const string Prefix = "jh_";

    /// <summary>A new one, of 256 random bits.</summary>
    public static string New() => Prefix + Base64Url.EncodeToString(RandomNumberGenerator.GetBytes(32));

    /// <summary>What is kept of it. Its bits are random, so that a plain hash cannot be turned back.</summary>
    public static byte[] Hash(string token) => SHA256.HashData(Encoding.UTF8.GetBytes(token));
}

/// <summary>What a token is made for. Each of read, write and admin includes those before it; worker stands alone.</summary>
public static class TokenScopes
{
    public const string Read = "read", Write = "write", Admin = "admin", Worker = "worker";

    /// <summary>All of them.</summary>
    public static IReadOnlyList<string> All { get; } = [Read, Write, Admin, Worker];

    /// <summary>The most that a role may have: those of its sign-ins.</summary>
    public static string[] Of(AccountRole role) => role switch
    {
        AccountRole.Admin => [Read, Write, Admin],
        AccountRole.Member => [Read, Write],
        AccountRole.Worker => [Worker],
        _ => [Read],
    };
}
