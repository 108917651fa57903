using Microsoft.Win32.SafeHandles;

namespace JobHub.Worker.Executors.Processes;

/// <summary>One step of the isolation ladder.</summary>
public enum IsolationLevel
{
    /// <summary>No isolation: no socket programs and no absolute destinations.</summary>
    Plain,
    /// <summary>util-linux: user, mount and pid namespaces, private /tmp.</summary>
    Unshare,
    /// <summary>bubblewrap: private /tmp, pid namespace, read-only root, no network for map and reduce.</summary>
    Bubblewrap,
}

/// <summary>A program to start for an attempt. Arguments and environment are bytes on their way to exec: no shell, no re-encoding.</summary>
public sealed record ProgramStart
{
    /// <summary>Absolute path of the executable, or a name looked up on PATH.</summary>
    public required string File { get; init; }
    /// <summary>Arguments after argv[0]; UTF-8 text.</summary>
    public IReadOnlyList<string> Arguments { get; init; } = [];
    /// <summary>Arguments as bytes, after <see cref="Arguments"/> (a line of input that need not be UTF-8; no NUL).</summary>
    public IReadOnlyList<ReadOnlyMemory<byte>> RawArguments { get; init; } = [];
    /// <summary>The whole environment. JOBHUB_ATTEMPT is added.</summary>
    public required IReadOnlyDictionary<string, string> Environment { get; init; }
    public required string WorkingFolder { get; init; }
    /// <summary>In a sandbox the working folder can be written. False: only if it lies in one of <see cref="WritableFolders"/>.</summary>
    public bool OwnsWorkingFolder { get; init; } = true;
    /// <summary>Run as the worker's own user even where programs run as another: for what changes the user itself. It must be given nothing of a job but arguments.</summary>
    public bool AsWorker { get; init; }
    /// <summary>The attempt's token: the mark by which nothing of it is left behind.</summary>
    public required Guid Token { get; init; }
    /// <summary>False: run plainly with the worker's view of the machine (farm commands).</summary>
    public bool Sandbox { get; init; } = true;
    public bool Network { get; init; }
    /// <summary>The host folder that is the program's /tmp; null = one in the scratch folder.</summary>
    public string? TmpFolder { get; init; }
    /// <summary>Host folders the program may write, besides its working folder.</summary>
    public IReadOnlyList<string> WritableFolders { get; init; } = [];
    /// <summary>
    /// The program's own root instead of a view of the host; <see cref="WorkingFolder"/> is then a path inside. Counts with <see cref="Sandbox"/> on a step of the ladder that
    /// isolates; the caller starts it otherwise.
    /// </summary>
    public TreeRoot? Tree { get; init; }
    /// <summary>Kill above this; 0 = no limit.</summary>
    public long MemoryLimitBytes { get; init; }
    /// <summary>Cores reserved for it, as a share against other programs where the worker may say so; 0 = none in particular.</summary>
    public int Cpus { get; init; }
    /// <summary>Give the program a pipe to read; else its stdin is /dev/null.</summary>
    public bool PipeStdin { get; init; }
    /// <summary>stderr goes into the same pipe as stdout.</summary>
    public bool MergeStderr { get; init; }
}

/// <summary>How a program ended. Code is null when a signal ended it.</summary>
public sealed record ProgramExit(int? Code, int? Signal, bool OutOfMemory, double CpuSeconds, long PeakMemoryBytes);

/// <summary>Starts programs; the only place of the worker that does.</summary>
public interface IProgramLauncher
{
    /// <summary>The step in force, found out at start by trying it.</summary>
    IsolationLevel Isolation { get; }

    /// <summary>Starts a program. Throws <see cref="ProgramStartException"/> when it cannot be executed (missing, not executable, wrong format, bad interpreter).</summary>
    RunningProgram Start(ProgramStart start);

    /// <summary>
    /// Ends everything that carries the attempt's mark: SIGTERM to its groups, SIGKILL after the grace, then adopted children and any process with the mark in its environment.
    /// Returns when none is left. Called after every attempt, also after good ones.
    /// </summary>
    Task EndAllAsync(Guid token, TimeSpan grace, CancellationToken ct);
}

/// <summary>A started program. Dispose closes our ends of its pipes; it does not kill.</summary>
public abstract class RunningProgram : IDisposable
{
    public abstract int Pid { get; }
    /// <summary>Write end; null unless PipeStdin. Blocking; a write to a program that stopped reading throws IOException (EPIPE), never a signal.</summary>
    public abstract SafeFileHandle? Stdin { get; }
    /// <summary>Read end, blocking.</summary>
    public abstract SafeFileHandle Stdout { get; }
    /// <summary>Read end, blocking; null with MergeStderr.</summary>
    public abstract SafeFileHandle? Stderr { get; }
    /// <summary>Completes when the program itself (not its children) has ended and was reaped.</summary>
    public abstract Task<ProgramExit> Exit { get; }
    /// <summary>SIGTERM to its process group, SIGKILL after the grace.</summary>
    public abstract Task StopAsync(TimeSpan grace);
    public abstract void Dispose();
}

/// <summary>A program that could not be started, in words for the job's owner.</summary>
public sealed class ProgramStartException(string message, Exception? inner = null) : Exception(message, inner);
