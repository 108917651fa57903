using System.Diagnostics;
using JobHub.Benchmarks.Measuring;
using JobHub.Benchmarks.Peers;

namespace JobHub.Benchmarks.Queue;

/// <summary>Jobs of one command that runs `true`: output captured, result durable. The whole hub as processes; peers start the same program.</summary>
internal static class ExecBenchmark
{
    public static async Task<Table> RunAsync(Arguments arguments)
    {
        var n = arguments.Number("n", 10_000);
        int? slots = arguments.Text("slots") is null ? null : arguments.Number("slots", 0);
        var statements = arguments.Flag("statements");
        await using var server = await BenchServer.StartAsync(statements);
        using var peers = await NodePeers.InstallAsync(arguments);
        var table = new Table($"{n:N0} jobs of one command `true`, output captured, durable", "/s", "1,200/s");
        var contenders = new List<(string, bool, Func<Task<Sample>>)>
        {
            ("JobHub, environment of the worker", false, () => HubAsync(server, n, slots, sandbox: false, statements: statements)),
            ("JobHub, tasks of one job", false, () => HubAsync(server, n, slots, sandbox: false, oneJob: true, statements: statements)),
            ("JobHub, POST /jobs, each in a sandbox with a tree of its own", false, () => PostedAsync(server, n / 4, slots, statements)),
            ("JobHub, each in a sandbox", false, () => HubAsync(server, n / 4, slots, sandbox: true, statements: statements)),
        };
        if (peers is not null)
        {
            contenders.Add((NodePeers.Graphile, true, () => PeerAsync(server, peers, "graphile", n / 2, new { jobs = arguments.Number("peer-jobs", 8), localQueue = 500 })));
            contenders.Add((NodePeers.PgBoss, true, () => PeerAsync(server, peers, "pgboss", n / 2, new { jobs = 8, batch = 100, loops = 2 })));
        }

        contenders.Add(("GNU parallel -j8 --results", true, () => ParallelAsync(n / 4)));
        // --only WORD: those whose name has it.
        await table.InterleaveAsync(arguments.Number("runs", 3), [.. contenders.Where(c => c.Item1.Contains(arguments.Text("only") ?? "", StringComparison.Ordinal))]);
        table.Notes.Add("Every contender runs `sh -c true` and reads its output to the end. JobHub: from the worker's first claim until every job reads Succeeded.");
        return table;
    }

    private static async Task<Sample> HubAsync(BenchServer server, int n, int? slots, bool sandbox, bool oneJob = false, bool statements = false)
    {
        await using var hub = await BenchHub.StartAsync(server, inside: false);
        hub.StartWorker(slots);
        // The worker has opened its session and run some before the time is taken.
        await Work.SubmitSinglesAsync(hub.Engine.Jobs, 300, 300, "true", sandbox);
        await EndedAsync(hub, 60);
        if (statements) await BenchServer.ForgetStatementsAsync(hub.Engine.Database);
        // Submitted in one transaction: the worker starts with the whole lot.
        var sample = await Sample.RateAsync(n, async () =>
        {
            if (oneJob) await hub.Engine.Jobs.SubmitAsync(Work.Job(n, "true", sandbox), new("bench", null, null), CancellationToken.None);
            else await Work.SubmitSinglesAsync(hub.Engine.Jobs, n, 5000, "true", sandbox);
            await EndedAsync(hub, 120);
        });
        if (statements) await Console.Error.WriteLineAsync(await BenchServer.StatementsAsync(hub.Engine.Database));
        await Work.CheckAsync(hub.Engine.Database, n + 300);
        return sample;
    }

    /// <summary>As callers do it: one request a job, 16 in flight, the time taken from the first request.</summary>
    private static async Task<Sample> PostedAsync(BenchServer server, int n, int? slots, bool statements)
    {
        await using var hub = await BenchHub.StartAsync(server, inside: false);
        hub.StartWorker(slots);
        using var http = new HttpClient { BaseAddress = hub.Address };
        http.DefaultRequestHeaders.Authorization = new("Bearer", BenchHub.AdminToken);
        await PostAsync(http, 300);
        await EndedAsync(hub, 60);
        if (statements) await BenchServer.ForgetStatementsAsync(hub.Engine.Database);
        var sample = await Sample.RateAsync(n, async () =>
        {
            await PostAsync(http, n);
            await EndedAsync(hub, 300);
        });
        if (statements) await Console.Error.WriteLineAsync(await BenchServer.StatementsAsync(hub.Engine.Database));
        await Work.CheckAsync(hub.Engine.Database, n + 300);
        return sample;
    }

    private static Task PostAsync(HttpClient http, int n) => Parallel.ForEachAsync(Enumerable.Range(0, n), new ParallelOptions { MaxDegreeOfParallelism = 16 }, async (_, ct) =>
    {
        using var body = new StringContent("""{"command":"true"}""", null, "application/json");
        using var answer = await http.PostAsync("jobs", body, ct);
        if (!answer.IsSuccessStatusCode) throw new InvalidOperationException($"{(int)answer.StatusCode}: {await answer.Content.ReadAsStringAsync(ct)}");
    });

    private static async Task EndedAsync(BenchHub hub, int seconds) => await Work.EndedAsync(hub.Engine.Database).WaitAsync(TimeSpan.FromSeconds(seconds));

    private static async Task<Sample> PeerAsync(BenchServer server, NodePeers peers, string system, int n, object options)
    {
        var database = await server.DatabaseAsync();
        var sample = await peers.RunAsync(system, "exec", n, BenchServer.Url(database), options);
        await BenchServer.DropAsync(database);
        return sample;
    }

    private static async Task<Sample> ParallelAsync(int n)
    {
        var folder = Directory.CreateTempSubdirectory("jobhub-parallel-").FullName;
        try
        {
            return await Sample.RateAsync(n, async () =>
            {
                var start = new ProcessStartInfo("sh", ["-c", $"seq {n} | parallel --will-cite -n0 -j8 --results '{folder}/r' --joblog '{folder}/log' true > /dev/null"]);
                using var parallel = Process.Start(start)!;
                await parallel.WaitForExitAsync();
                if (parallel.ExitCode != 0) throw new InvalidOperationException($"parallel ended with {parallel.ExitCode}.");
            });
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }
}
