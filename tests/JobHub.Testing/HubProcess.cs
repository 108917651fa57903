using System.Collections.Concurrent;
using JobHub.AppHost.LocalHosting;

namespace JobHub.Testing;

/// <summary>How a test wants its hub.</summary>
public sealed record HubOptions
{
    /// <summary>Null = a folder that is thrown away with the hub.</summary>
    public string? DataFolder { get; init; }
    public int Slots { get; init; } = 2;
    public bool Web { get; init; }
    /// <summary>Null = a free one.</summary>
    public int? ApiPort { get; init; }
    /// <summary>Over the environment of the AppHost and of all it starts, e.g. JobHub__Lease__Duration.</summary>
    public IReadOnlyDictionary<string, string?> Environment { get; init; } = new Dictionary<string, string?>();
    /// <summary>Further arguments of the AppHost.</summary>
    public IReadOnlyList<string> Arguments { get; init; } = [];
}

/// <summary>
/// A whole hub of real processes, started as its users start it. Names of its processes: apphost, postgres, api, worker, web. Disposing
/// ends it and throws when a process of it is left.
/// </summary>
public sealed class HubProcess : IAsyncDisposable
{
    private const string Marker = "JOBHUB_TEST_HUB";
    private static readonly TimeSpan StartLimit = TimeSpan.FromMinutes(3);

    private readonly ConcurrentQueue<string> output = new();
    private readonly string mark = Guid.NewGuid().ToString("N");
    private readonly bool ownsFolder;
    private readonly HubOptions options;
    private readonly int webPort = LoopbackPort.Free();
    private HostedProcess process;

    private HubProcess(HubOptions options)
    {
        this.options = options;
        ownsFolder = options.DataFolder is null;
        DataFolder = options.DataFolder ?? NewFolder();
        ApiPort = options.ApiPort ?? LoopbackPort.Free();
        process = Launch();
    }

    public string DataFolder { get; }

    public int ApiPort { get; }

    public Uri Api => new($"http://127.0.0.1:{ApiPort}");

    public Uri Dashboard => new($"http://127.0.0.1:{webPort}");

    public string AdminToken => File.ReadAllText(Path.Combine(DataFolder, "admin-token")).Trim();

    /// <summary>What it printed so far.</summary>
    public IReadOnlyList<string> Output => [.. output];

    /// <summary>The exit code of the AppHost.</summary>
    public Task<int> Exited => process.Exited;

    /// <summary>The AppHost's program beside this test's build.</summary>
    public static string Program
    {
        get
        {
            var here = Path.TrimEndingDirectorySeparator(AppContext.BaseDirectory);
            var repository = new DirectoryInfo(here);
            while (!File.Exists(Path.Combine(repository.FullName, "JobHub.sln"))) repository = repository.Parent ?? throw new InvalidOperationException("JobHub.sln was not found.");
            return Path.Combine(repository.FullName, "JobHub.AppHost", "bin", Path.GetFileName(Path.GetDirectoryName(here))!, Path.GetFileName(here), "JobHub.AppHost.dll");
        }
    }

    /// <summary>Starts a hub and waits for its ready line.</summary>
    public static async Task<HubProcess> StartAsync(HubOptions? options = null, CancellationToken cancellationToken = default)
    {
        var hub = new HubProcess(options ?? new HubOptions());
        try
        {
            await hub.WaitReadyAsync(cancellationToken);
            return hub;
        }
        catch
        {
            await hub.DisposeAsync();
            throw;
        }
    }

    /// <summary>Runs the AppHost to its end: for starts that are refused.</summary>
    public static async Task<(int ExitCode, string Output)> RunToEndAsync(IReadOnlyList<string> arguments, CancellationToken cancellationToken = default) =>
        await HostedProcess.RunAsync(new ProcessPlan("dotnet", ["exec", Program, .. arguments]) { Folder = Path.GetTempPath() }, cancellationToken);

    /// <summary>A folder that other users can pass through, as Postgres under root needs it.</summary>
    public static string NewFolder()
    {
        var folder = Directory.CreateTempSubdirectory("jobhub-").FullName;
        File.SetUnixFileMode(folder, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute | UnixFileMode.GroupExecute | UnixFileMode.OtherExecute);
        return folder;
    }

    /// <summary>A client of the Api, as admin.</summary>
    public HttpClient CreateClient()
    {
        var client = new HttpClient(new SocketsHttpHandler { UseProxy = false }) { BaseAddress = Api };
        client.DefaultRequestHeaders.Authorization = new System.Net.Http.Headers.AuthenticationHeaderValue("Bearer", AdminToken);
        return client;
    }

    /// <summary>Null when it is not running now.</summary>
    public int? FindProcess(string name) =>
        RunRecords.Read(Path.Combine(DataFolder, "run", $"{name}.json")) is { } record && new ProcessIdentity(record.Pid, record.Started).IsAlive ? record.Pid : null;

    public int ProcessOf(string name) => FindProcess(name) ?? throw new InvalidOperationException($"The hub's {name} is not running.");

    /// <summary>Where it listens: an http address, or host:port for postgres.</summary>
    public string AddressOf(string name) =>
        RunRecords.Read(Path.Combine(DataFolder, "run", $"{name}.json"))?.Address ?? throw new InvalidOperationException($"The hub's {name} is not running.");

    /// <summary>Connects to the hub's own database.</summary>
    public string ConnectionString
    {
        get
        {
            var address = AddressOf("postgres").Split(':');
            var password = File.ReadAllText(Path.Combine(DataFolder, "postgres-password")).Trim();
            return $"Host={address[0]};Port={address[1]};Username={PostgresCluster.UserName};Password={password};Database=jobhub;SSL Mode=Disable";
        }
    }

