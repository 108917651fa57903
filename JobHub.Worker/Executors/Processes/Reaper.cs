using System.Collections.Concurrent;
using System.Runtime.InteropServices;

namespace JobHub.Worker.Executors.Processes;

/// <summary>
/// Reaps the programs that were started here, and orphans that the kernel gave us as subreaper. One thread, one epoll over pidfds; it waits for named pids only, so the
/// children of System.Diagnostics.Process in the same process stay with .NET.
/// </summary>
internal sealed unsafe class Reaper
{
    private const int Batch = 64;
    // An orphan that ends while nobody looks stays a zombie at most this long.
    private const int SweepMilliseconds = 2000;
    private const int SurelyKnownTicks = 1000;

    // struct epoll_event is packed on x64 only.
    private static readonly int DataOffset = RuntimeInformation.ProcessArchitecture == Architecture.X64 ? 4 : 8;
    private static readonly int EventSize = DataOffset + 8;

    private readonly ConcurrentDictionary<int, Child> children = new();
    private readonly int epoll = Libc.epoll_create1(0x80000);
    private readonly int ownSession = Libc.getsid(0);
    private int starting;

    private Reaper()
    {
        if (epoll < 0) throw Libc.Failed("epoll_create1");
        _ = Libc.prctl(Libc.PrSetChildSubreaper, 1, 0, 0, 0);
        new Thread(Run, 512 << 10) { IsBackground = true, Name = "reaper" }.Start();
    }

    /// <summary>One a process: what one reaper started must not look like an orphan to another.</summary>
    public static Reaper Shared { get; } = new();

    /// <summary>Whether this pid was started here and is not reaped yet.</summary>
    public bool Knows(int pid) => children.ContainsKey(pid);

    /// <summary>Calls <paramref name="ended"/> on the reaper's thread once the child was reaped: status as of wait4, and its usage.</summary>
    public void Add(int pid, Action<int, Libc.Usage> ended)
    {
        var pidfd = Libc.PidfdOpen(pid);
        if (pidfd < 0) throw Libc.Failed("pidfd_open (Linux 5.3 or newer is needed)");
        children[pid] = new Child(pidfd, ended);
        Watch(pidfd, pid);
    }

    /// <summary>A child is being started, and may already run, or have ended, without being known yet.</summary>
    public bool Starting => Volatile.Read(ref starting) > 0;

    /// <summary>Comes before a start; <see cref="EndStart"/> after <see cref="Add"/>.</summary>
    public void BeginStart() => Interlocked.Increment(ref starting);

    public void EndStart() => Interlocked.Decrement(ref starting);

    /// <summary>Takes an ended orphan off the process table, when it is sure that it is one.</summary>
    public void ReapOrphan(ProcEntry entry)
    {
        // In our own session: a child of System.Diagnostics.Process, which .NET is about to reap. Programs have sessions of their own.
        if (entry.Session == ownSession || entry.Parent != Environment.ProcessId) return;
        var started = Starting && ProcTable.NowTicks() - entry.StartTicks < SurelyKnownTicks;
        if (!started && !children.ContainsKey(entry.Pid)) _ = Libc.wait4(entry.Pid, out _, Libc.WNoHang | Libc.WAll, out _);
    }

    private void Run()
    {
        var events = stackalloc byte[EventSize * Batch];
        while (true)
        {
            var count = Libc.epoll_wait(epoll, events, Batch, SweepMilliseconds);
            for (var i = 0; i < count; i++)
            {
                var pid = (int)*(long*)(events + i * EventSize + DataOffset);
                Reap(pid);
            }

            if (count == 0) SweepOrphans();
        }
    }

    private void Reap(int pid)
    {
        if (!children.TryGetValue(pid, out var child) || Libc.wait4(pid, out var status, Libc.WNoHang | Libc.WAll, out var usage) == 0) return;
        children.TryRemove(pid, out _);
        // Not by closing alone: a child that is between fork and exec still has the descriptor, and epoll would report it again and again.
        _ = Libc.epoll_ctl(epoll, Libc.EpollCtlDel, child.Pidfd, null);
        _ = Libc.close(child.Pidfd);
        child.Ended(status, usage);
    }

    private void SweepOrphans()
    {
        var info = stackalloc byte[128];
        while (true)
        {
            new Span<byte>(info, 128).Clear();
            if (Libc.waitid(Libc.PAll, 0, info, Libc.WExited | Libc.WNoHang | Libc.WNoWait | Libc.WAll) != 0) return;
            var pid = *(int*)(info + 12);
            if (pid == 0 || ProcTable.Read(pid) is not { } entry) return;
            ReapOrphan(entry);
            if (ProcTable.Exists(pid)) return;
        }
    }

    private void Watch(int fd, long data)
    {
        var e = stackalloc byte[EventSize];
        *(int*)e = Libc.EpollIn;
        *(long*)(e + DataOffset) = data;
        if (Libc.epoll_ctl(epoll, Libc.EpollCtlAdd, fd, e) != 0) throw Libc.Failed("epoll_ctl");
    }

    private sealed record Child(int Pidfd, Action<int, Libc.Usage> Ended);
}
