using JobHub.Testing;
using Npgsql;

namespace JobHub.AppHost.Tests;

public class PostgresServerTests
{
    [Fact]
    public async Task Server_KilledAndRestarted_KeepsWhatWasCommitted()
    {
        await using var server = await PostgresServer.StartAsync(fsync: true, isPrivate: true);
        var connectionString = await server.CreateDatabaseAsync();
        await ExecuteAsync(connectionString, "CREATE TABLE kept (n int); INSERT INTO kept VALUES (7)");
        var before = server.ProcessId;

        await server.KillAsync();
        await server.RestartAsync();

        Assert.NotEqual(before, server.ProcessId);
        NpgsqlConnection.ClearAllPools();
        Assert.Equal(7, await ExecuteAsync(connectionString, "SELECT n FROM kept"));
    }

    [Fact]
    public async Task Server_Disposed_LeavesNoProcess()
    {
        int id;
        await using (var server = await PostgresServer.StartAsync(isPrivate: true)) id = server.ProcessId;
        Assert.False(Directory.Exists($"/proc/{id}"));
    }

    private static async Task<object?> ExecuteAsync(string connectionString, string sql)
    {
        await using var source = NpgsqlDataSource.Create(connectionString);
        await using var command = source.CreateCommand(sql);
        return await command.ExecuteScalarAsync();
    }
}
