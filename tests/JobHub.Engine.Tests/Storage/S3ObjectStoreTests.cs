using System.Net;
using System.Net.Http.Headers;
using System.Security.Cryptography;
using JobHub.Engine.Protocol;
using JobHub.Engine.Storage;
using JobHub.Engine.Storage.S3;
using Xunit;

namespace JobHub.Engine.Tests.Storage;

[Collection(S3Tests.Name)]
public sealed class S3ObjectStoreTests : ObjectStoreContract, IDisposable
{
    private readonly S3Fixture s3;
    private readonly SocketsHttpHandler handler;
    private readonly S3ObjectStore store;
    private readonly HttpClient plain = new();

    public S3ObjectStoreTests(S3Fixture s3)
    {
        this.s3 = s3;
        handler = GuardedHttp.Create([Endpoint], "test");
        store = Open(s3.Server.Credentials);
    }

    private StorageEndpoint Endpoint => StorageEndpoint.TryParse(s3.Server.Endpoint, "http")!;

    protected override IObjectStore Store => store;

    private S3ObjectStore Open(StorageCredentials? credentials, StorageEndpoint? endpoint = null) =>
        new(new S3Settings(endpoint ?? Endpoint, "us-east-1", PathStyle: true, ChecksumMode.WhenRequired, credentials), handler, TimeProvider.System);

    public void Dispose()
    {
        store.Dispose();
        handler.Dispose();
        plain.Dispose();
    }

    [Fact]
    public async Task Upload_ByPresignedParts_BecomesTheObjectWithItsMark()
    {
        var (path, token) = (new ObjectPath(await NewBucketAsync(), "out/größe +%/part-00000"), Guid.NewGuid());
        var bytes = RandomNumberGenerator.GetBytes((5 << 20) + 77);
        var uploadId = await store.BeginUploadAsync(path, token, default);
        var etags = new List<string>();
        foreach (var (part, range) in new[] { (1, 0..(5 << 20)), (2, (5 << 20)..bytes.Length) })
        {
            using var answer = await plain.PutAsync(store.GrantPart(path, uploadId!, part, TimeSpan.FromMinutes(5)), new ByteArrayContent(bytes[range]));
            answer.EnsureSuccessStatusCode();
            etags.Add(answer.Headers.ETag!.Tag);
        }

        Assert.Null(await store.HeadAsync(path, default));
        var pending = new PendingOutput(bytes.Length, null, null, uploadId, [.. etags]);
        Assert.Equal(PromoteResult.Promoted, await store.PromoteAsync(path, token, pending, default));
        Assert.Equal(token.ToString("D"), (await store.HeadAsync(path, default))!.AttemptMark);
        Assert.Equal(bytes, await ReadAsync(path));
        Assert.Equal(PromoteResult.Promoted, await store.PromoteAsync(path, token, pending, default));
    }

    [Fact]
    public async Task GrantRead_UsedWithoutKeys_GivesRanges()
    {
        var path = new ObjectPath(await NewBucketAsync(), "in/ä b+c.txt");
        await PutAsync(path, "0123456789"u8.ToArray());
        var url = store.GrantRead(path, sharesFiles: true, TimeSpan.FromMinutes(5))!.Url!;
        using var request = new HttpRequestMessage(HttpMethod.Get, url) { Headers = { Range = new RangeHeaderValue(2, 5) } };
        using var answer = await plain.SendAsync(request);
        Assert.Equal(HttpStatusCode.PartialContent, answer.StatusCode);
        Assert.Equal("2345", await answer.Content.ReadAsStringAsync());
        using var write = await plain.PutAsync(url, new ByteArrayContent([1]));
        Assert.Equal(HttpStatusCode.Forbidden, write.StatusCode);
    }

