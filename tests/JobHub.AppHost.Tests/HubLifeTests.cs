using JobHub.Testing;
using Npgsql;

namespace JobHub.AppHost.Tests;

public class HubLifeTests
{
    [Fact]
    public async Task Hub_StartedAndInterrupted_ServesAndLeavesNoProcess()
    {
        await using var hub = await HubProcess.StartAsync(new HubOptions { Web = true });
        var ready = hub.Output.Single(l => l.StartsWith("JobHub is ready", StringComparison.Ordinal));
        Assert.Contains($"api http://127.0.0.1:{hub.ApiPort}", ready);
        Assert.Contains($"data {hub.DataFolder}", ready);
        using var http = hub.CreateClient();
        Assert.True((await http.GetAsync("/health")).IsSuccessStatusCode);
        var page = await http.GetStringAsync(new Uri(hub.Dashboard, "/"));
        Assert.Contains("<h1>Overview</h1>", page);
        foreach (var secret in new[] { "admin-token", "worker-token", "postgres-password" })
            Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(Path.Combine(hub.DataFolder, secret)));
        Assert.True(hub.Processes().Count >= 5);

        Assert.Equal(0, await hub.StopAsync());

        Assert.Empty(hub.Processes());
        Assert.Empty(Directory.GetFiles(Path.Combine(hub.DataFolder, "run")));
    }

    [Fact]
    public async Task Hub_StartedAgain_FindsItsDataAndToken()
    {
        await using var hub = await HubProcess.StartAsync();
        var token = hub.AdminToken;
        await ExecuteAsync(hub, "CREATE TABLE kept (n int); INSERT INTO kept VALUES (7)");
        Assert.Equal(0, await hub.StopAsync());

        await hub.StartAgainAsync();

        Assert.Equal(token, hub.AdminToken);
        Assert.Equal(7, await ExecuteAsync(hub, "SELECT n FROM kept"));
    }

    [Fact]
    public async Task AppHost_Killed_ItsChildrenEndAndANewStartTakesOver()
    {
        await using var hub = await HubProcess.StartAsync();
        await ExecuteAsync(hub, "CREATE TABLE kept (n int); INSERT INTO kept VALUES (7)");
        var (api, postgres) = (hub.ProcessOf("api"), hub.ProcessOf("postgres"));

        await hub.KillAppHostAsync();
        await Eventually.TrueAsync(() => !Directory.Exists($"/proc/{api}"), "the end of the Api, whose parent is gone");
        Assert.True(Directory.Exists($"/proc/{postgres}"));
        await hub.StartAgainAsync();

        Assert.NotEqual(postgres, hub.ProcessOf("postgres"));
        Assert.Equal(7, await ExecuteAsync(hub, "SELECT n FROM kept"));
    }

    [Fact]
    public async Task AppHost_KilledWhileAChildHangs_ANewStartEndsTheChild()
    {
        const int Stop = 19;
        await using var hub = await HubProcess.StartAsync();
        var api = hub.ProcessOf("api");
        hub.Signal("api", Stop);
        await hub.KillAppHostAsync();

        await hub.StartAgainAsync();

        Assert.False(Directory.Exists($"/proc/{api}"));
        Assert.Contains(hub.Output, l => l.Contains($"the api of an earlier start (process {api}) is stopped", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Child_Killed_IsStartedAgainWithOneLine()
    {
        await using var hub = await HubProcess.StartAsync();
        foreach (var name in new[] { "worker", "api", "postgres" })
        {
            var before = await hub.KillAsync(name);
            await hub.WaitRestartedAsync(name, before);
            Assert.Single(hub.Output, l => l.Contains($"{name} was killed (SIGKILL); it is started again", StringComparison.Ordinal));
        }
        await Eventually.TrueAsync(async () => (int?)await ExecuteAsync(hub, "SELECT 1") == 1, "an answer of the new Postgres");
    }

    [Fact]
    public async Task Hub_OnAFolderInUse_IsRefusedWithAReason()
    {
        await using var hub = await HubProcess.StartAsync();

        var (code, output) = await HubProcess.RunToEndAsync(["--data", hub.DataFolder, "--no-web"]);

        Assert.Equal(1, code);
        Assert.Contains("Another JobHub", output);
        Assert.Contains(hub.DataFolder, output);
        using var http = hub.CreateClient();
        Assert.True((await http.GetAsync("/health")).IsSuccessStatusCode);
    }

    [Fact]
    public async Task Hub_OnAPortInUse_IsRefusedWithAReason()
    {
        using var listener = new System.Net.Sockets.TcpListener(System.Net.IPAddress.Loopback, 0);
        listener.Start();
        var port = ((System.Net.IPEndPoint)listener.LocalEndpoint).Port;
        var folder = HubProcess.NewFolder();
        try
        {
            var (code, output) = await HubProcess.RunToEndAsync(["--data", folder, "--no-web", "--api-port", $"{port}"]);

            Assert.Equal(1, code);
            Assert.Contains($"Port {port}", output);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static async Task<object?> ExecuteAsync(HubProcess hub, string sql)
    {
        await using var connection = new NpgsqlConnection(hub.ConnectionString + ";Pooling=false");
        await connection.OpenAsync();
        await using var command = new NpgsqlCommand(sql, connection);
        return await command.ExecuteScalarAsync();
    }
}
