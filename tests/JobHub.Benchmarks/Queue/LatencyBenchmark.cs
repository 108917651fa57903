using System.Diagnostics;
using JobHub.Benchmarks.Measuring;
using JobHub.Benchmarks.Peers;
using JobHub.Engine.Protocol;

namespace JobHub.Benchmarks.Queue;

/// <summary>From the call that submits a job to the worker's answer with its task, on an idle hub.</summary>
internal static class LatencyBenchmark
{
    public static async Task<Table> RunAsync(Arguments arguments)
    {
        var n = arguments.Number("n", 300);
        await using var server = await BenchServer.StartAsync();
        using var peers = await NodePeers.InstallAsync(arguments);
        var table = new Table($"submit to start on an idle hub, median of {n} each run", "ms", "p50 at most 10 ms, p99 at most 50 ms");
        var contenders = new List<(string, bool, Func<Task<Sample>>)> { ("JobHub over HTTP: submitted here, claimed by a long-poll of the Api", false, () => HttpAsync(server, n, table)) };
        if (peers is not null)
            contenders.Add(($"{NodePeers.Graphile}: addJob to the task's start", true, () => PeerAsync(server, peers, n)));
        await table.InterleaveAsync(arguments.Number("runs", 3), [.. contenders]);
        return table;
    }

    private static async Task<Sample> HttpAsync(BenchServer server, int n, Table table)
    {
        await using var hub = await BenchHub.StartAsync(server);
        var agent = await hub.AgentAsync("latency", 1);
        var times = new List<double>();
        var cpu = Machine.CpuSeconds();
        var begun = Stopwatch.GetTimestamp();
        for (var i = 0; i < n + 30; i++)
        {
            var claim = agent.ClaimAsync(1, 5000);
            await Task.Delay(5);
            var start = Stopwatch.GetTimestamp();
            await hub.SubmitAsync(1);
            var attempts = await claim;
            if (i >= 30) times.Add(Stopwatch.GetElapsedTime(start).TotalMilliseconds);
            await agent.CompleteAsync([.. attempts.Select(ProtocolBenchmark.Ended)]);
        }

        times.Sort();
        table.Notes.Add(string.Create(System.Globalization.CultureInfo.InvariantCulture,
            $"JobHub, one run: p90 {times[times.Count * 90 / 100]:F1} ms, p99 {times[times.Count * 99 / 100]:F1} ms, longest {times[^1]:F1} ms."));
        return new(times[times.Count / 2], Stopwatch.GetElapsedTime(begun).TotalSeconds, Machine.CpuSeconds() - cpu);
    }

    private static async Task<Sample> PeerAsync(BenchServer server, NodePeers peers, int n)
    {
        var database = await server.DatabaseAsync();
        var cpu = Machine.CpuSeconds();
        var begun = Stopwatch.GetTimestamp();
        var times = (await peers.TimesAsync("graphile", "latency", n, BenchServer.Url(database))).Order().ToArray();
        var wall = Stopwatch.GetElapsedTime(begun).TotalSeconds;
        await BenchServer.DropAsync(database);
        return new(times[times.Length / 2], wall, Machine.CpuSeconds() - cpu);
    }
}
