using System.Text;
using JobHub.Api.Http;
using JobHub.Engine.MapReduce;
using JobHub.Engine.Storage;

namespace JobHub.Api.Features.MapReduce;

/// <summary>What a submission's fields may hold. The first that is wrong is refused by name.</summary>
public static class SubmitJobRules
{
    private const int LongestArgument = 131_071;

    public static MapReduceRequest Read(SubmitJobWire wire, string project)
    {
        ArgumentNullException.ThrowIfNull(wire);
        return new MapReduceRequest
        {
            Reducers = (int)Within("nReducers", wire.NReducers ?? throw Missing("nReducers"), 1, 10_000),
            InputPath = Text("inputPath", wire.InputPath),
            Gzip = Text("inputType", wire.InputType) switch
            {
                "file/txt" => false,
                "file/gzip" => true,
                _ => throw Problems.InvalidField("inputType", "'inputType' must be file/txt or file/gzip."),
            },
            OutputPath = Text("outputPath", wire.OutputPath),
            MapperName = Text("mapperName", wire.MapperName),
            ReducerName = Text("reducerName", wire.ReducerName),
            CombinerName = string.IsNullOrEmpty(wire.CombinerName) ? null : wire.CombinerName,
            UseSsl = wire.UseSSL ?? false,
            InputCredentials = Credentials("inputStorageCredentials", wire.InputStorageCredentials),
            OutputCredentials = Credentials("outputStorageCredentials", wire.OutputStorageCredentials),
            SplitSize = Within("splitSize", wire.SplitSize ?? MapReduceRequest.DefaultSplitSize, 1, long.MaxValue),
            MapperArgs = Arguments("mapperArgs", wire.MapperArgs),
            ReducerArgs = Arguments("reducerArgs", wire.ReducerArgs),
            Environment = Environment(wire.Environment),
            Project = project,
            Title = Title(wire.Title),
            Labels = Labels(wire.Labels),
            Priority = (int)Within("priority", wire.Priority ?? 255, 0, 255),
            MaxAttempts = (int)Within("maxAttempts", wire.MaxAttempts ?? 4, 1, 100),
            TimeoutSeconds = wire.TimeoutSeconds is not { } seconds || seconds is > 0 and <= 31_536_000
                ? wire.TimeoutSeconds
                : throw Problems.InvalidField("timeoutSeconds", "'timeoutSeconds' must be a number above 0 and up to 31536000 (a year)."),
            Speculative = wire.Speculative ?? true,
        };
    }

    private static string Text(string field, string? value) => string.IsNullOrEmpty(value) ? throw Missing(field) : Clean(field, value);

    private static JobHub.ServiceDefaults.RefusedException Missing(string field) => new(400, "missing-field", $"'{field}' is required.", field);

    private static long Within(string field, long value, long least, long most) => value >= least && value <= most
        ? value
        : throw Problems.InvalidField(field, most == long.MaxValue ? $"'{field}' must be a whole number from {least}." : $"'{field}' must be a whole number from {least} to {most}.");

    private static StorageCredentials? Credentials(string field, CredentialsWire? value)
    {
        if (string.IsNullOrEmpty(value?.Username) && string.IsNullOrEmpty(value?.Password)) return null;
        if (string.IsNullOrEmpty(value.Username)) throw Problems.InvalidField($"{field}.username", $"'{field}' has a password and no username.");
        if (string.IsNullOrEmpty(value.Password)) throw Problems.InvalidField($"{field}.password", $"'{field}' has a username and no password.");
        return new StorageCredentials(Clean($"{field}.username", value.Username), Clean($"{field}.password", value.Password));
    }

    private static string[] Arguments(string field, string[]? values)
    {
        if (values is null) return [];
        if (values.Length > 1000) throw Problems.InvalidField(field, $"'{field}' has more than 1000 arguments.");
        for (var index = 0; index < values.Length; index++)
        {
            Clean($"{field}[{index}]", values[index]);
            // The kernel's limit for one argument.
            if (Encoding.UTF8.GetByteCount(values[index]) > LongestArgument) throw Problems.InvalidField($"{field}[{index}]", $"'{field}[{index}]' is over {LongestArgument} bytes.");
        }

        return values;
    }

    private static Dictionary<string, string> Environment(Dictionary<string, string>? values)
    {
        foreach (var (name, value) in values ?? [])
        {
            var field = $"environment.{Shown(name)}";
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

    private static Dictionary<string, string> Labels(Dictionary<string, string>? values)
    {
        if (values?.Count > 64) throw Problems.InvalidField("labels", "'labels' has more than 64 entries.");
        foreach (var (name, value) in values ?? [])
        {
            if (name.Length is 0 or > 128 || name.Any(char.IsControl)) throw Problems.InvalidField($"labels.{Shown(name)}", "A label's name has 1 to 128 characters.");
            if (Clean($"labels.{Shown(name)}", value).Length > 1024) throw Problems.InvalidField($"labels.{Shown(name)}", "A label's value has at most 1024 characters.");
        }

        return values ?? [];
    }

    private static string? Title(string? value)
    {
        if (string.IsNullOrEmpty(value)) return null;
        return value.Length <= 256 && !value.Any(char.IsControl) ? Clean("title", value) : throw Problems.InvalidField("title", "'title' has at most 256 characters and no control characters.");
    }

    /// <summary>Neither Postgres nor a process can be given a NUL or half a character.</summary>
    private static string Clean(string field, string value)
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
