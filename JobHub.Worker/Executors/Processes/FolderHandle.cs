using System.Runtime.InteropServices;
using System.Text;
using Microsoft.Win32.SafeHandles;

namespace JobHub.Worker.Executors.Processes;

/// <summary>What the kernel says of one name: no link is followed to learn it.</summary>
internal readonly record struct FileFacts(int Mode, int Uid, long Size, ulong Inode, long Modified, long Changed, ulong Device)
{
    private const int TypeMask = 0xf000;

    public bool IsFolder => (Mode & TypeMask) == 0x4000;
    public bool IsRegular => (Mode & TypeMask) == 0x8000;
    public bool IsLink => (Mode & TypeMask) == 0xa000;
    public bool IsExecutable => (Mode & 0x49) != 0;

    /// <summary>In words, for whoever reads why a file was left out.</summary>
    public string Kind => (Mode & TypeMask) switch
    {
        0x4000 => "a folder", 0x8000 => "a file", 0xa000 => "a symbolic link", 0x1000 => "a named pipe", 0xc000 => "a socket", 0x2000 or 0x6000 => "a device", _ => "of an unknown kind",
    };
}

/// <summary>
/// A folder by its descriptor. Everything below it is reached name by name and no name is followed when it is a link, so nothing that a program plants or renames leads
/// elsewhere. Names are bytes: a program may give a file any name.
/// </summary>
internal sealed unsafe class FolderHandle : IDisposable
{
    private const int OCloexec = 0x80000, OCreate = 0x40, OExclusive = 0x80, OWrite = 1, ONonBlock = 0x800, ONoCtty = 0x100;
    // These two differ between architectures.
    private static readonly bool IsX64 = RuntimeInformation.ProcessArchitecture == Architecture.X64;
    private static readonly int OFolder = IsX64 ? 0x10000 : 0x4000;
    private static readonly int ONoFollow = IsX64 ? 0x20000 : 0x8000;
    private static readonly int SysGetDents = IsX64 ? 217 : 61;
    private const int ListBytes = 32 << 10;
    private const int LinkNoFollow = 0x100, EmptyPath = 0x1000, RemoveFolderFlag = 0x200;
    private const uint StatMask = 0x7ff;

    private int fd;

    private FolderHandle(int fd) => this.fd = fd;

    public static FolderHandle Open(string path)
    {
        var opened = Libc.open(path, OCloexec | OFolder | ONoFollow, 0);
        return opened < 0 ? throw Libc.Failed($"open {path}") : new FolderHandle(opened);
    }

    /// <summary>A second handle of the same folder.</summary>
    public FolderHandle Again()
    {
        var copy = Libc.fcntl(fd, Libc.FDupFdCloexec, 0);
        return copy < 0 ? throw Libc.Failed("fcntl") : new FolderHandle(copy);
    }

    /// <summary>The facts of the folder itself.</summary>
    public FileFacts Facts => Look([0], EmptyPath) ?? throw Libc.Failed("statx");

    /// <summary>A folder in this one; null and the errno when it cannot be opened.</summary>
    public FolderHandle? TryOpen(ReadOnlySpan<byte> name, out int error)
    {
        var opened = OpenAt(name, OCloexec | OFolder | ONoFollow, 0);
        error = opened < 0 ? Marshal.GetLastPInvokeError() : 0;
        return opened < 0 ? null : new FolderHandle(opened);
    }

    /// <summary>A folder in this one, made when it is missing.</summary>
    /// <param name="made">Told of a folder that was made, before anything is in it.</param>
    public FolderHandle OpenOrMake(string name, Action<FolderHandle>? made = null)
    {
        var bytes = Encoding.UTF8.GetBytes(name);
        if (TryOpen(bytes, out var error) is { } there) return there;
        if (error != Libc.Enoent) throw Libc.Failed($"open {name}", error);
        fixed (byte* path = Terminated(bytes))
        {
            var failed = Libc.mkdirat(fd, path, 0x1c0) != 0;
            // Two that fill a tree side by side may want the same folder.
            if (failed && (error = Marshal.GetLastPInvokeError()) != Libc.Eexist) throw Libc.Failed($"mkdir {name}", error);
            var folder = TryOpen(bytes, out error) ?? throw Libc.Failed($"open {name}", error);
            if (!failed) made?.Invoke(folder);
            return folder;
        }
    }

    public SafeFileHandle CreateFile(string name)
    {
        var opened = OpenAt(Encoding.UTF8.GetBytes(name), OCloexec | OCreate | OExclusive | OWrite | ONoFollow, 0x180);
        return opened < 0 ? throw Libc.Failed($"create {name}") : new SafeFileHandle(opened, ownsHandle: true);
    }

    /// <summary>A file to read; null and the errno when it cannot be opened. Never waits, whatever it is.</summary>
    public SafeFileHandle? TryOpenFile(ReadOnlySpan<byte> name, out int error)
    {
        var opened = OpenAt(name, OCloexec | ONoFollow | ONonBlock | ONoCtty, 0);
        error = opened < 0 ? Marshal.GetLastPInvokeError() : 0;
        return opened < 0 ? null : new SafeFileHandle(opened, ownsHandle: true);
    }

