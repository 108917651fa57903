using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;

namespace JobHub.AppHost.LocalHosting;

/// <summary>What a private cluster is to be.</summary>
internal sealed record PostgresClusterOptions
{
    /// <summary>The cluster stands in pg&lt;major&gt; below it.</summary>
    public required PostgresHome Home { get; init; }
    /// <summary>Of the superuser `jobhub`.</summary>
    public required string Password { get; init; }
    /// <summary>The cluster may hold another password: set this one before the start.</summary>
    public bool PasswordIsNew { get; init; }
    /// <summary>Made with the cluster.</summary>
    public string Database { get; init; } = "jobhub";
    /// <summary>Over the defaults of <see cref="PostgresCluster"/>.</summary>
    public IReadOnlyDictionary<string, string> Settings { get; init; } = new Dictionary<string, string>();
    /// <summary>Null = a free one.</summary>
    public int? Port { get; init; }
    /// <summary>Gets what the server prints.</summary>
    public Action<string> Line { get; init; } = _ => { };
    /// <summary>Gets what a person should know (something is fetched, a leftover is stopped).</summary>
    public Action<string> Say { get; init; } = _ => { };
}

/// <summary>A Postgres server of our own: made when it is not there, started, restarted, stopped.</summary>
internal sealed class PostgresCluster : IDisposable
{
    /// <summary>The superuser's name.</summary>
    public const string UserName = "jobhub";

    private static readonly TimeSpan ReadyLimit = TimeSpan.FromSeconds(60);

    // A queue: many short commits, and bursts of write-ahead log that should not force checkpoints.
    private static readonly Dictionary<string, string> Defaults = new()
    {
        ["listen_addresses"] = "127.0.0.1",
        ["max_connections"] = "200",
        ["shared_buffers"] = "256MB",
        ["max_wal_size"] = "2GB",
        ["checkpoint_timeout"] = "15min",
        ["wal_compression"] = "on",
        ["jit"] = "off",
        ["password_encryption"] = "scram-sha-256",
        // Statements hold payloads of callers, and refused ones are reported by the Api in its own words.
        ["log_min_error_statement"] = "panic",
        ["log_min_messages"] = "fatal",
        ["log_line_prefix"] = "",
    };

    private readonly PostgresClusterOptions options;
    private readonly PostgresBinaries binaries;
    private readonly Queue<string> lastLines = new();
    private HostedProcess? process;

    private PostgresCluster(PostgresClusterOptions options, PostgresBinaries binaries)
    {
        this.options = options;
        this.binaries = binaries;
        Port = options.Port ?? LoopbackPort.Free();
    }

    /// <summary>Stays the same over restarts, because clients hold it in their connection strings.</summary>
    public int Port { get; private set; }

    public ProcessIdentity? Identity => process?.Identity;

    public int ProcessId => process?.ProcessId ?? throw new InvalidOperationException("Postgres is not running.");

    /// <summary>Of the server that runs now.</summary>
    public Task<int> Exited => process?.Exited ?? Task.FromResult(0);

    public string DataFolder => PostgresBinaries.ClusterFolder(options.Home.Folder, binaries.Major);

    private string SocketFolder => Path.Combine(options.Home.Folder, "pgsock");

    /// <summary>For Npgsql.</summary>
    public string ConnectionString(string database) =>
        $"Host=127.0.0.1;Port={Port};Username={UserName};Password={options.Password};Database={database};SSL Mode=Disable;GSS Encryption Mode=Disable";

