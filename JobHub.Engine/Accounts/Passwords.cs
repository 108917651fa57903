using Microsoft.AspNetCore.Identity;
using Microsoft.Extensions.Options;

namespace JobHub.Engine.Accounts;

/// <summary>Passwords: only salted, slow hashes are kept. Few are computed at once, so that guessing does not take the processor from everybody else.</summary>
public sealed class Passwords : IDisposable
{
    public const int Shortest = 12, Longest = 256;

    private readonly PasswordHasher<Passwords> hasher = new(Options.Create(new PasswordHasherOptions { IterationCount = 210_000 }));
    private readonly SemaphoreSlim turns = new(Math.Max(1, Environment.ProcessorCount / 2));
    private readonly Lazy<string> nobodys;

    public Passwords() => nobodys = new(() => hasher.HashPassword(this, TokenText.New()));

    /// <summary>What is wrong with a new password, or null.</summary>
    public static string? Objection(string password) =>
        password.Length is < Shortest or > Longest ? $"a password has {Shortest} to {Longest} characters" : null;

    /// <summary>What is kept of a password.</summary>
    public Task<string> HashAsync(string password, CancellationToken ct) => InTurnAsync(() => hasher.HashPassword(this, password), ct);

    /// <summary>Whether a password is the one behind a hash. Without a hash it is not, and finding that out takes as long.</summary>
    public Task<bool> IsAsync(string? hash, string password, CancellationToken ct) => InTurnAsync(
        () => hasher.VerifyHashedPassword(this, hash ?? nobodys.Value, password.Length > Longest ? "" : password) != PasswordVerificationResult.Failed && hash is not null, ct);

    /// <inheritdoc />
    public void Dispose() => turns.Dispose();

    private async Task<T> InTurnAsync<T>(Func<T> compute, CancellationToken ct)
    {
        await turns.WaitAsync(ct);
        try
        {
            return await Task.Run(compute, ct);
        }
        finally
        {
            turns.Release();
        }
    }
}
