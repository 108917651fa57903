using System.Globalization;
using System.Text;
using JobHub.Api.Http;
using JobHub.Engine.Files;

namespace JobHub.Api.Features.Commands;

/// <summary>A submission as it was sent, in whichever of the three ways, before its rules are looked at.</summary>
/// <param name="Hash">Of everything sent, for a resend with the same key; null without one.</param>
/// <param name="Uploads">Files that came with it: the name as sent, and the bytes.</param>
public sealed record CommandRequest(SubmitCommandWire Wire, IReadOnlyList<(string Name, StagedFile File)> Uploads, byte[]? Hash);

/// <summary>What the fields of a submission may hold.</summary>
public static class SubmitCommandRules
{
    /// <summary>Where a command runs unless it says otherwise; relative destinations are below it.</summary>
    public const string DefaultWorkdir = "/job";

    private static readonly (string Suffix, long Factor)[] Units =
    [
        ("Ki", 1L << 10), ("Mi", 1L << 20), ("Gi", 1L << 30), ("Ti", 1L << 40), ("k", 1000), ("M", 1000_000), ("G", 1000_000_000), ("T", 1000_000_000_000),
    ];

    /// <summary>What <c>sh -c</c> is given.</summary>
    public static string Command(string? text)
    {
        if (string.IsNullOrWhiteSpace(text)) throw SubmitFields.Missing("command");
        SubmitFields.Clean("command", text);
        // The kernel's limit for one argument.
        if (Encoding.UTF8.GetByteCount(text) > SubmitFields.LongestArgument)
            throw new ServiceDefaults.RefusedException(413, "value-too-large", $"'command' is over {SubmitFields.LongestArgument} bytes. Upload a script with the job and run that.", "command");
        return text;
    }

    /// <summary>A caller's own id of a job, or null.</summary>
    public static string? UniqueId(string? text)
    {
        if (string.IsNullOrEmpty(text)) return null;
        var valid = text.Length <= 128 && text.All(static c => char.IsAsciiLetterOrDigit(c) || c is '.' or '_' or '~' or '-');
        if (!valid) throw Problems.InvalidField("unique_id", "'unique_id' has 1 to 128 letters, digits, '.', '_', '~' or '-'.");
        // Every client drops these from an address: the job could not be asked for.
        return text is not ("." or "..") ? text : throw Problems.InvalidField("unique_id", "'unique_id' cannot be '.' or '..'.");
    }

    /// <summary>Bytes; 0 = none asked.</summary>
    public static long Memory(string? text)
    {
        if (string.IsNullOrEmpty(text)) return 0;
        var (digits, factor) = (text, 1L);
        foreach (var (suffix, by) in Units)
        {
            if (!text.EndsWith(suffix, StringComparison.Ordinal)) continue;
            (digits, factor) = (text[..^suffix.Length], by);
            break;
        }

        if (decimal.TryParse(digits, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var number) && number > 0 && number <= (1L << 50) / (decimal)factor)
        {
            var bytes = (long)(number * factor);
            if (bytes >= 1 << 20) return bytes;
        }

        throw Problems.InvalidField("memory", "'memory' must be an amount from 1Mi to 1024Ti: a number of bytes, or with k, M, G, T, Ki, Mi, Gi or Ti.");
    }

    public static double? Timeout(double? seconds) => seconds is null or (> 0 and <= 31_536_000)
        ? seconds
        : throw Problems.InvalidField("timeout", "'timeout' must be a number of seconds above 0 and up to 31536000 (a year).");

    public static string? Image(string? text)
    {
        if (string.IsNullOrEmpty(text)) return null;
        return text.Length <= 512 && text.All(static c => c is > ' ' and <= '~') ? text : throw Problems.InvalidField("image", "'image' has at most 512 printable ASCII characters and no blanks.");
    }

    public static FilePath Workdir(string? text)
    {
        if (FilePath.Read(string.IsNullOrEmpty(text) ? DefaultWorkdir : text, folder: null, out var path) is { } reason) throw Problems.InvalidField("workdir", reason);
        return path;
    }

    /// <summary>A list shows jobs by their command; a title is one line of it.</summary>
    public static string Title(string command)
    {
        ArgumentNullException.ThrowIfNull(command);
        var line = new StringBuilder(Math.Min(command.Length, 200));
        foreach (var rune in command.AsSpan().Trim().EnumerateRunes())
        {
            if (line.Length >= 200) return line.Append('…').ToString();
            if (Rune.IsControl(rune)) line.Append(' ');
            else line.Append(rune.ToString());
        }

        return line.ToString();
    }
}
