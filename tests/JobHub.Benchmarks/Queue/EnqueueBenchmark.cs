using JobHub.Benchmarks.Measuring;
using JobHub.Benchmarks.Peers;

namespace JobHub.Benchmarks.Queue;

/// <summary>Submitting: all tasks of one job, and jobs of one task in bulk, beside a peer's bulk insert.</summary>
internal static class EnqueueBenchmark
{
    public static async Task<Table> RunAsync(Arguments arguments)
    {
        var n = arguments.Number("n", 100_000);
        var clients = arguments.Number("clients", 2);
        await using var server = await BenchServer.StartAsync();
        using var peers = await NodePeers.InstallAsync(arguments);
        var table = new Table($"{n:N0} tasks submitted, {clients} clients", "/s", "80,000/s as tasks of one job, 40,000/s as jobs of one task in bulk");
        var contenders = new List<(string, bool, Func<Task<Sample>>)>
        {
            ("JobHub, tasks of one job", false, () => SubmitAsync(server, n, engine => engine.Jobs.SubmitAsync(Work.Job(n), new("bench", null, null), CancellationToken.None))),
        };
        if (peers is not null)
            contenders.Add(($"{NodePeers.Graphile}, addJobs of 1000", true, () => PeerAsync(server, peers, n, clients)));
        contenders.Add(("JobHub, jobs of one task, 1000 a call", false, () => SubmitAsync(server, n,
            engine => Task.WhenAll(Enumerable.Range(0, clients).Select(_ => Task.Run(() => Work.SubmitSinglesAsync(engine.Jobs, n / clients, 1000)))))));
        contenders.Add(("JobHub, jobs of one task, one a call, 16 in flight", false, () => SubmitAsync(server, n / 10, engine => SinglyAsync(engine, n / 10))));
        await table.InterleaveAsync(arguments.Number("runs", 3), [.. contenders]);
        return table;
    }

    private static async Task SinglyAsync(Testing.EngineHost engine, int n)
    {
        await Parallel.ForAsync(0, n, new ParallelOptions { MaxDegreeOfParallelism = 16 },
            async (_, ct) => await engine.Jobs.SubmitAsync(Work.Job(1), new("bench", null, null), ct));
    }

    private static async Task<Sample> SubmitAsync(BenchServer server, int n, Func<Testing.EngineHost, Task> submit)
    {
        string connection;
        Sample sample;
        await using (var engine = await server.EngineAsync())
        {
            connection = BenchServer.AddressOf(engine);
            await Work.SubmitSinglesAsync(engine.Jobs, 2000, 1000);
            for (var i = 0; i < 20; i++) await engine.Jobs.SubmitAsync(Work.Job(10), new("bench", null, null), CancellationToken.None);
            sample = await Sample.RateAsync(n, () => submit(engine));
            var queued = await engine.CountAsync("SELECT count(*) FROM live");
            if (queued != n + 2200) throw new InvalidOperationException($"{queued} tasks are queued.");
        }

        await BenchServer.DropAsync(connection);
        return sample;
    }

    private static async Task<Sample> PeerAsync(BenchServer server, NodePeers peers, int n, int clients)
    {
        var database = await server.DatabaseAsync();
        var sample = await peers.RunAsync("graphile", "enqueue", n, BenchServer.Url(database), new { clients, chunk = 1000 });
        await BenchServer.DropAsync(database);
        return sample;
    }
}
