using JobHub.Engine;
using JobHub.Engine.Jobs;
using JobHub.Engine.Postgres;
using JobHub.Engine.Protocol;
using JobHub.Engine.Storage;
using JobHub.Engine.Tasks;
using JobHub.Engine.Workers;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace JobHub.Testing;

/// <summary>The engine over a fresh database and a folder store, as an Api runs it, without HTTP.</summary>
public sealed class EngineHost : IAsyncDisposable
{
    private readonly IHost _host;
    private readonly string _folder;
    private readonly PostgresServer? _own;

    private EngineHost(IHost host, string folder, PostgresServer? own)
    {
        _host = host;
        _folder = folder;
        _own = own;
    }

    public JobService Jobs => Get<JobService>();
    public JobReader Reader => Get<JobReader>();
    public WorkerSessions Sessions => Get<WorkerSessions>();
    public NpgsqlDataSource Database => Get<NpgsqlDataSource>();
    public StoreRegistry Stores => Get<StoreRegistry>();

    public T Get<T>()
        where T : notnull => _host.Services.GetRequiredService<T>();

    /// <summary>Starts over a new database of the server, or of a server of its own.</summary>
    /// <param name="upkeep">False: nothing folds, steps or sweeps by itself.</param>
    public static async Task<EngineHost> StartAsync(PostgresServer? server = null, bool upkeep = true, Dictionary<string, string?>? settings = null)
    {
        var own = server is null ? await PostgresServer.StartAsync() : null;
        var connection = await (server ?? own!).CreateDatabaseAsync();
        return await StartAsync(connection, upkeep, settings, own);
    }

    /// <summary>A second engine over the same database and folder.</summary>
    public async Task<EngineHost> AnotherAsync() => await StartAsync(Get<IConfiguration>().GetConnectionString("jobhub")!, true,
        new() { ["JobHub:Storage:Root"] = Path.Combine(_folder, "store"), ["JobHub:Secrets:File"] = Path.Combine(_folder, "secrets.key") }, null);

    /// <summary>A worker session with the given name that shares the store's folder.</summary>
    public async Task<WorkerSession> OpenAsync(string worker = "w1", int slots = 4, string[][]? affinity = null)
    {
        var opened = await Sessions.OpenAsync(new(worker, "host", slots, 4, 8L << 30, 0, affinity ?? [], ["/"], "plain", "test"), CancellationToken.None);
        await Sessions.ProveAsync(opened.Session, await File.ReadAllTextAsync(opened.ProofPath!), CancellationToken.None);
        return (await Sessions.FindAsync(opened.Session, CancellationToken.None))!;
    }

    /// <summary>Claims, without waiting unless asked to.</summary>
    public async Task<AttemptSpec[]> ClaimAsync(WorkerSession session, int max = 100, int waitMs = 0, Guid? claimId = null) =>
        (await Get<Claims>().ClaimAsync(session, new(claimId ?? Guid.NewGuid(), max, waitMs), CancellationToken.None)).Attempts;

    public async Task<long> CountAsync(string sql)
    {
        await using var command = Database.CreateCommand(sql);
        return (long)(await command.ExecuteScalarAsync())!;
    }

    public async ValueTask DisposeAsync()
    {
        await _host.StopAsync();
        _host.Dispose();
        if (_own is not null) await _own.DisposeAsync();
        if (Directory.Exists(_folder)) Directory.Delete(_folder, recursive: true);
    }

    private static async Task<EngineHost> StartAsync(string connection, bool upkeep, Dictionary<string, string?>? settings, PostgresServer? own)
    {
        var folder = Directory.CreateTempSubdirectory("jobhub-engine-").FullName;
        var builder = Host.CreateApplicationBuilder(new HostApplicationBuilderSettings { DisableDefaults = true });
        builder.Configuration.AddInMemoryCollection(new Dictionary<string, string?>
        {
            ["ConnectionStrings:jobhub"] = connection,
            ["JobHub:Storage:Kind"] = "files",
            ["JobHub:Storage:Root"] = Path.Combine(folder, "store"),
            ["JobHub:Storage:AllowAnyFile"] = "true",
            ["JobHub:Secrets:File"] = Path.Combine(folder, "secrets.key"),
        });
        if (settings is not null) builder.Configuration.AddInMemoryCollection(settings);
        builder.Services.AddLogging(l => l.AddConsole().SetMinimumLevel(LogLevel.Error));
        builder.Services.AddEngine(builder.Configuration);
        if (upkeep) builder.Services.AddEngineUpkeep();
        var host = builder.Build();
        await Schema.MigrateAsync(host.Services.GetRequiredService<IDbContextFactory<JobHubDbContext>>(), CancellationToken.None);
        await host.Services.GetRequiredService<StoreRegistry>().Hub.EnsureBucketAsync("jobhub", CancellationToken.None);
        await host.StartAsync();
        return new(host, folder, own);
    }
}
