using JobHub.Testing;

namespace JobHub.AppHost.Tests.MapReduce;

/// <summary>What the tests of the contract share: one S3 server, a hub with a store of files that may use it too, and a hub whose own store it is.</summary>
public sealed class HubsFixture : IAsyncLifetime
{
    private readonly SemaphoreSlim starting = new(1);
    private HubClient? files;
    private HubClient? onS3;

    public S3Server S3 { get; private set; } = null!;

    /// <summary>The bucket of the hub on S3: no other test's.</summary>
    public string OwnBucket { get; } = $"jobhub-{Guid.NewGuid():N}";

    public Task<HubClient> FilesAsync() => OnceAsync(() => files, hub => files = hub, new HubOptions
    {
        Environment = new Dictionary<string, string?> { ["JobHub__Storage__AllowedEndpoints__0"] = S3.HostAndPort, ["JobHub__Storage__AllowedEndpoints__1"] = SilentEndpoint },
    });

    /// <summary>An address that may be named and where nothing answers: TEST-NET is forbidden, so a port of the loopback that nobody listens on.</summary>
    public string SilentEndpoint { get; } = "127.0.0.1:9";

    public Task<HubClient> OnS3Async() => OnceAsync(() => onS3, hub => onS3 = hub, new HubOptions
    {
        Environment = new Dictionary<string, string?>
        {
            ["JobHub__Storage__Kind"] = "s3", ["JobHub__Storage__Endpoint"] = S3.Endpoint, ["JobHub__Storage__Bucket"] = OwnBucket,
            ["JobHub__Storage__AccessKey"] = S3.AccessKey, ["JobHub__Storage__SecretKey"] = S3.SecretKey,
        },
    });

    public async Task InitializeAsync() => S3 = await S3Server.StartAsync();

    public async Task DisposeAsync()
    {
        if (files is not null) await files.DisposeAsync();
        if (onS3 is not null) await onS3.DisposeAsync();
        await S3.DisposeAsync();
        starting.Dispose();
    }

    private async Task<HubClient> OnceAsync(Func<HubClient?> had, Action<HubClient> keep, HubOptions options)
    {
        await starting.WaitAsync();
        try
        {
            if (had() is { } running) return running;
            var started = await HubClient.StartAsync(options);
            keep(started);
            return started;
        }
        finally
        {
            starting.Release();
        }
    }
}

[CollectionDefinition(Name)]
public sealed class HubsCollection : ICollectionFixture<HubsFixture>
{
    public const string Name = "hubs";
}
