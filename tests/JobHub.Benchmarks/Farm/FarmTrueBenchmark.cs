using JobHub.Benchmarks.Measuring;
using JobHub.Benchmarks.Queue;

namespace JobHub.Benchmarks.Farm;

/// <summary>Leaves of a group that run `true` with the hub's own agent: output captured, result durable, counted by the group.</summary>
internal static class FarmTrueBenchmark
{
    public static async Task<Table> RunAsync(Arguments arguments)
    {
        var n = arguments.Number("n", 10_000);
        int? slots = arguments.Text("slots") is null ? null : arguments.Number("slots", 0);
        var statements = arguments.Flag("statements");
        await using var server = await BenchServer.StartAsync(statements);
        var table = new Table($"{n:N0} leaves of one group that run `true`", "/s", "1,200/s; the original 46 to 63");
        await table.InterleaveAsync(arguments.Number("runs", 3), ("JobHub's agent", false, () => RunAsync(server, n, slots, statements)));
        table.Notes.Add("From the array's PUT of the leaves until the group says that all have finished.");
        return table;
    }

    private static async Task<Sample> RunAsync(BenchServer server, int n, int? slots, bool statements)
    {
        await using var hub = await BenchHub.StartAsync(server, inside: false);
        hub.StartWorker(slots);
        using var client = new FarmClient(hub);
        var warm = await client.PutAsync(new { title = "before" });
        await client.PutManyAsync(warm, 300, 300);
        await client.EndedAsync(hub.Engine.Database, warm, 300).WaitAsync(TimeSpan.FromSeconds(60));
        if (statements) await BenchServer.ForgetStatementsAsync(hub.Engine.Database);
        var root = await client.PutAsync(new { title = "root" });
        var sample = await Sample.RateAsync(n, async () =>
        {
            await client.PutManyAsync(root, n, 5000);
            await client.EndedAsync(hub.Engine.Database, root, n).WaitAsync(TimeSpan.FromSeconds(300));
        });
        if (statements) await Console.Error.WriteLineAsync(await BenchServer.StatementsAsync(hub.Engine.Database));
        return sample;
    }
}
