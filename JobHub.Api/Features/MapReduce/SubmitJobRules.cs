using System.Text;
using JobHub.Api.Http;
using JobHub.Engine.MapReduce;
using JobHub.Engine.Storage;
using static JobHub.Api.Http.SubmitFields;

namespace JobHub.Api.Features.MapReduce;

/// <summary>What a submission's fields may hold. The first that is wrong is refused by name.</summary>
public static class SubmitJobRules
{
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
            Environment = Environment("environment", wire.Environment),
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

    private static string? Title(string? value)
    {
        if (string.IsNullOrEmpty(value)) return null;
        return value.Length <= 256 && !value.Any(char.IsControl) ? Clean("title", value) : throw Problems.InvalidField("title", "'title' has at most 256 characters and no control characters.");
    }
}
