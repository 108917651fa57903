using System.Text.Json.Serialization;

namespace JobHub.Api.Features.Farm;

/// <summary>A job of this family. Times and durations are whole Unix seconds; 0 and empty text stand for what is not there yet.</summary>
public record FarmJobWire
{
    /// <summary>The fields in their order.</summary>
    public static IReadOnlyList<string> Names { get; } =
    [
        "id", "parent", "title", "command", "dir", "environment", "state", "paused", "worker", "start_time", "duration", "ping_time", "run_done", "retry", "timeout", "priority", "affinity",
        "affinity_bits", "user", "finished", "errors", "working", "total", "total_finished", "total_errors", "total_working", "url", "progress", "progress_pattern", "h_affinity", "h_priority",
        "h_paused", "h_depth",
    ];

    [JsonPropertyName("id")] public required long Id { get; init; }
    /// <summary>The group it is in; 0 = none.</summary>
    [JsonPropertyName("parent")] public required long Parent { get; init; }
    [JsonPropertyName("title")] public required string Title { get; init; }
    /// <summary>What <c>sh -c</c> runs; empty = a group.</summary>
    [JsonPropertyName("command")] public required string Command { get; init; }
    [JsonPropertyName("dir")] public required string Dir { get; init; }
    [JsonPropertyName("environment")] public required string Environment { get; init; }
    /// <summary>WAITING, PENDING, PAUSED, WORKING, FINISHED or ERROR.</summary>
    [JsonPropertyName("state")] public required string State { get; init; }
    /// <summary>1: it is paused itself.</summary>
    [JsonPropertyName("paused")] public required int Paused { get; init; }
    /// <summary>The latest run's worker.</summary>
    [JsonPropertyName("worker")] public required string Worker { get; init; }
    /// <summary>When the latest run began; of a group its first.</summary>
    [JsonPropertyName("start_time")] public required long StartTime { get; init; }
    [JsonPropertyName("duration")] public required long Duration { get; init; }
    /// <summary>When its worker was last heard of.</summary>
    [JsonPropertyName("ping_time")] public required long PingTime { get; init; }
    /// <summary>Runs that have ended since it was made or reset.</summary>
    [JsonPropertyName("run_done")] public required int RunDone { get; init; }
    [JsonPropertyName("retry")] public required int Retry { get; init; }
    /// <summary>Seconds a run may take; 0 = no limit.</summary>
    [JsonPropertyName("timeout")] public required int Timeout { get; init; }
    [JsonPropertyName("priority")] public required int Priority { get; init; }
    [JsonPropertyName("affinity")] public required string Affinity { get; init; }
    /// <summary>Its own affinities as bits: slot n is bit n - 1.</summary>
    [JsonPropertyName("affinity_bits")] public required ulong AffinityBits { get; init; }
    [JsonPropertyName("user")] public required string User { get; init; }
    /// <summary>Of a group: its direct jobs with a command.</summary>
    [JsonPropertyName("finished")] public required int Finished { get; init; }
    [JsonPropertyName("errors")] public required int Errors { get; init; }
    [JsonPropertyName("working")] public required int Working { get; init; }
    [JsonPropertyName("total")] public required int Total { get; init; }
    /// <summary>Of a group: all jobs with a command below it. There are as many as finish, fail, run and wait.</summary>
    [JsonPropertyName("total_finished")] public required int TotalFinished { get; init; }
    [JsonPropertyName("total_errors")] public required int TotalErrors { get; init; }
    [JsonPropertyName("total_working")] public required int TotalWorking { get; init; }
    [JsonPropertyName("url")] public required string Url { get; init; }
    /// <summary>0 to 1; null before the first run.</summary>
    [JsonPropertyName("progress"), JsonIgnore(Condition = JsonIgnoreCondition.Never)] public required double? Progress { get; init; }
    [JsonPropertyName("progress_pattern")] public required string ProgressPattern { get; init; }
    /// <summary>Its affinities and those of its groups, as bits.</summary>
    [JsonPropertyName("h_affinity")] public required ulong PathAffinity { get; init; }
    /// <summary>The priorities of its groups and its own, eight bits a level from the highest on. It may pass 2^63.</summary>
    [JsonPropertyName("h_priority")] public required ulong PathPriority { get; init; }
    /// <summary>1: it or a group above it is paused.</summary>
    [JsonPropertyName("h_paused")] public required int PathPaused { get; init; }
    /// <summary>Groups above it.</summary>
    [JsonPropertyName("h_depth")] public required int Depth { get; init; }
}

/// <summary>One job, with what it depends on.</summary>
public sealed record FarmJobDetailWire : FarmJobWire
{
    [System.Diagnostics.CodeAnalysis.SetsRequiredMembers]
    public FarmJobDetailWire(FarmJobWire job, long[] dependencies) : base(job) => Dependencies = dependencies;

    [JsonPropertyName("dependencies"), JsonPropertyOrder(1)] public long[] Dependencies { get; }
}

/// <summary>A child depends on a job.</summary>
public sealed record FarmDependencyWire([property: JsonPropertyName("id")] long Id, [property: JsonPropertyName("dependency")] long Dependency);
