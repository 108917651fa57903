using JobHub.Engine.Postgres;
using JobHub.Engine.Storage;
using Microsoft.EntityFrameworkCore;

namespace JobHub.Api;

/// <summary>Brings the database to this version and makes the hub's bucket before anything else runs: listeners open and upkeep starts after it.</summary>
public sealed class SchemaAtStart(IDbContextFactory<JobHubDbContext> contexts, StoreRegistry stores) : IHostedService
{
    /// <inheritdoc />
    public async Task StartAsync(CancellationToken cancellationToken)
    {
        await Schema.MigrateAsync(contexts, cancellationToken);
        await stores.Hub.EnsureBucketAsync(stores.HubBucket, cancellationToken);
    }

    /// <inheritdoc />
    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
}
