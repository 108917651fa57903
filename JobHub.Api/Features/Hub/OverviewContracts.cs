namespace JobHub.Api.Features.Hub;

/// <summary>How the hub is, for whom asks: of his projects, or of one of them.</summary>
/// <param name="From">Where the window's first bucket begins; numbers of the window count from there.</param>
/// <param name="Buckets">Every bucket of the window, the empty ones too, oldest first.</param>
public sealed record HubOverview(
    DateTimeOffset At, string Window, DateTimeOffset From, int BucketSeconds, string? Project, HubJobsNow Jobs, HubEnded Ended, HubEndedBucket[] Buckets, HubFailures Failures, HubQueue Queue,
    HubFinding[] NeedsALook, HubPool[] Capacity);

/// <summary>Jobs that have not ended, by state; of a tree its root.</summary>
public sealed record HubJobsNow(long Queued, long Running, long Paused, long Canceling);

/// <summary>What is work for somebody just now: jobs that run, findings, and workers that were lost in the last day.</summary>
public sealed record HubNow(long Running, int Findings, int Lost);

/// <summary>What ended in the window, and what was submitted.</summary>
public sealed record HubEnded(long JobsSubmitted, long JobsSucceeded, long JobsFailed, long JobsCanceled, long TasksSucceeded, long TasksFailed, long TasksCanceled);

/// <summary>Tasks and jobs that ended in one bucket.</summary>
public sealed record HubEndedBucket(DateTimeOffset At, long Succeeded, long Failed, long Canceled, long JobsSucceeded, long JobsFailed);

/// <summary>What failed in the window by cause, most first: whole jobs, and attempts, of which most are tried again.</summary>
public sealed record HubFailures(HubCause[] Jobs, HubCause[] Attempts);

/// <summary>Failures of one cause: a program's exit code, or an error's type.</summary>
public sealed record HubCause(string Cause, int? ExitCode, long Count);

/// <summary>Tasks that wait, as a walk over the queue found them a few seconds ago.</summary>
/// <param name="At">The minute of that walk; null before the first.</param>
/// <param name="Ready">Those that any worker that fits may take.</param>
/// <param name="Waiting">The others: blocked, paused, or before a retry.</param>
/// <param name="OldestAt">When the job of the one that has been ready longest was submitted.</param>
public sealed record HubQueue(DateTimeOffset? At, long Ready, long Waiting, DateTimeOffset? OldestAt, HubQueueReason[] Reasons, HubQueueBucket[] Over);

/// <summary>Tasks that wait for one reason, in the words of <c>explain</c>.</summary>
/// <param name="Affinity">What they need, where no worker offers it.</param>
public sealed record HubQueueReason(string Reason, long Tasks, DateTimeOffset? OldestAt, string[]? Affinity);

/// <summary>The queue at one time.</summary>
public sealed record HubQueueBucket(DateTimeOffset At, long Ready, long Waiting);

/// <summary>Workers whose first line of affinity begins with the same tag.</summary>
/// <param name="Cpu">The share of their cores that is in use, 0 to 1.</param>
/// <param name="Memory">The same of their memory.</param>
public sealed record HubPool(string Pool, int Workers, int Active, int Busy, int Slots, double? Cpu, double? Memory, int Gpus, int GpusBusy);

/// <summary>Something that a person should look at, with its evidence and what can be done.</summary>
/// <param name="Kind">failures-on-a-worker, no-worker-for-tasks, no-worker, workers-stopped, worker-lost, webhook-dead or webhook-off.</param>
/// <param name="At">When it began.</param>
/// <param name="Title">A sentence with the numbers.</param>
/// <param name="Evidence">Another one.</param>
/// <param name="List">The address of the list that makes the count up.</param>
/// <param name="Action">What deals with it; absent when there is only something to read.</param>
public sealed record HubFinding(string Kind, DateTimeOffset? At, long Count, string Title, string Evidence, string? List, HubAction? Action)
{
    public string? Worker { get; init; }
    public string? Cause { get; init; }
    public int? ExitCode { get; init; }
    public string[]? Affinity { get; init; }
    public string? Webhook { get; init; }
}

/// <summary>A call of this API.</summary>
public sealed record HubAction(string Name, string Method, string Address);
