using JobHub.Benchmarks.Measuring;
using JobHub.Benchmarks.Queue;

namespace JobHub.Benchmarks.Farm;

/// <summary>Making farm jobs: one a call from many clients, and many a call.</summary>
internal static class FarmCreateBenchmark
{
    public static async Task<Table> RunAsync(Arguments arguments)
    {
        var n = arguments.Number("n", 100_000);
        var clients = arguments.Number("clients", 10);
        var statements = arguments.Flag("statements");
        await using var server = await BenchServer.StartAsync(statements);
        var table = new Table($"{n:N0} farm jobs made in one group over HTTP", "/s", $"2,000/s one a call with {clients} clients");
        await table.InterleaveAsync(arguments.Number("runs", 3),
            ($"one a call, {clients} clients", false, () => RunAsync(server, n, statements, (client, root) => SinglyAsync(client, root, n, clients))),
            ("arrays of 100, one client", false, () => RunAsync(server, n, statements, (client, root) => client.PutManyAsync(root, n, 100))),
            ("arrays of 10,000, one client", false, () => RunAsync(server, n, statements, (client, root) => client.PutManyAsync(root, n, 10_000))));
        return table;
    }

    private static Task SinglyAsync(FarmClient client, long root, int n, int clients) =>
        Parallel.ForAsync(0, n, new ParallelOptions { MaxDegreeOfParallelism = clients }, async (i, _) =>
        {
            using var answer = await client.SendAsync(FarmClient.Leaf(root, i));
        });

    private static async Task<Sample> RunAsync(BenchServer server, int n, bool statements, Func<FarmClient, long, Task> make)
    {
        await using var hub = await BenchHub.StartAsync(server, inside: false);
        using var client = new FarmClient(hub);
        await client.PutManyAsync(await client.PutAsync(new { title = "before" }), 500, 50);
        var root = await client.PutAsync(new { title = "root" });
        if (statements) await BenchServer.ForgetStatementsAsync(hub.Engine.Database);
        var sample = await Sample.RateAsync(n, () => make(client, root));
        if (statements) await Console.Error.WriteLineAsync(await BenchServer.StatementsAsync(hub.Engine.Database));
        var queued = await hub.Engine.CountAsync("SELECT count(*) FROM live");
        return queued == n + 500 ? sample : throw new InvalidOperationException($"{queued} leaves are queued.");
    }
}
