using System.Text;
using JobHub.ServiceDefaults;

namespace JobHub.Api.Http;

/// <summary>Rules that the submissions of all families share. What is wrong is refused by the field's name.</summary>
public static class SubmitFields
{
    /// <summary>The kernel's limit for one argument or variable, in bytes.</summary>
    public const int LongestArgument = 131_071;

    public static RefusedException Missing(string field) => new(400, "missing-field", $"'{field}' is required.", field);

    public static long Within(string field, long value, long least, long most) => value >= least && value <= most
        ? value
        : throw Problems.InvalidField(field, most == long.MaxValue ? $"'{field}' must be a whole number from {least}." : $"'{field}' must be a whole number from {least} to {most}.");

    public static Dictionary<string, string> Environment(string place, Dictionary<string, string>? values)
    {
        foreach (var (name, value) in values ?? [])
        {
            var field = $"{place}.{Shown(name)}";
            if (name.Length is 0 or > 255 || char.IsAsciiDigit(name[0]) || !name.All(static c => c is '_' or '.' or '-' || char.IsAsciiLetterOrDigit(c)))
            {
                throw Problems.InvalidField(field, "A variable's name has 1 to 255 letters, digits, '_', '.' or '-' and begins with no digit.");
            }

            // By these the hub knows which processes belong to an attempt.
            if (name.StartsWith("JOBHUB_", StringComparison.OrdinalIgnoreCase)) throw Problems.InvalidField(field, "Names that begin with JOBHUB_ are set by the hub.");
            if (Encoding.UTF8.GetByteCount(Clean(field, value)) > LongestArgument) throw Problems.InvalidField(field, $"'{field}' is over {LongestArgument} bytes.");
        }

        return values ?? [];
    }

    public static Dictionary<string, string> Labels(Dictionary<string, string>? values)
    {
        if (values?.Count > 64) throw Problems.InvalidField("labels", "'labels' has more than 64 entries.");
        foreach (var (name, value) in values ?? [])
        {
            if (name.Length is 0 or > 128 || name.Any(char.IsControl)) throw Problems.InvalidField($"labels.{Shown(name)}", "A label's name has 1 to 128 characters.");
            if (Clean($"labels.{Shown(name)}", value).Length > 1024) throw Problems.InvalidField($"labels.{Shown(name)}", "A label's value has at most 1024 characters.");
        }

        return values ?? [];
    }

    /// <summary>Neither Postgres nor a process can be given a NUL or half a character.</summary>
    public static string Clean(string field, string value)
    {
        var broken = value.Contains('\0');
        for (var rest = value.AsSpan(); !broken && !rest.IsEmpty;)
        {
            broken = Rune.DecodeFromUtf16(rest, out _, out var used) != System.Buffers.OperationStatus.Done;
            rest = rest[used..];
        }

        return broken ? throw Problems.InvalidField(field, $"'{field}' has a character that cannot be passed on (NUL or half a surrogate pair).") : value;
    }

    private static string Shown(string name) => name.Length <= 64 ? name : name[..64] + "…";
}
