using JobHub.Engine.Protocol;

namespace JobHub.Engine.Storage;

/// <summary>Where an object is inside one store. For file:// the bucket is empty and the key is the absolute path without its first slash.</summary>
public readonly record struct ObjectPath(string Bucket, string Key)
{
    /// <inheritdoc />
    public override string ToString() => Bucket.Length == 0 ? "/" + Key : $"{Bucket}/{Key}";
}

/// <summary>An object as HEAD or a listing shows it.</summary>
/// <param name="AttemptMark">The attempt that wrote it, when the store keeps such a mark (S3 metadata); null on files and in listings.</param>
public sealed record ObjectStat(string Key, long Size, string? ETag, DateTimeOffset Modified, string? AttemptMark);

/// <summary>What <see cref="IObjectStore.PromoteAsync"/> found.</summary>
public enum PromoteResult
{
    /// <summary>The object is under its final key with our bytes, now or since an earlier call.</summary>
    Promoted,
    /// <summary>Neither the pending bytes nor our object are there: run the task again.</summary>
    Gone,
}

/// <summary>One object store behind one contract suite. Every call may throw <see cref="StoreException"/>; those with Transient set are worth a retry.</summary>
public interface IObjectStore
{
    /// <summary>Null when there is none.</summary>
    Task<ObjectStat?> HeadAsync(ObjectPath path, CancellationToken ct);

    /// <summary>Bytes from offset, to the end when length is null. Throws with <see cref="StoreFault.NotFound"/> when there is none.</summary>
    Task<Stream> OpenReadAsync(ObjectPath path, long offset, long? length, CancellationToken ct);

    /// <summary>All objects whose key begins with the prefix, ascending by UTF-8 bytes, paged inside.</summary>
    IAsyncEnumerable<ObjectStat> ListAsync(ObjectPath prefix, CancellationToken ct);

    /// <summary>Writes a whole object, visible only when complete. With onlyNew an existing object is left and false returned.</summary>
    Task<bool> PutAsync(ObjectPath path, Stream content, bool onlyNew, CancellationToken ct);

    /// <summary>Deletes; absent ones are fine.</summary>
    Task DeleteAsync(IReadOnlyCollection<ObjectPath> paths, CancellationToken ct);

    /// <summary>Makes the bucket when it is missing.</summary>
    Task EnsureBucketAsync(string bucket, CancellationToken ct);

    /// <summary>The right to read: a path, a presigned URL, or null when only the hub itself can read it for the agent.</summary>
    ObjectGrant? GrantRead(ObjectPath path, bool sharesFiles, TimeSpan validity);

    /// <summary>The temporary file an attempt writes before promotion, for stores of files; null for others.</summary>
    string? TemporaryPath(ObjectPath path, Guid token);

    /// <summary>Opens a multipart upload to the final key that carries the attempt's mark, for stores that have them; null for files.</summary>
    Task<string?> BeginUploadAsync(ObjectPath path, Guid token, CancellationToken ct);

    /// <summary>A presigned URL for one part, counted from 1.</summary>
    string GrantPart(ObjectPath path, string uploadId, int part, TimeSpan validity);

    /// <summary>Writes pending bytes on behalf of an agent that neither shares the folder nor can be given URLs.</summary>
    Task<PendingOutput> WritePendingAsync(ObjectPath path, Guid token, Stream content, bool durable, CancellationToken ct);

    /// <summary>Makes pending bytes visible under the final key. Idempotent: may be repeated after any crash or lost answer.</summary>
    Task<PromoteResult> PromoteAsync(ObjectPath path, Guid token, PendingOutput pending, CancellationToken ct);

    /// <summary>Removes an attempt's pending bytes: temporary file or open upload. Absent ones are fine.</summary>
    Task DiscardAsync(ObjectPath path, Guid token, string? uploadId, CancellationToken ct);

    /// <summary>Removes all pending bytes below a prefix whose attempts are not known any more (uploads opened, and the answer lost). Only for a job that has ended.</summary>
    Task DiscardAllAsync(ObjectPath prefix, CancellationToken ct) => Task.CompletedTask;
}

/// <summary>Why a store refused.</summary>
public enum StoreFault
{
    NotFound, AccessDenied, Unreachable, EndpointNotAllowed, InvalidPath, Full, Other,
}

/// <summary>A store's fault in the hub's words. The message is fit for a caller; the inner exception is for the log.</summary>
public sealed class StoreException(StoreFault fault, string message, bool transient, Exception? inner = null) : Exception(message, inner)
{
    public StoreFault Fault { get; } = fault;
    public bool Transient { get; } = transient;
}

/// <summary>A caller's own credentials for another store. Never logged, never given to a worker.</summary>
public sealed record StorageCredentials(string Username, string Password)
{
    /// <inheritdoc />
    public override string ToString() => "StorageCredentials(***)";
}
