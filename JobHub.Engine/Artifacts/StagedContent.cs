using System.Security.Cryptography;
using JobHub.Engine.Storage;

namespace JobHub.Engine.Artifacts;

/// <summary>
/// Bytes whose name is not known before the last of them: a content hash comes at the end. Up to <see cref="HeldBytes"/> they wait in memory, more is under a temporary
/// key in the store. Disposing removes what was not wanted.
/// </summary>
public sealed class StagedContent : IAsyncDisposable
{
    /// <summary>Most programs are scripts: below this size one write is the whole upload.</summary>
    public const int HeldBytes = 256 << 10;

    internal const string Prefix = "incoming/";

    private readonly IObjectStore store;
    private readonly string bucket;
    private readonly byte[]? held;
    private ObjectPath? temporary;

    private StagedContent(IObjectStore store, string bucket, string hash, long size, byte[]? held, ObjectPath? temporary) =>
        (this.store, this.bucket, Hash, Size, this.held, this.temporary) = (store, bucket, hash, size, held, temporary);

    /// <summary>SHA-256, lower-case hex.</summary>
    public string Hash { get; }

    public long Size { get; }

    internal static async Task<StagedContent> TakeAsync(IObjectStore store, string bucket, Stream content, CancellationToken ct)
    {
        var head = new byte[HeldBytes + 1];
        var filled = await content.ReadAtLeastAsync(head, head.Length, throwOnEndOfStream: false, ct);
        if (filled <= HeldBytes)
        {
            var all = head.AsSpan(0, filled).ToArray();
            return new StagedContent(store, bucket, Convert.ToHexStringLower(SHA256.HashData(all)), filled, all, null);
        }

        var path = new ObjectPath(bucket, Prefix + Guid.CreateVersion7().ToString("N"));
        using var hashing = new HashingStream(head.AsMemory(0, filled), content);
        try
        {
            await store.PutAsync(path, hashing, onlyNew: false, ct);
        }
        catch
        {
            await store.DeleteAsync([path], CancellationToken.None);
            throw;
        }

        return new StagedContent(store, bucket, hashing.Finish(), hashing.Size, null, path);
    }

    /// <summary>Puts the bytes under their key, unless they are there.</summary>
    internal async Task StoreAsync(string key, CancellationToken ct)
    {
        var path = new ObjectPath(bucket, key);
        if (await store.HeadAsync(path, ct) is { } found && found.Size == Size) return;
        await store.EnsureBucketAsync(bucket, ct);
        await using Stream bytes = temporary is { } from ? await store.OpenReadAsync(from, 0, Size, ct) : new MemoryStream(held!, writable: false);
        await store.PutAsync(path, bytes, onlyNew: true, ct);
    }

    public async ValueTask DisposeAsync()
    {
        if (temporary is not { } path) return;
        temporary = null;
        await store.DeleteAsync([path], CancellationToken.None);
    }

    /// <summary>A head that was read already, then the rest; counts and hashes what passes.</summary>
    private sealed class HashingStream(ReadOnlyMemory<byte> head, Stream rest) : ReadingStream
    {
        private readonly IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        private ReadOnlyMemory<byte> head = head;

        public long Size { get; private set; }

        public string Finish() => Convert.ToHexStringLower(hash.GetHashAndReset());

        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            int count;
            if (head.IsEmpty)
            {
                count = await rest.ReadAsync(buffer, cancellationToken);
            }
            else
            {
                count = Math.Min(buffer.Length, head.Length);
                head[..count].CopyTo(buffer);
                head = head[count..];
            }

            hash.AppendData(buffer.Span[..count]);
            Size += count;
            return count;
        }

        protected override void Dispose(bool disposing)
        {
            if (disposing) hash.Dispose();
            base.Dispose(disposing);
        }
    }
}
