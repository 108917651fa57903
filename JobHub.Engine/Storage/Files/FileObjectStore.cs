using System.Buffers;
using System.Security.Cryptography;
using System.Text;
using JobHub.Engine.Protocol;
using Microsoft.Win32.SafeHandles;
using static JobHub.Engine.Storage.Files.NativeFiles;

namespace JobHub.Engine.Storage.Files;

/// <summary>
/// Objects as files: <c>root/bucket/key</c> for the hub's own store, or <c>file:///</c> paths below allowed roots. An object appears under its name only whole:
/// temporary name, fsync of file and folder, rename. A name is either an object or a folder of objects, never both; its parts have at most 255 bytes.
/// </summary>
public sealed partial class FileObjectStore : IObjectStore, IDisposable
{
    /// <summary>Beginning of the temporary names beside <c>file:///</c> destinations; such names are nobody's objects.</summary>
    public const string TemporaryPrefix = ".jobhub-";

    private const string TemporaryFolder = ".tmp";
    private const int CopyBuffer = 256 * 1024;

    private readonly FolderTree tree;
    private readonly string? root;

    /// <summary>The hub's own store. The folder is made with mode 0700: agents on this machine run as the same user and write temporary files in it directly.</summary>
    public FileObjectStore(string rootFolder)
    {
        root = Path.GetFullPath(rootFolder).TrimEnd('/');
        tree = new RootedTree(root);
        using var made = tree.OpenFolder([TemporaryFolder], create: true, TemporaryFolder);
    }

    private FileObjectStore(MachineTree machine) => tree = machine;

    /// <summary>The folder of the hub's own store; null for <c>file:///</c>.</summary>
    public string? Root => root;

    /// <summary>The store behind <c>file:///</c>: bucket empty, key the absolute path without its first slash.</summary>
    public static FileObjectStore ForMachine(IEnumerable<string> allowedRoots) => new(new MachineTree(allowedRoots));

    /// <inheritdoc />
    public Task<ObjectStat?> HeadAsync(ObjectPath path, CancellationToken ct) => Run(() =>
    {
        var (folders, name) = Split(path);
        using var folder = tree.OpenFolder(folders, create: false, path.ToString());
        if (folder is null) return null;
        using var file = tree.OpenFile(folder, name, read: false, path.ToString(), out var status);
        return file is null ? null : Describe(path.Key, status);
    });

    /// <inheritdoc />
    public Task<Stream> OpenReadAsync(ObjectPath path, long offset, long? length, CancellationToken ct) => Run<Stream>(() =>
    {
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        var file = OpenToRead(path, out var status) ?? throw Fault(NoEntry, path);
        var rest = Math.Max(0, status.Size - offset);
        return new FileRangeStream(file, offset, Math.Min(rest, length ?? rest));
    });

    /// <inheritdoc />
    public async Task<bool> PutAsync(ObjectPath path, Stream content, bool onlyNew, CancellationToken ct)
    {
        var (folders, name) = Split(path);
        CheckBucketExists(path);
        var temporary = Temporary(path, Guid.NewGuid());
        using var temporaryFolder = tree.OpenFolder(temporary.Folders, create: true, path.ToString())!;
        try
        {
            _ = await WriteAsync(temporaryFolder, temporary.Name, path, content, hash: false, durable: true, ct);
            return MoveInto(temporaryFolder, temporary.Name, folders, name, path, onlyNew) switch
            {
                0 => true,
                Exists when onlyNew => false,
                var error => throw Fault(error, path),
            };
        }
        finally
        {
            _ = UnlinkAt(temporaryFolder, temporary.Name, isFolder: false);
        }
    }

