using System.Text;

namespace JobHub.Engine.Files;

/// <summary>
/// The path of a file in a file space or a command's tree: absolute, normalized, and one spelling a file. Callers' spellings that could mean another place to some reader
/// (dots in any encoding, look-alikes of dots and slashes, backslashes) are refused, not repaired.
/// </summary>
public readonly record struct FilePath
{
    /// <summary>Bytes of UTF-8 a whole path may have.</summary>
    public const int MaxBytes = 1024;
    /// <summary>Bytes of UTF-8 one name may have: what file systems take.</summary>
    public const int MaxNameBytes = 255;

    // Fraction and division slashes, set minus and their full-width forms: drawn like a separator, and none to the file system.
    private const string SlashLookAlikes = "\u2044\u2215\u2216\u29F5\u29F8\u29F9\uFE68\uFF0F\uFF3C";

    // One, two and three dot leaders, small, full-width, ideographic and vertical forms. A list, because a host without ICU data normalizes nothing.
    private const string DotLookAlikes = "\u2024\u2025\u2026\u22EF\u3002\uA60E\u0701\u0702\uFE19\uFE30\uFE52\uFF0E\uFF61";

    // What the kernel shows there is not files, and a sandbox has its own.
    private static readonly string[] KernelFolders = ["/proc", "/sys", "/dev"];

    private FilePath(string value) => Value = value;

    /// <summary>The root folder.</summary>
    public static FilePath Root { get; } = new("/");

    /// <summary>Begins with a slash; no empty, <c>.</c> or <c>..</c> parts; no slash at the end, but for the root.</summary>
    public string Value { get; }

    public bool IsRoot => Value.Length == 1;

    /// <summary>The last part.</summary>
    public string Name => Value[(Value.LastIndexOf('/') + 1)..];

    /// <summary>What everything below it begins with.</summary>
    public string FolderPrefix => IsRoot ? "/" : Value + "/";

    /// <summary>Reads a caller's path.</summary>
    /// <param name="text">As sent, decoded once.</param>
    /// <param name="folder">Relative paths are below this; null refuses them.</param>
    /// <param name="path">The path, when null is returned.</param>
    /// <returns>Why it is refused, in words for the caller; null when it is taken.</returns>
    public static string? Read(string text, FilePath? folder, out FilePath path)
    {
        ArgumentNullException.ThrowIfNull(text);
        path = default;
        if (text.Length == 0) return "The path is empty.";
        if (text[0] != '/' && folder is null) return "The path must be absolute: it begins with '/'.";
        // A path that is too long to be one is not looked at further.
        if (text.Length > 4 * MaxBytes) return TooLong;
        var parts = new List<string>();
        foreach (var part in text.Split('/'))
        {
            if (part is "" or ".") continue;
            if (WhyNot(part) is { } reason) return reason;
            parts.Add(part);
        }

        var value = (text[0] == '/' ? "/" : folder!.Value.FolderPrefix) + string.Join('/', parts);
        if (value.Length > 1) value = value.TrimEnd('/');
        if (Encoding.UTF8.GetByteCount(value) > MaxBytes) return TooLong;
        if (KernelFolders.FirstOrDefault(f => value == f || value.StartsWith(f + "/", StringComparison.Ordinal)) is { } kernel)
            return $"{kernel} belongs to the kernel and holds no files.";
        path = new(value);
        return null;
    }

    /// <summary>A path that was checked when it was stored.</summary>
    internal static FilePath Known(string value) => new(value);

    /// <inheritdoc />
    public override string ToString() => Value;

    private static string TooLong => $"A path has at most {MaxBytes} bytes.";

    private static string? WhyNot(string part)
    {
        if (Encoding.UTF8.GetByteCount(part) > MaxNameBytes) return $"A file or folder name has at most {MaxNameBytes} bytes.";
        for (var seen = part; ;)
        {
            if (Check(seen) is { } reason) return reason;
            // Some client, proxy or program decodes once more: whatever it would see then must be harmless too.
            var decoded = Uri.UnescapeDataString(seen);
            // Bytes that are no UTF-8 stay encoded: overlong forms of dots and slashes are such.
            if (decoded == seen) return HasEncodedByte(seen) ? "The path holds encoded bytes that are not UTF-8." : null;
            if (decoded.Contains('/')) return "The path holds an encoded slash.";
            seen = decoded;
        }
    }

    private static string? Check(string part)
    {
        foreach (var c in part)
        {
            if (char.IsControl(c)) return "The path holds a control character.";
            if (c == '\\') return "The path holds a backslash; folders are parted by '/'.";
            if (SlashLookAlikes.Contains(c)) return "The path holds a character that only looks like a slash.";
            if (c == '\uFFFD') return "The path is not valid UTF-8.";
        }

        if (!Wellformed(part)) return "The path is not valid Unicode.";
        // What any reader might fold to "..": full-width and leader dots, dots beside spaces, semicolons and invisible characters.
        var dots = 0;
        var others = 0;
        foreach (var rune in part.EnumerateRunes())
        {
            if (rune.Value == '.' || (rune.IsBmp && DotLookAlikes.Contains((char)rune.Value))) dots++;
            else if (rune.Value is ' ' or ';' || Rune.GetUnicodeCategory(rune) is System.Globalization.UnicodeCategory.Format or System.Globalization.UnicodeCategory.SpaceSeparator) continue;
            else others++;
        }

        return others == 0 ? dots > 0 ? "A part of the path is made of dots; it would leave its folder." : "A part of the path has no visible character." : null;
    }

    private static bool HasEncodedByte(string part)
    {
        for (var at = part.IndexOf('%'); at >= 0 && at + 2 < part.Length; at = part.IndexOf('%', at + 1))
        {
            if (part[at + 1] >= '8' && char.IsAsciiHexDigit(part[at + 1]) && char.IsAsciiHexDigit(part[at + 2])) return true;
        }

        return false;
    }

    private static bool Wellformed(string part)
    {
        for (var i = 0; i < part.Length; i++)
        {
            if (!char.IsSurrogate(part[i])) continue;
            if (!char.IsHighSurrogate(part[i]) || i + 1 == part.Length || !char.IsLowSurrogate(part[i + 1])) return false;
            i++;
        }

        return true;
    }
}
