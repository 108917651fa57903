using JobHub.AppHost.LocalHosting;
using Npgsql;

namespace JobHub.Testing;

/// <summary>
/// A real Postgres for tests: a throwaway cluster of its own, made by the same code that the AppHost uses. With JOBHUB_TEST_POSTGRES (a
/// connection string of a superuser) that server is used instead, and only the databases made here are dropped at the end.
/// </summary>
public sealed class PostgresServer : IAsyncDisposable
{
    private readonly PostgresCluster? cluster;
    private readonly string? folder;
    private readonly string administration;
    private readonly List<string> databases = [];
    private HostedProcess? guard;

    private PostgresServer(PostgresCluster? cluster, string? folder, string administration)
    {
        this.cluster = cluster;
        this.folder = folder;
        this.administration = administration;
    }

    /// <summary>Whether this server may be killed and restarted.</summary>
    public bool IsPrivate => cluster is not null;

    public int ProcessId => Cluster.ProcessId;

    public int Port => Cluster.Port;

    private PostgresCluster Cluster => cluster ?? throw new InvalidOperationException("The server of JOBHUB_TEST_POSTGRES is not ours to stop.");

    /// <summary>Starts a server.</summary>
    /// <param name="fsync">Off saves the disk where a test does not kill the server.</param>
    /// <param name="settings">Further settings of the server, by name.</param>
    /// <param name="isPrivate">A cluster of its own even when JOBHUB_TEST_POSTGRES is set: for tests that kill it.</param>
    public static async Task<PostgresServer> StartAsync(
        bool fsync = false, IReadOnlyDictionary<string, string>? settings = null, bool isPrivate = false, CancellationToken cancellationToken = default)
    {
        if (!isPrivate && Environment.GetEnvironmentVariable("JOBHUB_TEST_POSTGRES") is { Length: > 0 } given) return new PostgresServer(null, null, given);
        var folder = Directory.CreateTempSubdirectory("jobhub-pg-").FullName;
        try
        {
            // The user of the server must be able to enter; what it may not read stays closed by the cluster's own mode.
            const UnixFileMode Owner = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;
            File.SetUnixFileMode(folder, Owner | UnixFileMode.GroupExecute | UnixFileMode.OtherExecute);
            var all = new Dictionary<string, string>
            {
                ["fsync"] = fsync ? "on" : "off", ["synchronous_commit"] = fsync ? "on" : "off", ["shared_buffers"] = "128MB",
            };
            foreach (var (name, value) in settings ?? new Dictionary<string, string>()) all[name] = value;
            var cluster = await PostgresCluster.StartAsync(
                new PostgresClusterOptions
                {
                    Home = await PostgresHome.ResolveAsync(folder, cancellationToken), Password = PostgresCluster.NewPassword(), Settings = all,
                },
                cancellationToken);
            return new PostgresServer(cluster, folder, cluster.ConnectionString("postgres")) { guard = StartGuard(folder, cluster.DataFolder) };
        }
        catch
        {
            Directory.Delete(folder, recursive: true);
            throw;
        }
    }

    /// <summary>A fresh, empty database; returns its connection string. Pooling is on.</summary>
    public async Task<string> CreateDatabaseAsync(CancellationToken cancellationToken = default)
    {
        var name = $"t{Guid.NewGuid():N}";
        await ExecuteAsync($"CREATE DATABASE {name}", cancellationToken);
        databases.Add(name);
        return new NpgsqlConnectionStringBuilder(administration) { Database = name, Pooling = true, MaxPoolSize = 50 }.ConnectionString;
    }

    /// <summary>kill -9 of the server; returns when it is gone. Connections break.</summary>
    public Task KillAsync() => Cluster.KillAsync();

    /// <summary>Starts it again, on the same port, after <see cref="KillAsync"/> or <see cref="StopAsync"/>. Waits for recovery.</summary>
    public async Task RestartAsync(CancellationToken cancellationToken = default)
    {
        // Backends of a killed server hold its memory until they notice; the new one refuses to start so long.
        var limit = TimeProvider.System.GetTimestamp();
        while (true)
        {
            try
            {
                await Cluster.StartServerAsync(cancellationToken);
                return;
            }
            catch (HubStartException) when (TimeProvider.System.GetElapsedTime(limit) < TimeSpan.FromSeconds(30))
            {
                await Task.Delay(100, cancellationToken);
            }
        }
    }

    /// <summary>A fast stop in good order.</summary>
    public Task StopAsync() => Cluster.StopAsync(TimeSpan.FromSeconds(15), CancellationToken.None);

    public async ValueTask DisposeAsync()
    {
        if (cluster is null)
        {
            foreach (var name in databases) await ExecuteAsync($"DROP DATABASE IF EXISTS {name} WITH (FORCE)", CancellationToken.None);
            return;
        }
        // Nothing in it is wanted any more: an immediate stop.
        if (!cluster.Exited.IsCompleted) await cluster.StopAsync(TimeSpan.FromSeconds(5), CancellationToken.None);
        cluster.Dispose();
        guard?.KillSession();
        guard?.Dispose();
        NpgsqlConnection.ClearAllPools();
        Directory.Delete(folder!, recursive: true);
    }

    /// <summary>Ends the server and removes its folder when this process dies without saying goodbye.</summary>
    private static HostedProcess StartGuard(string folder, string data)
    {
        const string Script = """cat > /dev/null; kill -QUIT "$(head -n 1 "$2/postmaster.pid")"; sleep 2; rm -rf "$1" """;
        return HostedProcess.Start(new ProcessPlan("/bin/sh", ["-c", Script, "sh", folder, data]) { HoldInput = true }, _ => { });
    }

    private async Task ExecuteAsync(string sql, CancellationToken cancellationToken)
    {
        await using var connection = new NpgsqlConnection(new NpgsqlConnectionStringBuilder(administration) { Pooling = false }.ConnectionString);
        await connection.OpenAsync(cancellationToken);
        await using var command = new NpgsqlCommand(sql, connection);
        await command.ExecuteNonQueryAsync(cancellationToken);
    }
}
