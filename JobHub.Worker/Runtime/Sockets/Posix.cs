using System.ComponentModel;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace JobHub.Worker.Runtime.Sockets;

/// <summary>
/// The few calls of Linux that this folder needs. One thread a slot waits on all descriptors of a program with one poll: that costs a tenth of the
/// runtime's sockets and pipes when a program lives for half a millisecond.
/// </summary>
internal static partial class Posix
{
    public const short In = 1, Out = 4, Error = 8, HangUp = 16;
    public const int Interrupted = 4, TryAgain = 11, BrokenPipe = 32, ConnectionReset = 104, ConnectionRefused = 111, NoEntry = 2;

    private const int Unix = 1, StreamNonBlockCloseOnExec = 1 | 0x800 | 0x80000;
    private const int NonBlockCloseOnExec = 0x800 | 0x80000;
    private const int NoSignal = 0x4000;
    private const int NoFollow = 0x100; // AT_SYMLINK_NOFOLLOW
    private const uint InCreate = 0x100, InMovedTo = 0x80;

    // O_DIRECTORY and O_NOFOLLOW have other numbers on Arm. O_PATH | O_NOFOLLOW | O_CLOEXEC and O_DIRECTORY | O_CLOEXEC.
    private static readonly bool s_arm = RuntimeInformation.ProcessArchitecture is Architecture.Arm64 or Architecture.Arm;
    private static readonly int s_openPathNoFollow = 0x200000 | (s_arm ? 0x8000 : 0x20000) | 0x80000;
    private static readonly int s_openFolder = (s_arm ? 0x4000 : 0x10000) | 0x80000;

    [StructLayout(LayoutKind.Sequential)]
    public struct PollEntry
    {
        public int Descriptor;
        public short Events;
        public short Returned;

        public readonly bool Any => Returned != 0;

        /// <summary>Null is not waited for.</summary>
        public void Watch(SafeFileHandle? handle, short events)
        {
            Descriptor = handle is null ? -1 : Number(handle);
            Events = events;
            Returned = 0;
        }
    }