    /// <summary>Sends a signal, e.g. 19 (stop) or 18 (continue), and does not wait.</summary>
    public void Signal(string name, int signal) => Unix.Signal(ProcessOf(name), signal);

    /// <summary>Sends a signal (9 unless told), and waits until that process is gone. The AppHost starts it again.</summary>
    /// <returns>The id it had.</returns>
    public async Task<int> KillAsync(string name, int signal = Unix.Kill)
    {
        var id = ProcessOf(name);
        var identity = ProcessIdentity.Of(id);
        Unix.Signal(id, signal);
        await Eventually.TrueAsync(() => identity is null || !identity.IsAlive, $"the end of {name} (process {id})");
        return id;
    }

    /// <summary>Waits until another process than <paramref name="before"/> runs under this name, and answers when it has a health page.</summary>
    public async Task<int> WaitRestartedAsync(string name, int before, CancellationToken cancellationToken = default)
    {
        await Eventually.TrueAsync(() => FindProcess(name) is { } id && id != before, $"a new {name}", cancellationToken: cancellationToken);
        if (AddressOf(name).StartsWith("http", StringComparison.Ordinal))
        {
            using var http = new HttpClient(new SocketsHttpHandler { UseProxy = false }) { BaseAddress = new Uri(AddressOf(name)) };
            await Eventually.TrueAsync(async () => (await http.GetAsync("/health", cancellationToken)).IsSuccessStatusCode, $"a healthy {name}", cancellationToken: cancellationToken);
        }
        return ProcessOf(name);
    }

    /// <summary>Asks the AppHost to stop, as Ctrl-C does, and returns its exit code.</summary>
    public async Task<int> StopAsync()
    {
        await process.StopAsync(Unix.Interrupt, TimeSpan.FromMinutes(2), CancellationToken.None);
        return await process.Exited;
    }

    /// <summary>kill -9 of the AppHost alone.</summary>
    public async Task KillAppHostAsync()
    {
        Unix.Signal(process.ProcessId, Unix.Kill);
        await process.Exited;
    }

    /// <summary>Starts the AppHost again on the same folder and ports.</summary>
    public async Task StartAgainAsync(CancellationToken cancellationToken = default)
    {
        if (!process.Exited.IsCompleted) throw new InvalidOperationException("The hub still runs.");
        process.Dispose();
        output.Clear();
        process = Launch();
        await WaitReadyAsync(cancellationToken);
    }

    /// <summary>Ids of all processes that belong to this hub, the programs of its jobs included where they kept its environment.</summary>
    public IReadOnlyList<int> Processes() => [.. ProcessStat.All().Where(p => p.State is not ('Z' or 'X') && HasMark(p.ProcessId)).Select(p => p.ProcessId)];

    public async ValueTask DisposeAsync()
    {
        if (!process.Exited.IsCompleted) await StopAsync();
        process.Dispose();
        // After a kill of the AppHost its children need a moment to notice; Postgres does not notice at all and is ended here.
        if (FindProcess("postgres") is { } postgres) Unix.Signal(postgres, Unix.Quit);
        IReadOnlyList<int> left = [];
        for (var tenths = 0; tenths < 200 && (left = Processes()).Count > 0; tenths++) await Task.Delay(100);
        var names = left.Select(id => $"{id} {CommandOf(id)}").ToArray();
        foreach (var id in left) Unix.Signal(id, Unix.Kill);
        if (ownsFolder) Delete();
        if (left.Count > 0) throw new InvalidOperationException($"Processes of the hub were left: {string.Join("; ", names)}");
    }

    private static string CommandOf(int id)
    {
        try
        {
            return File.ReadAllText($"/proc/{id}/cmdline").Replace('\0', ' ');
        }
        catch (IOException)
        {
            return "";
        }
    }

    private void Delete()
    {
        for (var attempt = 0; ; attempt++)
        {
            try
            {
                Directory.Delete(DataFolder, recursive: true);
                return;
            }
            catch (IOException) when (attempt < 20)
            {
                // A killed server's last backend may still write a file.
                new ManualResetEventSlim().Wait(100);
            }
        }
    }

    private bool HasMark(int id)
    {
        try
        {
            return File.ReadAllText($"/proc/{id}/environ").Contains($"{Marker}={mark}", StringComparison.Ordinal);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    private HostedProcess Launch()
    {
        var environment = new Dictionary<string, string?>(options.Environment) { [Marker] = mark, ["JOBHUB_PARENT_PIPE"] = "stdin" };
        List<string> arguments = ["exec", Program, "--data", DataFolder, "--api-port", $"{ApiPort}", "--slots", $"{options.Slots}", .. options.Arguments];
        arguments.AddRange(options.Web ? ["--web-port", $"{webPort}"] : ["--no-web"]);
        return HostedProcess.Start(new ProcessPlan("dotnet", arguments) { Environment = environment, Folder = DataFolder, HoldInput = true }, Keep);
    }

    private void Keep(string line)
    {
        output.Enqueue(line);
        while (output.Count > 5000) output.TryDequeue(out _);
    }

    private async Task WaitReadyAsync(CancellationToken cancellationToken)
    {
        var clock = TimeProvider.System;
        var start = clock.GetTimestamp();
        while (!output.Any(l => l.StartsWith("JobHub is ready", StringComparison.Ordinal)))
        {
            if (process.Exited.IsCompleted || clock.GetElapsedTime(start) > StartLimit)
                throw new InvalidOperationException($"The hub did not become ready:\n{string.Join('\n', output)}");
            await Task.Delay(20, cancellationToken);
        }
    }
}
