namespace JobHub.Engine.Jobs;

/// <summary>The observed state of a job. Intent (paused, cancel requested) is stored beside it.</summary>
public enum JobState : short
{
    Queued = 0, Running = 1, Paused = 2, Canceling = 3, Succeeded = 4, Failed = 5, Canceled = 6,
}

/// <summary>The four families of one engine.</summary>
public enum JobFamily : short
{
    MapReduce = 0, Commands = 1, Projects = 2, Farm = 3,
}

/// <summary>Questions about a job's state, answered in one place.</summary>
public static class JobStates
{
    extension(JobState state)
    {
        /// <summary>Nothing will change any more.</summary>
        public bool IsTerminal => state is JobState.Succeeded or JobState.Failed or JobState.Canceled;
    }
}
