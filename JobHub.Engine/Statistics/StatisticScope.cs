namespace JobHub.Engine.Statistics;

/// <summary>Whose numbers are asked for.</summary>
/// <param name="Projects">Those of these projects; null = of all.</param>
/// <param name="OnlyUnmade">Only of projects that nobody made.</param>
public sealed record StatisticScope(string[]? Projects, bool OnlyUnmade = false)
{
    /// <summary>All of them together, which has rows of its own.</summary>
    public bool IsAll => Projects is null && !OnlyUnmade;

    /// <summary>The condition on a column of project names; the list is parameter <paramref name="place"/>.</summary>
    /// <param name="totals">The table holds rows of all projects together, under no name.</param>
    internal string Where(string project, int place, bool totals)
    {
        if (IsAll) return totals ? $"{project} = ''" : "true";
        var unmade = OnlyUnmade ? $"{project} <> '' AND ({project} = 'default' OR NOT EXISTS (SELECT FROM project p WHERE p.id = {project}))" : "true";
        return Projects is null ? unmade : $"{project} = ANY (${place}) AND {unmade}";
    }
}

/// <summary>A span of time and the buckets it is shown in.</summary>
/// <param name="Minutes">Of the rows that are read: 1 or 10.</param>
public sealed record StatisticWindow(string Name, TimeSpan Length, TimeSpan Bucket, short Minutes)
{
    /// <summary>15m, 1h, 24h and 7d.</summary>
    public static IReadOnlyList<StatisticWindow> All { get; } =
    [
        new("15m", TimeSpan.FromMinutes(15), TimeSpan.FromMinutes(1), 1), new("1h", TimeSpan.FromHours(1), TimeSpan.FromMinutes(1), 1),
        new("24h", TimeSpan.FromHours(24), TimeSpan.FromMinutes(10), 10), new("7d", TimeSpan.FromDays(7), TimeSpan.FromHours(1), 10),
    ];

    /// <summary>How many buckets there are.</summary>
    public int Count => (int)(Length / Bucket);

    /// <summary>The first bucket's beginning, when the last one is the one that now is in.</summary>
    public DateTimeOffset From(DateTimeOffset now) => new DateTimeOffset(now.UtcTicks - (now.UtcTicks % Bucket.Ticks), TimeSpan.Zero) - (Bucket * (Count - 1));
}

/// <summary>What ended in a span of time. Tasks and jobs.</summary>
public sealed record EndedBucket(DateTimeOffset At, long TasksSucceeded, long TasksFailed, long TasksCanceled, long JobsSubmitted, long JobsSucceeded, long JobsFailed, long JobsCanceled);

/// <summary>Failures of one cause; <paramref name="ExitCode"/> of those that a program ended with.</summary>
public sealed record FailureCount(string Cause, int? ExitCode, long Count);

/// <summary>Failed attempts of one cause on one worker.</summary>
public sealed record WorkerFailure(string Worker, string Cause, int? ExitCode, long Count, DateTimeOffset FirstAt, DateTimeOffset LastAt);

/// <summary>Tasks that wait for one reason.</summary>
/// <param name="Claimable">They are ready: any worker that fits may take them.</param>
/// <param name="Tags">What they need, where nobody offers it.</param>
public sealed record QueuedTasks(string Reason, bool Claimable, long Tasks, DateTimeOffset? OldestAt, string[] Tags);

/// <summary>How many tasks were ready, and how many waited otherwise.</summary>
public sealed record QueueBucket(DateTimeOffset At, long Ready, long Waiting);

/// <summary>A worker in one minute.</summary>
public sealed record WorkerMinute(DateTimeOffset At, double Load, long FreeMemory, int Busy, int Slots);
