namespace JobHub.Web.Client;

/// <summary>How the hub is, of all that the visitor may see or of one project.</summary>
public sealed class HubOverview(HubHttp hub)
{
    public Task<Overview> GetAsync(string? window, string? project, CancellationToken ct) => hub.GetAsync<Overview>(HubHttp.Path("/hub/v1/overview", ("window", window), ("project", project)), ct);

    /// <summary>What is work just now, in three numbers.</summary>
    public Task<WorkNow> NowAsync(string? project, CancellationToken ct) => hub.GetAsync<WorkNow>(HubHttp.Path("/hub/v1/overview/now", ("project", project)), ct);

    /// <summary>How many jobs there are at all, ended ones too.</summary>
    public async Task<long> JobsAsync(string? project, CancellationToken ct) => (await hub.GetAsync<JobTotal>(HubHttp.Path("/hub/v1/jobs/counts", ("project", project)), ct)).Total;

    private sealed record JobTotal(long Total);
}

/// <summary>Jobs that run, findings, workers that were lost in the last day.</summary>
public sealed record WorkNow(long Running, int Findings, int Lost);

/// <summary>What <c>/hub/v1/overview</c> answers.</summary>
public sealed record Overview(
    DateTimeOffset At, string Window, DateTimeOffset From, int BucketSeconds, JobsNow Jobs, EndedCounts Ended, EndedBucket[] Buckets, FailureCauses Failures, QueueNow Queue, Finding[] NeedsALook, Pool[] Capacity);

public sealed record JobsNow(long Queued, long Running, long Paused, long Canceling);

public sealed record EndedCounts(long JobsSubmitted, long JobsSucceeded, long JobsFailed, long JobsCanceled, long TasksSucceeded, long TasksFailed, long TasksCanceled);

public sealed record EndedBucket(DateTimeOffset At, long Succeeded, long Failed, long Canceled);

public sealed record FailureCauses(FailureCause[] Jobs, FailureCause[] Attempts);

public sealed record FailureCause(string Cause, int? ExitCode, long Count);

public sealed record QueueNow(DateTimeOffset? At, long Ready, long Waiting, DateTimeOffset? OldestAt, WaitReason[] Reasons, QueueBucket[] Over);

public sealed record WaitReason(string Reason, long Tasks, DateTimeOffset? OldestAt, string[]? Affinity);

public sealed record QueueBucket(DateTimeOffset At, long Ready, long Waiting);

/// <summary>Something to look at; <paramref name="Kind"/> says what it is about.</summary>
public sealed record Finding(string Kind, DateTimeOffset? At, long Count, string Title, string Evidence, string? Worker, string[]? Affinity, string? Webhook);

/// <summary>Cpu and memory: shares in use.</summary>
public sealed record Pool([property: System.Text.Json.Serialization.JsonPropertyName("pool")] string Name, int Workers, int Active, int Busy, int Slots, double? Cpu, double? Memory, int Gpus, int GpusBusy);
