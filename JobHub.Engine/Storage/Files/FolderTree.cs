using Microsoft.Win32.SafeHandles;
using static JobHub.Engine.Storage.Files.NativeFiles;

namespace JobHub.Engine.Storage.Files;

/// <summary>Finds folders and files of a store by handle. What cannot be reached inside the store's bounds is refused here, once for all calls.</summary>
internal abstract class FolderTree
{
    /// <summary>Opens the folder of the given parts; null when there is none and <paramref name="create"/> is false.</summary>
    public abstract SafeFileHandle? OpenFolder(ReadOnlySpan<string> parts, bool create, string shown);

    /// <summary>Opens a regular file for its status and, with <paramref name="read"/>, its bytes. Null when there is none.</summary>
    public abstract SafeFileHandle? OpenFile(SafeFileHandle folder, string name, bool read, string shown, out FileStatus status);

    /// <summary>Mode of files that appear under their final name.</summary>
    public abstract uint FileMode { get; }

    /// <summary>An error number in the hub's words. The text names the object as the caller does, never the hub's folders.</summary>
    public static StoreException Fault(int error, string shown) => error switch
    {
        NoEntry => new StoreException(StoreFault.NotFound, $"{shown} does not exist.", transient: false),
        AccessDenied or NotPermitted or ReadOnlyFileSystem => new StoreException(StoreFault.AccessDenied, $"The hub's user may not do that with {shown}.", transient: false),
        NoSpace or Quota => new StoreException(StoreFault.Full, "The disk of the store is full.", transient: true),
        NotFolder or IsFolder or NotEmpty or Exists => new StoreException(
            StoreFault.InvalidPath, $"{shown} cannot be: in a store of files a name is either an object or a folder of objects, not both.", transient: false),
        TooManyLinks => new StoreException(StoreFault.InvalidPath, $"{shown} goes over a symbolic link.", transient: false),
        NameTooLong => new StoreException(StoreFault.InvalidPath, $"A part of {shown} is longer than 255 bytes.", transient: false),
        _ => new StoreException(StoreFault.Other, $"The store failed on {shown} (error {error}).", transient: true),
    };

    protected static SafeFileHandle? MakeAndOpen(SafeFileHandle parent, string name, uint mode, string shown)
    {
        for (var tries = 0; ; tries++)
        {
            var error = MakeFolderAt(parent, name, mode);
            if (error is not (0 or Exists)) throw Fault(error, shown);
            if (error == 0) _ = Sync(parent);
            var folder = OpenAt(parent, name, ReadOnly | Folder | NoFollow, 0, out error);
            if (folder is not null) return folder;
            // A delete may remove an empty folder between our two calls.
            if (error != NoEntry || tries == 8) throw Fault(error, shown);
        }
    }
}

/// <summary>The hub's own store: everything below one folder, no link followed at all.</summary>
internal sealed class RootedTree : FolderTree, IDisposable
{
    private readonly SafeFileHandle root;