    public static string NewPassword() => Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(32));

    /// <summary>Finds the programs, makes the cluster when there is none, ends a leftover server of it and starts it.</summary>
    public static async Task<PostgresCluster> StartAsync(PostgresClusterOptions options, CancellationToken cancellationToken)
    {
        var binaries = await PostgresBinaries.FindAsync(options.Home.Folder, options.Say, cancellationToken);
        var cluster = new PostgresCluster(options, binaries);
        await cluster.StopLeftoverAsync(cancellationToken);
        if (!File.Exists(Path.Combine(cluster.DataFolder, "PG_VERSION"))) await cluster.CreateAsync(cancellationToken);
        else if (options.PasswordIsNew) await cluster.SetPasswordAsync(cancellationToken);
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                await cluster.StartServerAsync(cancellationToken);
                return cluster;
            }
            catch (HubStartException) when (attempt < 3 && options.Port is null)
            {
                // Somebody may have taken the port between the look and the start.
                cluster.Port = LoopbackPort.Free();
            }
        }
    }

    /// <summary>Starts the server on its port; used again after it died.</summary>
    public async Task StartServerAsync(CancellationToken cancellationToken)
    {
        var arguments = new List<string> { "-D", DataFolder, "-p", $"{Port}" };
        var settings = new Dictionary<string, string>(Defaults);
        foreach (var (name, value) in options.Settings) settings[name] = value;
        settings["unix_socket_directories"] = MakeSocketFolder();
        foreach (var (name, value) in settings) arguments.AddRange(["-c", $"{name}={value}"]);
        process?.Dispose();
        lock (lastLines) lastLines.Clear();
        process = HostedProcess.Start(Plan(binaries.Postgres, arguments), Keep);
        try
        {
            await WaitReadyAsync(process, cancellationToken);
        }
        catch
        {
            await StopAsync(TimeSpan.FromSeconds(5), CancellationToken.None);
            throw;
        }
    }

    /// <summary>A fast stop: clients are cut off, what was committed is kept.</summary>
    public async Task StopAsync(TimeSpan grace, CancellationToken hurry)
    {
        if (process is null) return;
        await process.StopAsync(Unix.Interrupt, grace, hurry);
    }

    /// <summary>kill -9 of the server, as a power cut would do it. Its backends end by themselves.</summary>
    public async Task KillAsync()
    {
        Unix.Signal(ProcessId, Unix.Kill);
        await Exited;
    }

    /// <summary>The running server, for a supervisor that watches and stops it from now on.</summary>
    public HostedProcess TakeProcess() => process ?? throw new InvalidOperationException("Postgres is not running.");

    public void Dispose() => process?.Dispose();

    private static Dictionary<string, string?> Environment()
    {
        var environment = new Dictionary<string, string?> { ["LC_ALL"] = "C.UTF-8" };
        // Neither its own settings nor other parts' passwords: what runs as its user can read its environment.
        foreach (string name in System.Environment.GetEnvironmentVariables().Keys)
            if (name.StartsWith("PG", StringComparison.Ordinal) || name.StartsWith("ConnectionStrings", StringComparison.OrdinalIgnoreCase)) environment[name] = null;
        return environment;
    }

    private ProcessPlan Plan(string program, IReadOnlyList<string> arguments) =>
        new(program, arguments) { User = options.Home.User, Environment = Environment() };

    private string MakeSocketFolder()
    {
        // Everything of ours connects over loopback; the socket is for whoever comes with psql.
        if (SocketFolder.Length + "/.s.PGSQL.65535.lock".Length > Unix.LongestSocketPath) return "";
        OwnedFolder(SocketFolder);
        return SocketFolder;
    }

    private void OwnedFolder(string path)
    {
        Directory.CreateDirectory(path, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        if (options.Home.User is { } user) Unix.ChangeOwner(path, user);
    }

    private async Task CreateAsync(CancellationToken cancellationToken)
    {
        // Built aside and renamed when whole: a start that was cut off leaves nothing half made.
        var building = DataFolder + ".new";
        if (Directory.Exists(building)) Directory.Delete(building, recursive: true);
        OwnedFolder(building);
        var passwordFile = Path.Combine(options.Home.Folder, $"pgpass-{Guid.NewGuid():N}");
        try
        {
            var open = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write, UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite };
            await using (var writer = new StreamWriter(passwordFile, open)) await writer.WriteAsync(options.Password);
            if (options.Home.User is { } user) Unix.ChangeOwner(passwordFile, user);
            await MustAsync(Plan(binaries.InitDb, ["-D", building, "-U", UserName, $"--pwfile={passwordFile}", "--auth=scram-sha-256", "-E", "UTF8",
                "--locale=C.UTF-8", "--data-checksums"]), "initdb", cancellationToken);
        }
        finally
        {
            File.Delete(passwordFile);
        }
        await SingleUserAsync(building, $"CREATE DATABASE {options.Database}\n", cancellationToken);
        Directory.Move(building, DataFolder);
    }

    private Task SetPasswordAsync(CancellationToken cancellationToken) =>
        SingleUserAsync(DataFolder, $"ALTER ROLE {UserName} PASSWORD '{options.Password.Replace("'", "''")}'\n", cancellationToken);

    // Needs no client program and no open port.
    private Task SingleUserAsync(string folder, string sql, CancellationToken cancellationToken) =>
        MustAsync(Plan(binaries.Postgres, ["--single", "-D", folder, "-c", "password_encryption=scram-sha-256", "postgres"]) with { Input = sql },
            "postgres --single", cancellationToken);

    private static async Task MustAsync(ProcessPlan plan, string what, CancellationToken cancellationToken)
    {
        var (code, output) = await HostedProcess.RunAsync(plan, cancellationToken);
        if (code != 0) throw new HubStartException($"{what} failed with exit code {code}: {output}");
    }

    private void Keep(string line)
    {
        lock (lastLines)
        {
            lastLines.Enqueue(line);
            if (lastLines.Count > 20) lastLines.Dequeue();
        }
        options.Line(line);
    }

    private async Task WaitReadyAsync(HostedProcess started, CancellationToken cancellationToken)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        limit.CancelAfter(ReadyLimit);
        try
        {
            while (PostmasterFile.Read(DataFolder) is not { Ready: true } file || file.ProcessId != started.ProcessId)
            {
                if (started.Exited.IsCompleted)
                {
                    string lines;
                    lock (lastLines) lines = string.Join(" ", lastLines);
                    throw new HubStartException($"Postgres ended with exit code {await started.Exited} instead of starting. {lines}");
                }
                await Task.Delay(10, limit.Token);
            }
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            throw new HubStartException($"Postgres in {DataFolder} was not ready after {ReadyLimit.TotalSeconds:0} s.");
        }
    }

    /// <summary>The server of an AppHost that was killed lives on: it is stopped, so that this one is our child and prints to us.</summary>
    private async Task StopLeftoverAsync(CancellationToken cancellationToken)
    {
        if (PostmasterFile.Read(DataFolder) is not { } file || ProcessIdentity.Of(file.ProcessId) is not { } leftover || !RunsHere(file.ProcessId)) return;
        options.Say($"a Postgres of an earlier start (process {file.ProcessId}) is stopped");
        foreach (var (signal, grace) in new[] { (Unix.Interrupt, 20), (Unix.Quit, 5), (Unix.Kill, 5) })
        {
            Unix.Signal(leftover.ProcessId, signal);
            for (var tenths = 0; tenths < grace * 10 && leftover.IsAlive; tenths++) await Task.Delay(100, cancellationToken);
            if (!leftover.IsAlive) return;
        }
        throw new HubStartException($"Postgres process {file.ProcessId} holds {DataFolder} and does not end.");
    }

    // The id in the file may belong to somebody else by now. A server's working folder is its data folder.
    private bool RunsHere(int processId) =>
        !OperatingSystem.IsLinux() || File.ResolveLinkTarget($"/proc/{processId}/cwd", returnFinalTarget: false)?.FullName == Path.GetFullPath(DataFolder);
}

/// <summary>What a server writes into its data folder.</summary>
internal sealed record PostmasterFile(int ProcessId, bool Ready)
{
    public static PostmasterFile? Read(string dataFolder)
    {
        try
        {
            var lines = File.ReadAllLines(Path.Combine(dataFolder, "postmaster.pid"));
            return lines.Length > 0 && int.TryParse(lines[0], out var id) && id > 1
                ? new PostmasterFile(id, lines.Length > 7 && lines[7].Trim() == "ready")
                : null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }
}

/// <summary>Ports on 127.0.0.1.</summary>
internal static class LoopbackPort
{
    /// <summary>
    /// A free port below the range from which the system takes those of outgoing connections: otherwise a client that knocks while a
    /// server is being restarted may be given the server's own port, and keeps it.
    /// </summary>
    public static int Free()
    {
        for (var attempt = 0; attempt < 200; attempt++)
        {
            var port = RandomNumberGenerator.GetInt32(20_000, 32_000);
            if (IsFree(port)) return port;
        }
        throw new HubStartException("No free port was found between 20000 and 32000.");
    }

    public static bool IsFree(int port)
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            socket.Bind(new IPEndPoint(IPAddress.Loopback, port));
            socket.Listen(1);
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }
}
