using JobHub.Testing;
using Microsoft.Extensions.Configuration;
using Npgsql;

namespace JobHub.Benchmarks.Queue;

/// <summary>A private Postgres as a hub would run on: fsync on, commits durable. Each run has a database of its own, dropped after it, so no run meets another's dead rows.</summary>
internal sealed class BenchServer : IAsyncDisposable
{
    private readonly PostgresServer _server;

    private BenchServer(PostgresServer server) => _server = server;

    public static async Task<BenchServer> StartAsync() => new(await PostgresServer.StartAsync(
        fsync: true, isPrivate: true, settings: new Dictionary<string, string> { ["shared_buffers"] = "512MB", ["max_wal_size"] = "4GB" }));

    public Task<EngineHost> EngineAsync(bool upkeep = true) => EngineHost.StartAsync(_server, upkeep);

    public async Task<string> DatabaseAsync() => await _server.CreateDatabaseAsync();

    /// <summary>With its password, which a data source does not tell.</summary>
    public static string AddressOf(EngineHost engine) => engine.Get<IConfiguration>().GetConnectionString("jobhub")!;

    /// <summary>The same address as a URL, as programs that are not .NET want it.</summary>
    public static string Url(string connection)
    {
        var c = new NpgsqlConnectionStringBuilder(connection);
        return $"postgres://{c.Username}:{c.Password}@{c.Host}:{c.Port}/{c.Database}";
    }

    /// <summary>Drops a database and begins the next run from a checkpoint, so that none pays for the writes of the one before.</summary>
    public static async Task DropAsync(string connection)
    {
        var c = new NpgsqlConnectionStringBuilder(connection);
        var name = c.Database;
        c.Database = "postgres";
        c.Pooling = false;
        await using var admin = new NpgsqlConnection(c.ConnectionString);
        await admin.OpenAsync();
        foreach (var sql in new[] { $"DROP DATABASE IF EXISTS \"{name}\" WITH (FORCE)", "CHECKPOINT" })
        {
            await using var command = new NpgsqlCommand(sql, admin) { CommandTimeout = 120 };
            await command.ExecuteNonQueryAsync();
        }
    }

    public ValueTask DisposeAsync() => _server.DisposeAsync();
}
