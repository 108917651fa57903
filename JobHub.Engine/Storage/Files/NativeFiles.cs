using System.ComponentModel;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace JobHub.Engine.Storage.Files;

/// <summary>
/// The few calls that .NET has no door to: opening relative to a folder's handle without following links, and renaming without replacing.
/// Working from handles is what keeps a hostile path inside its root while others rename and link beside us.
/// </summary>
internal static partial class NativeFiles
{
    internal const int ReadOnly = 0, WriteOnly = 1, Create = 0x40, Exclusive = 0x80, NonBlock = 0x800, CloseOnExec = 0x80000, PathOnly = 0x200000;
    internal const int NoEntry = 2, IOError = 5, AccessDenied = 13, Exists = 17, NotFolder = 20, IsFolder = 21, InvalidArgument = 22, NoSpace = 28,
        ReadOnlyFileSystem = 30, NameTooLong = 36, NotImplemented = 38, NotEmpty = 39, TooManyLinks = 40, NotSupported = 95, Quota = 122, NotPermitted = 1, CrossDevice = 18;

    private const int CurrentFolder = -100, RemoveFolder = 0x200, EmptyPath = 0x1000, NoFollowLink = 0x100, BasicStats = 0x7ff, NoReplace = 1;

    // These two differ between the families of processors.
    private static readonly bool ArmFlags = RuntimeInformation.ProcessArchitecture is Architecture.Arm or Architecture.Arm64;

    internal static int Folder { get; } = ArmFlags ? 0x4000 : 0x10000;
    internal static int NoFollow { get; } = ArmFlags ? 0x8000 : 0x20000;

    /// <summary>Opens by path; on failure null and the error number.</summary>
    internal static SafeFileHandle? Open(string path, int flags, out int error) => Wrap(openat(CurrentFolder, path, flags | CloseOnExec, 0), out error);

    /// <summary>Opens below a folder's handle.</summary>
    internal static SafeFileHandle? OpenAt(SafeFileHandle folder, string name, int flags, uint mode, out int error)
    {
        using var held = new Held(folder);
        return Wrap(openat(held.Number, name, flags | CloseOnExec, mode), out error);
    }

    /// <summary>0 or the error number.</summary>
    internal static int MakeFolderAt(SafeFileHandle folder, string name, uint mode)
    {
        using var held = new Held(folder);
        return mkdirat(held.Number, name, mode) == 0 ? 0 : Marshal.GetLastPInvokeError();
    }

    internal static int UnlinkAt(SafeFileHandle folder, string name, bool isFolder)
    {
        using var held = new Held(folder);
        return unlinkat(held.Number, name, isFolder ? RemoveFolder : 0) == 0 ? 0 : Marshal.GetLastPInvokeError();
    }

    internal static int RenameAt(SafeFileHandle from, string name, SafeFileHandle to, string newName)
    {
        using var held = new Held(from);
        using var target = new Held(to);
        return renameat(held.Number, name, target.Number, newName) == 0 ? 0 : Marshal.GetLastPInvokeError();
    }

    /// <summary>Renames when nothing has the new name; on file systems without that, links and unlinks.</summary>
    internal static int RenameNewAt(SafeFileHandle from, string name, SafeFileHandle to, string newName)
    {
        using var held = new Held(from);
        using var target = new Held(to);
        if (renameat2(held.Number, name, target.Number, newName, NoReplace) == 0) return 0;
        var error = Marshal.GetLastPInvokeError();
        if (error is not (InvalidArgument or NotImplemented or NotSupported)) return error;
        if (linkat(held.Number, name, target.Number, newName, 0) != 0) return Marshal.GetLastPInvokeError();
        return unlinkat(held.Number, name, 0) == 0 ? 0 : Marshal.GetLastPInvokeError();
    }

    /// <summary>A second name for a file; nothing when the name is taken.</summary>
    internal static void LinkNew(string path, string newPath)
    {
        if (linkat(CurrentFolder, path, CurrentFolder, newPath, 0) == 0) return;
        var error = Marshal.GetLastPInvokeError();
        // Not every file system has links; two starts in the same instant are then the smaller risk.
        if (error is NotPermitted or NotSupported or NotImplemented && !File.Exists(newPath)) File.Move(path, newPath, overwrite: false);
        else if (error != Exists) throw new IOException($"{newPath} cannot be made (error {error}).");
    }

    internal static int Sync(SafeFileHandle handle)
    {
        using var held = new Held(handle);
        if (fsync(held.Number) == 0) return 0;
        // EINVAL: a file system that has no flush for folders.
        return Marshal.GetLastPInvokeError() is var error && error == InvalidArgument ? 0 : error;
    }

    /// <summary>What an open handle is.</summary>
    internal static int StatHandle(SafeFileHandle handle, out FileStatus status)
    {
        using var held = new Held(handle);
        return statx(held.Number, "", EmptyPath | NoFollowLink, BasicStats, out status) == 0 ? 0 : Marshal.GetLastPInvokeError();
    }

