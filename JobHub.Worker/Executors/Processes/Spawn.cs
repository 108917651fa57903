using System.Runtime.InteropServices;
using System.Text;

namespace JobHub.Worker.Executors.Processes;

/// <summary>One posix_spawn in the making: everything in native memory, so that the thread which does it only makes calls.</summary>
internal sealed unsafe class Spawn : IDisposable
{
    private static readonly bool HasCloseFrom = NativeLibrary.TryGetExport(NativeLibrary.Load("libc", typeof(Libc).Assembly, null), "posix_spawn_file_actions_addclosefrom_np", out CloseFrom);
    private static readonly nint CloseFrom;

    private readonly Lock gate = new();
    // A start takes a third of a millisecond: spinning for it would cost more than the start.
    private readonly ManualResetEventSlim done = new(initialState: false, spinCount: 0);
    private byte* block;

    /// <param name="file">What exec is given.</param>
    /// <param name="argv">All arguments, argv[0] first.</param>
    /// <param name="environment">NAME=value.</param>
    /// <param name="folder">Working folder of the program.</param>
    /// <param name="descriptors">What becomes descriptor 0, 1, 2, ... of the program; everything else is closed.</param>
    public Spawn(string file, IReadOnlyList<ReadOnlyMemory<byte>> argv, IReadOnlyList<string> environment, string folder, ReadOnlySpan<int> descriptors)
    {
        var size = 2 * Libc.OpaqueSize + sizeof(nint) * (argv.Count + environment.Count + 2) + Encoding.UTF8.GetMaxByteCount(file.Length) + Encoding.UTF8.GetMaxByteCount(folder.Length) + 2;
        foreach (var argument in argv) size += argument.Length + 1;
        foreach (var pair in environment) size += Encoding.UTF8.GetByteCount(pair) + 1;
        block = (byte*)NativeMemory.AllocZeroed((nuint)size);
        Attributes = block;
        Actions = block + Libc.OpaqueSize;
        Argv = (byte**)(Actions + Libc.OpaqueSize);
        Envp = Argv + argv.Count + 1;
        var text = (byte*)(Envp + environment.Count + 1);
        var end = block + size;
        for (var i = 0; i < argv.Count; i++)
        {
            Argv[i] = text;
            argv[i].Span.CopyTo(new Span<byte>(text, argv[i].Length));
            text += argv[i].Length + 1;
        }

        for (var i = 0; i < environment.Count; i++) Envp[i] = Put(environment[i], ref text, end);
        File = Put(file, ref text, end);
        var set = stackalloc byte[Libc.OpaqueSize];
        _ = Libc.posix_spawnattr_init(Attributes);
        _ = Libc.posix_spawnattr_setflags(Attributes, Libc.SpawnSetSid | Libc.SpawnSetSigDef | Libc.SpawnSetSigMask);
        _ = Libc.sigemptyset(set);
        _ = Libc.posix_spawnattr_setsigmask(Attributes, set);
        // .NET ignores SIGPIPE and exec keeps that: `yes | head` in a program would never end.
        _ = Libc.sigfillset(set);
        _ = Libc.posix_spawnattr_setsigdefault(Attributes, set);
        _ = Libc.posix_spawn_file_actions_init(Actions);
        _ = Libc.posix_spawn_file_actions_addchdir_np(Actions, Put(folder, ref text, end));
        for (var i = 0; i < descriptors.Length; i++) _ = Libc.posix_spawn_file_actions_adddup2(Actions, descriptors[i], i);
        // .NET opens everything close-on-exec; a native library of the process need not.
        if (HasCloseFrom) _ = ((delegate* unmanaged<byte*, int, int>)CloseFrom)(Actions, descriptors.Length);
    }

    public byte* File { get; }
    public byte** Argv { get; }
    public byte** Envp { get; }
    public byte* Actions { get; }
    public byte* Attributes { get; }

    /// <summary>Descriptors of the namespaces to start in, in the order of <see cref="Processes.Namespaces.Joined"/>; null = the worker's own.</summary>
    public int[]? Namespaces { get; init; }
    public (int Uid, int Gid)? RunAs { get; init; }

    /// <summary>errno of the start; 0 when <see cref="Pid"/> runs.</summary>
    public int Error { get; set; }
    public int Pid { get; set; }

    /// <summary>Called by the spawn thread. No task: completing one may start a thread pool thread, which would inherit this thread's no_new_privs.</summary>
    public void Done() => done.Set();

    public void Again() => done.Reset();

    public void WaitDone() => done.Wait();

    public void Dispose()
    {
        lock (gate)
        {
            if (block is null) return;
            _ = Libc.posix_spawn_file_actions_destroy(Actions);
            NativeMemory.Free(block);
            block = null;
        }

        done.Dispose();
    }

    private static byte* Put(string value, ref byte* text, byte* end)
    {
        var start = text;
        text += Encoding.UTF8.GetBytes(value, new Span<byte>(text, (int)(end - text))) + 1;
        return start;
    }
}
