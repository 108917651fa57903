using System.Net.Sockets;
using System.Security.Cryptography;
using JobHub.AppHost.LocalHosting;

namespace JobHub.Testing;

/// <summary>
/// A real RabbitMQ for tests, in a folder that is thrown away, with a port mapper of its own. A guard process on a pipe ends it and removes the folder when this process
/// dies without saying goodbye.
/// </summary>
public sealed class RabbitServer : IAsyncDisposable
{
    private const string Program = "/usr/lib/rabbitmq/bin/rabbitmq-server";
    private const string User = "hub";
    private static readonly TimeSpan StartLimit = TimeSpan.FromMinutes(2);

    private readonly string folder = $"/tmp/jhmq-{RandomNumberGenerator.GetHexString(8, lowercase: true)}";
    private readonly string password = RandomNumberGenerator.GetHexString(24, lowercase: true);
    private readonly UnixUser? user = Unix.IsRoot ? UnixUser.Find("rabbitmq") ?? UnixUser.Find("nobody") : null;
    private readonly HostedProcess guard;
    private readonly int ports;
    private HostedProcess? mapper;
    private HostedProcess? server;

    private RabbitServer()
    {
        ports = FreePorts();
        guard = StartGuard(folder);
    }

    /// <summary>Whether the server can be started here; else what to install.</summary>
    public static string? Missing => File.Exists(Program) ? null : "rabbitmq-server is not installed: apt-get install -y --no-install-recommends rabbitmq-server";

    public int Port => ports;

    /// <summary>amqp://user:password@127.0.0.1:port.</summary>
    public string ConnectionString => $"amqp://{User}:{password}@127.0.0.1:{Port}";

    public string Password => password;

    /// <summary>Starts a broker; about 4 s.</summary>
    /// <param name="running">False: only its address is known, and nothing listens there until <see cref="StartAgainAsync"/>.</param>
    public static async Task<RabbitServer> StartAsync(bool running = true)
    {
        if (Missing is { } missing) throw new InvalidOperationException(missing);
        var rabbit = new RabbitServer();
        try
        {
            rabbit.Prepare();
            if (running) await rabbit.StartAgainAsync();
            return rabbit;
        }
        catch
        {
            await rabbit.DisposeAsync();
            throw;
        }
    }

    /// <summary>kill -9; returns when it is gone.</summary>
    public async Task KillAsync()
    {
        var running = server ?? throw new InvalidOperationException("The broker does not run.");
        running.KillSession();
        await running.Exited;
        running.Dispose();
        server = null;
        await Eventually.TrueAsync(() => LoopbackPort.IsFree(Port), "the broker's free port");
    }

    /// <summary>Starts it on the same port and folder; returns when it takes connections.</summary>
    public async Task StartAgainAsync()
    {
        mapper ??= Start("/usr/bin/epmd", "-port", $"{ports + 1}", "-address", "127.0.0.1");
        var lines = new System.Collections.Concurrent.ConcurrentQueue<string>();
        var started = server = Start(Program, lines.Enqueue);
        await Eventually.TrueAsync(async () =>
        {
            if (started.Exited.IsCompleted) return true;
            return await AnswersAsync();
        }, $"an answer of the broker at port {Port}: {string.Join('\n', lines)}", StartLimit);
        if (started.Exited.IsCompleted) throw new InvalidOperationException($"The broker ended with {await started.Exited}:\n{string.Join('\n', lines)}");
    }

    /// <summary>Says that its memory is used up, or no longer: until then it takes nothing from publishers.</summary>
    public async Task AlarmAsync(bool on)
    {
        string[] arguments = ["-n", $"jh{Port}@localhost", "set_vm_memory_high_watermark", .. on ? (string[])["0"] : ["absolute", "1GB"]];
        var (code, output) = await HostedProcess.RunAsync(new ProcessPlan(Path.Combine(Path.GetDirectoryName(Program)!, "rabbitmqctl"), arguments) { User = user, Folder = folder, Environment = Settings() }, CancellationToken.None);
        if (code != 0) throw new InvalidOperationException($"rabbitmqctl ended with {code}: {output}");
    }