    [Fact]
    public async Task DiscardAll_OfAPrefix_EndsItsUploadsOnly()
    {
        var bucket = await NewBucketAsync();
        var (mine, other, token) = (new ObjectPath(bucket, "job1/part"), new ObjectPath(bucket, "job2/part"), Guid.NewGuid());
        var gone = await store.WritePendingAsync(mine, token, new MemoryStream([1]), durable: true, default);
        var kept = await store.WritePendingAsync(other, token, new MemoryStream([2]), durable: true, default);
        await store.DiscardAllAsync(new ObjectPath(bucket, "job1/"), default);
        Assert.Equal(PromoteResult.Gone, await store.PromoteAsync(mine, token, gone, default));
        Assert.Equal(PromoteResult.Promoted, await store.PromoteAsync(other, token, kept, default));
    }

    [Fact]
    public async Task Calls_WithWrongOrNoKeys_AreDenied()
    {
        var path = new ObjectPath(await NewBucketAsync(), "object");
        await PutAsync(path, [1]);
        foreach (var credentials in new[] { null, new StorageCredentials(s3.Server.AccessKey, "wrong"), new StorageCredentials("nobody", "wrong") })
        {
            using var other = Open(credentials);
            foreach (var call in new Func<Task>[]
            {
                () => other.HeadAsync(path, default),
                () => other.OpenReadAsync(path, 0, null, default),
                () => other.PutAsync(path, new MemoryStream([2]), false, default),
                async () => { await foreach (var _ in other.ListAsync(path with { Key = "" }, default)) { } },
            })
            {
                var fault = await Assert.ThrowsAsync<StoreException>(call);
                Assert.True(fault.Fault == StoreFault.AccessDenied, fault.ToString());
                Assert.False(fault.Transient);
                Assert.DoesNotContain(s3.Server.SecretKey, fault.ToString(), StringComparison.Ordinal);
            }
        }
    }

    [Fact]
    public async Task GrantRead_OfAnAnonymousStore_IsThePlainUrl()
    {
        using var anonymous = Open(credentials: null);
        Assert.Equal($"{s3.Server.Endpoint}/bucket/a%20b/%C3%A4", anonymous.GrantRead(new ObjectPath("bucket", "a b/ä"), false, TimeSpan.FromMinutes(1))!.Url);
        await Task.CompletedTask;
    }

    [Fact]
    public async Task Head_WhereNobodyListens_IsUnreachable()
    {
        // A port that is bound and not listening refuses connections, and nobody else can take it.
        using var taken = new System.Net.Sockets.Socket(System.Net.Sockets.AddressFamily.InterNetwork, System.Net.Sockets.SocketType.Stream, System.Net.Sockets.ProtocolType.Tcp);
        taken.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        var nobody = new StorageEndpoint("http", "127.0.0.1", ((IPEndPoint)taken.LocalEndPoint!).Port);
        using var guarded = GuardedHttp.Create([nobody], "test");
        using var other = new S3ObjectStore(new S3Settings(nobody, "us-east-1", true, ChecksumMode.WhenRequired, s3.Server.Credentials), guarded, TimeProvider.System);
        var fault = await Assert.ThrowsAsync<StoreException>(() => other.HeadAsync(new ObjectPath("bucket", "key"), default));
        Assert.Equal(StoreFault.Unreachable, fault.Fault);
        Assert.True(fault.Transient);
    }

    [Fact]
    public async Task Head_AtALoopbackAddressThatIsNotListed_IsNotAllowed()
    {
        using var guarded = GuardedHttp.Create([], "JobHub:Storage:AllowedEndpoints");
        using var other = new S3ObjectStore(new S3Settings(Endpoint, "us-east-1", true, ChecksumMode.WhenRequired, s3.Server.Credentials), guarded, TimeProvider.System);
        var fault = await Assert.ThrowsAsync<StoreException>(() => other.HeadAsync(new ObjectPath("bucket", "key"), default));
        Assert.Equal(StoreFault.EndpointNotAllowed, fault.Fault);
        Assert.Contains("JobHub:Storage:AllowedEndpoints", fault.Message, StringComparison.Ordinal);
    }
}
