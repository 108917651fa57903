using System.IO.Compression;
using System.Text;
using System.Text.Json.Nodes;

namespace JobHub.AppHost.Tests.MapReduce;

/// <summary>Inputs, outputs, programs, shuffle and logs on a real S3 server: as another store that a job names, and as the hub's own.</summary>
[Collection(HubsCollection.Name)]
public sealed class ObjectStoreTests(HubsFixture hubs)
{
    private static readonly byte[] Text = Encoding.UTF8.GetBytes(string.Concat(Enumerable.Range(0, 200).Select(static i => $"all Ωμέγα {i % 11}\r\n\nword{i % 5}\n")) + "no end");

    [Fact]
    public async Task Job_FromOneBucketToAnother_WithItsOwnCredentials_LeavesItsResultOnly()
    {
        var hub = await hubs.FilesAsync();
        using var input = new Bucket(hubs.S3);
        using var output = new Bucket(hubs.S3);
        await input.CreateAsync();
        await input.PutAsync("any/nested/kéy 1.txt", Text);
        var submission = OnS3(hub.WordCount($"{input.Address}/{input.Name}/any/nested/kéy 1.txt", 3), $"{input.Address}/{output.Name}/some/prefix");
        submission["splitSize"] = 100;
        var id = await hub.RunAsync(submission);

        Assert.Equal(await Words.ExpectedAsync(Text), Words.Of(await output.PartsAsync($"some/prefix/{id}", 3)));
        Assert.Equal(4, (await output.KeysAsync()).Length);
        Assert.Empty(await output.UploadsAsync());
        var job = await hub.JobAsync(id);
        Assert.Equal($"{input.Address}/{output.Name}/some/prefix", (string?)job["outputLocation"]!["location"]);
        Assert.Equal(Text.Length, (long)job["inputData"]!["splitEnd"]!);
        Assert.DoesNotContain(hubs.S3.SecretKey, (await hub.GetAsync($"/hub/v1/jobs/{id}")).ToJsonString());
    }

    [Fact]
    public async Task Job_OverAFolderOrAPatternOfABucket_WithoutAScheme_TakesWhatMatches()
    {
        var hub = await hubs.FilesAsync();
        using var bucket = new Bucket(hubs.S3);
        await bucket.CreateAsync();
        using var packed = new MemoryStream();
        await using (var gzip = new GZipStream(packed, CompressionLevel.Fastest, leaveOpen: true)) await gzip.WriteAsync(Text);
        await bucket.PutAsync("in/a.txt", Text);
        await bucket.PutAsync("in/b.gz", packed.ToArray());
        await bucket.PutAsync("in/deep/c.txt", "deep\n"u8.ToArray());
        await bucket.PutAsync("in/empty.txt", []);
        await bucket.PutAsync("other.txt", "never\n"u8.ToArray());
        var place = $"{hubs.S3.HostAndPort}/{bucket.Name}";
        var all = await hub.SubmitAsync(OnS3(hub.WordCount($"{place}/in/", 2), $"{place}/out"));
        var some = await hub.SubmitAsync(OnS3(hub.WordCount($"{place}/in/*.gz", 1), $"{place}/out"));
        await hub.CompletedAsync(all);
        await hub.CompletedAsync(some);

        Assert.Equal(await Words.ExpectedAsync([.. Text, .. "\n"u8, .. Text, .. "\ndeep\n"u8]), Words.Of(await bucket.PartsAsync($"out/{all}", 2)));
        Assert.Equal(await Words.ExpectedAsync(Text), Words.Of(await bucket.PartsAsync($"out/{some}", 1)));
    }

    [Fact]
    public async Task Job_WhoseOutputIsOnlyAnEndpoint_WritesToTheBucketOfReducers()
    {
        var hub = await hubs.FilesAsync();
        using var reducers = new Bucket(hubs.S3, "reducers");
        var submission = OnS3(hub.WordCount(hub.Write("endpoint.txt", Text), 2), hubs.S3.Endpoint);
        var id = await hub.RunAsync(submission);

        Assert.Equal(await Words.ExpectedAsync(Text), Words.Of(await reducers.PartsAsync(id, 2)));
    }

