using JobHub.Web.Client;

namespace JobHub.Web.Components.Pages.Job;

/// <summary>Tasks of one kind by what they are drawn as.</summary>
public sealed record Phase(string Kind, int Total, int[] ByCode)
{
    public int Succeeded => ByCode[7];

    public int Live => ByCode[3] + ByCode[4] + ByCode[5];

    public int Failed => ByCode[8] + ByCode[9] + ByCode[10] + ByCode[13];

    public int Backoff => ByCode[2];

    /// <summary>Of a group it is not known which of its jobs could run.</summary>
    public bool IsOfJobs { get; private init; }

    /// <summary>The jobs of a group.</summary>
    public static Phase Of(HubLeafCounts jobs)
    {
        ArgumentNullException.ThrowIfNull(jobs);
        var counts = new int[Phases.Codes.Count];
        (counts[1], counts[4], counts[7], counts[8]) = (Math.Max(0, jobs.Total - jobs.Running - jobs.Succeeded - jobs.Failed), jobs.Running, jobs.Succeeded, jobs.Failed);
        return new("Jobs", jobs.Total, counts) { IsOfJobs = true };
    }
}

/// <summary>The bytes of the hub's state vector in words.</summary>
public static class Phases
{
    /// <summary>What each byte is: its word, its square in the icon sheet, and the states of the task list that it is of.</summary>
    public static IReadOnlyList<(string Word, string Square, string State)> Codes { get; } =
    [
        ("Blocked", "blocked", "Blocked"), ("Ready", "ready", "Ready"), ("Backoff", "backoff", "Ready"), ("Leased", "leased", "Leased"), ("Running", "running", "Running"), ("Straggler", "straggler", "Running"),
        ("Paused", "paused", "Ready"), ("Succeeded", "succeeded", "Succeeded"), ("Failed", "failed", "Failed"), ("Timed out", "failed", "Failed"), ("Out of memory", "failed", "Failed"),
        ("Canceled", "canceled", "Canceled"), ("Skipped", "skipped", "Skipped"), ("Lost", "lost", "Failed"),
    ];

    public static IReadOnlyList<Phase> Of(TaskStates states)
    {
        ArgumentNullException.ThrowIfNull(states);
        var phases = new List<Phase>();
        var at = 0;
        foreach (var (kind, count) in states.Phases)
        {
            phases.Add(new(kind, count, Count(states.Squares.AsSpan(at, Math.Min(count, states.Squares.Length - at)))));
            at += count;
        }

        return phases;
    }

    /// <summary>How many of each.</summary>
    public static int[] Count(ReadOnlySpan<byte> squares)
    {
        var counts = new int[Codes.Count];
        foreach (var square in squares) counts[Math.Min(square, (byte)(counts.Length - 1))]++;
        return counts;
    }
}
