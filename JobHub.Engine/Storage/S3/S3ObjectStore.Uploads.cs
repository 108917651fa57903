using System.Buffers;
using System.Net;
using System.Security.Cryptography;
using Amazon.S3;
using Amazon.S3.Model;
using JobHub.Engine.Protocol;

namespace JobHub.Engine.Storage.S3;

public sealed partial class S3ObjectStore
{
    /// <summary>Content up to this is one PUT, more is sent in parts of this size (growing with their number: S3 allows 10 000 of them).</summary>
    public const int PartSize = 16 << 20;

    private const int MaxPartSize = 128 << 20;

    /// <inheritdoc />
    public async Task<bool> PutAsync(ObjectPath path, Stream content, bool onlyNew, CancellationToken ct)
    {
        CheckPath(path);
        if (onlyNew && await HeadAsync(path, ct) is not null) return false;
        var buffer = ArrayPool<byte>.Shared.Rent(PartSize);
        try
        {
            var count = await content.ReadAtLeastAsync(buffer.AsMemory(0, PartSize), PartSize, throwOnEndOfStream: false, ct);
            if (count < PartSize) return await PutWholeAsync(path, buffer, count, onlyNew, mark: null, ct);
            var uploadId = await BeginAsync(path, mark: null, ct);
            try
            {
                var (parts, _, _) = await UploadAsync(path, uploadId, buffer, count, content, hasher: null, ct);
                return await CompleteAsync(path, uploadId, parts, onlyNew, ct);
            }
            catch
            {
                await AbortQuietlyAsync(path, uploadId);
                throw;
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    /// <inheritdoc />
    public async Task<string?> BeginUploadAsync(ObjectPath path, Guid token, CancellationToken ct)
    {
        CheckPath(path);
        return await BeginAsync(path, MarkOf(token), ct);
    }

    /// <inheritdoc />
    public async Task<PendingOutput> WritePendingAsync(ObjectPath path, Guid token, Stream content, bool durable, CancellationToken ct)
    {
        CheckPath(path);
        var uploadId = await BeginAsync(path, MarkOf(token), ct);
        var buffer = ArrayPool<byte>.Shared.Rent(PartSize);
        try
        {
            using var hasher = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
            var count = await content.ReadAtLeastAsync(buffer.AsMemory(0, PartSize), PartSize, throwOnEndOfStream: false, ct);
            var (parts, size, hash) = await UploadAsync(path, uploadId, buffer, count, content, hasher, ct);
            return new PendingOutput(size, hash, Path: null, uploadId, parts);
        }
        catch
        {
            await AbortQuietlyAsync(path, uploadId);
            throw;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    /// <inheritdoc />
    public async Task<PromoteResult> PromoteAsync(ObjectPath path, Guid token, PendingOutput pending, CancellationToken ct)
    {
        CheckPath(path);
        if (pending.UploadId is not { Length: > 0 } uploadId) return await IsOursAsync(path, token, ct) ? PromoteResult.Promoted : PromoteResult.Gone;
        if (pending.PartETags is not { Length: > 0 } parts)
        {
            // S3 completes no upload without parts: an empty output is a PUT of its own.
            if (pending.Size != 0) return PromoteResult.Gone;
            if (!await IsOursAsync(path, token, ct)) await PutWholeAsync(path, [], 0, onlyNew: false, MarkOf(token), ct);
            await AbortAsync(path, uploadId, ct);
            return PromoteResult.Promoted;
        }

        try
        {
            await CompleteAsync(path, uploadId, parts, onlyNew: false, ct);
            return PromoteResult.Promoted;
        }
        catch (StoreException e) when (e.Fault == StoreFault.NotFound || e.InnerException is AmazonS3Exception { ErrorCode: "InvalidPart" or "InvalidPartOrder" or "EntityTooSmall" })
        {
            // Completed before and the answer lost, aborted, or its parts are not what was reported.
            return await IsOursAsync(path, token, ct) ? PromoteResult.Promoted : PromoteResult.Gone;
        }
        catch (StoreException e) when (e.InnerException is AmazonS3Exception { StatusCode: HttpStatusCode.InternalServerError })
        {
            // Ceph answers 500 for an upload that is not there (its lock is gone), as for one that is being completed.
            if (await UploadExistsAsync(path, uploadId, ct)) throw;
            return await IsOursAsync(path, token, ct) ? PromoteResult.Promoted : PromoteResult.Gone;
        }
    }

    /// <inheritdoc />
    public Task DiscardAsync(ObjectPath path, Guid token, string? uploadId, CancellationToken ct)
    {
        CheckPath(path);
        return uploadId is { Length: > 0 } ? AbortAsync(path, uploadId, ct) : Task.CompletedTask;
    }

    /// <inheritdoc />
    public async Task DiscardAllAsync(ObjectPath prefix, CancellationToken ct)
    {
        ObjectKey.CheckBucket(prefix.Bucket);
        var request = new ListMultipartUploadsRequest { BucketName = prefix.Bucket, Prefix = prefix.Key };
        while (true)
        {
            var page = await CallAsync(prefix, ct, async () =>
            {
                try
                {
                    return await client.ListMultipartUploadsAsync(request, ct);
                }
                catch (AmazonS3Exception e) when (S3Faults.IsMissing(e))
                {
                    return new ListMultipartUploadsResponse { IsTruncated = false };
                }
            });
            foreach (var upload in page.MultipartUploads ?? []) await AbortAsync(prefix with { Key = upload.Key }, upload.UploadId, ct);
            if (page.IsTruncated != true) return;
            request.KeyMarker = page.NextKeyMarker;
            request.UploadIdMarker = page.NextUploadIdMarker;
        }
    }

    private static string MarkOf(Guid token) => token.ToString("D");

    /// <summary>16 MiB for the first thousand parts, then doubling: 10 000 parts hold more than 1 TB, and memory stays bounded.</summary>
    private static int SizeOfPart(int number) => (int)Math.Min((long)PartSize << Math.Min((number - 1) / 1000, 3), MaxPartSize);

    private async Task<bool> IsOursAsync(ObjectPath path, Guid token, CancellationToken ct) => (await HeadAsync(path, ct))?.AttemptMark == MarkOf(token);

    private Task<bool> PutWholeAsync(ObjectPath path, byte[] bytes, int count, bool onlyNew, string? mark, CancellationToken ct) => CallAsync(path, ct, async () =>
    {
        using var body = new MemoryStream(bytes, 0, count, writable: false);
        var request = new PutObjectRequest { BucketName = path.Bucket, Key = path.Key, InputStream = body, AutoCloseStream = false, UseChunkEncoding = false };
        if (onlyNew) request.IfNoneMatch = "*";
        if (mark is not null) request.Metadata[MarkHeader] = mark;
        try
        {
            await client.PutObjectAsync(request, ct);
            return true;
        }
        catch (AmazonS3Exception e) when (onlyNew && e.StatusCode == HttpStatusCode.PreconditionFailed)
        {
            return false;
        }
    });

    private Task<string> BeginAsync(ObjectPath path, string? mark, CancellationToken ct) => CallAsync(path, ct, async () =>
    {
        var request = new InitiateMultipartUploadRequest { BucketName = path.Bucket, Key = path.Key };
        if (mark is not null) request.Metadata[MarkHeader] = mark;
        return (await client.InitiateMultipartUploadAsync(request, ct)).UploadId;
    });

    private async Task<(string[] Parts, long Size, string? Hash)> UploadAsync(
        ObjectPath path, string uploadId, byte[] first, int count, Stream content, IncrementalHash? hasher, CancellationToken ct)
    {
        var parts = new List<string>();
        long size = 0;
        byte[]? larger = null;
        var buffer = first;
        try
        {
            while (count > 0)
            {
                hasher?.AppendData(buffer, 0, count);
                size += count;
                parts.Add(await UploadPartAsync(path, uploadId, parts.Count + 1, buffer, count, ct));
                var wanted = SizeOfPart(parts.Count + 1);
                if (wanted > buffer.Length)
                {
                    if (larger is not null) ArrayPool<byte>.Shared.Return(larger);
                    buffer = larger = ArrayPool<byte>.Shared.Rent(wanted);
                }

                count = await content.ReadAtLeastAsync(buffer.AsMemory(0, wanted), wanted, throwOnEndOfStream: false, ct);
            }
        }
        finally
        {
            if (larger is not null) ArrayPool<byte>.Shared.Return(larger);
        }

        return ([.. parts], size, hasher is null ? null : Convert.ToHexStringLower(hasher.GetHashAndReset()));
    }

    private Task<string> UploadPartAsync(ObjectPath path, string uploadId, int number, byte[] bytes, int count, CancellationToken ct) => CallAsync(path, ct, async () =>
    {
        using var body = new MemoryStream(bytes, 0, count, writable: false);
        var answer = await client.UploadPartAsync(
            new UploadPartRequest
            {
                BucketName = path.Bucket, Key = path.Key, UploadId = uploadId, PartNumber = number, InputStream = body, PartSize = count, UseChunkEncoding = false,
            },
            ct);
        return Unquote(answer.ETag) ?? throw new StoreException(StoreFault.Other, $"The store at {endpoint} gave no ETag for a part.", transient: true);
    });

    /// <summary>False when onlyNew was asked for and another object is there.</summary>
    private Task<bool> CompleteAsync(ObjectPath path, string uploadId, string[] parts, bool onlyNew, CancellationToken ct) => CallAsync(path, ct, async () =>
    {
        var request = new CompleteMultipartUploadRequest
        {
            BucketName = path.Bucket, Key = path.Key, UploadId = uploadId, PartETags = [.. parts.Select((etag, index) => new PartETag(index + 1, $"\"{etag.Trim('"')}\""))],
        };
        if (onlyNew) request.IfNoneMatch = "*";
        try
        {
            await client.CompleteMultipartUploadAsync(request, ct);
            return true;
        }
        catch (AmazonS3Exception e) when (onlyNew && e.StatusCode == HttpStatusCode.PreconditionFailed)
        {
            await AbortAsync(path, uploadId, ct);
            return false;
        }
    });

    private Task<bool> UploadExistsAsync(ObjectPath path, string uploadId, CancellationToken ct) => CallAsync(path, ct, async () =>
    {
        try
        {
            await client.ListPartsAsync(new ListPartsRequest { BucketName = path.Bucket, Key = path.Key, UploadId = uploadId, MaxParts = 1 }, ct);
            return true;
        }
        catch (AmazonS3Exception e) when (S3Faults.IsMissing(e))
        {
            return false;
        }
    });

    private Task<bool> AbortAsync(ObjectPath path, string uploadId, CancellationToken ct) => CallAsync(path, ct, async () =>
    {
        try
        {
            await client.AbortMultipartUploadAsync(new AbortMultipartUploadRequest { BucketName = path.Bucket, Key = path.Key, UploadId = uploadId }, ct);
        }
        catch (AmazonS3Exception e) when (S3Faults.IsMissing(e))
        {
            // Completed or aborted before.
        }

        return true;
    });

    /// <summary>After a fault that is already on its way to the caller; the job's own sweep finds what stays.</summary>
    private async Task AbortQuietlyAsync(ObjectPath path, string uploadId)
    {
        try
        {
            await AbortAsync(path, uploadId, CancellationToken.None).WaitAsync(TimeSpan.FromSeconds(10), clock);
        }
        catch (Exception e) when (e is StoreException or TimeoutException)
        {
            // The first fault is the one to report.
        }
    }
}
