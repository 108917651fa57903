namespace JobHub.Web.Client;

/// <summary>Workers: who there is, what they run, and what operators do with them.</summary>
public sealed class HubWorkers(HubHttp hub)
{
    /// <param name="at">A minute of the past: load and slots as they were.</param>
    public Task<WorkerList> ListAsync(string? pool, string? text, DateTimeOffset? at, CancellationToken ct) =>
        hub.GetAsync<WorkerList>(HubHttp.Path("/hub/v1/workers", ("pool", pool), ("q", text), ("at", at?.UtcDateTime.ToString("O"))), ct);

    public Task<WorkerDetail?> FindAsync(string name, CancellationToken ct) => hub.FindAsync<WorkerDetail>(Of(name), ct);

    public async Task<WorkerMinute[]> HistoryAsync(string name, CancellationToken ct) => (await hub.FindAsync<WorkerMinutes>(Of(name) + "/history?window=1h", ct))?.Items ?? [];

    /// <summary>All workers together, the last hour.</summary>
    public async Task<WorkerMinute[]> LoadAsync(CancellationToken ct) => (await hub.GetAsync<WorkerMinutes>("/hub/v1/overview/load?window=1h", ct)).Items;

    /// <param name="verb">drain, stop, terminate, start or forget.</param>
    public Task ChangeAsync(string name, string verb, CancellationToken ct) =>
        verb is "forget" ? hub.DoAsync(HttpMethod.Delete, Of(name), null, ct) : hub.DoAsync(HttpMethod.Post, $"{Of(name)}/{verb}", null, ct);

    public Task SetAffinityAsync(string name, string[][] lines, CancellationToken ct) => hub.DoAsync(HttpMethod.Put, Of(name) + "/affinity", new { lines }, ct);

    private static string Of(string name) => $"/hub/v1/workers/{Uri.EscapeDataString(name)}";
}

public sealed record WorkerList(Worker[] Items, WorkerCounts Counts, bool More);

public sealed record WorkerCounts(int Active, int Draining, int Stopped, int Lost, int Busy, int Slots, int GpusBusy, int Gpus);

/// <summary>A worker with what its latest session says.</summary>
public sealed record Worker
{
    public required string Name { get; init; }
    public required string State { get; init; }
    public string? StoppedBy { get; init; }
    public string Pool { get; init; } = "";
    public string Host { get; init; } = "";
    public string Address { get; init; } = "";
    public string Version { get; init; } = "";
    public string Isolation { get; init; } = "";
    public string Kind { get; init; } = "";
    public int Busy { get; init; }
    public int Slots { get; init; }
    public int Cpus { get; init; }
    public double Load { get; init; }
    public long MemoryBytes { get; init; }
    public long FreeMemoryBytes { get; init; }
    public int Gpus { get; init; }
    public int GpusBusy { get; init; }
    public string[][] Affinity { get; init; } = [];
    public bool AffinitySet { get; init; }
    public long Failures { get; init; }
    public DateTimeOffset? ConnectedAt { get; init; }
    public DateTimeOffset LastSeen { get; init; }
    public DateTimeOffset? EndedAt { get; init; }

    /// <summary>It runs something or may be given something.</summary>
    public bool IsWarm => State is "Active";

    /// <summary>The share in use of cpu, memory, slots or gpu; null where it has none.</summary>
    public double? Share(string what) => what switch
    {
        "memory" => MemoryBytes == 0 ? null : Math.Clamp(1 - ((double)FreeMemoryBytes / MemoryBytes), 0, 1), "slots" => Slots == 0 ? null : Math.Min(1, (double)Busy / Slots),
        "gpu" => Gpus == 0 ? null : Math.Min(1, (double)GpusBusy / Gpus), _ => Cpus == 0 ? null : Math.Clamp(Load / Cpus, 0, 1),
    };
}

public sealed record WorkerDetail(Worker Worker, WorkerRun[] Runs, int Hidden, FailureCause[] Causes, WorkerPast[] Sessions);

public sealed record WorkerRun(string Task, int Attempt, string State, string JobId, long JobNumber, string? Title, DateTimeOffset LeasedAt, double Progress, bool Second);

public sealed record WorkerPast(long Id, DateTimeOffset OpenedAt, DateTimeOffset? EndedAt, string? EndReason, string Version);

public sealed record WorkerMinutes(WorkerMinute[] Items);

public sealed record WorkerMinute(DateTimeOffset At, double Load, long FreeMemoryBytes, int Busy, int Slots);
