using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using JobHub.Testing;

namespace JobHub.Web.Tests;

/// <summary>The dashboard alone, as a process of its own.</summary>
public sealed class WebProcess : IAsyncDisposable
{
    private readonly Process process;
    private readonly System.Collections.Concurrent.ConcurrentQueue<string> output = new();

    private WebProcess(Process process, HttpClient http)
    {
        this.process = process;
        Http = http;
    }

    public HttpClient Http { get; }

    /// <summary>What it printed so far.</summary>
    public string Output => string.Join('\n', output);

    /// <param name="settings">Further environment variables of it.</param>
    public static async Task<WebProcess> StartAsync(string api, string environment = "Development", params (string Name, string Value)[] settings)
    {
        var address = $"http://127.0.0.1:{FreePort()}";
        var program = typeof(Client.HubHttp).Assembly.Location;
        var start = new ProcessStartInfo("dotnet", ["exec", program])
        {
            UseShellExecute = false, WorkingDirectory = Path.GetDirectoryName(program), RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true,
        };
        start.Environment["ASPNETCORE_URLS"] = address;
        start.Environment["ASPNETCORE_ENVIRONMENT"] = environment;
        // Where its files are: only in development the build says so itself.
        start.Environment["ASPNETCORE_CONTENTROOT"] = Source();
        foreach (var (name, value) in settings) start.Environment[name] = value;
        start.Environment["services__api__http__0"] = api;
        // Ends with us, however we end.
        start.Environment["JOBHUB_PARENT_PIPE"] = "stdin";
        var process = Process.Start(start)!;
        var web = new WebProcess(process, new HttpClient(new SocketsHttpHandler { UseProxy = false, AllowAutoRedirect = false, UseCookies = false }) { BaseAddress = new Uri(address) });
        process.OutputDataReceived += (_, line) => web.output.Enqueue(line.Data ?? "");
        process.BeginOutputReadLine();
        process.ErrorDataReceived += (_, line) => web.output.Enqueue(line.Data ?? "");
        process.BeginErrorReadLine();
        await Eventually.TrueAsync(async () => (await web.Http.GetAsync("/health")).IsSuccessStatusCode, "a healthy dashboard");
        return web;
    }

    internal static string Source(string project = "JobHub.Web")
    {
        var here = new DirectoryInfo(AppContext.BaseDirectory);
        while (!File.Exists(Path.Combine(here.FullName, "JobHub.sln"))) here = here.Parent!;
        return Path.Combine(here.FullName, project);
    }

    public static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    public async ValueTask DisposeAsync()
    {
        Http.Dispose();
        process.StandardInput.Close();
        await process.WaitForExitAsync();
        process.Dispose();
    }
}