    /// <summary>A listening socket under a name in an open folder. The folder's descriptor keeps the address below the 107 bytes a socket address can hold.</summary>
    public static SafeFileHandle Listen(SafeFileHandle folder, string name)
    {
        var socket = Own(socket_(Unix, StreamNonBlockCloseOnExec, 0), "socket");
        try
        {
            Span<byte> address = stackalloc byte[110];
            var length = Address(address, folder, name);
            if (bind(Number(socket), address, length) < 0)
            {
                throw Failure($"bind {name}");
            }

            // The program may run as another user.
            if (fchmodat(Number(folder), name, 0x1ff, NoFollow) < 0 || listen(Number(socket), 64) < 0)
            {
                throw Failure($"listen {name}");
            }

            return socket;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    /// <summary>The next waiting connection; null when there is none.</summary>
    public static SafeFileHandle? Accept(SafeFileHandle listener)
    {
        while (true)
        {
            var accepted = accept4(Number(listener), 0, 0, NonBlockCloseOnExec);
            if (accepted >= 0)
            {
                return new(accepted, ownsHandle: true);
            }

            switch (Marshal.GetLastPInvokeError())
            {
                case TryAgain: return null;
                case Interrupted or 103: continue; // ECONNABORTED
                default: throw Failure("accept");
            }
        }
    }

    /// <summary>
    /// Connects to a socket in the folder; null while the name is not there, or is there and nobody listens yet. What the name points at is opened without following links and must be the socket itself:
    /// a program must not make the worker speak to a socket elsewhere on the host.
    /// </summary>
    public static SafeFileHandle? TryConnect(SafeFileHandle folder, string name, out bool exists)
    {
        var target = openat(Number(folder), name, s_openPathNoFollow, 0);
        exists = target >= 0;
        if (!exists)
        {
            return Marshal.GetLastPInvokeError() == NoEntry ? null : throw Failure($"open {name}");
        }

        using var opened = new SafeFileHandle(target, ownsHandle: true);
        var socket = Own(socket_(Unix, StreamNonBlockCloseOnExec, 0), "socket");
        Span<byte> address = stackalloc byte[110];
        var length = Address(address, opened, null);
        if (connect(Number(socket), address, length) == 0)
        {
            return socket;
        }

        var error = Marshal.GetLastPInvokeError();
        socket.Dispose();
        return error is ConnectionRefused or TryAgain ? null : throw new IOException($"connect {name}: {Marshal.GetPInvokeErrorMessage(error)}");
    }

    public static SafeFileHandle Event() => Own(eventfd(0, NonBlockCloseOnExec), "eventfd");

    public static void Signal(SafeFileHandle handle)
    {
        ulong one = 1;
        _ = write(Number(handle), MemoryMarshal.AsBytes(new ReadOnlySpan<ulong>(in one)), 8);
    }

    public static void Drain(SafeFileHandle handle)
    {
        Span<byte> ignored = stackalloc byte[512];
        while (read(Number(handle), ignored, (nuint)ignored.Length) == ignored.Length)
        {
            // inotify may hold more than one buffer full; an event counter never does
        }
    }

    /// <summary>Tells of new names in the folder; null when the user's watches are used up.</summary>
    public static SafeFileHandle? WatchNames(string folder)
    {
        var watch = inotify_init1(NonBlockCloseOnExec);
        if (watch < 0)
        {
            return null;
        }

        var handle = new SafeFileHandle(watch, ownsHandle: true);
        if (inotify_add_watch(watch, folder, InCreate | InMovedTo) >= 0)
        {
            return handle;
        }

        handle.Dispose();
        return null;
    }

    public static SafeFileHandle Folder(string path) => Own(openat(-100, path, s_openFolder, 0), path);

    public static void Remove(SafeFileHandle folder, string name) => _ = unlinkat(Number(folder), name, 0);

    /// <summary>Which file the name is: device and inode, the link itself when it is one; zeros when there is none.</summary>
    public static unsafe (long Device, long Inode) FileOf(SafeFileHandle folder, string name)
    {
        // struct statx: 256 bytes; inode at 32, device major and minor at 136 and 140.
        Span<long> file = stackalloc long[32];
        fixed (long* at = file)
        {
            return statx(Number(folder), name, NoFollow, 0x100, at) == 0 ? (file[17], file[4]) : default;
        }
    }

    /// <summary>Bytes read, 0 at the end, -1 when there are none now. A reset counts as the end: the other side is gone.</summary>
    public static int Read(SafeFileHandle handle, Span<byte> into)
    {
        while (true)
        {
            var got = (int)read(Number(handle), into, (nuint)into.Length);
            if (got >= 0)
            {
                return got;
            }

            switch (Marshal.GetLastPInvokeError())
            {
                case Interrupted: continue;
                case TryAgain: return -1;
                case ConnectionReset: return 0;
                default: throw Failure("read");
            }
        }
    }

    /// <summary>Bytes sent in one call, -1 when the socket is full, -2 when the other side does not read any more.</summary>
    public static int Send(SafeFileHandle socket, ReadOnlySpan<byte> bytes)
    {
        while (true)
        {
            var sent = (int)send(Number(socket), bytes, (nuint)bytes.Length, NoSignal);
            if (sent >= 0)
            {
                return sent;
            }

            switch (Marshal.GetLastPInvokeError())
            {
                case Interrupted: continue;
                case TryAgain: return -1;
                case BrokenPipe or ConnectionReset: return -2;
                default: throw Failure("send");
            }
        }
    }

    public static void HalfClose(SafeFileHandle socket) => _ = shutdown(Number(socket), 1);

    /// <summary>Waits for any of the entries; at most so many microseconds, for ever when negative.</summary>
    public static unsafe void Poll(Span<PollEntry> entries, long microseconds)
    {
        Span<long> limit = [microseconds / 1_000_000, microseconds % 1_000_000 * 1000];
        int ready;
        fixed (PollEntry* list = entries)
        fixed (long* time = limit)
        {
            ready = ppoll(list, (nuint)entries.Length, microseconds < 0 ? null : time, null, 0);
        }

        if (ready < 0)
        {
            if (Marshal.GetLastPInvokeError() != Interrupted)
            {
                throw Failure("poll");
            }

            foreach (ref var entry in entries)
            {
                entry.Returned = 0;
            }
        }
    }

    public static int Number(SafeFileHandle handle) => (int)handle.DangerousGetHandle();

    private static int Address(Span<byte> address, SafeFileHandle descriptor, string? name)
    {
        address.Clear();
        MemoryMarshal.Write(address, (ushort)Unix);
        var text = name is null ? $"/proc/self/fd/{Number(descriptor)}" : $"/proc/self/fd/{Number(descriptor)}/{name}";
        return 2 + System.Text.Encoding.UTF8.GetBytes(text, address[2..109]) + 1;
    }

    private static SafeFileHandle Own(int descriptor, string what) =>
        descriptor >= 0 ? new(descriptor, ownsHandle: true) : throw Failure(what);

    private static IOException Failure(string what)
    {
        var error = new Win32Exception(Marshal.GetLastPInvokeError());
        return new($"{what}: {error.Message}", error);
    }

    [LibraryImport("libc", EntryPoint = "socket", SetLastError = true)]
    private static partial int socket_(int domain, int type, int protocol);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int bind(int socket, ReadOnlySpan<byte> address, int length);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int connect(int socket, ReadOnlySpan<byte> address, int length);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int listen(int socket, int backlog);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int accept4(int socket, nint address, nint length, int flags);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int shutdown(int socket, int how);

    [LibraryImport("libc", SetLastError = true)]
    private static partial nint send(int socket, ReadOnlySpan<byte> bytes, nuint count, int flags);

    [LibraryImport("libc", SetLastError = true)]
    private static partial nint read(int descriptor, Span<byte> bytes, nuint count);

    [LibraryImport("libc", SetLastError = true)]
    private static partial nint write(int descriptor, ReadOnlySpan<byte> bytes, nuint count);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int eventfd(uint initial, int flags);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int inotify_init1(int flags);

    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int inotify_add_watch(int descriptor, string path, uint mask);

    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int openat(int folder, string path, int flags, int mode);

    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int unlinkat(int folder, string path, int flags);

    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int fchmodat(int folder, string path, int mode, int flags);

    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static unsafe partial int statx(int folder, string path, int flags, uint mask, long* file);

    [LibraryImport("libc", SetLastError = true)]
    private static unsafe partial int ppoll(PollEntry* entries, nuint count, long* limit, void* mask, nuint maskSize);
}