    /// <inheritdoc />
    public Task DeleteAsync(IReadOnlyCollection<ObjectPath> paths, CancellationToken ct) => Run(() =>
    {
        foreach (var path in paths)
        {
            ct.ThrowIfCancellationRequested();
            var (folders, name) = Split(path);
            using (var folder = tree.OpenFolder(folders, create: false, path.ToString()))
            {
                var error = folder is null ? NoEntry : UnlinkAt(folder, name, isFolder: false);
                // A folder is no object: unlinking one answers EISDIR.
                if (error is not (0 or NoEntry or IsFolder)) throw Fault(error, path);
            }

            RemoveEmptyFolders(folders);
        }

        return true;
    });

    /// <inheritdoc />
    public Task EnsureBucketAsync(string bucket, CancellationToken ct) => Run(() =>
    {
        if (root is null) return true;
        ObjectKey.CheckBucket(bucket);
        using var made = tree.OpenFolder([bucket], create: true, bucket);
        return true;
    });

    /// <inheritdoc />
    public ObjectGrant? GrantRead(ObjectPath path, bool sharesFiles, TimeSpan validity)
    {
        _ = Split(path);
        return sharesFiles ? new ObjectGrant(Path: root is null ? "/" + path.Key : $"{root}/{path.Bucket}/{path.Key}", Url: null) : null;
    }

    /// <summary>The file an attempt creates and writes; its folder exists after this call.</summary>
    public string? TemporaryPath(ObjectPath path, Guid token)
    {
        _ = Split(path);
        CheckBucketExists(path);
        var (folders, name) = Temporary(path, token);
        using var made = tree.OpenFolder(folders, create: true, path.ToString());
        return $"{root}/{string.Join('/', folders)}/{name}".Replace("//", "/", StringComparison.Ordinal);
    }

    /// <inheritdoc />
    public Task<string?> BeginUploadAsync(ObjectPath path, Guid token, CancellationToken ct) => Task.FromResult<string?>(null);

    /// <inheritdoc />
    public string GrantPart(ObjectPath path, string uploadId, int part, TimeSpan validity) => throw new NotSupportedException("A store of files has no uploads.");

    /// <inheritdoc />
    public async Task<PendingOutput> WritePendingAsync(ObjectPath path, Guid token, Stream content, bool durable, CancellationToken ct)
    {
        _ = Split(path);
        CheckBucketExists(path);
        var (folders, name) = Temporary(path, token);
        using var folder = tree.OpenFolder(folders, create: true, path.ToString())!;
        // A broken-off earlier call of the same attempt may have left its bytes.
        _ = UnlinkAt(folder, name, isFolder: false);
        var (size, hash) = await WriteAsync(folder, name, path, content, hash: true, durable, ct);
        return new PendingOutput(size, hash, Path: null, UploadId: null, PartETags: null);
    }

    /// <inheritdoc />
    public async Task<PromoteResult> PromoteAsync(ObjectPath path, Guid token, PendingOutput pending, CancellationToken ct)
    {
        var (folders, name) = Split(path);
        // Never the path that the agent reports: the temporary name is ours to know.
        var temporary = Temporary(path, token);
        using (var folder = tree.OpenFolder(temporary.Folders, create: false, path.ToString()))
        {
            if (folder is not null && TakeTemporary(folder, temporary.Name, path, pending))
            {
                var error = MoveInto(folder, temporary.Name, folders, name, path, onlyNew: false);
                if (error == 0) return PromoteResult.Promoted;
                // Another promotion of the same bytes was quicker.
                if (error != NoEntry) throw Fault(error, path);
            }
        }

        return await IsOursAsync(path, pending, ct) ? PromoteResult.Promoted : PromoteResult.Gone;
    }

    /// <inheritdoc />
    public Task DiscardAsync(ObjectPath path, Guid token, string? uploadId, CancellationToken ct) => Run(() =>
    {
        _ = Split(path);
        var (folders, name) = Temporary(path, token);
        using (var folder = tree.OpenFolder(folders, create: false, path.ToString()))
        {
            if (folder is null) return true;
            var error = UnlinkAt(folder, name, isFolder: false);
            if (error is not (0 or NoEntry)) throw Fault(error, path);
        }

        if (root is null) RemoveEmptyFolders(folders);
        return true;
    });

