using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using JobHub.Testing;

namespace JobHub.Web.Tests;

/// <summary>The dashboard alone, as a process of its own.</summary>
public sealed class WebProcess : IAsyncDisposable
{
    private readonly Process process;

    private WebProcess(Process process, HttpClient http)
    {
        this.process = process;
        Http = http;
    }

    public HttpClient Http { get; }

    public static async Task<WebProcess> StartAsync(string api)
    {
        var address = $"http://127.0.0.1:{FreePort()}";
        var program = typeof(Client.HubClient).Assembly.Location;
        var start = new ProcessStartInfo("dotnet", ["exec", program])
        {
            UseShellExecute = false, WorkingDirectory = Path.GetDirectoryName(program), RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true,
        };
        start.Environment["ASPNETCORE_URLS"] = address;
        start.Environment["ASPNETCORE_ENVIRONMENT"] = "Development";
        start.Environment["services__api__http__0"] = api;
        // Ends with us, however we end.
        start.Environment["JOBHUB_PARENT_PIPE"] = "stdin";
        var process = Process.Start(start)!;
        process.OutputDataReceived += (_, _) => { };
        process.BeginOutputReadLine();
        process.ErrorDataReceived += (_, _) => { };
        process.BeginErrorReadLine();
        var web = new WebProcess(process, new HttpClient(new SocketsHttpHandler { UseProxy = false }) { BaseAddress = new Uri(address) });
        await Eventually.TrueAsync(async () => (await web.Http.GetAsync("/health")).IsSuccessStatusCode, "a healthy dashboard");
        return web;
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
