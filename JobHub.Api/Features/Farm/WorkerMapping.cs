using JobHub.Engine.Attempts;
using JobHub.Engine.Workers;

namespace JobHub.Api.Features.Farm;

/// <summary>Workers and runs in the words of this family.</summary>
public static class WorkerMapping
{
    public static WorkerWire ToWire(WorkerView worker)
    {
        ArgumentNullException.ThrowIfNull(worker);
        return new()
        {
            Name = worker.Name, Ip = worker.Ip, Affinity = worker.Affinity,
            State = worker.State switch { WorkerState.Working => FarmMapping.Working, WorkerState.TimedOut => "TIMEOUT", _ => FarmMapping.Waiting },
            PingTime = worker.SeenAt.ToUnixTimeSeconds(), Finished = worker.Succeeded, Error = worker.Failed, LastJob = worker.LastJob, CurrentEvent = worker.LastRun, Cpu = worker.Cpu,
            FreeMemory = worker.FreeMemory, TotalMemory = worker.TotalMemory, Active = worker.Active ? 1 : 0, StartTime = worker.StartedAt.ToUnixTimeSeconds(),
        };
    }

    public static EventWire ToWire(RunView run)
    {
        ArgumentNullException.ThrowIfNull(run);
        return new()
        {
            Id = run.Number, Worker = run.Worker, JobId = run.Job, JobTitle = run.Title, State = StateOf(run.Outcome), Start = run.StartedAt.ToUnixTimeSeconds(),
            Duration = Math.Max(0, (long)run.Duration.TotalSeconds),
        };
    }

    // One that counts for nothing left its job waiting; existing clients know the word as a state.
    private static string StateOf(AttemptOutcome? outcome) => outcome switch
    {
        null => FarmMapping.Working,
        AttemptOutcome.Succeeded => FarmMapping.Finished,
        AttemptOutcome.Lost or AttemptOutcome.Interrupted => FarmMapping.Waiting,
        _ => FarmMapping.Error,
    };
}
