using System.Collections.Concurrent;
using System.Diagnostics;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text.Json.Nodes;
using JobHub.Testing;

namespace JobHub.Web.Tests;

/// <summary>The Api as a process of its own in Production, over a real Postgres, and a provider that it asks: for the tests of a class.</summary>
public sealed class RealHub : IAsyncLifetime
{
    public const string Password = "a-password-for-ada";

    private readonly string folder = Directory.CreateTempSubdirectory("jobhub-web-api-").FullName;
    private readonly ConcurrentQueue<string> output = new();
    private PostgresServer postgres = null!;
    private Process process = null!;

    public string Address { get; } = $"http://127.0.0.1:{WebProcess.FreePort()}";

    /// <summary>Administers it.</summary>
    public HttpClient Admin { get; private set; } = null!;

    public string AdminToken { get; } = Guid.NewGuid().ToString("N");

    internal ProviderServer Provider { get; private set; } = null!;

    /// <summary>How many sign-ins may fail from an address, and for a name.</summary>
    public const int ByAddress = 15, ByName = 2;

    public async Task InitializeAsync()
    {
        Provider = await ProviderServer.StartAsync();
        postgres = await PostgresServer.StartAsync();
        await File.WriteAllTextAsync(Path.Combine(folder, "admin-token"), AdminToken);
        await File.WriteAllTextAsync(Path.Combine(folder, "worker-token"), Guid.NewGuid().ToString("N"));
        var build = new DirectoryInfo(AppContext.BaseDirectory);
        var program = Path.Combine(WebProcess.Source("JobHub.Api"), "bin", build.Parent!.Name, build.Name, "JobHub.Api.dll");
        var start = new ProcessStartInfo("dotnet", ["exec", program]) { UseShellExecute = false, WorkingDirectory = folder, RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (var (name, value) in (IEnumerable<(string, string)>)
        [
            ("ASPNETCORE_URLS", Address), ("ASPNETCORE_ENVIRONMENT", "Production"), ("ConnectionStrings__jobhub", await postgres.CreateDatabaseAsync()),
            ("JobHub__Storage__Root", Path.Combine(folder, "store")), ("JobHub__Data", folder), ("JobHub__Secrets__Keys__test", Convert.ToBase64String(new byte[32])),
            ("JobHub__Auth__AdminTokenFile", Path.Combine(folder, "admin-token")), ("JobHub__Auth__WorkerTokenFile", Path.Combine(folder, "worker-token")),
            ("JobHub__Auth__SignIn__FailuresByAddress", $"{ByAddress}"), ("JobHub__Auth__SignIn__FailuresByName", $"{ByName}"), ("JOBHUB_PARENT_PIPE", "stdin"), .. Provider.AtApi(),
        ]) start.Environment[name] = value;
        process = Process.Start(start)!;
        process.OutputDataReceived += (_, line) => output.Enqueue(line.Data ?? "");
        process.BeginOutputReadLine();
        process.ErrorDataReceived += (_, line) => output.Enqueue(line.Data ?? "");
        process.BeginErrorReadLine();
        Admin = Client(AdminToken);
        await Eventually.TrueAsync(async () => process.HasExited ? throw new InvalidOperationException(string.Join('\n', output)) : (await Admin.GetAsync("/health")).IsSuccessStatusCode, "a healthy Api");
    }

    public async Task DisposeAsync()
    {
        Admin.Dispose();
        process.StandardInput.Close();
        await process.WaitForExitAsync();
        process.Dispose();
        await postgres.DisposeAsync();
        await Provider.DisposeAsync();
        Directory.Delete(folder, recursive: true);
    }

    /// <summary>A client of the Api.</summary>
    public HttpClient Client(string? token)
    {
        var client = new HttpClient(new SocketsHttpHandler { UseProxy = false }) { BaseAddress = new Uri(Address) };
        if (token is not null) client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", token);
        return client;
    }

    /// <summary>A new user with <see cref="Password"/>; his name.</summary>
    public async Task<string> UserAsync(string role = "member")
    {
        var name = $"u{Guid.NewGuid():N}"[..12];
        using var answer = await Admin.PostAsJsonAsync("/hub/v1/users", new { name, role, password = Password });
        answer.EnsureSuccessStatusCode();
        return name;
    }

    /// <summary>A client with a session of a user.</summary>
    public async Task<HttpClient> SessionAsync(string user)
    {
        using var answer = await Admin.PostAsJsonAsync("/hub/v1/sign-in", new { name = user, password = Password });
        return Client((await ReadAsync(answer))["token"]!.GetValue<string>());
    }

    /// <summary>His sessions and tokens that are not revoked.</summary>
    public async Task<IReadOnlyList<JsonNode>> TokensAsync(string user)
    {
        using var answer = await Admin.GetAsync($"/hub/v1/tokens?user={user}");
        return [.. (await ReadAsync(answer))["items"]!.AsArray().Where(token => token!["revokedAt"] is null).Select(token => token!)];
    }

    public static async Task<JsonObject> ReadAsync(HttpResponseMessage answer)
    {
        var text = await answer.Content.ReadAsStringAsync();
        return answer.IsSuccessStatusCode ? JsonNode.Parse(text)!.AsObject() : throw new InvalidOperationException($"{answer.StatusCode}: {text}");
    }
}
