using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using JobHub.Api;
using JobHub.Engine.Jobs;
using JobHub.Testing;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;

namespace JobHub.Benchmarks.Queue;

/// <summary>A hub over a fresh database: the Api as a process of its own or inside this one, and if wanted a Worker process.</summary>
internal sealed class BenchHub : IAsyncDisposable
{
    private const string Token = "benchmark-worker-token-0123456789";

    /// <summary>May read everything.</summary>
    public const string AdminToken = "benchmark-admin-token-0123456789";

    private readonly List<Process> _processes = [];
    private readonly string _folder;
    private WebApplication? _inside;

    private BenchHub(EngineHost engine, string folder) => (Engine, _folder) = (engine, folder);

    /// <summary>An engine beside the Api, as a second Api would have it: submits, and counts what became of it.</summary>
    public EngineHost Engine { get; }

    public Uri Address { get; private set; } = new("http://127.0.0.1");

    public string TokenFile => Path.Combine(_folder, "worker-token");

    /// <summary>Starts the Api.</summary>
    /// <param name="inside">In this process, so that what is submitted here is submitted at that Api.</param>
    public static async Task<BenchHub> StartAsync(BenchServer server, bool inside = true, bool engineUpkeep = false)
    {
        var folder = Directory.CreateTempSubdirectory("jobhub-bench-").FullName;
        // Programs run as another user: they must get through to their folders.
        File.SetUnixFileMode(folder, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute | UnixFileMode.GroupExecute | UnixFileMode.OtherExecute);
        var hub = new BenchHub(await server.EngineAsync(engineUpkeep), folder);
        try
        {
            await File.WriteAllTextAsync(hub.TokenFile, Token);
            await File.WriteAllTextAsync(hub.TokenFile + "-admin", AdminToken);
            hub.Address = new($"http://127.0.0.1:{FreePort()}/");
            string[] arguments =
            [
                "--environment=Production", $"--urls={hub.Address}",
                $"--JobHub:Storage:Root={Path.Combine(folder, "store")}", $"--JobHub:Data={folder}", $"--JobHub:Secrets:Keys:bench={Convert.ToBase64String(new byte[32])}",
                $"--JobHub:Auth:AdminTokenFile={hub.TokenFile}-admin", $"--JobHub:Auth:WorkerTokenFile={hub.TokenFile}", "--Logging:LogLevel:Default=Warning",
                "--JobHub:Farm:WorkerProtocol=On",
            ];
            if (inside)
            {
                hub._inside = ApiHost.Build([.. arguments, $"--ConnectionStrings:jobhub={BenchServer.AddressOf(hub.Engine)}"]);
                await hub._inside.StartAsync();
            }
            else
            {
                hub.Run("JobHub.Api.dll", arguments);
            }

            await hub.ReadyAsync();
            return hub;
        }
        catch
        {
            await hub.DisposeAsync();
            throw;
        }
    }

    /// <summary>Submits a job: at the Api when it is in this process, else beside it.</summary>
    public Task<SubmitResult> SubmitAsync(int tasks, bool beside = false) =>
        (beside || _inside is null ? Engine.Jobs : _inside.Services.GetRequiredService<JobService>()).SubmitAsync(Work.Job(tasks), new("bench", null, null), CancellationToken.None);

    /// <summary>A worker process with its own settings; null slots = its default.</summary>
    public void StartWorker(int? slots)
    {
        var arguments = new List<string>
        {
            "serve", "--environment=Production", $"--urls=http://127.0.0.1:{FreePort()}", $"--JobHub:Worker:Api={Address}", $"--JobHub:Worker:TokenFile={TokenFile}",
            $"--JobHub:Worker:DataFolder={Path.Combine(_folder, "worker")}", $"--JobHub:Worker:ScratchRoot={Path.Combine(_folder, "scratch")}", "--JobHub:Worker:Roles=agent",
            "--Logging:LogLevel:Default=Warning",
        };
        if (slots is { } n) arguments.Add($"--JobHub:Worker:Slots={n}");
        Run("JobHub.Worker.dll", arguments);
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var process in Enumerable.Reverse(_processes))
        {
            if (!process.HasExited)
            {
                // In good order: the worker ends its programs and its session, then the Api its requests.
                using var term = Process.Start("kill", ["-TERM", process.Id.ToString(System.Globalization.CultureInfo.InvariantCulture)]);
                using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(12));
                await process.WaitForExitAsync(patience.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                if (!process.HasExited) process.Kill(entireProcessTree: true);
            }

            process.Dispose();
        }

        if (_inside is not null)
        {
            await _inside.StopAsync();
            await _inside.DisposeAsync();
        }

        var connection = BenchServer.AddressOf(Engine);
        await Engine.DisposeAsync();
        await BenchServer.DropAsync(connection);
        if (Directory.Exists(_folder)) Directory.Delete(_folder, recursive: true);
    }

    private void Run(string program, IEnumerable<string> arguments)
    {
        // Our own output goes to a table; theirs, warnings only, belongs to standard error.
        var start = new ProcessStartInfo("dotnet", [Path.Combine(AppContext.BaseDirectory, program), .. arguments]) { WorkingDirectory = _folder, RedirectStandardOutput = true, UseShellExecute = false };
        // Not an argument: those are there for everybody to read.
        start.Environment["ConnectionStrings__jobhub"] = BenchServer.AddressOf(Engine);
        var process = Process.Start(start)!;
        process.OutputDataReceived += (_, line) => { if (line.Data is not null) Console.Error.WriteLine($"  [{program}] {line.Data}"); };
        process.BeginOutputReadLine();
        _processes.Add(process);
    }

    private async Task ReadyAsync()
    {
        using var http = new HttpClient { BaseAddress = Address };
        for (var start = Stopwatch.GetTimestamp(); Stopwatch.GetElapsedTime(start) < TimeSpan.FromSeconds(60);)
        {
            if (_processes.Exists(p => p.HasExited)) throw new InvalidOperationException("A process of the hub ended while it started.");
            try
            {
                using var answer = await http.GetAsync("alive");
                if (answer.StatusCode == HttpStatusCode.OK) return;
            }
            catch (HttpRequestException)
            {
                // Not listening yet.
            }

            await Task.Delay(50);
        }

        throw new TimeoutException("The Api did not become ready.");
    }

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    /// <summary>Opens a session over HTTP.</summary>
    public Task<HttpAgent> AgentAsync(string name, int slots) => HttpAgent.OpenAsync(Address, Token, name, slots);
}
