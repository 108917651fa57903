using System.Collections.Concurrent;
using JobHub.Engine.Attempts;
using JobHub.Engine.Protocol;
using JobHub.Worker.Executors.Processes;
using JobHub.Worker.Runtime.Trees;

namespace JobHub.Worker.Runtime;

/// <summary>What the body of an attempt (map, reduce, command) is given. One an attempt.</summary>
public sealed class AttemptContext
{
    public required AttemptSpec Spec { get; init; }
    public required IAttemptStore Store { get; init; }
    public required IProgramLauncher Launcher { get; init; }
    /// <summary>0700, empty at start, removed after the attempt. Spills go below it.</summary>
    public required string ScratchFolder { get; init; }
    /// <summary>Takes stderr (map, reduce) or all output (command) in any thread; bounded in memory and on disk, never blocks for long.</summary>
    public required ILogSink Log { get; init; }
    /// <summary>Memory for buffers of this slot (DESIGN: 160 MiB).</summary>
    public long BufferBytes { get; init; } = 160L << 20;
    /// <summary>Programs that a socket mapper runs at once.</summary>
    public int SocketSlots { get; init; } = Environment.ProcessorCount;
    /// <summary>Sandboxed commands share the machine's network.</summary>
    public bool Network { get; init; } = true;
    /// <summary>SIGTERM to SIGKILL.</summary>
    public TimeSpan Grace { get; init; } = TimeSpan.FromSeconds(10);
    /// <summary>For commands that are given a tree: the hub's side of it, and how roots are put together here.</summary>
    internal AttemptFiles? Files { get; init; }
    internal RootPlan? Roots { get; init; }
    /// <summary>GPUs of this worker, for the attempt to take its share of.</summary>
    internal GpuPool? Gpus { get; init; }
    /// <summary>What it took of them; the runner gives it back when nothing of the attempt runs any more.</summary>
    internal GpuShare? GpuShare { get; set; }
    /// <summary>The tree as it was before its command began; the runner keeps what became of it.</summary>
    internal CommandTree? Tree { get; set; }
    public TimeProvider Clock { get; init; } = TimeProvider.System;
    /// <summary>Hub and user counters (group\tname for user ones). Sent only with the result, so only winners count.</summary>
    public ConcurrentDictionary<string, long> Counters { get; } = new();
    /// <summary>0..1; read by the renew loop.</summary>
    public double Fraction { get; set; }
    /// <summary>reporter:status.</summary>
    public string? Status { get; set; }

    /// <summary>Adds to a counter.</summary>
    public void Count(string name, long by) => Counters.AddOrUpdate(name, by, (_, old) => old + by);
}

/// <summary>The body of one kind of attempt. A clean return is success; a failure is an <see cref="AttemptFailedException"/>; cancellation is OperationCanceledException (the caller knows the StopReason).</summary>
public interface IAttemptBody
{
    Task<BodyResult> RunAsync(AttemptContext context, CancellationToken ct);
}

/// <summary>What a successful body leaves.</summary>
public sealed record BodyResult(PendingOutput? Output, byte[]? PartitionOffsets, ProgramExit? Exit);

/// <summary>An attempt that failed, with its cause.</summary>
public sealed class AttemptFailedException(AttemptOutcome outcome, string type, string message) : Exception(message)
{
    public AttemptOutcome Outcome { get; } = outcome;
    public string Type { get; } = type;
    public ProgramExit? Exit { get; init; }
    public LostRun? LostRun { get; init; }
}

/// <summary>Where an attempt's printed bytes go.</summary>
public interface ILogSink
{
    void Write(ReadOnlySpan<byte> bytes);
}

/// <summary>The attempt's view of object stores: grants only.</summary>
public interface IAttemptStore
{
    /// <summary>Opens a ranged read that survives transient faults (reconnects at the current offset with backoff). Missing: <see cref="FileNotFoundException"/>.</summary>
    Task<Stream> OpenReadAsync(ObjectGrant grant, long offset, long? length, CancellationToken ct);

    /// <summary>Starts the attempt's output.</summary>
    Task<IOutputWriter> CreateAsync(OutputGrant grant, CancellationToken ct);

    /// <summary>The map runs of a reducer's partition, all pages, ordered by map.</summary>
    IAsyncEnumerable<MapRun> RunsAsync(CancellationToken ct);

    /// <summary>An executable local copy of a program, from the worker's cache by hash (0555, its folder reachable by the program's user).</summary>
    Task<string> ProgramAsync(ProgramSpec program, CancellationToken ct);
}

/// <summary>Sequential writer of one object; bounded memory. Disposing without finishing abandons the bytes: the hub removes them.</summary>
public interface IOutputWriter : IAsyncDisposable
{
    ValueTask WriteAsync(ReadOnlyMemory<byte> bytes, CancellationToken ct);

    Task<PendingOutput> FinishAsync(CancellationToken ct);
}
