using JobHub.Testing;
using Microsoft.Extensions.Configuration;
using Npgsql;

namespace JobHub.Benchmarks.Queue;

/// <summary>A private Postgres as a hub would run on: fsync on, commits durable. Each run has a database of its own, dropped after it, so no run meets another's dead rows.</summary>
internal sealed class BenchServer : IAsyncDisposable
{
    private readonly PostgresServer _server;

    private BenchServer(PostgresServer server) => _server = server;

    /// <param name="statements">Counts what each statement costs (<see cref="StatementsAsync"/>); that itself costs a little.</param>
    public static async Task<BenchServer> StartAsync(bool statements = false)
    {
        var settings = new Dictionary<string, string> { ["shared_buffers"] = "512MB", ["max_wal_size"] = "4GB" };
        if (statements) (settings["shared_preload_libraries"], settings["pg_stat_statements.track"]) = ("pg_stat_statements", "all");
        return new(await PostgresServer.StartAsync(fsync: true, isPrivate: true, settings: settings));
    }

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

    /// <summary>Forgets what statements have cost so far.</summary>
    public static async Task ForgetStatementsAsync(NpgsqlDataSource database)
    {
        await using var command = database.CreateCommand("CREATE EXTENSION IF NOT EXISTS pg_stat_statements; SELECT pg_stat_statements_reset()");
        await command.ExecuteNonQueryAsync();
    }

    /// <summary>The dearest statements of a database since then: calls, rows, milliseconds in all and each, and their beginning.</summary>
    public static async Task<string> StatementsAsync(NpgsqlDataSource database)
    {
        await using var command = database.CreateCommand("""
            SELECT string_agg(format('%s calls, %s rows, %s ms, %s ms each, wal %s kB: %s', calls, rows, round(total_exec_time), round(mean_exec_time::numeric, 3), round(wal_bytes / 1024), left(regexp_replace(query, '\s+', ' ', 'g'), 100)), E'\n' ORDER BY total_exec_time DESC)
            FROM (SELECT * FROM pg_stat_statements WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND total_exec_time > 5 ORDER BY total_exec_time DESC LIMIT 25) s
            """);
        return (string)(await command.ExecuteScalarAsync())!;
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
