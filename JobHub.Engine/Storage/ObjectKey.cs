using System.Buffers;
using System.Text;

namespace JobHub.Engine.Storage;

/// <summary>What a bucket and a key may look like, checked before any store sees them: callers' text is hostile.</summary>
public static class ObjectKey
{
    /// <summary>S3's limit for a key, in bytes of UTF-8.</summary>
    public const int MaxBytes = 1024;

    private static readonly SearchValues<char> BucketCharacters =
        SearchValues.Create("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_");

    private static readonly UTF8Encoding Strict = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    /// <summary>Refuses a bucket name that could mean anything but a bucket: 1-63 of letters, digits, <c>. - _</c>, beginning with a letter or digit, without <c>..</c>.</summary>
    public static void CheckBucket(string bucket)
    {
        if (bucket.Length is 0 or > 63 || bucket.AsSpan().ContainsAnyExcept(BucketCharacters) || !char.IsAsciiLetterOrDigit(bucket[0])
            || bucket.Contains("..", StringComparison.Ordinal))
        {
            throw Invalid($"\"{Printable(bucket)}\" cannot be a bucket: 1-63 letters, digits, '.', '-' or '_', beginning with a letter or digit.");
        }
    }

    /// <summary>Refuses a key with empty, <c>.</c> or <c>..</c> parts, control characters or text that is not Unicode. One slash at the end (a folder) is allowed when asked for.</summary>
    public static void Check(string key, bool allowFolder, int maxBytes = MaxBytes)
    {
        var body = allowFolder && key.EndsWith('/') ? key.AsSpan(0, key.Length - 1) : key;
        if (body.Length == 0)
        {
            if (allowFolder && key.Length == 0) return;
            throw Invalid("The key is empty.");
        }

        foreach (var c in body)
        {
            if (char.IsControl(c)) throw Invalid($"\"{Printable(key)}\" has a control character.");
        }

        foreach (var part in body.Split('/'))
        {
            if (body[part] is "" or "." or "..") throw Invalid($"\"{Printable(key)}\" has an empty, '.' or '..' part.");
        }

        if (ByteCount(key) > maxBytes) throw Invalid($"The key is longer than {maxBytes} bytes.");
    }

    internal static StoreException Invalid(string message) => new(StoreFault.InvalidPath, message, transient: false);

    /// <summary>Text as it may stand in a message: control characters and broken surrogates replaced, not endless.</summary>
    internal static string Printable(string text)
    {
        var clean = new StringBuilder(Math.Min(text.Length, 210));
        foreach (var rune in text.EnumerateRunes())
        {
            if (clean.Length >= 200) return clean.Append('…').ToString();
            clean.Append(Rune.IsControl(rune) ? "\uFFFD" : rune.ToString());
        }

        return clean.ToString();
    }

    /// <summary>Bytes of UTF-8; refuses broken surrogates.</summary>
    internal static int ByteCount(string key)
    {
        try
        {
            return Strict.GetByteCount(key);
        }
        catch (EncoderFallbackException)
        {
            throw Invalid($"\"{Printable(key)}\" is not valid Unicode.");
        }
    }
}
