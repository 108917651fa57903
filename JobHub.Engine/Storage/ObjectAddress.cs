using System.Buffers;
using System.Text;

namespace JobHub.Engine.Storage;

/// <summary>Which store an address means.</summary>
public enum AddressKind
{
    /// <summary><c>s3://bucket/key</c>: the hub's own store.</summary>
    Hub,
    /// <summary><c>http(s)://endpoint/bucket/key</c>, path style.</summary>
    Endpoint,
    /// <summary><c>file:///absolute/path</c>.</summary>
    File,
    /// <summary><c>project:///path</c>: a file of the job's project.</summary>
    Project,
}

/// <summary>
/// A place in an object store as callers write it. Escapes (<c>%20</c>) are decoded once; <see cref="ToString"/> writes text that parses back to an equal address.
/// A key that ends with a slash (or is empty) means all objects below it; with a <see cref="Pattern"/> the key is the folder and the pattern its last part.
/// </summary>
public sealed record ObjectAddress
{
    private const int MaxTextLength = 8192;
    private const int MaxFileBytes = 4000;
    private static readonly SearchValues<char> Escaped = SearchValues.Create("%*?#");

    private ObjectAddress(AddressKind kind, StorageEndpoint? endpoint, string bucket, string key, string? pattern) =>
        (Kind, Endpoint, Bucket, Key, Pattern) = (kind, endpoint, bucket, key, pattern);

    public AddressKind Kind { get; }
    /// <summary>Only of <see cref="AddressKind.Endpoint"/>.</summary>
    public StorageEndpoint? Endpoint { get; }
    /// <summary>Empty where there is none, and for an address that names only an endpoint.</summary>
    public string Bucket { get; }
    public string Key { get; }
    /// <summary>The last part as it was written, when it has a <c>*</c>; escapes (also of a literal star, <c>%2A</c>) are still in it.</summary>
    public string? Pattern { get; }
    /// <summary>Names a bucket before its key.</summary>
    public bool HasBucket => Kind is AddressKind.Hub or AddressKind.Endpoint;
    /// <summary>Means the objects below it, not one object.</summary>
    public bool IsFolder => Pattern is null && (Key.Length == 0 || Key[^1] == '/');
    /// <summary>Place inside the store that <see cref="StoreRegistry.Open"/> gives.</summary>
    public ObjectPath Path => new(Bucket, Key);

    /// <summary>Reads a path of the contract. <paramref name="useSsl"/> decides when it has no scheme. Throws <see cref="StoreException"/> with InvalidPath.</summary>
    public static ObjectAddress Parse(string text, bool useSsl)
    {
        if (text.Length is 0 or > MaxTextLength) throw ObjectKey.Invalid(text.Length == 0 ? "The path is empty." : "The path is too long.");
        ObjectKey.ByteCount(text);
        var colon = text.IndexOf("://", StringComparison.Ordinal);
        var slash = text.IndexOf('/');
        if (colon < 0 || slash < colon)
        {
            if (slash == 0) throw ObjectKey.Invalid($"\"{ObjectKey.Printable(text)}\" has no store: write file://{ObjectKey.Printable(text)} for a file.");
            return ParseEndpoint(useSsl ? "https" : "http", text, text);
        }

        var rest = text[(colon + 3)..];
        return text[..colon].ToLowerInvariant() switch
        {
            "http" => ParseEndpoint("http", rest, text),
            "https" => ParseEndpoint("https", rest, text),
            "s3" => ParseKey(AddressKind.Hub, null, rest, text),
            "file" when rest.StartsWith('/') => ParseKey(AddressKind.File, null, rest[1..], text),
            "project" when rest.StartsWith('/') => ParseKey(AddressKind.Project, null, rest[1..], text),
            "file" or "project" => throw ObjectKey.Invalid($"\"{ObjectKey.Printable(text)}\" is not absolute: write {text[..colon].ToLowerInvariant()}:/// and the path from the root."),
            _ => throw ObjectKey.Invalid($"\"{ObjectKey.Printable(text)}\" has a scheme that is not http, https, s3, file or project."),
        };
    }

