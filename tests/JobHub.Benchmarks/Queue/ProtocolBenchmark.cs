using JobHub.Benchmarks.Measuring;
using JobHub.Engine.Attempts;
using JobHub.Engine.Protocol;

namespace JobHub.Benchmarks.Queue;

/// <summary>The same drain over the agent's HTTP protocol: the Api is a process of its own, the agents speak to it over loopback.</summary>
internal static class ProtocolBenchmark
{
    private const int Batch = 100;

    public static async Task<Table> RunAsync(Arguments arguments)
    {
        var n = arguments.Number("n", 60_000);
        var agents = arguments.Number("workers", 4);
        await using var server = await BenchServer.StartAsync();
        var table = new Table($"{n:N0} no-op tasks over HTTP, claims of {Batch}, {agents} agents", "/s", "10,000/s");
        await table.InterleaveAsync(arguments.Number("runs", 3),
            ("JobHub, tasks of one job", false, () => DrainAsync(server, n, 1, agents)),
            ("JobHub, jobs of one task, each ended", false, () => DrainAsync(server, n / 2, n / 2, agents)));
        return table;
    }

    internal static AttemptResult Ended(AttemptSpec spec) => new()
    {
        Token = spec.Token, TaskId = spec.TaskId, Outcome = AttemptOutcome.Succeeded, ExitCode = 0, Seconds = 0.001, CpuSeconds = 0.001, PeakMemoryBytes = 1 << 20,
        Log = new([], null, 0, null),
    };

    private static async Task<Sample> DrainAsync(BenchServer server, int n, int jobs, int agents)
    {
        await using var hub = await BenchHub.StartAsync(server, inside: false);
        // The Api has answered a few thousand requests before its time is taken, as one has that runs.
        await hub.SubmitAsync(4000);
        var all = new List<HttpAgent>();
        for (var i = 0; i < agents; i++) all.Add(await hub.AgentAsync($"w{i}", Batch));
        await DrainAsync(hub, all);
        if (jobs == 1) await hub.SubmitAsync(n);
        else await Work.SubmitSinglesAsync(hub.Engine.Jobs, jobs);
        await Work.SettleAsync(hub.Engine.Database);
        var sample = await Sample.RateAsync(n, () => DrainAsync(hub, all));
        await Work.CheckAsync(hub.Engine.Database, n + 4000);
        foreach (var agent in all) await agent.DisposeAsync();
        return sample;
    }

    private static async Task DrainAsync(BenchHub hub, List<HttpAgent> agents)
    {
        await Task.WhenAll(agents.Select(a => Task.Run(async () =>
        {
            while (await a.ClaimAsync(Batch, 0) is { Length: > 0 } claimed) await a.CompleteAsync(Array.ConvertAll(claimed, Ended));
        })));
        await Work.EndedAsync(hub.Engine.Database);
    }
}
