namespace JobHub.Engine.Attempts;

/// <summary>How one attempt ended. Each failing cause has a retry budget of its own.</summary>
public enum AttemptOutcome : short
{
    Succeeded = 0, Failed = 1, Canceled = 2, TimedOut = 3,
    /// <summary>The lease ran out: the worker died, or was cut off.</summary>
    Lost = 4,
    /// <summary>The worker is stopping; costs no retry.</summary>
    Interrupted = 5,
    OutOfMemory = 6,
    /// <summary>Of a reducer: it met a missing or damaged map run. Of a map: its output was found missing after it had succeeded.</summary>
    OutputLost = 7,
}
