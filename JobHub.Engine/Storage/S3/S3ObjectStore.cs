using System.Net;
using System.Runtime.CompilerServices;
using Amazon.Runtime;
using Amazon.S3;
using Amazon.S3.Model;
using JobHub.Engine.Protocol;

namespace JobHub.Engine.Storage.S3;

/// <summary>Objects in an S3 server: MinIO, AWS, Ceph. Memory stays at one part a call; an attempt's output is an open multipart upload that carries its mark.</summary>
public sealed partial class S3ObjectStore : IObjectStore, IDisposable
{
    /// <summary>Metadata name of the attempt that wrote an object.</summary>
    public const string MarkName = "jobhub-attempt";

    private const string MarkHeader = "x-amz-meta-" + MarkName;

    private readonly S3Settings settings;
    private readonly TimeProvider clock;
    private readonly AmazonS3Client client;
    private readonly string endpoint;

    /// <param name="handler">From <see cref="GuardedHttp"/>; shared, not disposed here.</param>
    public S3ObjectStore(S3Settings settings, SocketsHttpHandler handler, TimeProvider clock)
    {
        this.settings = settings;
        this.clock = clock;
        endpoint = settings.Endpoint.ToString();
        var config = new AmazonS3Config
        {
            ServiceURL = endpoint,
            AuthenticationRegion = settings.Region,
            ForcePathStyle = settings.PathStyle,
            UseHttp = settings.Endpoint.Scheme == "http",
            RequestChecksumCalculation = settings.Checksums == ChecksumMode.WhenRequired ? RequestChecksumCalculation.WHEN_REQUIRED : RequestChecksumCalculation.WHEN_SUPPORTED,
            ResponseChecksumValidation = settings.Checksums == ChecksumMode.WhenRequired ? ResponseChecksumValidation.WHEN_REQUIRED : ResponseChecksumValidation.WHEN_SUPPORTED,
            HttpClientFactory = new SharedHandlerFactory(handler),
            AllowAutoRedirect = false,
            IgnoreConfiguredEndpointUrls = true,
            RetryMode = RequestRetryMode.Standard,
            // Only short hiccups; longer outages are the caller's to back off from.
            MaxErrorRetry = 2,
            Timeout = TimeSpan.FromMinutes(5),
        };
        AWSCredentials credentials = settings.Credentials is { } given ? new BasicAWSCredentials(given.Username, given.Password) : new AnonymousAWSCredentials();
        client = new AmazonS3Client(credentials, config);
    }

    /// <inheritdoc />
    public async Task<ObjectStat?> HeadAsync(ObjectPath path, CancellationToken ct)
    {
        CheckPath(path);
        try
        {
            var answer = await OnceMoreAsync(() => client.GetObjectMetadataAsync(new GetObjectMetadataRequest { BucketName = path.Bucket, Key = path.Key }, ct));
            return new ObjectStat(path.Key, answer.ContentLength, Unquote(answer.ETag), Time(answer.LastModified), Mark(answer.Metadata));
        }
        catch (AmazonS3Exception e) when (S3Faults.IsMissing(e))
        {
            return null;
        }
        catch (Exception e) when (Translated(e, path, ct) is { } fault)
        {
            throw fault;
        }
    }

    /// <inheritdoc />
    public async Task<Stream> OpenReadAsync(ObjectPath path, long offset, long? length, CancellationToken ct)
    {
        CheckPath(path);
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        if (length == 0)
        {
            return await HeadAsync(path, ct) is null ? throw new StoreException(StoreFault.NotFound, $"{path} does not exist at {endpoint}.", transient: false) : Stream.Null;
        }

        var request = new GetObjectRequest { BucketName = path.Bucket, Key = path.Key };
        // The SDK writes an open end as "no range from offset"; a far end is cut by every server.
        if (offset > 0 || length is not null) request.ByteRange = new ByteRange(offset, length is { } count ? checked(offset + count - 1) : long.MaxValue - 1);
        try
        {
            var answer = await OnceMoreAsync(() => client.GetObjectAsync(request, ct));
            return new S3ReadStream(answer, e => Translated(e, path, CancellationToken.None));
        }
        catch (AmazonS3Exception e) when (e.StatusCode == HttpStatusCode.RequestedRangeNotSatisfiable)
        {
            return Stream.Null;
        }
        catch (Exception e) when (Translated(e, path, ct) is { } fault)
        {
            throw fault;
        }
    }

