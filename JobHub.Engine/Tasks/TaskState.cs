namespace JobHub.Engine.Tasks;

/// <summary>The state of a task. A retry in backoff is <see cref="Ready"/> with a later not_before.</summary>
public enum TaskState : short
{
    Blocked = 0, Ready = 1, Leased = 2, Running = 3, Succeeded = 4, Failed = 5, Canceled = 6, Skipped = 7,
}

/// <summary>What a task does.</summary>
public enum TaskKind : short
{
    Map = 0, Reduce = 1, Command = 2, Analysis = 3,
}

/// <summary>What moves a task from one state to the next.</summary>
public enum TaskTrigger
{
    DependenciesMet, Claimed, Started, Succeeded, FailedForGood, RetryGranted, LeaseLost, TokenUnlisted, CancelRequested, CancelConfirmed,
    DependencyFailed, OutputLost, InputLost,
}

/// <summary>The one table of task states. The queue's SQL guards repeat it; docs/state-machine.md draws it.</summary>
public static class TaskStates
{
    extension(TaskState state)
    {
        /// <summary>The task will not run again, unless its output is lost.</summary>
        public bool IsTerminal => state is TaskState.Succeeded or TaskState.Failed or TaskState.Canceled or TaskState.Skipped;
    }

    /// <summary>The state after <paramref name="on"/>, or null when that is not allowed in <paramref name="from"/>.</summary>
    public static TaskState? Next(TaskState from, TaskTrigger on) => (from, on) switch
    {
        (TaskState.Blocked, TaskTrigger.DependenciesMet) => TaskState.Ready,
        (TaskState.Blocked, TaskTrigger.DependencyFailed) => TaskState.Skipped,
        (TaskState.Ready, TaskTrigger.Claimed) => TaskState.Leased,
        // One report is enough for a short task: Leased may end without having been seen Running.
        (TaskState.Leased, TaskTrigger.Started) => TaskState.Running,
        (TaskState.Leased or TaskState.Running, TaskTrigger.Succeeded) => TaskState.Succeeded,
        (TaskState.Leased or TaskState.Running, TaskTrigger.FailedForGood) => TaskState.Failed,
        (TaskState.Leased or TaskState.Running, TaskTrigger.RetryGranted or TaskTrigger.LeaseLost or TaskTrigger.TokenUnlisted) => TaskState.Ready,
        (TaskState.Blocked or TaskState.Ready, TaskTrigger.CancelRequested) => TaskState.Canceled,
        (TaskState.Leased or TaskState.Running, TaskTrigger.CancelConfirmed) => TaskState.Canceled,
        // A reducer that met a missing run waits until the map has run again; so do reducers that have not started.
        (TaskState.Ready or TaskState.Leased or TaskState.Running, TaskTrigger.InputLost) => TaskState.Blocked,
        (TaskState.Succeeded, TaskTrigger.OutputLost) => TaskState.Ready,
        _ => null,
    };
}
