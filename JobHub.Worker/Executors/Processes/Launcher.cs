using System.Collections.Concurrent;
using System.Text;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;
using Microsoft.Win32.SafeHandles;

namespace JobHub.Worker.Executors.Processes;

/// <summary>Starts every program of the worker and leaves nothing of it behind.</summary>
public sealed partial class Launcher : IProgramLauncher, IDisposable
{
    public const string AttemptVariable = "JOBHUB_ATTEMPT";
    public const string WorkerVariable = "JOBHUB_WORKER";
    private const string DefaultPath = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";
    private const int TextBusyRetries = 50;
    private const int StreamPipeBytes = 1 << 20;
    // A program must be in its group before its first own instruction: what it starts earlier would stay outside. posix_spawn cannot start it there, so a shell waits for a word.
    private static readonly string[] Gate = ["/bin/sh", "-c", "read -r _ <&3 || exit 125; exec 3<&-; exec \"$@\"", "jobhub-gate"];

    // One a process, for the same reason as the reaper.
    private static readonly ConcurrentDictionary<Guid, AttemptPrograms> Attempts = new();

    private readonly TimeProvider clock;
    private readonly SpawnThreads threads = new(Environment.ProcessorCount + 1);
    private readonly Reaper reaper = Reaper.Shared;
    private readonly int nullDevice = Libc.OpenRead("/dev/null");
    private readonly (int Uid, int Gid)? runAs;
    private readonly bool ownsScratch;
    private readonly MemoryWatch memory;
    private readonly Cgroups? cgroups;
    private readonly Guard? guard;
    private int disposed;
    private readonly ProcessOptions options;
    private readonly ScratchFolders scratch;
    private readonly ILogger<Launcher> logger;
    private readonly string[] hidden;

    public Launcher(IOptions<ProcessOptions> options, ScratchFolders scratch, TimeProvider clock, ILogger<Launcher> logger)
    {
        (this.clock, this.options, this.scratch, this.logger) = (clock, options.Value, scratch, logger);
        runAs = ProgramUser.Resolve(options.Value.RunAs);
        hidden = HiddenFolders();
        var why = "the setting says so";
        cgroups = this.options.Cgroups ? Cgroups.Find(out why) : null;
        Isolation = FindIsolation();
        IsolationFound(Isolation, cgroups?.Name ?? $"sampling ({why})");
        memory = new MemoryWatch(() => Attempts.Values, this.options.MemorySample, clock);
        guard = this.options.Guard ? new Guard((file, arguments) => StartOwn(file, arguments, []), scratch) : null;
    }

    /// <summary>One with scratch folders of its own, for hosts without dependency injection.</summary>
    public Launcher(IOptions<ProcessOptions> options, TimeProvider clock)
        : this(options, new ScratchFolders(options), clock, NullLogger<Launcher>.Instance) => ownsScratch = true;

    public IsolationLevel Isolation { get; }

    /// <summary>The process that ends everything when this one is killed; null when it is switched off.</summary>
    public int? GuardPid => guard?.Pid;

    public RunningProgram Start(ProgramStart start) => Start(start, start.Sandbox ? Isolation : IsolationLevel.Plain);

    private LaunchedProgram Start(ProgramStart start, IsolationLevel level)
    {
        var file = Find(start);
        var inTree = start.Tree is not null && level != IsolationLevel.Plain;
        if (!inTree && !Directory.Exists(start.WorkingFolder)) throw new ProgramStartException($"The working folder {start.WorkingFolder} does not exist.");
        var argv = new List<ReadOnlyMemory<byte>>(1 + start.Arguments.Count + start.RawArguments.Count) { Encoding.UTF8.GetBytes(start.File) };
        foreach (var argument in start.Arguments) argv.Add(Encoding.UTF8.GetBytes(argument));
        argv.AddRange(start.RawArguments);
        foreach (var argument in argv)
        {
            if (argument.Span.Contains((byte)0)) throw new ProgramStartException("An argument holds a NUL byte, which no program can be given.");
        }

        var environment = new List<string>(start.Environment.Count + 2) { $"{AttemptVariable}={start.Token}", $"{WorkerVariable}={scratch.Instance}" };
        foreach (var (name, value) in start.Environment)
        {
            if (name is AttemptVariable or WorkerVariable) continue;
            if (name.Length == 0 || name.AsSpan().ContainsAny('=', '\0') || value.Contains('\0')) throw new ProgramStartException($"The environment variable '{name}' has a name or value that no program can be given.");
            environment.Add($"{name}={value}");
        }

        var attempt = Attempts.GetOrAdd(start.Token, token => new AttemptPrograms(token));
        if (!inTree && !start.AsWorker) foreach (var folder in (ReadOnlySpan<string>)[start.WorkingFolder, .. start.WritableFolders]) scratch.Give(folder);
        Sandbox? sandbox = null;
        if (level == IsolationLevel.Plain) (attempt.CanEscape, attempt.Folder) = (true, attempt.Folder ?? scratch.FolderOf(start.WorkingFolder));
        else sandbox = SandboxFor(attempt, file, start, level);
        if (start.MemoryLimitBytes > 0)
        {
            attempt.MemoryLimitBytes = start.MemoryLimitBytes;
            // Also beside a group: it is what holds for a job that brought a shell of its own, which need not wait at the gate.
            memory.Wake();
        }

        // Programs that are started once a line are too short for a group; the samples see them.
        AttemptCgroup? group = null;
        if (cgroups is not null && (start.MemoryLimitBytes > 0 || start.Cpus > 0) && start.RawArguments.Count == 0)
            group = attempt.CgroupOf(() => cgroups.Create(start.Token, start.MemoryLimitBytes, start.Cpus));

        try
        {
            return Start(file, argv, environment, start, attempt, sandbox, group);
        }
        catch (ProgramStartException) when (!attempt.Started)
        {
            // Nothing runs, so no orphan can be this attempt's.
            attempt.CanEscape = false;
            throw;
        }
    }

