using System.Diagnostics;
using JobHub.Benchmarks.Measuring;
using JobHub.Benchmarks.Queue;

namespace JobHub.Benchmarks.Farm;

/// <summary>Reading, and claiming from, a group with very many children.</summary>
internal static class FarmListsBenchmark
{
    private const int Roots = 200;

    public static async Task<Table> RunAsync(Arguments arguments)
    {
        var n = arguments.Number("n", 100_000);
        var reads = arguments.Number("reads", 50);
        await using var server = await BenchServer.StartAsync();
        await using var hub = await BenchHub.StartAsync(server, inside: false);
        using var client = new FarmClient(hub);
        var root = await client.PutAsync(new { title = "root" });
        await client.PutManyAsync(root, n, 10_000);
        for (var i = 0; i < Roots; i++) await client.PutAsync(new { title = $"shot {i}" });
        await Work.SettleAsync(hub.Engine.Database);
        var table = new Table($"{n:N0} children of one root and {Roots} other roots; p95 of {reads} reads", "ms", "list of the roots 50 ms, a page of 1,000 children 100 ms, claims of a tree as of a flat queue");
        var middle = root + (n / 2);
        foreach (var (name, path) in new[]
        {
            ("GET /api/jobs", "api/jobs"), ("GET /api/jobs/{root}", $"api/jobs/{root}"), ("a page of 1,000 children", $"api/jobs/{root}/children?limit=1000"),
            ("a page from the middle", $"api/jobs/{root}/children?limit=1000&after={middle}"), ("a page of state=WAITING", $"api/jobs/{root}/children?limit=1000&state=WAITING"),
            ("a page of state=ERROR, none there", $"api/jobs/{root}/children?limit=1000&state=ERROR"), ("all children", $"api/jobs/{root}/children"), ("childrendependencies", $"api/jobs/{root}/childrendependencies"),
            ("one child", $"api/jobs/{middle}"), ("users", "api/jobs/users/"), ("states", "api/jobs/states/"),
        })
        {
            var row = table.Add(name);
            row.Samples.Add(await client.ReadAsync(path, reads));
            await Console.Error.WriteLineAsync($"  {name}: {row.Median:F1} ms");
        }

        await table.InterleaveAsync(arguments.Number("runs", 3), ("a claim of 100 from the tree, median", false, () => ClaimAsync(server, n, grouped: true)), ("a claim of 100 from as many roots, median", false, () => ClaimAsync(server, n, grouped: false)));
        return table;
    }

    private static async Task<Sample> ClaimAsync(BenchServer server, int n, bool grouped)
    {
        await using var hub = await BenchHub.StartAsync(server, inside: false);
        using var client = new FarmClient(hub);
        await client.PutManyAsync(grouped ? await client.PutAsync(new { title = "root" }) : 0, n, 10_000);
        await Work.SettleAsync(hub.Engine.Database);
        await using var agent = await hub.AgentAsync("claims", 100);
        var times = new List<double>();
        var begun = Stopwatch.GetTimestamp();
        for (var i = 0; i < 60; i++)
        {
            var start = Stopwatch.GetTimestamp();
            var claimed = await agent.ClaimAsync(100, 0);
            if (i >= 10) times.Add(Stopwatch.GetElapsedTime(start).TotalMilliseconds);
            if (claimed.Length != 100) throw new InvalidOperationException($"{claimed.Length} were given.");
            await agent.CompleteAsync([.. claimed.Select(c => new Engine.Protocol.AttemptResult { Token = c.Token, TaskId = c.TaskId, Outcome = Engine.Attempts.AttemptOutcome.Succeeded, ExitCode = 0 })]);
        }

        times.Sort();
        return new(times[times.Count / 2], Stopwatch.GetElapsedTime(begun).TotalSeconds, 0);
    }
}
