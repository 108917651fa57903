using System.Text.Json;

namespace JobHub.Web.Client;

/// <summary>A job with its family's own part.</summary>
public sealed record JobDetail : HubJob
{
    public JsonElement Details { get; init; }

    public bool HasEnded => State is "Succeeded" or "Failed" or "Canceled";

    /// <summary>A text of the family's own part, or null.</summary>
    public string? Detail(params string[] path)
    {
        var at = Details;
        foreach (var name in path)
        {
            if (at.ValueKind != JsonValueKind.Object || !at.TryGetProperty(name, out at)) return null;
        }

        return at.ValueKind switch { JsonValueKind.String => at.GetString(), JsonValueKind.Number => at.GetRawText(), _ => null };
    }
}

/// <summary>Why a job waits, and its tasks by what they wait for.</summary>
public sealed record JobExplained(JobWaiting? Waiting, IReadOnlyList<WaitingTasks> Tasks);

/// <summary>A reason, what is so, and what would change it.</summary>
public sealed record JobWaiting(string Reason, string Message, string? Change);

/// <summary>Tasks that wait for the same.</summary>
public sealed record WaitingTasks(long Count, string Kind, string Reason, string Message, string? Change);

/// <summary>All tasks of a job, a byte each in the words of the API.</summary>
/// <param name="Tag">What the API calls this very state of theirs.</param>
public sealed record TaskStates(IReadOnlyList<TaskPhase> Phases, byte[] Squares, string? Tag)
{
    public static IReadOnlyList<TaskPhase> Read(string header) =>
        [.. header.Split(',', StringSplitOptions.RemoveEmptyEntries).Select(static part => part.Split('=')).Where(static part => part.Length == 2).Select(static part => new TaskPhase(part[0], int.Parse(part[1], System.Globalization.CultureInfo.InvariantCulture)))];
}

/// <summary>Tasks of one kind.</summary>
public sealed record TaskPhase(string Kind, int Count)
{
    /// <summary>What its tasks' names begin with.</summary>
    public char Letter => char.ToLowerInvariant(Kind.Length > 0 ? Kind[0] : 't');
}

/// <summary>A task of a job.</summary>
public sealed record JobTask
{
    public required string Id { get; init; }
    public string Kind { get; init; } = "";
    public int Index { get; init; }
    public string State { get; init; } = "";
    public int Attempts { get; init; }
    public string? Worker { get; init; }
    public DateTimeOffset? StartedAt { get; init; }
    public DateTimeOffset? EndedAt { get; init; }
    public DateTimeOffset? NotBefore { get; init; }
    public HubError? Error { get; init; }
    public JobSplit? Split { get; init; }

    public string Short => JobAttempt.ShortOf(Kind, Index);
}

/// <summary>What a map reads.</summary>
public sealed record JobSplit(string Path, long Start, long End);

/// <summary>One run of a task.</summary>
public sealed record JobAttempt
{
    public int Number { get; init; }
    public string? Worker { get; init; }
    public string? Outcome { get; init; }
    public DateTimeOffset? StartedAt { get; init; }
    public DateTimeOffset? EndedAt { get; init; }
    public int? ExitCode { get; init; }
    public int? Signal { get; init; }
    public HubError? Error { get; init; }
    public double? CpuSeconds { get; init; }
    public long? PeakMemoryBytes { get; init; }
    public long LogSize { get; init; }

    /// <summary>A task as it is addressed within its job: <c>m-3</c>.</summary>
    public static string ShortOf(string kind, int index) => FormattableString.Invariant($"{new TaskPhase(kind, 0).Letter}-{index}");
}

/// <summary>The newest attempts of a job.</summary>
public sealed record JobTimeline(IReadOnlyList<JobBar> Items);

/// <summary>An attempt as a bar of time.</summary>
public sealed record JobBar(string Task, string Kind, int Index, int Attempt, string? Worker, DateTimeOffset StartedAt, DateTimeOffset? EndedAt, string? Outcome, bool Speculative);

/// <summary>What a job was given.</summary>
public sealed record JobInput(string Path, long Size, int? FirstTask);

/// <summary>What a job left.</summary>
public sealed record JobOutputs(string? Place, bool Readable, IReadOnlyList<JobOutput> Items, string? Next);

/// <summary>One of them.</summary>
public sealed record JobOutput(string Name, long Size, DateTimeOffset? ModifiedAt);

/// <summary>What belongs to a job and what waits for what.</summary>
/// <param name="Hidden">Jobs of projects that the visitor may not see.</param>
/// <param name="More">There is more than is told.</param>
public sealed record JobNodes(IReadOnlyList<JobNode> Nodes, IReadOnlyList<JobEdge> Edges, int Hidden, bool More);

/// <summary>A job, or a phase of one.</summary>
public sealed record JobNode(string Key, string Kind, string State, string? Title, string? Job, long? Number, string? Parent, HubLeafCounts? Tasks, long? Bytes, long? Records);

/// <summary><paramref name="To"/> waits for <paramref name="From"/>.</summary>
public sealed record JobEdge(string From, string To);

/// <summary>A number a task, two bytes each as base64. Of workers n is the n-th name, 0 none.</summary>
public sealed record JobTaskVector(IReadOnlyList<string> Names, string Tasks);

/// <summary>How long tasks took that have ended.</summary>
public sealed record JobTaskTimes(int Ended, double? MeanSeconds, string? Longest, double? LongestSeconds);

/// <summary>Bytes of map output by reduce, of so many maps.</summary>
public sealed record JobPartitions(int Maps, int MapsTotal, IReadOnlyList<JobPartition> Items);

/// <summary>One of them; records and keys when its reduce has succeeded.</summary>
public sealed record JobPartition(long Bytes, long? Records, long? Groups);
