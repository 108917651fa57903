using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using JobHub.Engine.Storage;

namespace JobHub.Testing;

/// <summary>
/// A real S3 server for tests: Ceph's radosgw over one monitor and one OSD in a folder that is thrown away. With JOBHUB_TEST_S3 (<c>endpoint;access;secret</c>)
/// that server is used instead. A guard process on a pipe ends the three daemons and removes the folder when this process dies without saying goodbye.
/// </summary>
public sealed class S3Server : IAsyncDisposable
{
    private static readonly TimeSpan StartLimit = TimeSpan.FromMinutes(3);

    private readonly string? folder;
    private readonly Process? guard;
    private readonly List<Process> daemons;

    private S3Server(string endpoint, string accessKey, string secretKey, string? folder, Process? guard, List<Process> daemons)
    {
        (Endpoint, AccessKey, SecretKey) = (endpoint, accessKey, secretKey);
        (this.folder, this.guard, this.daemons) = (folder, guard, daemons);
    }

    /// <summary><c>http://127.0.0.1:port</c>.</summary>
    public string Endpoint { get; }
    public string AccessKey { get; }
    public string SecretKey { get; }
    /// <summary><c>127.0.0.1:port</c>, as it stands in paths without a scheme and in AllowedEndpoints.</summary>
    public string HostAndPort => Endpoint[(Endpoint.IndexOf("://", StringComparison.Ordinal) + 3)..];
    public StorageCredentials Credentials => new(AccessKey, SecretKey);
    /// <summary>The value to put into JOBHUB_TEST_S3 for processes that share this server.</summary>
    public string Shared => $"{Endpoint};{AccessKey};{SecretKey}";