    /// <summary>Closes the root's handle.</summary>
    public void Dispose() => (tree as IDisposable)?.Dispose();

    private static StoreException Fault(int error, ObjectPath path) => FolderTree.Fault(error, path.ToString());

    private static ObjectStat Describe(string key, FileStatus status) => new(key, status.Size, status.ETag, status.Modified, AttemptMark: null);

    private SafeFileHandle? OpenToRead(ObjectPath path, out FileStatus status)
    {
        var (folders, name) = Split(path);
        status = default;
        using var folder = tree.OpenFolder(folders, create: false, path.ToString());
        return folder is null ? null : tree.OpenFile(folder, name, read: true, path.ToString(), out status);
    }

    /// <summary>Checks a hostile path and cuts it into the folders from the tree's top and the file's name.</summary>
    private (string[] Folders, string Name) Split(ObjectPath path)
    {
        CheckKey(path);
        var parts = (root is null ? path.Key : $"{path.Bucket}/{path.Key}").Split('/');
        return (parts[..^1], parts[^1]);
    }

    private void CheckKey(ObjectPath path, bool allowFolder = false)
    {
        if (root is not null) ObjectKey.CheckBucket(path.Bucket);
        else if (path.Bucket.Length > 0) throw ObjectKey.Invalid("A file has no bucket.");
        ObjectKey.Check(path.Key, allowFolder, maxBytes: 4000);
        if (path.Key.Contains('\\')) throw ObjectKey.Invalid($"\"{ObjectKey.Printable(path.Key)}\" has a backslash.");
        foreach (var part in path.Key.Split('/'))
        {
            if (part.Length > 80 && Encoding.UTF8.GetByteCount(part) > 255) throw Fault(NameTooLong, path with { Key = ObjectKey.Printable(path.Key) });
            if (root is null && part.StartsWith(TemporaryPrefix, StringComparison.Ordinal)) throw ObjectKey.Invalid($"Names that begin with {TemporaryPrefix} are the hub's own.");
        }

        if (tree is MachineTree machine && !machine.Allows("/" + path.Key.TrimEnd('/')))
        {
            throw new StoreException(StoreFault.EndpointNotAllowed, $"file:///{path.Key} is not below a folder in JobHub:Storage:FileRoots.", transient: false);
        }
    }

