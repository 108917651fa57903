namespace JobHub.Web.Client;

/// <summary>A page of a list of the hub API.</summary>
public sealed record HubPage<T>(IReadOnlyList<T> Items, string? Next);

/// <summary>A job, as GET /hub/v1/jobs says it.</summary>
public record HubJob
{
    public required string Id { get; init; }
    public required long Number { get; init; }
    public string? Name { get; init; }
    public string Family { get; init; } = "";
    public string? Title { get; init; }
    public string? User { get; init; }
    public string Project { get; init; } = "";
    public Dictionary<string, string> Labels { get; init; } = [];
    public int Priority { get; init; }
    public string State { get; init; } = "";
    public bool Paused { get; init; }
    /// <summary>0..1.</summary>
    public double Progress { get; init; }
    public DateTimeOffset CreatedAt { get; init; }
    public DateTimeOffset? StartedAt { get; init; }
    public DateTimeOffset? EndedAt { get; init; }
    public HubError? Error { get; init; }
    /// <summary>The group it is in.</summary>
    public string? Parent { get; init; }
    public bool IsGroup { get; init; }
    /// <summary>Of a group: all jobs with a task below it.</summary>
    public HubLeafCounts? Leaves { get; init; }
    public HubTaskCounts Tasks { get; init; } = new();
    /// <summary>What its bar shows: its own tasks, or the jobs below a group.</summary>
    public HubTaskCounts Counted => Leaves is not { } leaves ? Tasks : new()
    {
        Total = leaves.Total, Succeeded = leaves.Succeeded, Failed = leaves.Failed, Running = leaves.Running, Ready = leaves.Total - leaves.Succeeded - leaves.Failed - leaves.Running,
    };
    public Dictionary<string, long> Counters { get; init; } = [];
    /// <summary>Where it runs; in lists.</summary>
    public HubPlace? Place { get; init; }
    /// <summary>The numbers of the groups above it, the root first; in lists that ask for it.</summary>
    public IReadOnlyList<long> Path { get; init; } = [];
    /// <summary>Why it waits; in lists.</summary>
    public HubWaiting? Waiting { get; init; }
}

/// <summary>A reason, and what would change it.</summary>
public sealed record HubWaiting(string Reason, string Message);

/// <summary>Why a job or a task failed.</summary>
public sealed record HubError(string? Type, string? Message, string? TaskId);

/// <summary>How many tasks are in which state.</summary>
public sealed record HubTaskCounts
{
    public int Total { get; init; }
    public int Ready { get; init; }
    public int Blocked { get; init; }
    public int Leased { get; init; }
    public int Running { get; init; }
    public int Succeeded { get; init; }
    public int Failed { get; init; }
    public int Canceled { get; init; }
    public int Skipped { get; init; }
}

/// <summary>A group's jobs by state; those in none of the three wait.</summary>
public sealed record HubLeafCounts(int Total, int Running, int Succeeded, int Failed);