    /// <inheritdoc />
    public async IAsyncEnumerable<ObjectStat> ListAsync(ObjectPath prefix, [EnumeratorCancellation] CancellationToken ct)
    {
        ObjectKey.CheckBucket(prefix.Bucket);
        var request = new ListObjectsV2Request { BucketName = prefix.Bucket, Prefix = prefix.Key };
        while (true)
        {
            ListObjectsV2Response page;
            try
            {
                page = await OnceMoreAsync(() => client.ListObjectsV2Async(request, ct));
            }
            catch (AmazonS3Exception e) when (e.ErrorCode == "NoSuchBucket")
            {
                yield break;
            }
            catch (Exception e) when (Translated(e, prefix, ct) is { } fault)
            {
                throw fault;
            }

            foreach (var item in page.S3Objects ?? [])
            {
                yield return new ObjectStat(item.Key, item.Size ?? 0, Unquote(item.ETag), Time(item.LastModified), AttemptMark: null);
            }

            if (page.IsTruncated != true || string.IsNullOrEmpty(page.NextContinuationToken)) yield break;
            request.ContinuationToken = page.NextContinuationToken;
        }
    }

    /// <inheritdoc />
    public async Task DeleteAsync(IReadOnlyCollection<ObjectPath> paths, CancellationToken ct)
    {
        foreach (var path in paths) CheckPath(path);
        foreach (var bucket in paths.GroupBy(path => path.Bucket, StringComparer.Ordinal))
        {
            foreach (var batch in bucket.Chunk(1000))
            {
                await CallAsync(batch[0], ct, () => batch.Length == 1 ? DeleteOneAsync(batch[0], ct) : DeleteBatchAsync(bucket.Key, batch, ct));
            }
        }
    }

    /// <inheritdoc />
    public async Task EnsureBucketAsync(string bucket, CancellationToken ct)
    {
        ObjectKey.CheckBucket(bucket);
        var shown = new ObjectPath(bucket, "");
        await CallAsync(shown, ct, async () =>
        {
            try
            {
                await client.HeadBucketAsync(new HeadBucketRequest { BucketName = bucket }, ct);
                return true;
            }
            catch (AmazonS3Exception e) when (S3Faults.IsMissing(e))
            {
                // Servers other than AWS know no regions, or one of their own.
                var isAws = settings.Endpoint.Host.EndsWith(".amazonaws.com", StringComparison.Ordinal);
                try
                {
                    await client.PutBucketAsync(new PutBucketRequest { BucketName = bucket, UseClientRegion = isAws }, ct);
                }
                catch (AmazonS3Exception taken) when (taken.ErrorCode == "BucketAlreadyOwnedByYou")
                {
                    // Another hub was quicker.
                }

                return true;
            }
        });
    }

    /// <inheritdoc />
    public ObjectGrant? GrantRead(ObjectPath path, bool sharesFiles, TimeSpan validity)
    {
        CheckPath(path);
        return new ObjectGrant(Path: null, Url: Presign(path, HttpVerb.GET, validity, null, 0));
    }

    /// <inheritdoc />
    public string? TemporaryPath(ObjectPath path, Guid token) => null;

    /// <inheritdoc />
    public string GrantPart(ObjectPath path, string uploadId, int part, TimeSpan validity)
    {
        CheckPath(path);
        return Presign(path, HttpVerb.PUT, validity, uploadId, part);
    }

    /// <summary>Closes the client; the shared handler stays.</summary>
    public void Dispose() => client.Dispose();

    internal static string? Unquote(string? etag) => etag?.Trim('"') is { Length: > 0 } text ? text : null;

    private static DateTimeOffset Time(DateTime? time) => time is { } known ? new DateTimeOffset(known.ToUniversalTime(), TimeSpan.Zero) : default;