    private (string[] Folders, string Name) Temporary(ObjectPath path, Guid token)
    {
        // One attempt may have several outputs, so the name holds the destination too.
        var place = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(path.ToString())).AsSpan(0, 8));
        return root is null
            ? (path.Key.Split('/')[..^1], $"{TemporaryPrefix}{token:N}-{place}")
            : ([TemporaryFolder], $"{token:N}-{place}");
    }

    private void CheckBucketExists(ObjectPath path)
    {
        if (root is null) return;
        using var bucket = tree.OpenFolder([path.Bucket], create: false, path.Bucket)
            ?? throw new StoreException(StoreFault.NotFound, $"There is no bucket \"{path.Bucket}\".", transient: false);
    }

    private async Task<(long Size, string? Hash)> WriteAsync(
        SafeFileHandle folder, string name, ObjectPath path, Stream content, bool hash, bool durable, CancellationToken ct)
    {
        using var file = OpenAt(folder, name, WriteOnly | Create | Exclusive | NoFollow, tree.FileMode, out var error) ?? throw Fault(error, path);
        var complete = false;
        var buffer = ArrayPool<byte>.Shared.Rent(CopyBuffer);
        try
        {
            using var hasher = hash ? IncrementalHash.CreateHash(HashAlgorithmName.SHA256) : null;
            long size = 0;
            while (await content.ReadAsync(buffer, ct) is var read && read > 0)
            {
                hasher?.AppendData(buffer, 0, read);
                await WriteChunkAsync(file, buffer.AsMemory(0, read), size, ct);
                size += read;
            }

            if (durable && (error = Sync(file)) != 0) throw Fault(error, path);
            complete = true;
            return (size, hasher is null ? null : Convert.ToHexStringLower(hasher.GetHashAndReset()));
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
            if (!complete) _ = UnlinkAt(folder, name, isFolder: false);
        }
    }

    /// <summary>Only our own write's faults are the store's; those of the stream that is read are its owner's.</summary>
    private static async ValueTask WriteChunkAsync(SafeFileHandle file, ReadOnlyMemory<byte> bytes, long offset, CancellationToken ct)
    {
        try
        {
            await RandomAccess.WriteAsync(file, bytes, offset, ct);
        }
        catch (IOException e)
        {
            const int DiskFull = unchecked((int)0x80070070), RawNoSpace = NoSpace;
            throw e.HResult is DiskFull or RawNoSpace
                ? new StoreException(StoreFault.Full, "The disk of the store is full.", transient: true, e)
                : new StoreException(StoreFault.Other, "The store could not write.", transient: true, e);
        }
    }

    private int MoveInto(SafeFileHandle from, string temporaryName, string[] folders, string name, ObjectPath path, bool onlyNew)
    {
        for (var tries = 0; ; tries++)
        {
            using var folder = tree.OpenFolder(folders, create: true, path.ToString())!;
            var error = onlyNew ? RenameNewAt(from, temporaryName, folder, name) : RenameAt(from, temporaryName, folder, name);
            if (error == 0) return Sync(folder);
            // A delete may have removed the empty folder that we hold; then the temporary file is still there.
            if (error != NoEntry || tries == 8 || StatAt(from, temporaryName, out _) != 0) return error;
        }
    }

    private bool TakeTemporary(SafeFileHandle folder, string name, ObjectPath path, PendingOutput pending)
    {
        using var file = OpenAt(folder, name, ReadOnly | NonBlock | NoFollow, 0, out var error);
        if (file is null) return error is NoEntry or TooManyLinks ? false : throw Fault(error, path);
        error = StatHandle(file, out var status);
        if (error != 0) throw Fault(error, path);
        // Not what was reported: these bytes can never become the object.
        if (!status.IsFile || status.Size != pending.Size) return false;
        // Shuffle data has no hash and is not worth a flush: it can be made again.
        if (pending.Sha256 is not null && (error = Sync(file)) != 0) throw Fault(error, path);
        return true;
    }

    private async Task<bool> IsOursAsync(ObjectPath path, PendingOutput pending, CancellationToken ct)
    {
        using var file = OpenToRead(path, out var status);
        if (file is null || status.Size != pending.Size) return false;
        if (pending.Sha256 is null) return true;
        using var stream = new FileRangeStream(file, 0, status.Size);
        return Convert.ToHexStringLower(await SHA256.HashDataAsync(stream, ct)).Equals(pending.Sha256, StringComparison.OrdinalIgnoreCase);
    }

    /// <summary>A bucket has no folders of its own: one that lost its last object goes. On the machine's tree only the folder that was made for one job does.</summary>
    private void RemoveEmptyFolders(string[] folders)
    {
        for (var count = folders.Length; count > 1; count--)
        {
            if (root is null && !Guid.TryParseExact(folders[count - 1], "D", out _)) return;
            using var parent = tree.OpenFolder(folders.AsSpan(0, count - 1), create: false, "");
            if (parent is null || UnlinkAt(parent, folders[count - 1], isFolder: true) is not (0 or NoEntry)) return;
        }
    }

    private static Task<T> Run<T>(Func<T> call)
    {
        // Local calls of microseconds: a hop to the pool would cost more than the call.
        try
        {
            return Task.FromResult(call());
        }
        catch (Exception e) when (e is StoreException or ArgumentException or OperationCanceledException)
        {
            return Task.FromException<T>(e);
        }
    }
}