    /// <summary>What a name in a folder is; a link is not followed.</summary>
    internal static int StatAt(SafeFileHandle folder, string name, out FileStatus status)
    {
        using var held = new Held(folder);
        return statx(held.Number, name, NoFollowLink, BasicStats, out status) == 0 ? 0 : Marshal.GetLastPInvokeError();
    }

    /// <summary>The kernel's own name of an open handle: where all links have led.</summary>
    internal static unsafe string? RealPath(SafeFileHandle handle)
    {
        using var held = new Held(handle);
        var buffer = stackalloc byte[4096];
        var length = (int)readlink($"/proc/self/fd/{held.Number}", buffer, 4096);
        return length is > 0 and < 4096 ? System.Text.Encoding.UTF8.GetString(buffer, length) : null;
    }

    /// <summary>Opens again, for reading, what a path-only handle stands for.</summary>
    internal static SafeFileHandle? Reopen(SafeFileHandle handle, int flags, out int error)
    {
        using var held = new Held(handle);
        return Open($"/proc/self/fd/{held.Number}", flags, out error);
    }

    /// <summary>Names in a folder as bytes, with the kind where the file system tells it (4 folder, 8 file, 10 link, 0 unknown).</summary>
    internal static unsafe List<(byte[] Name, byte Kind)> ReadFolder(SafeFileHandle folder)
    {
        // A handle of its own: closedir closes it, and its position is not shared.
        var copy = OpenAt(folder, ".", ReadOnly | Folder, 0, out var error) ?? throw new Win32Exception(error);
        var stream = fdopendir((int)copy.DangerousGetHandle());
        if (stream == 0)
        {
            error = Marshal.GetLastPInvokeError();
            copy.Dispose();
            throw new Win32Exception(error);
        }

        copy.SetHandleAsInvalid();
        try
        {
            var entries = new List<(byte[], byte)>();
            while (readdir(stream) is var entry && entry != null)
            {
                // struct dirent on 64-bit Linux: inode 8, offset 8, length 2, type 1, name.
                var name = MemoryMarshal.CreateReadOnlySpanFromNullTerminated(entry + 19);
                if (name.SequenceEqual("."u8) || name.SequenceEqual(".."u8)) continue;
                entries.Add((name.ToArray(), entry[18]));
            }

            return entries;
        }
        finally
        {
            _ = closedir(stream);
        }
    }

    private static SafeFileHandle? Wrap(int number, out int error)
    {
        error = number < 0 ? Marshal.GetLastPInvokeError() : 0;
        return number < 0 ? null : new SafeFileHandle(number, ownsHandle: true);
    }

    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int openat(int folder, string path, int flags, uint mode);

    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int mkdirat(int folder, string path, uint mode);

    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int unlinkat(int folder, string path, int flags);

    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int renameat(int from, string name, int to, string newName);

    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int renameat2(int from, string name, int to, string newName, uint flags);

    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int linkat(int from, string name, int to, string newName, int flags);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int fsync(int number);

    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int statx(int folder, string path, int flags, uint mask, out FileStatus status);

    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static unsafe partial nint readlink(string path, byte* buffer, nint size);

    [LibraryImport("libc", SetLastError = true)]
    private static partial nint fdopendir(int number);

    [LibraryImport("libc")]
    private static unsafe partial byte* readdir(nint stream);

    [LibraryImport("libc")]
    private static partial int closedir(nint stream);

    /// <summary>struct statx: the same on every processor.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 256)]
    internal struct FileStatus
    {
        [FieldOffset(28)] public ushort Mode;
        [FieldOffset(32)] public ulong Inode;
        [FieldOffset(40)] public long Size;
        [FieldOffset(112)] public long ModifiedSeconds;
        [FieldOffset(120)] public uint ModifiedNanoseconds;

        public readonly bool IsFile => (Mode & 0xF000) == 0x8000;
        public readonly bool IsFolder => (Mode & 0xF000) == 0x4000;
        public readonly bool IsLink => (Mode & 0xF000) == 0xA000;

        public readonly DateTimeOffset Modified => DateTimeOffset.FromUnixTimeSeconds(ModifiedSeconds).AddTicks(ModifiedNanoseconds / 100);
        /// <summary>Changes whenever the file does, as far as its size and time of change tell.</summary>
        public readonly string ETag => $"{Size:x}-{ModifiedSeconds:x}-{ModifiedNanoseconds:x}";
    }

    /// <summary>Keeps a handle open over a call that takes its number.</summary>
    private readonly ref struct Held : IDisposable
    {
        private readonly SafeFileHandle handle;

        public Held(SafeFileHandle handle)
        {
            var taken = false;
            handle.DangerousAddRef(ref taken);
            this.handle = handle;
        }

        public int Number => (int)handle.DangerousGetHandle();

        public void Dispose() => handle.DangerousRelease();
    }
}
