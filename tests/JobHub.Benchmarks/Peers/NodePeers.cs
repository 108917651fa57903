using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using JobHub.Benchmarks.Measuring;

namespace JobHub.Benchmarks.Peers;

/// <summary>graphile-worker and pg-boss, installed for the run into a folder that is removed after it.</summary>
internal sealed class NodePeers : IDisposable
{
    // Pinned: a comparison names what it was made with.
    private static readonly string[] Packages = ["graphile-worker@0.17.3", "pg-boss@10.4.2", "pg@8"];
    private readonly string _folder;
    private readonly bool _own;

    private NodePeers(string folder, bool own) => (_folder, _own) = (folder, own);

    public static string Graphile => "graphile-worker 0.17.3";

    public static string PgBoss => "pg-boss 10.4.2";

    /// <summary>Null when npm or its registry is not there: the benchmark goes on without peers and says so.</summary>
    public static async Task<NodePeers?> InstallAsync(Arguments arguments)
    {
        if (arguments.Flag("no-peers")) return null;
        var given = arguments.Text("peers");
        var folder = given ?? Directory.CreateTempSubdirectory("jobhub-peers-").FullName;
        var peers = new NodePeers(folder, given is null);
        if (Directory.Exists(Path.Combine(folder, "node_modules", "graphile-worker"))) return peers;
        try
        {
            Directory.CreateDirectory(folder);
            await File.WriteAllTextAsync(Path.Combine(folder, "package.json"), "{\"private\":true}");
            var start = new ProcessStartInfo("npm", ["install", "--no-audit", "--no-fund", "--loglevel=error", "--prefix", folder, .. Packages]) { WorkingDirectory = folder };
            using var npm = Process.Start(start)!;
            await npm.WaitForExitAsync();
            if (npm.ExitCode == 0) return peers;
        }
        catch (System.ComponentModel.Win32Exception)
        {
            // No npm on this machine.
        }

        await Console.Error.WriteLineAsync("  npm could not install the peers: measured without them.");
        peers.Dispose();
        return null;
    }

    /// <summary>One run; the rate of what the peer itself timed, and the CPU of everything while it ran after it was ready.</summary>
    public async Task<Sample> RunAsync(string system, string verb, int count, string connection, object options)
    {
        var cpu = Machine.CpuSeconds();
        await foreach (var line in LinesAsync(system, verb, count, connection, options))
        {
            if (line.TryGetProperty("ready", out _)) cpu = Machine.CpuSeconds();
            if (line.TryGetProperty("seconds", out var s))
            {
                var seconds = s.GetDouble();
                return new(count / seconds, seconds, Machine.CpuSeconds() - cpu);
            }
        }

        throw new InvalidOperationException($"{system} {verb} answered nothing.");
    }

    /// <summary>The times in ms that a peer measured one by one.</summary>
    public async Task<double[]> TimesAsync(string system, string verb, int count, string connection)
    {
        await foreach (var line in LinesAsync(system, verb, count, connection, new { }))
        {
            if (line.TryGetProperty("times", out var times)) return [.. times.EnumerateArray().Select(t => t.GetDouble())];
        }

        throw new InvalidOperationException($"{system} {verb} answered nothing.");
    }

    public void Dispose()
    {
        if (_own && Directory.Exists(_folder)) Directory.Delete(_folder, recursive: true);
    }

    private async IAsyncEnumerable<JsonElement> LinesAsync(string system, string verb, int count, string connection, object options)
    {
        var script = Path.Combine(AppContext.BaseDirectory, "Peers", "peer.mjs");
        var start = new ProcessStartInfo("node", [script, _folder, system, verb, count.ToString(CultureInfo.InvariantCulture), JsonSerializer.Serialize(options)])
        {
            RedirectStandardOutput = true, UseShellExecute = false, WorkingDirectory = _folder,
        };
        start.Environment["PEER_DATABASE"] = connection;
        start.Environment["NODE_ENV"] = "production";
        using var node = Process.Start(start)!;
        try
        {
            while (await node.StandardOutput.ReadLineAsync() is { } line)
            {
                if (line.StartsWith('{')) yield return JsonDocument.Parse(line).RootElement;
            }
        }
        finally
        {
            // Only the leader needs to be told: children of a run have ended with their tasks.
            if (!node.HasExited)
            {
                using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(10));
                await node.WaitForExitAsync(patience.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                if (!node.HasExited) node.Kill(entireProcessTree: true);
            }
        }
    }
}