    /// <summary>Reads an output prefix: only an endpoint (or <c>s3://</c>) means bucket <c>reducers</c>; a pattern is refused.</summary>
    public static ObjectAddress ParseOutput(string text, bool useSsl)
    {
        var address = Parse(text, useSsl);
        if (address.Pattern is not null) throw ObjectKey.Invalid($"\"{ObjectKey.Printable(text)}\" has a '*': an output path names one place (write %2A for a star).");
        if (address.Kind == AddressKind.Project) throw ObjectKey.Invalid($"\"{ObjectKey.Printable(text)}\" is among a project's files, which MapReduce only reads: write s3:// and a bucket, or file:/// and a folder.");
        return address.HasBucket && address.Bucket.Length == 0
            ? new ObjectAddress(address.Kind, address.Endpoint, "reducers", "", null)
            : new ObjectAddress(address.Kind, address.Endpoint, address.Bucket, address.Key.TrimEnd('/'), null);
    }

    /// <summary>An object or folder below this one. <paramref name="relative"/> is plain text, not escaped.</summary>
    public ObjectAddress Child(string relative) => WithKey(Key.Length == 0 || Key[^1] == '/' ? Key + relative : $"{Key}/{relative}");

    /// <summary>Another object of the same bucket, e.g. one that a listing found.</summary>
    public ObjectAddress WithKey(string key)
    {
        CheckKey(Kind, key);
        return new ObjectAddress(Kind, Endpoint, Bucket, key, null);
    }

    /// <summary>The longest key prefix that all objects meant by this address share: what to list.</summary>
    public ObjectPath ListPrefix() => Pattern is null ? Path : new ObjectPath(Bucket, Key + Decode(Pattern[..Pattern.IndexOf('*')], Pattern));

    /// <summary>Whether an object found below <see cref="ListPrefix"/> is meant: a star stands for any run of characters within the last part.</summary>
    public bool Matches(string key)
    {
        if (Pattern is null) return key.StartsWith(Key, StringComparison.Ordinal);
        if (!key.StartsWith(Key, StringComparison.Ordinal)) return false;
        var name = key.AsSpan(Key.Length);
        if (name.Contains('/')) return false;
        var pieces = Pattern.Split('*');
        for (var i = 0; i < pieces.Length; i++) pieces[i] = Decode(pieces[i], Pattern);
        if (!name.StartsWith(pieces[0], StringComparison.Ordinal)) return false;
        name = name[pieces[0].Length..];
        if (name.Length < pieces[^1].Length || !name.EndsWith(pieces[^1], StringComparison.Ordinal)) return false;
        name = name[..^pieces[^1].Length];
        foreach (var piece in pieces.AsSpan(1, pieces.Length - 2))
        {
            var found = name.IndexOf(piece, StringComparison.Ordinal);
            if (found < 0) return false;
            name = name[(found + piece.Length)..];
        }

        return true;
    }

    /// <inheritdoc />
    public override string ToString()
    {
        var text = new StringBuilder(Kind switch { AddressKind.Hub => "s3://", AddressKind.File => "file:///", AddressKind.Project => "project:///", _ => Endpoint!.ToString() });
        if (Kind == AddressKind.Endpoint && Bucket.Length > 0) text.Append('/');
        if (Bucket.Length > 0) text.Append(Bucket);
        if (HasBucket && (Key.Length > 0 || Pattern is not null || Bucket.Length > 0)) text.Append('/');
        foreach (var c in Key)
        {
            if (Escaped.Contains(c)) text.Append('%').Append(((int)c).ToString("X2"));
            else text.Append(c);
        }

        return text.Append(Pattern).ToString();
    }

