using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Options;

namespace JobHub.Engine.Secrets;

/// <summary><c>JobHub:Secrets</c>: the ring of keys. The newest id encrypts, all decrypt.</summary>
public sealed class SecretOptions
{
    public const string Section = "JobHub:Secrets";

    /// <summary>Keys by id, base64 of 32 bytes each. Ids that are numbers are ordered as numbers, others by their text; the last is the newest.</summary>
    public IDictionary<string, string> Keys { get; } = new Dictionary<string, string>(StringComparer.Ordinal);
    /// <summary>Used when there are no Keys: a file of <c>id base64</c> lines with mode 0600, made with one key when missing.</summary>
    public string? File { get; set; }
}

/// <summary>A sealed value that no key of the ring opens for this row: another row's, damaged, or its key was taken away.</summary>
public sealed class SecretBoxException(string message, Exception? inner = null) : CryptographicException(message, inner);

/// <summary>
/// Seals secrets at rest with AES-256-GCM. The row's id is bound in, so that a sealed value copied into another row does not open.
/// Layout: 1 (version), length of the key id, key id, nonce 12, tag 16, ciphertext.
/// </summary>
public sealed class SecretBox
{
    private const byte Version = 1;
    private const int NonceSize = 12, TagSize = 16, KeySize = 32, MaxIdBytes = 64;

    private readonly Dictionary<string, byte[]> keys = new(StringComparer.Ordinal);
    private readonly string newest;

    public SecretBox(SecretOptions options)
    {
        foreach (var (id, text) in options.Keys.Count > 0 ? options.Keys : ReadFile(options.File)) keys.Add(CheckId(id), ReadKey(id, text));
        newest = keys.Keys.MaxBy(id => id, Comparer<string>.Create(ByAge))!;
    }

    /// <summary>Seals text for one row.</summary>
    public byte[] Seal(string plaintext, string rowId)
    {
        var id = Encoding.UTF8.GetBytes(newest);
        var text = Encoding.UTF8.GetBytes(plaintext);
        var head = 2 + id.Length;
        var box = new byte[head + NonceSize + TagSize + text.Length];
        box[0] = Version;
        box[1] = (byte)id.Length;
        id.CopyTo(box, 2);
        var nonce = box.AsSpan(head, NonceSize);
        RandomNumberGenerator.Fill(nonce);
        using var aes = new AesGcm(keys[newest], TagSize);
        aes.Encrypt(nonce, text, box.AsSpan(head + NonceSize + TagSize), box.AsSpan(head + NonceSize, TagSize), Bound(box.AsSpan(0, head), rowId));
        CryptographicOperations.ZeroMemory(text);
        return box;
    }

    /// <summary>Opens what <see cref="Seal"/> made for the same row.</summary>
    public string Open(byte[] box, string rowId)
    {
        if (box.Length < 2 || box[0] != Version || box.Length < 2 + box[1] + NonceSize + TagSize) throw new SecretBoxException("The stored secret has an unknown form.");
        var head = 2 + box[1];
        var id = Encoding.UTF8.GetString(box, 2, box[1]);
        if (!keys.TryGetValue(id, out var key)) throw new SecretBoxException($"The stored secret needs key \"{id}\", which is not in {SecretOptions.Section}.");
        var text = new byte[box.Length - head - NonceSize - TagSize];
        try
        {
            using var aes = new AesGcm(key, TagSize);
            aes.Decrypt(box.AsSpan(head, NonceSize), box.AsSpan(head + NonceSize + TagSize), box.AsSpan(head + NonceSize, TagSize), text, Bound(box.AsSpan(0, head), rowId));
            return Encoding.UTF8.GetString(text);
        }
        catch (AuthenticationTagMismatchException e)
        {
            throw new SecretBoxException("The stored secret is damaged or belongs to another row.", e);
        }
        finally
        {
            CryptographicOperations.ZeroMemory(text);
        }
    }

    /// <summary>The head's length comes first, so that no other pair of head and row gives the same bytes.</summary>
    private static byte[] Bound(ReadOnlySpan<byte> head, string rowId)
    {
        var row = Encoding.UTF8.GetBytes(rowId);
        var bound = new byte[4 + head.Length + row.Length];
        BinaryPrimitives.WriteInt32LittleEndian(bound, head.Length);
        head.CopyTo(bound.AsSpan(4));
        row.CopyTo(bound, 4 + head.Length);
        return bound;
    }

    private static int ByAge(string? x, string? y) =>
        long.TryParse(x, out var first) && long.TryParse(y, out var second) ? first.CompareTo(second) : string.CompareOrdinal(x, y);

    private static string CheckId(string id) =>
        id.Length > 0 && Encoding.UTF8.GetByteCount(id) <= MaxIdBytes ? id : throw new SecretBoxException($"A key id in {SecretOptions.Section} must have 1-{MaxIdBytes} bytes.");

    private static byte[] ReadKey(string id, string text)
    {
        var key = new byte[KeySize + 1];
        return Convert.TryFromBase64String(text.Trim(), key, out var count) && count == KeySize
            ? key[..KeySize]
            : throw new SecretBoxException($"{SecretOptions.Section}: key \"{id}\" is not base64 of {KeySize} bytes.");
    }

    private static Dictionary<string, string> ReadFile(string? file)
    {
        if (string.IsNullOrEmpty(file)) throw new SecretBoxException($"Set {SecretOptions.Section}:Keys:<id>, or {SecretOptions.Section}:File.");
        if (!File.Exists(file)) MakeFile(file);
        if ((File.GetUnixFileMode(file) & ~(UnixFileMode.UserRead | UnixFileMode.UserWrite)) != UnixFileMode.None)
        {
            throw new SecretBoxException($"{file} can be reached by others: give it mode 0600.");
        }

        var ring = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var line in File.ReadLines(file).Where(line => !string.IsNullOrWhiteSpace(line)))
        {
            var parts = line.Split(' ', 2, StringSplitOptions.TrimEntries);
            if (parts.Length != 2) throw new SecretBoxException($"{file} has a line that is not \"id base64\".");
            ring[parts[0]] = parts[1];
        }

        return ring.Count > 0 ? ring : throw new SecretBoxException($"{file} holds no key.");
    }

    /// <summary>Whole or not at all, and never over another's: several Apis may start at once, and all must read one key.</summary>
    private static void MakeFile(string file)
    {
        const UnixFileMode Owner = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(file))!, Owner | UnixFileMode.UserExecute);
        var temporary = $"{file}.{Guid.NewGuid():N}";
        try
        {
            using (var stream = new FileStream(temporary, new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write, UnixCreateMode = Owner }))
            {
                stream.Write(Encoding.ASCII.GetBytes($"1 {Convert.ToBase64String(RandomNumberGenerator.GetBytes(KeySize))}\n"));
                stream.Flush(flushToDisk: true);
            }

            Storage.Files.NativeFiles.LinkNew(temporary, file);
        }
        finally
        {
            File.Delete(temporary);
        }
    }
}

/// <summary>Secrets in a host.</summary>
public static class SecretServices
{
    /// <summary>Adds <see cref="SecretBox"/>. The ring is read when it is first wanted; a bad one then stops the start (<see cref="SecretBoxException"/>).</summary>
    public static IServiceCollection AddSecretBox(this IServiceCollection services, IConfiguration configuration)
    {
        services.AddOptions<SecretOptions>().Bind(configuration.GetSection(SecretOptions.Section));
        services.TryAddSingleton(provider => new SecretBox(provider.GetRequiredService<IOptions<SecretOptions>>().Value));
        return services;
    }
}