    public async ValueTask DisposeAsync()
    {
        // Nothing in it is wanted any more.
        foreach (var process in new[] { server, mapper })
        {
            if (process is null) continue;
            process.KillSession();
            await process.Exited;
            process.Dispose();
        }

        guard.KillSession();
        await guard.Exited;
        guard.Dispose();
        // Helpers of the Erlang machine end a moment after it.
        for (var tries = 0; Directory.Exists(folder); tries++)
        {
            try
            {
                Directory.Delete(folder, recursive: true);
            }
            catch (IOException) when (tries < 20)
            {
                await Task.Delay(50);
            }
        }
    }

    private void Prepare()
    {
        Directory.CreateDirectory(folder);
        File.WriteAllText($"{folder}/rabbitmq.conf", $"""
            listeners.tcp.1 = 127.0.0.1:{Port}
            default_user = {User}
            default_pass = {password}
            disk_free_limit.absolute = 20MB
            vm_memory_high_watermark.absolute = 1GB

            """);
        File.WriteAllText($"{folder}/plugins", "");
        if (user is null) return;
        foreach (var path in (string[])[folder, $"{folder}/rabbitmq.conf", $"{folder}/plugins"]) Unix.ChangeOwner(path, user);
    }

    // It says the protocol's first word before the broker is whole; a greeting to our own means that connections are taken.
    private async Task<bool> AnswersAsync()
    {
        using var client = new TcpClient();
        await client.ConnectAsync("127.0.0.1", Port);
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(5));
        var stream = client.GetStream();
        await stream.WriteAsync("AMQP\0\0\u0009\u0001"u8.ToArray(), limit.Token);
        return await stream.ReadAsync(new byte[8], limit.Token) > 0;
    }

    private HostedProcess Start(string program, params string[] arguments) => Start(program, _ => { }, arguments);

    private HostedProcess Start(string program, Action<string> line, params string[] arguments)
    {
        var started = HostedProcess.Start(new ProcessPlan(program, arguments) { User = user, Folder = folder, Environment = Settings() }, line);
        guard.Write($"{started.ProcessId}\n");
        return started;
    }

    private Dictionary<string, string?> Settings() => new()
    {
        ["HOME"] = folder, ["LC_ALL"] = "C.UTF-8", ["ERL_EPMD_PORT"] = $"{ports + 1}", ["ERL_EPMD_ADDRESS"] = "127.0.0.1", ["RABBITMQ_CONF_ENV_FILE"] = "/dev/null",
        ["RABBITMQ_NODENAME"] = $"jh{Port}@localhost", ["RABBITMQ_NODE_PORT"] = $"{Port}", ["RABBITMQ_DIST_PORT"] = $"{ports + 2}", ["RABBITMQ_CONFIG_FILE"] = $"{folder}/rabbitmq.conf",
        ["RABBITMQ_MNESIA_BASE"] = $"{folder}/mnesia", ["RABBITMQ_LOG_BASE"] = $"{folder}/log", ["RABBITMQ_ENABLED_PLUGINS_FILE"] = $"{folder}/plugins",
        ["RABBITMQ_SCHEMA_DIR"] = $"{folder}/schema", ["RABBITMQ_GENERATED_CONFIG_DIR"] = $"{folder}/generated", ["RABBITMQ_FEATURE_FLAGS_FILE"] = $"{folder}/flags",
        ["RABBITMQ_PID_FILE"] = $"{folder}/pid", ["RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS"] = "-kernel inet_dist_use_interface {127,0,0,1} +S 2:2 +sbwt none",
    };

    // Reads ids of sessions until its pipe ends by our death; ours alone are in it.
    private static HostedProcess StartGuard(string folder)
    {
        const string Script = """
            ids=
            while read -r id; do ids="$id $ids"; done
            for id in $ids; do for member in $(ps -o pid= -s "$id"); do kill -KILL "$member" 2>/dev/null; done; done
            sleep 0.5
            rm -rf "$1"
            """;
        return HostedProcess.Start(new ProcessPlan("/bin/sh", ["-c", Script, "guard", folder]) { HoldInput = true }, _ => { });
    }

    private static int FreePorts()
    {
        while (true)
        {
            var port = LoopbackPort.Free();
            if (LoopbackPort.IsFree(port + 1) && LoopbackPort.IsFree(port + 2)) return port;
        }
    }
}
