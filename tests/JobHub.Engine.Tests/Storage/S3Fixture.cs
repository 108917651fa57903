using JobHub.Testing;
using Xunit;

namespace JobHub.Engine.Tests.Storage;

/// <summary>One S3 server for all tests of this assembly that want one.</summary>
public sealed class S3Fixture : IAsyncLifetime
{
    public S3Server Server { get; private set; } = null!;

    public async Task InitializeAsync() => Server = await S3Server.StartAsync();

    public async Task DisposeAsync() => await Server.DisposeAsync();
}

[CollectionDefinition(Name)]
public sealed class S3Tests : ICollectionFixture<S3Fixture>
{
    public const string Name = "S3";
}
