using System.Text.Json.Serialization;

namespace JobHub.Api.Features.Farm;

/// <summary>A worker. Times are whole Unix seconds, memory is MiB.</summary>
public sealed record WorkerWire
{
    [JsonPropertyName("name")] public required string Name { get; init; }
    [JsonPropertyName("ip")] public required string Ip { get; init; }
    /// <summary>Its lines, parted by newlines, the first preferred; tags of a line by commas.</summary>
    [JsonPropertyName("affinity")] public required string Affinity { get; init; }
    /// <summary>WAITING, WORKING, or TIMEOUT: not heard of for ten seconds, and no lease of its runs. One that is stopped waits; `active` says it.</summary>
    [JsonPropertyName("state")] public required string State { get; init; }
    /// <summary>When it was last heard of.</summary>
    [JsonPropertyName("ping_time")] public required long PingTime { get; init; }
    [JsonPropertyName("finished")] public required long Finished { get; init; }
    [JsonPropertyName("error")] public required long Error { get; init; }
    /// <summary>The job it runs or ran last; 0 before the first.</summary>
    [JsonPropertyName("last_job")] public required long LastJob { get; init; }
    /// <summary>The id of that run in /api/events.</summary>
    [JsonPropertyName("current_event")] public required long CurrentEvent { get; init; }
    /// <summary>A list of percents, as text: `[12,40]`.</summary>
    [JsonPropertyName("cpu")] public required string Cpu { get; init; }
    [JsonPropertyName("free_memory")] public required long FreeMemory { get; init; }
    [JsonPropertyName("total_memory")] public required long TotalMemory { get; init; }
    /// <summary>0: it is given nothing.</summary>
    [JsonPropertyName("active")] public required int Active { get; init; }
    [JsonPropertyName("start_time")] public required long StartTime { get; init; }
}

/// <summary>A run of a job. Times are whole Unix seconds.</summary>
public sealed record EventWire
{
    [JsonPropertyName("id")] public required long Id { get; init; }
    [JsonPropertyName("worker")] public required string Worker { get; init; }
    [JsonPropertyName("job_id")] public required long JobId { get; init; }
    [JsonPropertyName("job_title")] public required string JobTitle { get; init; }
    /// <summary>WORKING, FINISHED, ERROR, or WAITING: it was stopped or lost, and its job went back to the queue.</summary>
    [JsonPropertyName("state")] public required string State { get; init; }
    [JsonPropertyName("start")] public required long Start { get; init; }
    [JsonPropertyName("duration")] public required long Duration { get; init; }
}
