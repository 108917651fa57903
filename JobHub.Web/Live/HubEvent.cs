using System.Text.Json;

namespace JobHub.Web.Live;

/// <summary>Something that happened.</summary>
/// <param name="Job">The id of the job it is about.</param>
public sealed record HubEvent(long Position, DateTimeOffset At, string Kind, string? Job, JsonElement Payload);
