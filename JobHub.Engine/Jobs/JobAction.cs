namespace JobHub.Engine.Jobs;

/// <summary>What can be done to jobs of every family, one or many.</summary>
public enum JobAction : short
{
    /// <summary>Ends what has not ended.</summary>
    Cancel = 0,
    /// <summary>Runs again what failed or was canceled; of a job that runs: what waits for its next attempt, at once.</summary>
    Retry = 1,
    /// <summary>Nothing more of it starts. What runs is finished; of a tree it is stopped and waits.</summary>
    Pause = 2,
    Resume = 3,
    Priority = 4,
    /// <summary>Removes ended jobs; of a tree all of it.</summary>
    Delete = 5,
    /// <summary>Runs a tree again from the beginning.</summary>
    Reset = 6,
}

/// <summary>Why something was not done to a job.</summary>
/// <param name="Code">A stable word.</param>
public sealed record JobRefusal(string Code, string Message)
{
    public static JobRefusal NotFound { get; } = new("job-not-found", "There is no job with this id.");

    /// <summary>The right that its caller had at first is gone.</summary>
    public static JobRefusal NoRight { get; } = new("project-read-only", "This job's project may not be changed any more by who asked for it.");
}