    private static ObjectAddress ParseEndpoint(string scheme, string rest, string text)
    {
        var slash = rest.IndexOf('/');
        var authority = slash < 0 ? rest : rest[..slash];
        var endpoint = StorageEndpoint.TryParse(authority, scheme)
            ?? throw ObjectKey.Invalid($"\"{ObjectKey.Printable(authority)}\" is not an endpoint: write host or host:port, without credentials.");
        if (rest.AsSpan().ContainsAny('?', '#'))
        {
            throw ObjectKey.Invalid($"\"{ObjectKey.Printable(text)}\" has a query or fragment: write %3F or %23 when the character belongs to the key.");
        }

        return ParseKey(AddressKind.Endpoint, endpoint, slash < 0 ? "" : rest[(slash + 1)..], text);
    }

    private static ObjectAddress ParseKey(AddressKind kind, StorageEndpoint? endpoint, string rest, string text)
    {
        var bucket = "";
        if (kind is AddressKind.Hub or AddressKind.Endpoint)
        {
            var slash = rest.IndexOf('/');
            bucket = Decode(slash < 0 ? rest : rest[..slash], text);
            if (bucket.Length == 0)
            {
                return slash < 0 ? new ObjectAddress(kind, endpoint, "", "", null) : throw ObjectKey.Invalid($"\"{ObjectKey.Printable(text)}\" has an empty bucket.");
            }

            ObjectKey.CheckBucket(bucket);
            rest = slash < 0 ? "" : rest[(slash + 1)..];
        }

        string? pattern = null;
        var last = rest.LastIndexOf('/') + 1;
        if (rest.AsSpan(last).Contains('*'))
        {
            pattern = rest[last..];
            // The pattern's own text must be good too; a star stands for at least nothing.
            CheckKey(kind, Decode(pattern.Replace('*', 'x'), text));
            if (Decode(pattern, text).Contains('/')) throw ObjectKey.Invalid($"\"{ObjectKey.Printable(text)}\" has an escaped slash beside a '*'.");
            rest = rest[..last];
        }

        var key = Decode(rest, text);
        if (key is not "") CheckKey(kind, key);
        return new ObjectAddress(kind, endpoint, bucket, key, pattern);
    }

    private static void CheckKey(AddressKind kind, string key)
    {
        ObjectKey.Check(key, allowFolder: true, kind is AddressKind.File or AddressKind.Project ? MaxFileBytes : ObjectKey.MaxBytes);
        if (key is "/") throw ObjectKey.Invalid("The key is empty.");
        if (kind == AddressKind.File && key.Contains('\\')) throw ObjectKey.Invalid($"\"{ObjectKey.Printable(key)}\" has a backslash.");
    }

    /// <summary>Decodes %XX once. What is not two hex digits, or not UTF-8, is refused: guessing would let two readers see two paths.</summary>
    private static string Decode(string text, string whole)
    {
        if (!text.Contains('%')) return text;
        var bytes = new byte[Encoding.UTF8.GetMaxByteCount(text.Length)];
        var count = 0;
        for (var i = 0; i < text.Length; i++)
        {
            if (text[i] != '%')
            {
                var run = 1;
                while (i + run < text.Length && text[i + run] != '%') run++;
                count += Encoding.UTF8.GetBytes(text.AsSpan(i, run), bytes.AsSpan(count));
                i += run - 1;
            }
            else if (i + 2 < text.Length && char.IsAsciiHexDigit(text[i + 1]) && char.IsAsciiHexDigit(text[i + 2]))
            {
                bytes[count++] = (byte)((Hex(text[i + 1]) << 4) | Hex(text[i + 2]));
                i += 2;
            }
            else
            {
                throw ObjectKey.Invalid($"\"{ObjectKey.Printable(whole)}\" has a '%' that is no escape: write %25 for the character itself.");
            }
        }

        try
        {
            return new UTF8Encoding(false, throwOnInvalidBytes: true).GetString(bytes, 0, count);
        }
        catch (DecoderFallbackException)
        {
            throw ObjectKey.Invalid($"\"{ObjectKey.Printable(whole)}\" has escapes that are not UTF-8.");
        }
    }

    private static int Hex(char c) => char.IsAsciiDigit(c) ? c - '0' : (c | 0x20) - 'a' + 10;
}
