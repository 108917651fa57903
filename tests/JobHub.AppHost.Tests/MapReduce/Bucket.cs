using Amazon.Runtime;
using Amazon.S3;
using Amazon.S3.Model;
using JobHub.Testing;

namespace JobHub.AppHost.Tests.MapReduce;

/// <summary>A bucket as another client of the store sees it.</summary>
internal sealed class Bucket : IDisposable
{
    private readonly AmazonS3Client client;

    public Bucket(S3Server server, string? name = null)
    {
        (Name, Address) = (name ?? $"test-{Guid.NewGuid():N}", server.Endpoint);
        client = new AmazonS3Client(new BasicAWSCredentials(server.AccessKey, server.SecretKey), new AmazonS3Config
        {
            ServiceURL = server.Endpoint, ForcePathStyle = true, AuthenticationRegion = "us-east-1", UseHttp = true,
            RequestChecksumCalculation = RequestChecksumCalculation.WHEN_REQUIRED, ResponseChecksumValidation = ResponseChecksumValidation.WHEN_REQUIRED,
        });
    }

    public string Name { get; }

    /// <summary>The endpoint, <c>http://host:port</c>.</summary>
    public string Address { get; }

    public Task CreateAsync() => client.PutBucketAsync(Name);

    public async Task<bool> ExistsAsync() => (await client.ListBucketsAsync()).Buckets?.Any(bucket => bucket.BucketName == Name) ?? false;

    public async Task PutAsync(string key, byte[] content)
    {
        using var stream = new MemoryStream(content);
        await client.PutObjectAsync(new PutObjectRequest { BucketName = Name, Key = key, InputStream = stream, UseChunkEncoding = false });
    }

    public async Task<byte[]> GetAsync(string key)
    {
        using var answer = await client.GetObjectAsync(Name, key);
        using var bytes = new MemoryStream();
        await answer.ResponseStream.CopyToAsync(bytes);
        return bytes.ToArray();
    }

    public async Task<string[]> KeysAsync(string prefix = "")
    {
        var keys = new List<string>();
        await foreach (var found in client.Paginators.ListObjectsV2(new ListObjectsV2Request { BucketName = Name, Prefix = prefix }).S3Objects) keys.Add(found.Key);
        return [.. keys];
    }

    /// <summary>Keys of the multipart uploads that are open.</summary>
    public async Task<string[]> UploadsAsync()
    {
        var answer = await client.ListMultipartUploadsAsync(new ListMultipartUploadsRequest { BucketName = Name });
        return [.. (answer.MultipartUploads ?? []).Select(static upload => upload.Key)];
    }

    /// <summary>The parts of a job under its folder, checked to be whole: every part, and <c>_SUCCESS</c>, and nothing else.</summary>
    public async Task<byte[][]> PartsAsync(string folder, int reducers)
    {
        var keys = Enumerable.Range(0, reducers).Select(i => $"{folder}/part-{i:D5}").ToArray();
        var found = await KeysAsync(folder + "/");
        Assert.Equal([$"{folder}/_SUCCESS", .. keys], found);
        var parts = new List<byte[]>();
        foreach (var key in keys) parts.Add(await GetAsync(key));
        return [.. parts];
    }

    public void Dispose() => client.Dispose();
}
