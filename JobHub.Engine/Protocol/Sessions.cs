using JobHub.Engine.Attempts;

namespace JobHub.Engine.Protocol;

// The agent protocol, /agent/v1: what a worker and an Api say to each other. JSON, camelCase, enums as text. Every call carries the worker's bearer token.

/// <summary>POST /agent/v1/sessions. A worker opens a session; the session holds the lease on everything the worker claims.</summary>
/// <param name="Worker">The worker's name, 1-128 characters.</param>
/// <param name="Slots">How many attempts it runs at once.</param>
/// <param name="Affinity">Ordered alternatives, each a set of tags it offers.</param>
/// <param name="Mounts">Folders it shares with the hub; file:// work runs only on workers that declare the mount.</param>
/// <param name="Isolation">The step of the isolation ladder in force: bubblewrap, unshare or plain.</param>
public sealed record OpenSession(
    string Worker, string Host, int Slots, int Cpus, long MemoryBytes, int Gpus, string[][] Affinity, string[] Mounts, string Isolation, string Version);

/// <summary>The answer: 201. <paramref name="ProofPath"/>: read this file and send its text to .../shares to get direct paths instead of URLs.</summary>
public sealed record SessionOpened(long Session, double LeaseSeconds, double RenewSeconds, string? ProofPath);

/// <summary>POST /agent/v1/sessions/{id}/shares: the text of the proof file. 204, or 409 when it is another's.</summary>
public sealed record FolderProof(string Text);

/// <summary>POST /agent/v1/sessions/{id}/claim. A resend with the same <paramref name="ClaimId"/> answers the same attempts.</summary>
/// <param name="Max">At most this many, 1-1000.</param>
/// <param name="WaitMs">Long-poll: how long to wait for the first, 0-30000.</param>
public sealed record ClaimRequest(Guid ClaimId, int Max, int WaitMs);

/// <summary>The attempts given, perhaps none.</summary>
public sealed record ClaimAnswer(AttemptSpec[] Attempts);

/// <summary>POST /agent/v1/sessions/{id}/renew, every RenewSeconds: all tokens held (claimed and not yet completed), those running for the first time, and progress.</summary>
public sealed record RenewRequest(Guid[] Tokens, Guid[] Started, AttemptProgress[] Progress, double Load, long FreeMemoryBytes);

/// <summary>How far an attempt is, 0..1, and its user-visible status line (reporter:status).</summary>
public sealed record AttemptProgress(Guid Token, double Fraction, string? Status, Dictionary<string, long>? Counters);

/// <summary>
/// <paramref name="Lost"/>: tokens that are not this session's any more; stop them, report nothing. <paramref name="Cancel"/>: stop, then report Canceled.
/// 410 `session-ended` when the session itself is over: stop everything and open a new one.
/// <paramref name="Exit"/>: an operator ends the worker; stop what runs, report it, and exit.
/// </summary>
public sealed record RenewAnswer(Guid[] Lost, StopOrder[] Cancel, bool Exit = false);

/// <summary>An attempt to stop, and why: it is reported with this outcome.</summary>
public sealed record StopOrder(Guid Token, StopReason Reason);

/// <summary>Why an attempt is stopped before its program has ended.</summary>
public enum StopReason
{
    CancelRequested, TimedOut, LeaseLost, WorkerStopping, Superseded,
    /// <summary>The job is paused: the task goes back to the queue. One that has ended well by then has ended.</summary>
    Paused,
    /// <summary>The task begins again, or its worker is stopped by an operator: whatever this run comes to does not count.</summary>
    Restarted,
}

/// <summary>GET /agent/v1/sessions/{id}/control?waitMs=: long-poll for stops, so that a cancel acts within a second. The same orders come again until the token has ended.</summary>
public sealed record ControlAnswer(StopOrder[] Cancel);

/// <summary>POST /agent/v1/sessions/{id}/complete, in batches.</summary>
public sealed record CompleteRequest(AttemptResult[] Results);

/// <summary>One answer a result, in the same order.</summary>
public sealed record CompleteAnswer(CompletionAnswer[] Answers);

/// <summary>What became of a completion: taken, taken before (our answer was lost), or refused because the attempt is not the task's any more.</summary>
public enum CompletionAnswer
{
    Accepted, AlreadyAccepted, Lost,
}

/// <summary>GET /agent/v1/sessions/{id}/attempts/{token}/runs?after=&amp;limit=: pages of the map runs a reducer reads, ordered by map index. Next is null at the end.</summary>
/// <param name="Missing">A map whose output is not there just now: it runs again. The reducer reports OutputLost with it (attempt 0) and is given out again when all are there.</param>
public sealed record RunPage(MapRun[] Runs, int? Next, int? Missing = null);

/// <summary>One map's run for one partition: bytes [Offset, Offset+Length) of the map's shuffle object. Empty ranges are left out.</summary>
public sealed record MapRun(int Map, int Attempt, ObjectGrant Source, long Offset, long Length);

/// <summary>How an attempt ended, with all that must be kept of it.</summary>
public sealed record AttemptResult
{
    public required Guid Token { get; init; }
    public required long TaskId { get; init; }
    public required AttemptOutcome Outcome { get; init; }
    /// <summary>Stable cause: exit-code, signal, timeout, out-of-memory, start-failed, line-not-passable, ... and a sentence.</summary>
    public AttemptError? Error { get; init; }
    public int? ExitCode { get; init; }
    public int? Signal { get; init; }
    public double Seconds { get; init; }
    public double CpuSeconds { get; init; }
    public long PeakMemoryBytes { get; init; }
    /// <summary>Map: the shuffle object. Reduce: the pending output. Absent when there is none.</summary>
    public PendingOutput? Output { get; init; }
    /// <summary>Map: 8-byte little-endian offsets, one a partition and a last one for the end, of the partitions in the shuffle object.</summary>
    public byte[]? PartitionOffsets { get; init; }
    public Dictionary<string, long>? Counters { get; init; }
    public LogContent? Log { get; init; }
    /// <summary>How many files of the command's tree were sent for this attempt; they become the job's with this report, if it ends the task.</summary>
    public int Files { get; init; }
    /// <summary>OutputLost only: the map whose run is missing or damaged, and the attempt that wrote it.</summary>
    public LostRun? LostRun { get; init; }
}

/// <summary>A cause that a caller can act on.</summary>
public sealed record AttemptError(string Type, string Message);

/// <summary>Which run a reducer could not read.</summary>
public sealed record LostRun(int Map, int Attempt);

/// <summary>Output up to 16 KiB inline; more was sent before to .../attempts/{token}/log and is named by its key. Size counts every byte printed; gaps are byte ranges left out.</summary>
public sealed record LogContent(byte[]? Inline, string? Key, long Size, LogGap[]? Gaps);

/// <summary>A range of the log, in original offsets, that was not kept.</summary>
public sealed record LogGap(long Offset, long Length);
