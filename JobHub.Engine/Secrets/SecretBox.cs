using System.Security.Cryptography;
using System.Text;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;

namespace JobHub.Engine.Secrets;

/// <summary>
/// Secrets at rest: AES-256-GCM under keys the database never holds. The newest key (by id, ordinal) encrypts, all decrypt; the row's id is bound in, so a sealed value
/// moved to another row does not open. Layout: key id length (1), key id, nonce (12), tag (16), text.
/// </summary>
public sealed class SecretBox
{
    private const int NonceSize = 12, TagSize = 16;
    private readonly SortedDictionary<string, byte[]> _keys;

    /// <param name="keys">32-byte keys by id.</param>
    public SecretBox(IReadOnlyDictionary<string, byte[]> keys)
    {
        if (keys.Count == 0) throw new ArgumentException("At least one key is needed.", nameof(keys));
        if (keys.Any(k => k.Value.Length != 32 || k.Key.Length is 0 or > 64)) throw new ArgumentException("A key has 32 bytes and an id of 1 to 64 characters.", nameof(keys));
        _keys = new(keys.ToDictionary(), StringComparer.Ordinal);
    }

    /// <summary>Encrypts for one row.</summary>
    public byte[] Seal(string plaintext, string rowId)
    {
        var (id, key) = _keys.Last();
        var (name, text) = (Encoding.UTF8.GetBytes(id), Encoding.UTF8.GetBytes(plaintext));
        var box = new byte[1 + name.Length + NonceSize + TagSize + text.Length];
        box[0] = (byte)name.Length;
        name.CopyTo(box, 1);
        var rest = box.AsSpan(1 + name.Length);
        RandomNumberGenerator.Fill(rest[..NonceSize]);
        using var aes = new AesGcm(key, TagSize);
        aes.Encrypt(rest[..NonceSize], text, rest[(NonceSize + TagSize)..], rest.Slice(NonceSize, TagSize), Encoding.UTF8.GetBytes(rowId));
        CryptographicOperations.ZeroMemory(text);
        return box;
    }

    /// <summary>Decrypts; throws <see cref="CryptographicException"/> for another row, an unknown key or damage.</summary>
    public string Open(byte[] box, string rowId)
    {
        if (box.Length < 1 || box.Length < 1 + box[0] + NonceSize + TagSize) throw new CryptographicException("The sealed value is too short.");
        var id = Encoding.UTF8.GetString(box, 1, box[0]);
        if (!_keys.TryGetValue(id, out var key)) throw new CryptographicException($"Key {id} is not in JobHub:Secrets:Keys.");
        var rest = box.AsSpan(1 + box[0]);
        var text = new byte[rest.Length - NonceSize - TagSize];
        using var aes = new AesGcm(key, TagSize);
        aes.Decrypt(rest[..NonceSize], rest[(NonceSize + TagSize)..], rest.Slice(NonceSize, TagSize), text, Encoding.UTF8.GetBytes(rowId));
        return Encoding.UTF8.GetString(text);
    }
}

/// <summary>Where the keys come from: JobHub:Secrets:Keys:&lt;id&gt; (base64, 32 bytes), else the file JobHub:Secrets:File (0600, made when it is missing).</summary>
public static class SecretBoxRegistration
{
    /// <summary>Adds the box; a wrong key keeps the host from starting at its first use.</summary>
    public static IServiceCollection AddSecretBox(this IServiceCollection services, IConfiguration configuration) =>
        services.AddSingleton(_ => new SecretBox(Keys(configuration)));

    private static Dictionary<string, byte[]> Keys(IConfiguration configuration)
    {
        var keys = configuration.GetSection("JobHub:Secrets:Keys").GetChildren()
            .ToDictionary(k => k.Key, k => Convert.FromBase64String(k.Value ?? ""), StringComparer.Ordinal);
        if (keys.Count > 0) return keys;
        var file = configuration["JobHub:Secrets:File"]
            ?? throw new InvalidOperationException("Neither JobHub:Secrets:Keys nor JobHub:Secrets:File is set: callers' credentials could not be kept.");
        if (!File.Exists(file))
        {
            // Two Apis starting on one folder: the first to create the file names the key for both.
            var temporary = $"{file}.{Guid.NewGuid():N}";
            var options = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write, UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite };
            using (var stream = new StreamWriter(temporary, Encoding.UTF8, options)) stream.Write(Convert.ToBase64String(RandomNumberGenerator.GetBytes(32)));
            try
            {
                File.Move(temporary, file, overwrite: false);
            }
            catch (IOException) when (File.Exists(file))
            {
                File.Delete(temporary);
            }
        }

        return new() { ["file"] = Convert.FromBase64String(File.ReadAllText(file).Trim()) };
    }
}
