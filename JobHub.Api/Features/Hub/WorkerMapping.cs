using JobHub.Engine.Statistics;
using JobHub.Engine.Tasks;
using JobHub.Engine.Jobs;
using JobHub.Engine.Workers;

namespace JobHub.Api.Features.Hub;

/// <summary>Workers as the hub's own API shows them.</summary>
internal static class WorkerMapping
{
    /// <summary>The pool of those that offer no tag.</summary>
    public const string NoPool = "none";

    public static HubWorker ToWire(KnownWorker w) => new()
    {
        Name = w.Name, State = w.Standing.ToString(), StoppedBy = w.Standing != WorkerStanding.Stopped ? null : w.StoppedByOperator ? "operator" : "closed", Pool = PoolOf(w), Host = w.Host, Address = w.Ip,
        Version = w.Version, Isolation = w.Isolation, Kind = w.Form ? "form" : "agent", Busy = w.Busy, Slots = w.Slots, Cpus = w.Cpus, Load = Math.Round(w.Load, 2), MemoryBytes = w.Memory,
        FreeMemoryBytes = w.FreeMemory, Gpus = w.Gpus, GpusBusy = w.GpusBusy, Affinity = w.Affinity, AffinitySet = w.AffinitySet, Mounts = w.Mounts, Failures = w.Failures, ConnectedAt = w.OpenedAt,
        LastSeen = w.SeenAt, EndedAt = w.EndedAt,
    };

    public static HubWorkerMinutes ToWire(IReadOnlyList<WorkerMinute> minutes) =>
        new([.. minutes.Select(static m => new HubWorkerMinute(m.At, Math.Round(m.Load, 2), m.FreeMemory, m.Busy, m.Slots))]);

    public static HubRun ToWire(HeldAttempt run)
    {
        var layout = new TaskLayout(TaskLayout.NumberOf(run.TaskId), run.Maps, run.Reduces, run.Commands, run.Analyses);
        var (kind, index) = layout.Of(run.TaskId);
        return new(TaskName.Of(new(run.Job), kind, index), run.Attempt, run.Running ? nameof(TaskState.Running) : nameof(TaskState.Leased), run.Job.ToString(), layout.Number, run.Title, run.Family.ToString(),
            run.LeasedAt, Math.Round(run.Progress, 4), run.Speculative);
    }

    public static HubWorkerCounts CountsOf(IReadOnlyCollection<KnownWorker> workers)
    {
        var connected = workers.Where(static w => w.Connected).ToArray();
        int In(WorkerStanding standing) => workers.Count(w => w.Standing == standing);
        return new(In(WorkerStanding.Active), In(WorkerStanding.Draining), In(WorkerStanding.Stopped), In(WorkerStanding.Lost), connected.Sum(static w => w.Busy), connected.Sum(static w => w.Slots),
            connected.Sum(static w => w.GpusBusy), connected.Sum(static w => w.Gpus));
    }

    /// <summary>Capacity by pool, those of most slots first. Workers that have gone in good order are no part of it.</summary>
    public static HubPool[] Pools(IReadOnlyCollection<KnownWorker> workers) =>
    [
        .. workers.Where(static w => w.Connected || w.Standing == WorkerStanding.Lost).GroupBy(PoolOf).Select(static pool =>
        {
            var there = pool.Where(static w => w.Connected).ToArray();
            var (cpus, memory) = (there.Sum(static w => w.Cpus), there.Sum(static w => w.Memory));
            return new HubPool(pool.Key, pool.Count(), pool.Count(static w => w.Standing == WorkerStanding.Active), there.Sum(static w => w.Busy), there.Sum(static w => w.Slots),
                cpus == 0 ? null : Math.Round(Math.Min(1, there.Sum(static w => Math.Min(w.Load, w.Cpus)) / cpus), 4), memory == 0 ? null : Math.Round(1 - ((double)there.Sum(static w => Math.Min(w.FreeMemory, w.Memory)) / memory), 4),
                there.Sum(static w => w.Gpus), there.Sum(static w => w.GpusBusy));
        }).OrderByDescending(static p => p.Slots).ThenBy(static p => p.Pool, StringComparer.Ordinal),
    ];

    public static string PoolOf(KnownWorker worker) => worker.Affinity is [[var first, ..], ..] ? first : NoPool;
}