    private static string? Mark(MetadataCollection metadata) => metadata[MarkHeader] is { Length: > 0 } mark ? mark : null;

    private static void CheckPath(ObjectPath path)
    {
        ObjectKey.CheckBucket(path.Bucket);
        ObjectKey.Check(path.Key, allowFolder: false);
    }

    private StoreException? Translated(Exception e, ObjectPath path, CancellationToken ct) => S3Faults.Translate(e, endpoint, path.ToString(), ct);

    private async Task<T> CallAsync<T>(ObjectPath path, CancellationToken ct, Func<Task<T>> call)
    {
        try
        {
            return await OnceMoreAsync(call);
        }
        catch (Exception e) when (e is not StoreException && Translated(e, path, ct) is { } fault)
        {
            throw fault;
        }
    }

    private static async Task<T> OnceMoreAsync<T>(Func<Task<T>> call)
    {
        try
        {
            return await call();
        }
        catch (AmazonS3Exception e) when (S3Faults.IsBroken(e))
        {
            return await call();
        }
    }

    private async Task<bool> DeleteOneAsync(ObjectPath path, CancellationToken ct)
    {
        try
        {
            await client.DeleteObjectAsync(new DeleteObjectRequest { BucketName = path.Bucket, Key = path.Key }, ct);
        }
        catch (AmazonS3Exception e) when (S3Faults.IsMissing(e))
        {
            // Absent is what was asked for.
        }

        return true;
    }

    private async Task<bool> DeleteBatchAsync(string bucket, ObjectPath[] batch, CancellationToken ct)
    {
        try
        {
            await client.DeleteObjectsAsync(
                new DeleteObjectsRequest { BucketName = bucket, Quiet = true, Objects = [.. batch.Select(path => new KeyVersion { Key = path.Key })] }, ct);
        }
        catch (AmazonS3Exception e) when (e.ErrorCode == "NoSuchBucket")
        {
            // Then none of them is there.
        }
        catch (DeleteObjectsException e)
        {
            var failed = e.Response.DeleteErrors.FirstOrDefault(error => error.Code != "NoSuchKey");
            if (failed is null) return true;
            var denied = failed.Code == "AccessDenied";
            throw new StoreException(
                denied ? StoreFault.AccessDenied : StoreFault.Other, $"The store at {endpoint} did not delete {bucket}/{failed.Key} ({failed.Code}).", transient: !denied, e);
        }

        return true;
    }

    private string Presign(ObjectPath path, HttpVerb verb, TimeSpan validity, string? uploadId, int part)
    {
        if (settings.Credentials is null) return Unsigned(path, uploadId, part);
        var request = new GetPreSignedUrlRequest
        {
            BucketName = path.Bucket, Key = path.Key, Verb = verb, Expires = clock.GetUtcNow().UtcDateTime + validity,
            Protocol = settings.Endpoint.Scheme == "http" ? Amazon.S3.Protocol.HTTP : Amazon.S3.Protocol.HTTPS,
        };
        if (uploadId is not null)
        {
            request.UploadId = uploadId;
            request.PartNumber = part;
        }

        return client.GetPreSignedURL(request);
    }

    private string Unsigned(ObjectPath path, string? uploadId, int part)
    {
        var key = string.Join('/', path.Key.Split('/').Select(Uri.EscapeDataString));
        var query = uploadId is null ? "" : $"?partNumber={part}&uploadId={Uri.EscapeDataString(uploadId)}";
        return $"{endpoint}/{path.Bucket}/{key}{query}";
    }

    /// <summary>Gives the SDK clients over the one guarded handler.</summary>
    private sealed class SharedHandlerFactory(SocketsHttpHandler handler) : Amazon.Runtime.HttpClientFactory
    {
        public override HttpClient CreateHttpClient(IClientConfig clientConfig) => new(handler, disposeHandler: false) { Timeout = TimeSpan.FromMinutes(5) };

        public override bool UseSDKHttpClientCaching(IClientConfig clientConfig) => false;

        public override bool DisposeHttpClientsAfterUse(IClientConfig clientConfig) => false;

        public override string? GetConfigUniqueString(IClientConfig clientConfig) => null;
    }
}