    public void Link(string name, string target)
    {
        fixed (byte* path = Terminated(Encoding.UTF8.GetBytes(name)))
        fixed (byte* to = Encoding.UTF8.GetBytes(target + "\0"))
        {
            if (Libc.symlinkat(to, fd, path) != 0) throw Libc.Failed($"symlink {name}");
        }
    }

    /// <summary>Null when there is no such name.</summary>
    public FileFacts? Look(ReadOnlySpan<byte> name) => Look(Terminated(name), LinkNoFollow);

    public FileFacts? Look(string name) => Look(Encoding.UTF8.GetBytes(name));

    public static FileFacts? FactsOf(SafeFileHandle file)
    {
        var held = false;
        try
        {
            file.DangerousAddRef(ref held);
            return Stat((int)file.DangerousGetHandle(), [0], EmptyPath);
        }
        finally
        {
            if (held) file.DangerousRelease();
        }
    }

    public static void Own(SafeFileHandle file, int uid, int gid, int mode)
    {
        var held = false;
        try
        {
            file.DangerousAddRef(ref held);
            Own((int)file.DangerousGetHandle(), uid, gid, mode);
        }
        finally
        {
            if (held) file.DangerousRelease();
        }
    }

    public void Own(int uid, int gid, int mode) => Own(fd, uid, gid, mode);

    private static void Own(int fd, int uid, int gid, int mode)
    {
        if (uid >= 0 && Libc.fchown(fd, uid, gid) != 0) throw Libc.Failed("fchown");
        if (Libc.fchmod(fd, mode) != 0) throw Libc.Failed("fchmod");
    }

    public bool Unlink(ReadOnlySpan<byte> name, bool folder)
    {
        fixed (byte* path = Terminated(name)) return Libc.unlinkat(fd, path, folder ? RemoveFolderFlag : 0) == 0;
    }

    public bool Rename(ReadOnlySpan<byte> name, FolderHandle to, ReadOnlySpan<byte> newName)
    {
        fixed (byte* from = Terminated(name))
        fixed (byte* into = Terminated(newName)) return Libc.renameat(fd, from, to.fd, into) == 0;
    }

    /// <summary>Makes a folder that its owner closed usable again. Follows no link: what is at the name was a folder a moment ago and nothing runs that could change it.</summary>
    public void Unlock(ReadOnlySpan<byte> name)
    {
        fixed (byte* path = Terminated(name)) _ = Libc.fchmodat(fd, path, 0x1c0, 0);
    }

    /// <summary>All names in it, without <c>.</c> and <c>..</c>, in no order.</summary>
    public List<byte[]> Names()
    {
        var names = new List<byte[]>();
        var buffer = stackalloc byte[ListBytes];
        _ = Libc.lseek(fd, 0, 0);
        while (true)
        {
            var count = (int)Libc.syscall(SysGetDents, fd, (nint)buffer, ListBytes, 0);
            if (count == 0) return names;
            if (count < 0) throw Libc.Failed("getdents64");
            // struct linux_dirent64: ino 8, off 8, reclen 2, type 1, name.
            for (var at = 0; at < count;)
            {
                var name = MemoryMarshal.CreateReadOnlySpanFromNullTerminated(buffer + at + 19);
                if (!name.SequenceEqual("."u8) && !name.SequenceEqual(".."u8)) names.Add(name.ToArray());
                at += *(ushort*)(buffer + at + 16);
            }
        }
    }

    public void Dispose()
    {
        if (fd >= 0) _ = Libc.close(fd);
        fd = -1;
    }

    private int OpenAt(ReadOnlySpan<byte> name, int flags, int mode)
    {
        fixed (byte* path = Terminated(name)) return Libc.openat(fd, path, flags, mode);
    }

    private FileFacts? Look(byte[] name, int flags) => Stat(fd, name, flags);

    private static FileFacts? Stat(int fd, byte[] name, int flags)
    {
        var s = stackalloc byte[256];
        fixed (byte* path = name)
        {
            if (Libc.statx(fd, path, flags, StatMask, s) != 0) return null;
        }

        return new FileFacts(
            *(ushort*)(s + 28), *(int*)(s + 20), *(long*)(s + 40), *(ulong*)(s + 32), Nanoseconds(s + 112), Nanoseconds(s + 96), ((ulong)*(uint*)(s + 136) << 32) | *(uint*)(s + 140));
    }

    private static long Nanoseconds(byte* time) => unchecked((*(long*)time * 1_000_000_000) + *(uint*)(time + 8));

    private static byte[] Terminated(ReadOnlySpan<byte> name)
    {
        // A NUL would cut the name short, "." and ".." and a slash would leave the folder.
        if (name.IsEmpty || name.IndexOfAny((byte)0, (byte)'/') >= 0 || name.SequenceEqual("."u8) || name.SequenceEqual(".."u8)) throw new ArgumentException("Not a name.", nameof(name));
        return [.. name, 0];
    }
}