    public RootedTree(string rootFolder)
    {
        if (OperatingSystem.IsWindows()) throw new PlatformNotSupportedException("The store of files needs Linux.");
        Directory.CreateDirectory(rootFolder, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        root = Open(rootFolder, ReadOnly | Folder, out var error) ?? throw Fault(error, rootFolder);
    }

    public override uint FileMode => 0b110_000_000;

    public override SafeFileHandle? OpenFolder(ReadOnlySpan<string> parts, bool create, string shown)
    {
        var current = OpenAt(root, ".", ReadOnly | Folder, 0, out var error) ?? throw Fault(error, shown);
        foreach (var part in parts)
        {
            var parent = current;
            try
            {
                var next = OpenAt(parent, part, ReadOnly | Folder | NoFollow, 0, out error);
                if (next is null && error == NoEntry && create) next = MakeAndOpen(parent, part, 0b111_000_000, shown);
                if (next is null)
                {
                    return !create && (error is NoEntry or NotFolder) ? null : throw Fault(error, shown);
                }

                current = next;
            }
            finally
            {
                parent.Dispose();
            }
        }

        return current;
    }

    public override SafeFileHandle? OpenFile(SafeFileHandle folder, string name, bool read, string shown, out FileStatus status)
    {
        // Path-only first: opening a device or a pipe may already do something.
        var handle = OpenAt(folder, name, PathOnly | NoFollow, 0, out var error);
        status = default;
        if (handle is null) return error is NoEntry or NotFolder ? null : throw Fault(error, shown);
        try
        {
            error = StatHandle(handle, out status);
            if (error != 0) throw Fault(error, shown);
            if (status.IsFolder) return null;
            if (!status.IsFile) throw ObjectKey.Invalid($"{shown} is not a regular file.");
            var opened = read ? Reopen(handle, ReadOnly, out error) : handle;
            if (opened is null) throw Fault(error, shown);
            if (!read) handle = null;
            return opened;
        }
        finally
        {
            handle?.Dispose();
        }
    }

    public void Dispose() => root.Dispose();
}

/// <summary>
/// <c>file:///</c>: the machine's own tree, below allowed roots. Links may be followed; what counts is where the kernel says the opened handle is.
/// </summary>
internal sealed class MachineTree : FolderTree
{
    private readonly string[] roots;

    /// <param name="roots">Absolute folders; links in them are resolved. <c>/</c> allows everything.</param>
    public MachineTree(IEnumerable<string> roots) => this.roots = [.. roots.Select(Resolve).Distinct()];

    public override uint FileMode => 0b110_110_110;

    /// <summary>Whether the text of a path is below a root; links are judged when it is opened.</summary>
    public bool Allows(string path) => roots.Any(root => root == "/" || path == root || (path.StartsWith(root, StringComparison.Ordinal) && path[root.Length] == '/'));

    public override SafeFileHandle? OpenFolder(ReadOnlySpan<string> parts, bool create, string shown)
    {
        var path = "/" + string.Join('/', parts);
        var folder = Open(path, ReadOnly | Folder, out var error);
        if (folder is not null)
        {
            try
            {
                CheckInside(folder, shown);
                var found = folder;
                folder = null;
                return found;
            }
            finally
            {
                folder?.Dispose();
            }
        }

        if (!create && (error is NoEntry or NotFolder)) return null;
        if (error != NoEntry || parts.Length == 0) throw Fault(error, shown);
        using var parent = OpenFolder(parts[..^1], create: true, shown)!;
        return MakeAndOpen(parent, parts[^1], 0b111_111_111, shown);
    }

    public override SafeFileHandle? OpenFile(SafeFileHandle folder, string name, bool read, string shown, out FileStatus status)
    {
        var handle = OpenAt(folder, name, PathOnly, 0, out var error);
        status = default;
        if (handle is null) return error is NoEntry or NotFolder ? null : throw Fault(error, shown);
        using (handle)
        {
            error = StatHandle(handle, out status);
            if (error != 0) throw Fault(error, shown);
            if (status.IsFolder) return null;
            CheckInside(handle, shown);
            if (!status.IsFile) throw ObjectKey.Invalid($"{shown} is not a regular file.");
            // Always opened for reading: a HEAD says whether the input can be read, not only whether it is there.
            return Reopen(handle, ReadOnly, out error) ?? throw Fault(error, shown);
        }
    }

    private void CheckInside(SafeFileHandle handle, string shown)
    {
        var real = RealPath(handle);
        if (real is null || !Allows(real))
        {
            throw new StoreException(StoreFault.EndpointNotAllowed, $"{shown} leads outside of the folders in JobHub:Storage:FileRoots.", transient: false);
        }
    }

    private static string Resolve(string root)
    {
        using var handle = Open(root, ReadOnly | Folder, out _);
        return (handle is null ? null : RealPath(handle)) ?? (root.Length > 1 ? root.TrimEnd('/') : root);
    }
}