    [Fact]
    public async Task Hub_WithItsOwnStoreOnS3_KeepsProgramsShuffleAndLogsThere_AndLeavesNothingTemporary()
    {
        var hub = await hubs.OnS3Async();
        using var own = new Bucket(hubs.S3, hubs.OwnBucket);
        using var bucket = new Bucket(hubs.S3);
        await bucket.CreateAsync();
        await bucket.PutAsync("text/a.txt", Text);
        await bucket.PutAsync("text/b.txt", [.. "\n"u8, .. Text]);
        var submission = hub.WordCount($"s3://{bucket.Name}/text/", 5);
        (submission["outputPath"], submission["splitSize"]) = ($"s3://{bucket.Name}/counted", 500);
        var id = await hub.RunAsync(submission);

        Assert.Equal(await Words.ExpectedAsync([.. Text, .. "\n"u8, .. Text]), Words.Of(await bucket.PartsAsync($"counted/{id}", 5)));
        Assert.NotEmpty(await own.KeysAsync("artifacts/"));
        await Testing.Eventually.TrueAsync(async () => (await own.KeysAsync()).All(static key => key.StartsWith("artifacts/", StringComparison.Ordinal)), "the end of the shuffle data");
        Assert.Empty(await own.UploadsAsync());
        Assert.Empty(await bucket.UploadsAsync());
    }

    [Fact]
    public async Task Hub_WithItsOwnStoreOnS3_WritesOutputsOfManyPartsAndLongLogs()
    {
        var hub = await hubs.OnS3Async();
        using var own = new Bucket(hubs.S3, hubs.OwnBucket);
        using var bucket = new Bucket(hubs.S3);
        await bucket.CreateAsync();
        // Sorted as it is, and over two parts of 16 MiB, both as shuffle and as output.
        var lines = Encoding.ASCII.GetBytes(string.Concat(Enumerable.Range(0, 400_000).Select(static i => $"{i:D9}\t{unchecked((uint)i * 2654435761):x8}{new string((char)('a' + (i % 26)), 70)}\n")));
        await bucket.PutAsync("lines", lines);
        await hub.UploadAsync("loud.sh", "#!/bin/sh\nyes 'a line of the log' | head -c 100000 >&2\nexec cat\n");
        var submission = hub.WordCount($"s3://{bucket.Name}/lines", 1);
        (submission["mapperName"], submission["reducerName"], submission["outputPath"], submission["splitSize"]) = ("loud.sh", "cat", $"s3://{bucket.Name}/sorted", lines.Length);
        var id = await hub.RunAsync(submission);

        var part = Assert.Single(await bucket.PartsAsync($"sorted/{id}", 1));
        Assert.True(lines.AsSpan().SequenceEqual(part), $"{lines.Length} bytes went in, {part.Length} came out or they differ.");
        var log = await hub.Http.GetStringAsync($"/hub/v1/jobs/{id}/log?task=m-0");
        Assert.Equal(100_000, log.Length);
        Assert.Single(await own.KeysAsync($"logs/{id}/"));
        Assert.Empty(await bucket.UploadsAsync());
        await Testing.Eventually.TrueAsync(async () => (await own.KeysAsync("shuffle/")).Length == 0 && (await own.UploadsAsync()).Length == 0, "the end of the shuffle data");
    }

    [Fact]
    public async Task Hub_WithItsOwnStoreOnS3_StopsAJobWithoutLeavingAnything()
    {
        var hub = await hubs.OnS3Async();
        using var own = new Bucket(hubs.S3, hubs.OwnBucket);
        using var bucket = new Bucket(hubs.S3);
        await bucket.CreateAsync();
        await bucket.PutAsync("text", Text);
        await hub.UploadAsync("hold.sh", "#!/bin/sh\ncat\nexec sleep 1000\n");
        var submission = hub.WordCount($"s3://{bucket.Name}/text", 1);
        (submission["reducerName"], submission["outputPath"], submission["splitSize"]) = ("hold.sh", $"s3://{bucket.Name}/out", 1000);
        var id = await hub.SubmitAsync(submission);
        await Testing.Eventually.TrueAsync(async () => (await hub.TasksAsync(id)).Any(static task => (string?)task!["type"] == "reducer" && (string?)task["status"] == "in-progress"), "a running reducer");
        using var answer = await hub.Http.DeleteAsync($"/api/v1/jobs/{id}");
        Assert.True(answer.IsSuccessStatusCode);
        await hub.EndAsync(id);

        await Testing.Eventually.TrueAsync(async () => (await own.KeysAsync("shuffle/")).Length == 0 && (await own.UploadsAsync()).Length == 0 && (await bucket.UploadsAsync()).Length == 0, "the end of what was temporary");
        Assert.Equal("text", Assert.Single(await bucket.KeysAsync()));
    }

    private JsonObject OnS3(JsonObject submission, string output)
    {
        submission["outputPath"] = output;
        submission["inputStorageCredentials"] = Credentials();
        submission["outputStorageCredentials"] = Credentials();
        if (((string?)submission["inputPath"])!.StartsWith("file:", StringComparison.Ordinal)) submission.Remove("inputStorageCredentials");
        return submission;
    }

    private JsonObject Credentials() => new() { ["username"] = hubs.S3.AccessKey, ["password"] = hubs.S3.SecretKey };
}
