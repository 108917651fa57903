using System.Runtime.InteropServices;

namespace JobHub.Worker.Executors.Processes;

/// <summary>The system calls that .NET has no door to. Linux only, kernel 5.3 or newer (pidfd), glibc 2.29 or musl 1.1.24 (addchdir_np).</summary>
internal static unsafe partial class Libc
{
    public const int SigKill = 9, SigTerm = 15;
    public const int Enoent = 2, Esrch = 3, E2Big = 7, Enoexec = 8, Echild = 10, Enomem = 12, Eacces = 13, Eexist = 17, Enotdir = 20, Etxtbsy = 26, Eloop = 40;
    public const int WNoHang = 1, WExited = 4, WAll = 0x40000000, WNoWait = 0x01000000, PAll = 0;
    public const int PrSetNoNewPrivs = 38, PrSetChildSubreaper = 36, PrSetName = 15;
    public const int CloneFs = 0x200;
    public const int EpollIn = 1, EpollCtlAdd = 1, EpollCtlDel = 2;
    public const int FDupFdCloexec = 1030, FSetPipeSize = 1031;
    public const int SysPidfdOpen = 434, SysPidfdSendSignal = 424;
    public const short SpawnSetSigDef = 0x04, SpawnSetSigMask = 0x08, SpawnSetSid = 0x80;
    /// <summary>Larger than posix_spawnattr_t, posix_spawn_file_actions_t and sigset_t of glibc (336, 80, 128) and musl.</summary>
    public const int OpaqueSize = 512;
    private const int OCloexec = 0x80000;

    // These numbers differ between architectures; the raw calls act on one thread only, the wrappers of libc on all.
    public static readonly int SysSetResUid = RuntimeInformation.ProcessArchitecture == Architecture.X64 ? 117 : 147;
    public static readonly int SysSetResGid = RuntimeInformation.ProcessArchitecture == Architecture.X64 ? 119 : 149;
    public static readonly int SysSetGroups = RuntimeInformation.ProcessArchitecture == Architecture.X64 ? 116 : 159;

    [StructLayout(LayoutKind.Sequential)]
    public struct Usage
    {
        public long UserSeconds, UserMicros, SystemSeconds, SystemMicros, MaxRssKib;
        public fixed long Rest[13];
    }

    [LibraryImport("libc", SetLastError = true)]
    public static partial int kill(int pid, int signal);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int wait4(int pid, out int status, int options, out Usage usage);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int waitid(int type, int id, byte* info, int options);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int prctl(int option, nint a2, nint a3, nint a4, nint a5);

    [LibraryImport("libc", SetLastError = true)]
    public static partial nint syscall(nint number, nint a1, nint a2, nint a3, nint a4);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int epoll_create1(int flags);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int epoll_ctl(int epoll, int operation, int fd, byte* e);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int epoll_wait(int epoll, byte* events, int max, int timeout);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int fcntl(int fd, int command, nint argument);

    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    public static partial int open(string path, int flags, int mode);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int open(byte* path, int flags, int mode);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int close(int fd);

    [LibraryImport("libc", SetLastError = true)]
    public static partial nint read(int fd, byte* buffer, nint count);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int unshare(int flags);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int getrusage(int who, out Usage usage);

    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    public static partial int lchown(string path, int uid, int gid);

    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    public static partial int access(string path, int mode);

    [LibraryImport("libc")]
    public static partial int clock_gettime(int clock, long* time);

    [LibraryImport("libc")]
    public static partial int geteuid();

    [LibraryImport("libc")]
    public static partial int getegid();

    [LibraryImport("libc")]
    public static partial int getsid(int pid);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int getgroups(int size, int* groups);

    [LibraryImport("libc")]
    public static partial int posix_spawnattr_init(byte* attributes);

    [LibraryImport("libc")]
    public static partial int posix_spawnattr_setflags(byte* attributes, short flags);

    [LibraryImport("libc")]
    public static partial int posix_spawnattr_setsigmask(byte* attributes, byte* set);

    [LibraryImport("libc")]
    public static partial int posix_spawnattr_setsigdefault(byte* attributes, byte* set);

    [LibraryImport("libc")]
    public static partial int posix_spawn_file_actions_init(byte* actions);

    [LibraryImport("libc")]
    public static partial int posix_spawn_file_actions_destroy(byte* actions);

    [LibraryImport("libc")]
    public static partial int posix_spawn_file_actions_adddup2(byte* actions, int fd, int target);

    [LibraryImport("libc")]
    public static partial int posix_spawn_file_actions_addchdir_np(byte* actions, byte* path);

    [LibraryImport("libc")]
    public static partial int sigemptyset(byte* set);

    [LibraryImport("libc")]
    public static partial int sigfillset(byte* set);

    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    public static partial int rmdir(string path);

    [LibraryImport("libc", SetLastError = true)]
    public static partial nint write(int fd, byte* buffer, nint count);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int openat(int folder, byte* path, int flags, int mode);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int mkdirat(int folder, byte* path, int mode);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int unlinkat(int folder, byte* path, int flags);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int renameat(int folder, byte* path, int newFolder, byte* newPath);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int symlinkat(byte* target, int folder, byte* path);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int fchmodat(int folder, byte* path, int mode, int flags);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int fchmod(int fd, int mode);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int fchown(int fd, int uid, int gid);

    [LibraryImport("libc", SetLastError = true)]
    public static partial long lseek(int fd, long offset, int whence);

    [LibraryImport("libc", SetLastError = true)]
    public static partial nint copy_file_range(int from, long* fromOffset, int to, long* toOffset, nint count, uint flags);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int statx(int folder, byte* path, int flags, uint mask, byte* buffer);

    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int statx(int folder, string path, int flags, uint mask, byte* buffer);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int pipe2(int* fds, int flags);

    /// <summary>A close-on-exec pipe whose ends are above 9, so that they can be moved to any standard descriptor in any order.</summary>
    public static (int Read, int Write) Pipe()
    {
        var fds = stackalloc int[2];
        if (pipe2(fds, OCloexec) != 0) throw Failed("pipe2");
        return (AboveStandard(fds[0]), AboveStandard(fds[1]));
    }

    public static int OpenRead(string path)
    {
        var fd = open(path, OCloexec, 0);
        return fd < 0 ? throw Failed($"open {path}") : AboveStandard(fd);
    }

    /// <summary>Owner of a file, links not followed; -1 when it cannot be told.</summary>
    public static int OwnerOf(string path)
    {
        var buffer = stackalloc byte[256];
        // struct statx: stx_uid is at 20; mask STATX_UID.
        return statx(-100, path, 0x100, 0x8, buffer) == 0 ? *(int*)(buffer + 20) : -1;
    }

    public static int PidfdOpen(int pid) => (int)syscall(SysPidfdOpen, pid, 0, 0, 0);

    public static Exception Failed(string what) => Failed(what, Marshal.GetLastPInvokeError());

    public static Exception Failed(string what, int error) => new IOException($"{what}: {Marshal.GetPInvokeErrorMessage(error)} ({error})");

    private static int AboveStandard(int fd)
    {
        if (fd > 9) return fd;
        var moved = fcntl(fd, FDupFdCloexec, 10);
        _ = close(fd);
        return moved < 0 ? throw Failed("fcntl") : moved;
    }
}
