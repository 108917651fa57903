namespace JobHub.Worker.Agent;

/// <summary>The agent's log lines, 2200-2299.</summary>
internal static partial class AgentLog
{
    [LoggerMessage(2200, LogLevel.Information, "Worker {Worker} starts: {Slots} slots, isolation {Isolation}, hub {Hub}")]
    public static partial void WorkerStarts(this ILogger logger, string worker, int slots, string isolation, Uri hub);

    [LoggerMessage(2201, LogLevel.Information, "Session {Session} open: lease {Lease} s, files shared with the hub: {Shares}")]
    public static partial void SessionOpen(this ILogger logger, long session, double lease, bool shares);

    [LoggerMessage(2202, LogLevel.Warning, "No session yet, trying again: {Reason}")]
    public static partial void SessionNotOpened(this ILogger logger, string reason);

    [LoggerMessage(2203, LogLevel.Warning, "Session {Session} was ended by the hub; stopping {Attempts} attempts")]
    public static partial void SessionEnded(this ILogger logger, long session, int attempts);

    [LoggerMessage(2204, LogLevel.Error, "Session {Session} had no accepted renew within its lease; stopping {Attempts} attempts")]
    public static partial void Fenced(this ILogger logger, long session, int attempts);

    [LoggerMessage(2205, LogLevel.Warning, "Renew of session {Session} failed: {Reason}")]
    public static partial void RenewFailed(this ILogger logger, long session, string reason);

    [LoggerMessage(2206, LogLevel.Warning, "Claim failed, trying again: {Reason}")]
    public static partial void ClaimFailed(this ILogger logger, string reason);

    [LoggerMessage(2207, LogLevel.Information, "Attempt {Token} of {Task} is stopped: {Reason}")]
    public static partial void AttemptStopped(this ILogger logger, Guid token, string task, string reason);

    [LoggerMessage(2208, LogLevel.Warning, "{Count} results had no clear answer, sending again: {Reason}")]
    public static partial void ResultsUnanswered(this ILogger logger, int count, string reason);

    [LoggerMessage(2209, LogLevel.Error, "The hub refuses the result of attempt {Token}: {Reason}")]
    public static partial void ResultRefused(this ILogger logger, Guid token, string reason);

    [LoggerMessage(2210, LogLevel.Warning, "The outbox file cannot be written, results are kept in memory only: {Reason}")]
    public static partial void OutboxNotWritten(this ILogger logger, string reason);

    [LoggerMessage(2211, LogLevel.Information, "{Count} results of an earlier run are sent again")]
    public static partial void OutboxLeftovers(this ILogger logger, int count);

    [LoggerMessage(2212, LogLevel.Error, "Attempt {Token} of {Task} failed inside the worker")]
    public static partial void AttemptBroke(this ILogger logger, Exception exception, Guid token, string task);

    [LoggerMessage(2213, LogLevel.Warning, "The log of attempt {Token} could not be kept: {Reason}")]
    public static partial void LogNotKept(this ILogger logger, Guid token, string reason);

    [LoggerMessage(2214, LogLevel.Information, "Session {Session} ends: {Attempts} attempts were interrupted")]
    public static partial void Drained(this ILogger logger, long session, int attempts);

    [LoggerMessage(2215, LogLevel.Warning, "Session {Session} was not ended at the hub, its lease will run out: {Reason}")]
    public static partial void SessionNotEnded(this ILogger logger, long session, string reason);

    [LoggerMessage(2216, LogLevel.Critical, "The agent's loop broke; a new session follows")]
    public static partial void LoopBroke(this ILogger logger, Exception exception);

    [LoggerMessage(2217, LogLevel.Information, "This worker runs no attempts: {Reason}")]
    public static partial void NoAgent(this ILogger logger, string reason);

    [LoggerMessage(2218, LogLevel.Debug, "Live output of attempt {Token} was not taken: {Reason}")]
    public static partial void LiveDropped(this ILogger logger, Guid token, string reason);

    [LoggerMessage(2219, LogLevel.Debug, "The control poll of session {Session} failed: {Reason}")]
    public static partial void ControlFailed(this ILogger logger, long session, string reason);

    [LoggerMessage(2220, LogLevel.Warning, "The output of attempt {Token}, which is lost, was not removed: {Reason}")]
    public static partial void OutputNotRemoved(this ILogger logger, Guid token, string reason);
}
