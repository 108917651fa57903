using Microsoft.Extensions.Logging;

namespace JobHub.Engine;

/// <summary>What the engine says, numbered 2000-2999.</summary>
internal static partial class EngineLog
{
    [LoggerMessage(2001, LogLevel.Warning, "Wake-ups between Apis are interrupted ({Reason}); polling goes on")]
    public static partial void WakeupsInterrupted(ILogger logger, string reason);

    [LoggerMessage(2101, LogLevel.Warning, "Lease of worker {Worker} session {Session} ran out; {Attempts} attempts given back")]
    public static partial void LeaseLost(ILogger logger, string worker, long session, int attempts);

    [LoggerMessage(2102, LogLevel.Warning, "The hub itself was away for {Seconds:F1} s: leases extended once instead of expired")]
    public static partial void LeasesExtended(ILogger logger, double seconds);

    [LoggerMessage(2103, LogLevel.Warning, "Late result of task {TaskId} token {Token} from session {Session} refused")]
    public static partial void ResultFenced(ILogger logger, long taskId, Guid token, long session);

    [LoggerMessage(2104, LogLevel.Warning, "Promotion of the output of task {TaskId} failed ({Reason}); upkeep tries again")]
    public static partial void PromotionFailed(ILogger logger, long taskId, string reason);

    [LoggerMessage(2105, LogLevel.Warning, "The pending output of task {TaskId} attempt {Attempt} is gone; the task runs again")]
    public static partial void PromotionGone(ILogger logger, long taskId, int attempt);

    [LoggerMessage(2110, LogLevel.Warning, "The last use of tokens was not noted: {Reason}")]
    public static partial void TokenUseUnnoted(ILogger logger, string reason);

    [LoggerMessage(2111, LogLevel.Error, "{Rows} rows of the audit could not be written and are lost: {Reason}")]
    public static partial void AuditLost(ILogger logger, int rows, string reason);

    [LoggerMessage(2301, LogLevel.Error, "Upkeep step {Step} failed; it runs again")]
    public static partial void UpkeepFailed(ILogger logger, string step, Exception fault);

    [LoggerMessage(2302, LogLevel.Information, "Job {JobId} ended: {State}")]
    public static partial void JobEnded(ILogger logger, Guid jobId, Jobs.JobState state);

    [LoggerMessage(2303, LogLevel.Warning, "Step {Step} of job {Job} failed ({Reason}); it is tried again")]
    public static partial void JobStepFailed(ILogger logger, string step, long job, string reason);
}
