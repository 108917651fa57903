using System.Security.Cryptography;
using System.Text;
using Microsoft.Extensions.Options;
using Microsoft.Net.Http.Headers;

namespace JobHub.Api.Http.Access;

/// <summary>What the Authorization header came to.</summary>
public enum TokenCheck
{
    /// <summary>There is no Authorization header.</summary>
    Absent,
    /// <summary>It is not a bearer token, or one that nobody has.</summary>
    Unknown,
    Known,
}

/// <summary>The bearer tokens of this host. Only their hashes stay in memory; comparing takes the same time whatever was sent.</summary>
public sealed class BearerTokens
{
    private readonly (byte[] Hash, Caller Caller)[] known;

    public BearerTokens(IOptions<AuthOptions> options)
    {
        ArgumentNullException.ThrowIfNull(options);
        var tokens = new List<(byte[], Caller)>();
        Add(nameof(AuthOptions.AdminTokenFile), options.Value.AdminTokenFile, new Caller("admin", CallerRole.Admin));
        Add(nameof(AuthOptions.WorkerTokenFile), options.Value.WorkerTokenFile, new Caller("worker", CallerRole.Worker));
        known = [.. tokens];

        void Add(string setting, string? file, Caller caller)
        {
            if (string.IsNullOrWhiteSpace(file)) return;
            string token;
            try
            {
                token = File.ReadAllText(file).Trim();
            }
            catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
            {
                throw new StartRefusedException($"JobHub:Auth:{setting} names {file}, which cannot be read: {fault.Message}");
            }

            // Short tokens can be guessed; the hub's own have 43 characters.
            if (token.Length < 16) throw new StartRefusedException($"JobHub:Auth:{setting} names {file}, whose token has fewer than 16 characters.");
            tokens.Add((SHA256.HashData(Encoding.UTF8.GetBytes(token)), caller));
        }
    }

    /// <summary>Whom the request's token belongs to.</summary>
    public (TokenCheck Check, Caller? Caller) Read(HttpRequest request)
    {
        ArgumentNullException.ThrowIfNull(request);
        if (request.Headers.Authorization.Count == 0) return (TokenCheck.Absent, null);
        if (TokenOf(request) is not { } token) return (TokenCheck.Unknown, null);
        Span<byte> hash = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(Encoding.UTF8.GetBytes(token), hash);
        Caller? found = null;
        foreach (var (candidate, caller) in known)
        {
            if (CryptographicOperations.FixedTimeEquals(hash, candidate)) found = caller;
        }

        return found is null ? (TokenCheck.Unknown, null) : (TokenCheck.Known, found);
    }

    /// <summary>The bearer token of the header; null when there is none, or something else.</summary>
    public static string? TokenOf(HttpRequest request)
    {
        ArgumentNullException.ThrowIfNull(request);
        return request.Headers.Authorization is [{ } value] && value.StartsWith("Bearer ", StringComparison.OrdinalIgnoreCase) ? value["Bearer ".Length..].Trim() : null;
    }
}

/// <summary>The host may not start like this. The message is one line for whoever starts it.</summary>
public sealed class StartRefusedException(string message) : Exception(message);
