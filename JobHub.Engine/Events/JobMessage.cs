using System.Globalization;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using JobHub.Engine.Jobs;

namespace JobHub.Engine.Events;

/// <summary>What is told about a job, by RabbitMQ and by webhooks alike. JSON in snake_case, what is not known left out; times RFC 3339 UTC text with milliseconds.</summary>
/// <param name="JobId">The caller's own id of the job, else the hub's.</param>
/// <param name="Kind">mapreduce, command, project or farm.</param>
/// <param name="Command">The command line, cut after 65 536 characters.</param>
/// <param name="Status">QUEUED, RUNNING, COMPLETE or FAILED.</param>
public sealed record JobMessage(
    string JobId, string Kind, string? Command, string Status, int? ExitCode, JobMessageError? Error, string? Started, string? Ended, string? Project)
{
    public const string Queued = "QUEUED", Running = "RUNNING", Complete = "COMPLETE", Failed = "FAILED";

    /// <summary>The family's word in messages.</summary>
    public static string KindOf(JobFamily family) => family switch
    {
        JobFamily.MapReduce => "mapreduce", JobFamily.Commands => "command", JobFamily.Projects => "project", _ => "farm",
    };

    /// <summary>A time as messages write it.</summary>
    public static string TimeText(DateTimeOffset time) => time.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'", CultureInfo.InvariantCulture);

    /// <summary>The message's bytes.</summary>
    public byte[] ToJson() => JsonSerializer.SerializeToUtf8Bytes(this, Wire.JobMessage);

    // Nobody puts these bytes into a page as they are: text stays readable.
    private static readonly JobMessageJson Wire = new(new JsonSerializerOptions(JobMessageJson.Default.Options) { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping });
}

/// <summary>Why a job failed: type and message of <see cref="JobEnding"/>.</summary>
public sealed record JobMessageError(string Type, string Message, int? Signal);

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(JobMessage))]
internal sealed partial class JobMessageJson : JsonSerializerContext;
