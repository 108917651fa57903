using System.Net.Http.Headers;
using System.Text;
using System.Text.Json.Nodes;
using JobHub.Testing;
using Microsoft.AspNetCore.Builder;

namespace JobHub.Api.Tests;

/// <summary>A real Api over a real Postgres and a store of files, on a loopback port. Nothing claims its tasks but what a test does itself.</summary>
public sealed class HubHost : IAsyncDisposable
{
    public const string AdminToken = "test-admin-token-0123456789", WorkerToken = "test-worker-token-0123456789", DashboardOrigin = "http://localhost:4751";

    private readonly WebApplication app;

    private HubHost(WebApplication app, string folder) => (this.app, Folder, Client) = (app, folder, NewClient(app));

    public string Folder { get; }

    /// <summary>Without a token.</summary>
    public HttpClient Client { get; }

    public Uri Address => Client.BaseAddress!;

    public IServiceProvider Services => app.Services;

    public static async Task<HubHost> StartAsync(PostgresServer postgres, string environment = "Development", params string[] more)
    {
        var folder = Directory.CreateTempSubdirectory("jobhub-api-").FullName;
        try
        {
            await File.WriteAllTextAsync(Path.Combine(folder, "admin-token"), AdminToken + "\n");
            await File.WriteAllTextAsync(Path.Combine(folder, "worker-token"), WorkerToken);
            var app = ApiHost.Build(
            [
                $"--environment={environment}", "--urls=http://127.0.0.1:0", $"--ConnectionStrings:jobhub={await postgres.CreateDatabaseAsync()}",
                $"--JobHub:Storage:Root={Path.Combine(folder, "store")}", $"--JobHub:Data={folder}",
                $"--JobHub:Secrets:Keys:test={Convert.ToBase64String(new byte[32])}",
                $"--JobHub:Auth:AdminTokenFile={Path.Combine(folder, "admin-token")}", $"--JobHub:Auth:WorkerTokenFile={Path.Combine(folder, "worker-token")}",
                $"--JobHub:Web:Origin={DashboardOrigin}", "--JobHub:Artifacts:UploadLimit=3000000", "--Logging:LogLevel:Default=Warning", .. more,
            ]);
            await app.StartAsync();
            return new HubHost(app, folder);
        }
        catch
        {
            Directory.Delete(folder, recursive: true);
            throw;
        }
    }

    public HttpClient NewClient(string token)
    {
        var client = NewClient(app);
        client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", token);
        return client;
    }

    /// <summary>A file that jobs may read.</summary>
    public string WriteInput(string name, string text)
    {
        var path = Path.Combine(Folder, name);
        File.WriteAllText(path, text);
        return "file://" + path;
    }

    public async Task<HttpResponseMessage> UploadAsync(string name, string content, string? type = "streaming", bool typeFirst = false)
    {
        using var form = new MultipartFormDataContent();
        if (type is not null && typeFirst) form.Add(new StringContent(type), "type");
        form.Add(new ByteArrayContent(Encoding.UTF8.GetBytes(content)), "program", name);
        if (type is not null && !typeFirst) form.Add(new StringContent(type), "type");
        return await Client.PutAsync("/api/v1/artifacts", form);
    }

    /// <summary>The smallest good submission over an input.</summary>
    public JsonObject Submission(string inputPath) => new()
    {
        ["nReducers"] = 2, ["inputPath"] = inputPath, ["inputType"] = "file/txt", ["outputPath"] = $"file://{Folder}/out", ["mapperName"] = "mapper.sh", ["reducerName"] = "reducer.sh",
    };

    public async ValueTask DisposeAsync()
    {
        Client.Dispose();
        await app.StopAsync();
        await app.DisposeAsync();
        Directory.Delete(Folder, recursive: true);
    }

    private static HttpClient NewClient(WebApplication app) => new(new SocketsHttpHandler { AllowAutoRedirect = false }) { BaseAddress = new Uri(app.Urls.First()) };
}

/// <summary>One Postgres and one development host for the tests that can share them.</summary>
public sealed class HubFixture : IAsyncLifetime
{
    public PostgresServer Postgres { get; private set; } = null!;

    public HubHost Hub { get; private set; } = null!;

    public async Task InitializeAsync()
    {
        Postgres = await PostgresServer.StartAsync();
        Hub = await HubHost.StartAsync(Postgres);
        foreach (var name in (string[])["mapper.sh", "reducer.sh"])
        {
            using var answer = await Hub.UploadAsync(name, "#!/bin/sh\ncat\n");
            answer.EnsureSuccessStatusCode();
        }
    }

    public async Task DisposeAsync()
    {
        await Hub.DisposeAsync();
        await Postgres.DisposeAsync();
    }
}

[CollectionDefinition(Name)]
public sealed class HubCollection : ICollectionFixture<HubFixture>
{
    public const string Name = "hub";
}

/// <summary>A hub of their own for the tests of farm jobs: their jobs wait for any worker, and would be given to those of other tests.</summary>
[CollectionDefinition(Name)]
public sealed class FarmCollection : ICollectionFixture<HubFixture>
{
    public const string Name = "farm";
}
