using System.ComponentModel.DataAnnotations;
using JobHub.Engine.Attempts;

namespace JobHub.Engine.Tasks;

/// <summary>Budgets and backoff of retries (section JobHub:Retry). A job's own maxAttempts is the budget of its programs' failures and timeouts.</summary>
public sealed class RetryOptions
{
    /// <summary>How often a task may be lost with its worker before it fails.</summary>
    [Range(1, 1000)] public int Lost { get; init; } = 20;
    [Range(1, 1000)] public int OutOfMemory { get; init; } = 2;
    /// <summary>How often a map's output may vanish, or a reducer may meet a missing run.</summary>
    [Range(1, 1000)] public int OutputLost { get; init; } = 50;
    /// <summary>First wait; doubled each time, with jitter.</summary>
    [Range(typeof(TimeSpan), "00:00:00", "01:00:00")] public TimeSpan Backoff { get; init; } = TimeSpan.FromMilliseconds(500);
    [Range(typeof(TimeSpan), "00:00:00", "24:00:00")] public TimeSpan MaxBackoff { get; init; } = TimeSpan.FromMinutes(2);
}

/// <summary>What the past attempts of a task were charged for.</summary>
public readonly record struct Charges(int Failed, int TimedOut, int Lost, int OutOfMemory, int OutputLost);

/// <summary>Whether a task runs again, and when. Pure: the caller brings the jitter.</summary>
public static class RetryPolicy
{
    /// <summary>Causes that no second run can mend.</summary>
    private static readonly HashSet<string> Permanent = ["line-not-passable", "no-private-tmp", "invalid-program", "input-deleted", "invalid-input"];

    /// <param name="before">Charges of the attempts before this one.</param>
    /// <param name="maxAttempts">The job's budget for its programs' own failures.</param>
    /// <param name="jitter">0..1.</param>
    /// <returns>The wait before the next attempt, or null when there is none.</returns>
    public static TimeSpan? Next(AttemptOutcome outcome, string? cause, Charges before, int maxAttempts, RetryOptions options, double jitter)
    {
        if (cause is not null && Permanent.Contains(cause)) return null;
        // A stopping worker is nobody's fault: free, at once, without limit.
        if (outcome == AttemptOutcome.Interrupted) return TimeSpan.Zero;
        var (charged, budget) = outcome switch
        {
            AttemptOutcome.Failed or AttemptOutcome.TimedOut => (before.Failed + before.TimedOut + 1, maxAttempts),
            AttemptOutcome.Lost => (before.Lost + 1, options.Lost + 1),
            AttemptOutcome.OutOfMemory => (before.OutOfMemory + 1, Math.Min(options.OutOfMemory, maxAttempts)),
            AttemptOutcome.OutputLost => (before.OutputLost + 1, options.OutputLost + 1),
            _ => (1, 0),
        };
        if (charged >= budget) return null;
        // A first loss says something about the worker, not about the task.
        if (outcome == AttemptOutcome.Lost && charged == 1) return TimeSpan.Zero;
        var wait = Math.Min(options.Backoff.TotalSeconds * Math.Pow(2, charged - 1), options.MaxBackoff.TotalSeconds);
        return TimeSpan.FromSeconds(wait * (0.5 + (0.5 * jitter)));
    }
}
