using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace JobHub.Worker.Executors.Processes;

/// <summary>
/// The threads from which every program is started. What posix_spawn cannot set is a property of the calling thread and is inherited by the child: no_new_privs, the uid
/// and gids (raw system calls change one thread only) and the namespaces. So no helper program stands in front, and a start in a sandbox costs what a plain one costs.
/// The threads live as long as the launcher, because the kernel ties "die with parent" to the thread that started the child.
/// </summary>
internal sealed unsafe class SpawnThreads : IDisposable
{
    // A monitor and not a BlockingCollection, which spins before it sleeps.
    private readonly Queue<Spawn> queue = new();
    private bool over;
    private readonly Thread[] threads;
    private readonly int[] hostNamespaces;
    private readonly int[] groups;
    private readonly bool root = Libc.geteuid() == 0;

    public SpawnThreads(int count)
    {
        // Both are taken on a thread that nothing has changed.
        hostNamespaces = root ? [.. Namespaces.Joined.Select(name => Libc.OpenRead($"/proc/thread-self/ns/{name}"))] : [];
        groups = new int[Math.Max(0, Libc.getgroups(0, null))];
        fixed (int* list = groups) _ = Libc.getgroups(groups.Length, list);
        threads = [.. Enumerable.Range(0, count).Select(i => new Thread(Run, 512 << 10) { IsBackground = true, Name = $"spawn-{i}" })];
        foreach (var thread in threads) thread.Start();
    }

    /// <summary>Starts it and blocks until exec has happened or failed.</summary>
    public void Start(Spawn spawn)
    {
        lock (queue)
        {
            ObjectDisposedException.ThrowIf(over, this);
            queue.Enqueue(spawn);
            Monitor.Pulse(queue);
        }

        spawn.WaitDone();
    }

    public void Dispose()
    {
        lock (queue)
        {
            over = true;
            Monitor.PulseAll(queue);
        }

        foreach (var thread in threads) thread.Join();
        foreach (var fd in hostNamespaces) _ = Libc.close(fd);
    }

    private void Run()
    {
        // A thread must have a root and working folder of its own before it may change mount namespaces.
        var joins = root && Libc.unshare(Libc.CloneFs) == 0;
        _ = Libc.prctl(Libc.PrSetNoNewPrivs, 1, 0, 0, 0);
        while (Next() is { } spawn)
        {
            if (spawn.Namespaces is not null && !joins) spawn.Error = 1;
            else Enter(spawn);
            spawn.Done();
        }
    }

    private Spawn? Next()
    {
        lock (queue)
        {
            while (queue.Count == 0)
            {
                if (over) return null;
                Monitor.Wait(queue);
            }

            return queue.Dequeue();
        }
    }

    private void Enter(Spawn spawn)
    {
        var calls = Calls.Resolved;
        fixed (int* host = hostNamespaces)
        fixed (int* join = spawn.Namespaces)
        fixed (int* own = groups)
        {
            var pid = 0;
            var result = Inside(
                &calls, &pid, spawn.File, spawn.Actions, spawn.Attributes, spawn.Argv, spawn.Envp, host, join, join is null ? 0 : spawn.Namespaces!.Length, spawn.RunAs?.Uid ?? -1, spawn.RunAs?.Gid ?? -1,
                own, groups.Length);
            if (result < 0) Environment.FailFast("A spawn thread could not get its own identity back.");
            spawn.Error = result;
            spawn.Pid = pid;
        }
    }

    /// <summary>
    /// While a thread has foreign credentials or namespaces it must run no code of the runtime: a thread the runtime starts meanwhile (tiered compilation, thread pool)
    /// would inherit them. So this is one fully optimised method of raw calls. Returns errno of what failed, -1 when the way back failed.
    /// saved ids stay 0, which is the way back; exec overwrites them in the child and drops every capability there. For the third of a millisecond that it lasts a program
    /// of the same uid that can name this thread (one outside a sandbox) could signal it, and so end the worker; the guard then ends the programs.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static int Inside(
        Calls* c, int* pid, byte* file, byte* actions, byte* attributes, byte** argv, byte** envp, int* host, int* join, int joins, int uid, int gid, int* groups, int groupCount)
    {
        var result = 0;
        var joined = 0;
        for (; joined < joins; joined++)
        {
            if (c->SetNs(join[joined], 0) == 0) continue;
            result = *c->Errno();
            break;
        }

        if (result == 0 && uid >= 0 &&
            (c->Syscall(c->SetGroups, 0, 0, 0) != 0 || c->Syscall(c->SetResGid, gid, gid, 0) != 0 || c->Syscall(c->SetResUid, uid, uid, 0) != 0)) result = *c->Errno();

        if (result == 0) result = c->PosixSpawn(pid, file, actions, attributes, argv, envp);
        if (uid >= 0 &&
            (c->Syscall(c->SetResUid, 0, 0, 0) != 0 || c->Syscall(c->SetResGid, 0, 0, 0) != 0 || c->Syscall(c->SetGroups, groupCount, (nint)groups, 0) != 0)) return -1;
        for (var i = 0; i < joined; i++)
        {
            if (c->SetNs(host[i], 0) != 0) return -1;
        }

        return result;
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct Calls
    {
        public static readonly Calls Resolved = Resolve();

        public delegate* unmanaged<int*, byte*, byte*, byte*, byte**, byte**, int> PosixSpawn;
        public delegate* unmanaged<int, int, int> SetNs;
        public delegate* unmanaged<nint, nint, nint, nint, nint> Syscall;
        public delegate* unmanaged<int*> Errno;
        public nint SetResUid, SetResGid, SetGroups;

        private static Calls Resolve()
        {
            var libc = NativeLibrary.Load("libc", typeof(Libc).Assembly, null);
            return new Calls
            {
                PosixSpawn = (delegate* unmanaged<int*, byte*, byte*, byte*, byte**, byte**, int>)NativeLibrary.GetExport(libc, "posix_spawn"),
                SetNs = (delegate* unmanaged<int, int, int>)NativeLibrary.GetExport(libc, "setns"),
                Syscall = (delegate* unmanaged<nint, nint, nint, nint, nint>)NativeLibrary.GetExport(libc, "syscall"),
                Errno = (delegate* unmanaged<int*>)NativeLibrary.GetExport(libc, "__errno_location"),
                SetResUid = Libc.SysSetResUid, SetResGid = Libc.SysSetResGid, SetGroups = Libc.SysSetGroups,
            };
        }
    }
}

/// <summary>Names below /proc/PID/ns in the order in which a thread joins them: the mount namespace last, for /proc must be reachable until then.</summary>
internal static class Namespaces
{
    public static readonly string[] Joined = ["pid", "net", "ipc", "uts", "mnt"];
}