    /// <summary>Whether the server can be started here; else what to install.</summary>
    public static string? Missing =>
        new[] { "ceph", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin" }.FirstOrDefault(name => Find(name) is null) is { } missing
            ? $"{missing} is not installed: apt-get install -y --no-install-recommends radosgw ceph-mon ceph-osd"
            : null;

    /// <summary>The shared server of JOBHUB_TEST_S3, or one of its own; about 15 s. Throws when the programs are missing.</summary>
    public static async Task<S3Server> StartAsync(CancellationToken cancellationToken = default)
    {
        if (Environment.GetEnvironmentVariable("JOBHUB_TEST_S3") is { Length: > 0 } shared)
        {
            var parts = shared.Split(';');
            return new S3Server(parts[0], parts[1], parts[2], folder: null, guard: null, []);
        }

        if (Missing is { } missing) throw new InvalidOperationException(missing);
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        limit.CancelAfter(StartLimit);
        for (var tries = 0; ; tries++)
        {
            try
            {
                return await StartOwnAsync(limit.Token);
            }
            catch (DaemonEndedException) when (tries < 3)
            {
                // A port was taken between the choice and the start.
            }
        }
    }

    /// <summary>Ends the daemons, radosgw first, and removes the folder.</summary>
    public async ValueTask DisposeAsync()
    {
        if (guard is null) return;
        guard.StandardInput.Close();
        await guard.WaitForExitAsync();
        guard.Dispose();
        foreach (var daemon in daemons)
        {
            await daemon.WaitForExitAsync();
            daemon.Dispose();
        }

        if (Directory.Exists(folder)) Directory.Delete(folder, recursive: true);
    }

    private static async Task<S3Server> StartOwnAsync(CancellationToken ct)
    {
        // Short: the daemons' sockets are below it.
        var folder = $"/tmp/jhs3-{RandomNumberGenerator.GetHexString(8, lowercase: true)}";
        var run = new Runner(folder, Environment.IsPrivilegedProcess ? "ceph" : null);
        var guard = StartGuard(folder);
        try
        {
            var port = FreePorts();
            var (access, secret) = (RandomNumberGenerator.GetHexString(20), RandomNumberGenerator.GetHexString(40, lowercase: true));
            var (cluster, osd) = (Guid.NewGuid().ToString(), Guid.NewGuid().ToString());
            foreach (var part in (string[])["", "/run", "/mon", "/osd"]) Directory.CreateDirectory(folder + part);
            await File.WriteAllTextAsync($"{folder}/ceph.conf", Configuration(folder, cluster, port), ct);
            if (run.User is not null) await Runner.ToolAsync("chown", ["-R", $"{run.User}:", folder], user: null, [], ct);

            await run.ToolAsync("monmaptool", ["--create", "--fsid", cluster, "--addv", "a", $"[v2:127.0.0.1:{port + 1}]", $"{folder}/monmap"], ct);
            await run.ToolAsync("ceph-mon", ["--mkfs", "-i", "a", "--monmap", $"{folder}/monmap"], ct);
            Watch(guard, run.Start("ceph-mon", "-f", "-i", "a"));
            await run.ToolAsync("ceph", ["--connect-timeout", "60", "osd", "new", osd], ct);
            await run.ToolAsync("ceph-osd", ["-i", "0", "--mkfs", "--osd-uuid", osd], ct);
            Watch(guard, run.Start("ceph-osd", "-f", "-i", "0"));
            await run.ToolAsync(
                "radosgw-admin",
                ["-n", "client.rgw", "user", "create", "--uid=jobhub", "--display-name=jobhub", $"--access-key={access}", $"--secret={secret}", "--ms_mon_client_mode=crc"], ct);
            // Without the flag it waits for a secure connection that never comes.
            Watch(guard, run.Start("radosgw", "-f", "-n", "client.rgw", "--ms_mon_client_mode=crc"));
            await WaitUntilReadyAsync(port, run.Daemons, ct);
            return new S3Server($"http://127.0.0.1:{port}", access, secret, folder, guard, run.Daemons);
        }
        catch
        {
            await new S3Server("", "", "", folder, guard, run.Daemons).DisposeAsync();
            throw;
        }
    }

    private static void Watch(Process guard, Process daemon)
    {
        guard.StandardInput.WriteLine(daemon.Id);
        guard.StandardInput.Flush();
    }

    /// <summary>Reads pids until its pipe ends, by our word or our death; then ends them, the last first, and cleans up.</summary>
    private static Process StartGuard(string folder)
    {
        // setsid: Ctrl-C at the tests must not end the one that cleans up after them.
        const string Script = """
            pids=
            while read -r pid; do pids="$pid $pids"; done
            for pid in $pids; do
              kill -TERM "$pid" 2>/dev/null
              n=0
              while kill -0 "$pid" 2>/dev/null && [ $n -lt 50 ]; do
                case "$(cat /proc/$pid/stat 2>/dev/null)" in *') Z '*) break;; esac
                sleep 0.1; n=$((n+1))
              done
              kill -KILL "$pid" 2>/dev/null
            done
            sleep 0.1
            rm -rf "$1"
            """;
        var start = new ProcessStartInfo("setsid") { RedirectStandardInput = true, UseShellExecute = false, WorkingDirectory = "/" };
        foreach (var argument in (string[])["/bin/sh", "-c", Script, "guard", folder]) start.ArgumentList.Add(argument);
        return Process.Start(start)!;
    }

    private static async Task WaitUntilReadyAsync(int port, List<Process> daemons, CancellationToken ct)
    {
        using var http = new HttpClient { BaseAddress = new Uri($"http://127.0.0.1:{port}/"), Timeout = TimeSpan.FromSeconds(10) };
        while (true)
        {
            if (daemons.Any(daemon => daemon.HasExited)) throw new DaemonEndedException();
            try
            {
                using var answer = await http.GetAsync("/", ct);
                if (answer.IsSuccessStatusCode) return;
            }
            catch (Exception e) when (e is HttpRequestException or TaskCanceledException && !ct.IsCancellationRequested)
            {
                // Not listening yet.
            }

            await Task.Delay(100, ct);
        }
    }

    /// <summary>A port P such that P and P+1 are free and P+10..P+60 are below the end; the daemons choose in the latter themselves.</summary>
    private static int FreePorts()
    {
        while (true)
        {
            // Below the range that the kernel gives to outgoing connections.
            var port = RandomNumberGenerator.GetInt32(10_000, 32_000);
            try
            {
                using var first = new TcpListener(IPAddress.Loopback, port);
                using var second = new TcpListener(IPAddress.Loopback, port + 1);
                first.Start();
                second.Start();
                return port;
            }
            catch (SocketException)
            {
                // Taken; another.
            }
        }
    }

    private static string? Find(string program) =>
        (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':').Concat(["/usr/bin", "/usr/sbin"]).Select(folder => Path.Combine(folder, program)).FirstOrDefault(File.Exists);

    private static string Configuration(string folder, string cluster, int port) => $"""
        [global]
        fsid = {cluster}
        mon host = v2:127.0.0.1:{port + 1}/0
        public addr = 127.0.0.1
        cluster addr = 127.0.0.1
        auth cluster required = none
        auth service required = none
        auth client required = none
        ms mon client mode = crc
        osd pool default size = 1
        osd pool default min size = 1
        osd pool default pg num = 8
        osd crush chooseleaf type = 0
        mon allow pool size one = true
        mon data avail crit = 1
        run dir = {folder}/run
        log file = {folder}/run/$name.log
        admin socket = {folder}/run/$name.asok
        pid file = {folder}/run/$name.pid
        ms bind port min = {port + 10}
        ms bind port max = {port + 60}
        [mon.a]
        mon data = {folder}/mon
        [osd.0]
        osd data = {folder}/osd
        osd objectstore = bluestore
        bluestore block size = 21474836480
        osd memory target = 939524096
        [client.rgw]
        rgw frontends = beast endpoint=127.0.0.1:{port} tcp_nodelay=1
        rgw data = {folder}/run

        """;

    private sealed class DaemonEndedException() : Exception("A daemon of the S3 server ended while it started.");

    /// <summary>Runs Ceph's programs as a plain user, with this cluster's configuration.</summary>
    private sealed class Runner(string folder, string? user)
    {
        public string? User => user;
        public List<Process> Daemons { get; } = [];

        public Process Start(string program, params string[] arguments)
        {
            var process = Process.Start(Prepare(program, arguments, user, Settings))!;
            // Drained, or a talkative daemon stops at a full pipe.
            process.OutputDataReceived += (_, _) => { };
            process.ErrorDataReceived += (_, _) => { };
            process.BeginOutputReadLine();
            process.BeginErrorReadLine();
            Daemons.Insert(0, process);
            return process;
        }

        public Task ToolAsync(string program, string[] arguments, CancellationToken ct) => ToolAsync(program, arguments, user, Settings, ct);

        public static async Task ToolAsync(string program, string[] arguments, string? user, KeyValuePair<string, string>[] settings, CancellationToken ct)
        {
            using var process = Process.Start(Prepare(program, arguments, user, settings))!;
            try
            {
                var (output, error) = (process.StandardOutput.ReadToEndAsync(ct), process.StandardError.ReadToEndAsync(ct));
                await process.WaitForExitAsync(ct);
                if (process.ExitCode != 0) throw new InvalidOperationException($"{program} ended with {process.ExitCode}: {await output}{await error}");
            }
            finally
            {
                if (!process.HasExited) process.Kill();
            }
        }

        private KeyValuePair<string, string>[] Settings => [new("CEPH_CONF", $"{folder}/ceph.conf"), new("HOME", folder), new("LC_ALL", "C.UTF-8")];

        private static ProcessStartInfo Prepare(string program, string[] arguments, string? user, KeyValuePair<string, string>[] settings)
        {
            var start = new ProcessStartInfo(Find(program) ?? program, arguments) { UseShellExecute = false, WorkingDirectory = "/", RedirectStandardOutput = true, RedirectStandardError = true };
            if (user is not null) start.UserName = user;
            foreach (var (name, value) in settings) start.Environment[name] = value;
            return start;
        }
    }
}