    public async Task EndAllAsync(Guid token, TimeSpan grace, CancellationToken ct)
    {
        if (!Attempts.TryGetValue(token, out var attempt)) return;
        await new AttemptEnd(attempt, reaper, OldestOther, clock).RunAsync(grace, ct);
        if (attempt.Cgroup is { } group) await group.RemoveAsync(clock, ct);
        Attempts.TryRemove(new(token, attempt));
    }

    public void Dispose()
    {
        if (Interlocked.Exchange(ref disposed, 1) != 0) return;
        guard?.Dispose();
        memory.Dispose();
        cgroups?.Dispose();
        threads.Dispose();
        _ = Libc.close(nullDevice);
        if (ownsScratch) scratch.Dispose();
    }

    /// <summary>When the oldest other attempt that can have processes anywhere began; orphans younger than that may be its.</summary>
    private long OldestOther(AttemptPrograms attempt)
    {
        var oldest = long.MaxValue;
        foreach (var (_, other) in Attempts)
        {
            if (other != attempt && other.CanEscape) oldest = Math.Min(oldest, other.StartTicks);
        }

        return oldest;
    }

    private LaunchedProgram Start(string file, List<ReadOnlyMemory<byte>> argv, List<string> environment, ProgramStart start, AttemptPrograms? attempt, Sandbox? sandbox, AttemptCgroup? group = null)
    {
        Span<int> given = stackalloc int[4];
        Span<int> kept = [-1, -1, -1, -1];
        given.Fill(-1);
        var counted = false;
        try
        {
            if (start.PipeStdin)
            {
                (given[0], kept[0]) = Libc.Pipe();
                _ = Libc.fcntl(kept[0], Libc.FSetPipeSize, StreamPipeBytes);
            }

            (kept[1], given[1]) = Libc.Pipe();
            // Programs without a pipe to read are the short ones: a large ring would cost them more than it saves.
            if (start.PipeStdin) _ = Libc.fcntl(kept[1], Libc.FSetPipeSize, StreamPipeBytes);
            if (!start.MergeStderr) (kept[2], given[2]) = Libc.Pipe();
            if (group is not null) (given[3], kept[3]) = Libc.Pipe();
            Span<int> descriptors = [start.PipeStdin ? given[0] : nullDevice, given[1], start.MergeStderr ? given[1] : given[2], given[3]];
            var enters = sandbox is { NamespaceFds: null };
            if (enters || group is not null)
            {
                Check(file, start);
                argv[0] = Encoding.UTF8.GetBytes(file);
                IEnumerable<string> before = [.. group is null ? Array.Empty<string>() : Gate, .. enters ? sandbox!.Enter(start.WorkingFolder) : []];
                argv.InsertRange(0, before.Select(word => (ReadOnlyMemory<byte>)Encoding.UTF8.GetBytes(word)));
            }

            using var spawn = new Spawn(group is not null ? Gate[0] : enters ? FindOnPath("nsenter", null) : file, argv, environment, enters && start.Tree is not null ? "/" : start.WorkingFolder, group is null ? descriptors[..3] : descriptors)
            {
                Namespaces = sandbox?.NamespaceFds,
                // What is no attempt's runs as the worker itself: the holders of sandboxes and the guard.
                RunAs = attempt is null || start.AsWorker ? null : runAs,
            };
            reaper.BeginStart();
            counted = true;
            threads.Start(spawn);
            // A child that is between fork and exec still has the file open which this process has just written; that takes a millisecond.
            for (var again = 0; spawn.Error == Libc.Etxtbsy && again < TextBusyRetries; again++)
            {
                using var pause = new ManualResetEventSlim();
                pause.Wait(2);
                spawn.Again();
                threads.Start(spawn);
            }

            if (spawn.Error != 0) throw Refused(file, start, spawn.Error);
            var program = new LaunchedProgram(spawn.Pid, kept[0] < 0 ? null : Handle(ref kept[0]), Handle(ref kept[1]), kept[2] < 0 ? null : Handle(ref kept[2]), attempt, enters, clock);
            attempt?.Add(program);
            reaper.Add(spawn.Pid, program.Ended);
            if (group is not null) Open(kept[3], group, spawn.Pid);
            return program;
        }
        finally
        {
            if (counted) reaper.EndStart();
            foreach (var fd in given) Close(fd);
            foreach (var fd in kept) Close(fd);
        }
    }

