using System.Globalization;
using JobHub.Benchmarks.Measuring;
using JobHub.Benchmarks.Queue;

namespace JobHub.Benchmarks.Farm;

/// <summary>Workers of the original system at the hub: pick, one heartbeat, end; one connection a call. They run nothing.</summary>
internal static class FarmProtocolBenchmark
{
    public static async Task<Table> RunAsync(Arguments arguments)
    {
        var n = arguments.Number("n", 5_000);
        var statements = arguments.Flag("statements");
        await using var server = await BenchServer.StartAsync(statements);
        var table = new Table($"{n:N0} jobs by simulated workers of the original: pickjob, heartbeat, endjob", "/s", "1,000/s with 10 workers; the original 200 on two cores");
        await table.InterleaveAsync(arguments.Number("runs", 3), ("10 workers", false, () => RunAsync(server, n, 10, statements)), ("2 workers", false, () => RunAsync(server, n, 2, statements)));
        return table;
    }

    private static async Task<Sample> RunAsync(BenchServer server, int n, int workers, bool statements)
    {
        await using var hub = await BenchHub.StartAsync(server, inside: false, more: ["--JobHub:Farm:WorkerProtocol=true"]);
        using var client = new FarmClient(hub);
        await WorkAsync(hub, client, 200, workers);
        var root = await client.PutAsync(new { title = "root" });
        await client.PutManyAsync(root, n, 5000);
        if (statements) await BenchServer.ForgetStatementsAsync(hub.Engine.Database);
        var sample = await Sample.RateAsync(n, () => WorkAsync(hub, n, workers));
        if (statements) await Console.Error.WriteLineAsync(await BenchServer.StatementsAsync(hub.Engine.Database));
        await client.EndedAsync(hub.Engine.Database, root, n).WaitAsync(TimeSpan.FromSeconds(60));
        return sample;
    }

    private static async Task WorkAsync(BenchHub hub, FarmClient client, int n, int workers)
    {
        await client.PutManyAsync(await client.PutAsync(new { title = "before" }), n, n);
        await WorkAsync(hub, n, workers);
    }

    private static async Task WorkAsync(BenchHub hub, int n, int workers)
    {
        var left = n;
        await Task.WhenAll(Enumerable.Range(0, workers).Select(w => Task.Run(async () =>
        {
            using var client = new FarmClient(hub, keep: false);
            while (Volatile.Read(ref left) > 0)
            {
                var name = string.Create(CultureInfo.InvariantCulture, $"node-{w}");
                var picked = await PostAsync(client, "workers/pickjob", [("hostname", name), ("load", "[12,40]"), ("free_memory", "1000"), ("total_memory", "8000")]);
                var id = picked[1..picked.IndexOf(',', StringComparison.Ordinal)];
                if (id == "-1") continue;
                var alive = await PostAsync(client, "workers/heartbeat", [("hostname", name), ("jobId", id), ("log", "aGVsbG8K"), ("load", "[12,40]"), ("free_memory", "1000"), ("total_memory", "8000")]);
                if (alive != "true") throw new InvalidOperationException($"A heartbeat was answered {alive}.");
                await PostAsync(client, "workers/endjob", [("hostname", name), ("jobId", id), ("errorCode", "0")]);
                Interlocked.Decrement(ref left);
            }
        })));
    }

    private static async Task<string> PostAsync(FarmClient client, string path, (string Name, string Value)[] form)
    {
        using var content = new FormUrlEncodedContent(form.Select(f => KeyValuePair.Create(f.Name, f.Value)));
        using var answer = await client.Http.PostAsync(path, content);
        var text = await answer.Content.ReadAsStringAsync();
        return answer.IsSuccessStatusCode ? text : throw new InvalidOperationException($"{path}: {(int)answer.StatusCode} {text}");
    }
}