    /// <summary>Lets a program begin that waits at the gate, once it is in its group.</summary>
    private unsafe void Open(int gate, AttemptCgroup group, int pid)
    {
        if (!group.Add(pid)) GroupRefused(pid);
        var word = (byte)'\n';
        // One that is gone already needs no word.
        _ = Libc.write(gate, &word, 1);
    }

    private static SafeFileHandle Handle(ref int fd)
    {
        var handle = LaunchedProgram.Own(fd);
        fd = -1;
        return handle;
    }

    private static void Close(int fd)
    {
        if (fd >= 0) _ = Libc.close(fd);
    }

    private static string Find(ProgramStart start)
    {
        var name = start.File;
        if (name.Length == 0 || name.Contains('\0')) throw new ProgramStartException("The program has no usable name.");
        return name.Contains('/') ? name : FindOnPath(name, start.Environment.GetValueOrDefault("PATH"));
    }

    private static string FindOnPath(string name, string? path)
    {
        foreach (var folder in (path ?? DefaultPath).Split(':', StringSplitOptions.RemoveEmptyEntries))
        {
            var file = Path.Combine(folder, name);
            if (Libc.access(file, 1) == 0 && !Directory.Exists(file)) return file;
        }

        throw new ProgramStartException($"There is no program '{name}' on the PATH.");
    }

    private ProgramStartException Refused(string file, ProgramStart start, int error)
    {
        var reason = error switch
        {
            Libc.Enoent when !File.Exists(file) => "it does not exist",
            Libc.Enoent when !start.OwnsWorkingFolder => $"the working folder {start.WorkingFolder} cannot be seen in the sandbox",
            Libc.Enoent => Interpreter(file) is { } interpreter ? $"its interpreter '{interpreter}' does not exist" : "the loader or interpreter it names does not exist here",
            Libc.Enotdir => "a part of its path is not a folder",
            Libc.Eacces when Directory.Exists(file) => "it is a folder",
            Libc.Eacces when Libc.access(file, 1) != 0 => "it is not executable (chmod +x)",
            Libc.Eacces => $"the user programs run as{(runAs is { } user ? $" (uid {user.Uid})" : "")} may not execute it, its interpreter, or enter a folder above it or the working folder {start.WorkingFolder}",
            Libc.Enoexec => "it is neither a program of this machine's architecture nor a script that starts with '#!'",
            Libc.E2Big => "its arguments and environment are too long (one argument may have 131071 bytes)",
            Libc.Etxtbsy => "it is still open for writing",
            _ => $"{LaunchedProgram.Describe(error)} ({error})",
        };
        return new ProgramStartException($"Cannot start {file}: {reason}.");
    }

    /// <summary>What the kernel would say, asked beforehand: behind an entering program its answer does not reach us.</summary>
    private void Check(string file, ProgramStart start)
    {
        if (!File.Exists(file)) throw Refused(file, start, Directory.Exists(file) ? Libc.Eacces : Libc.Enoent);
        if (Libc.access(file, 1) != 0) throw Refused(file, start, Libc.Eacces);
        if (Interpreter(file) is { } interpreter)
        {
            if (!File.Exists(interpreter)) throw Refused(file, start, Libc.Enoent);
        }
        else if (!IsBinary(file))
        {
            throw Refused(file, start, Libc.Enoexec);
        }
    }

    private static bool IsBinary(string file)
    {
        try
        {
            using var handle = File.OpenHandle(file);
            Span<byte> head = stackalloc byte[4];
            return RandomAccess.Read(handle, head, 0) == 4 && head.SequenceEqual("\u007fELF"u8);
        }
        catch (UnauthorizedAccessException)
        {
            return true; // executable without being readable: a binary, or the kernel says so
        }
    }

    private static string? Interpreter(string file)
    {
        try
        {
            using var handle = File.OpenHandle(file);
            Span<byte> head = stackalloc byte[256];
            head = head[..RandomAccess.Read(handle, head, 0)];
            if (!head.StartsWith("#!"u8)) return null;
            var end = head.IndexOf((byte)'\n');
            var line = Encoding.UTF8.GetString(head[2..(end < 0 ? head.Length : end)]).Trim(' ', '\t');
            // "#!/bin/sh\r" is the commonest reason: say it so that it can be seen.
            return line.Split(' ', '\t')[0].Replace("\r", "\\r", StringComparison.Ordinal);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }
}
