using JobHub.Benchmarks.Measuring;
using JobHub.Benchmarks.Peers;
using JobHub.Engine.Attempts;
using JobHub.Engine.Protocol;
using JobHub.Engine.Tasks;
using JobHub.Engine.Workers;
using JobHub.Testing;

namespace JobHub.Benchmarks.Queue;

/// <summary>No-op tasks through the queue: claim 100, complete them under their tokens, until every job has ended. Engine in this process, upkeep running.</summary>
internal static class DrainBenchmark
{
    private const int Batch = 100;

    public static async Task<Table> RunAsync(Arguments arguments)
    {
        var n = arguments.Number("n", 200_000);
        var workers = arguments.Number("workers", 4);
        await using var server = await BenchServer.StartAsync();
        using var peers = await NodePeers.InstallAsync(arguments);
        var table = new Table($"{n:N0} no-op tasks drained, claims of {Batch}, {workers} workers", "/s", "at least graphile-worker with batched completion");
        var contenders = new List<(string, bool, Func<Task<Sample>>)>
        {
            ("JobHub, tasks of one job", false, () => DrainAsync(server, n, 1, workers)),
        };
        if (peers is not null)
            contenders.Add(($"{NodePeers.Graphile}, localQueue 1000, batched completion", true, () => PeerAsync(server, peers, n, arguments)));
        if (!arguments.Flag("one-job"))
            contenders.Add(("JobHub, jobs of one task, each ended", false, () => DrainAsync(server, n / 2, n / 2, workers)));
        await table.InterleaveAsync(arguments.Number("runs", 3), [.. contenders]);
        table.Notes.Add("JobHub's time ends when every job reads Succeeded (attempts kept, counters folded), the peer's when its table is empty.");
        return table;
    }

    private static async Task<Sample> PeerAsync(BenchServer server, NodePeers peers, int n, Arguments arguments)
    {
        var database = await server.DatabaseAsync();
        var sample = await peers.RunAsync("graphile", "drain", n, BenchServer.Url(database),
            new { jobs = arguments.Number("peer-jobs", 100), localQueue = arguments.Number("peer-queue", 1000), completeDelay = arguments.Number("peer-delay", 0) });
        await BenchServer.DropAsync(database);
        return sample;
    }

    private static async Task<Sample> DrainAsync(BenchServer server, int n, int jobs, int workers)
    {
        string connection;
        Sample sample;
        await using (var engine = await server.EngineAsync())
        {
            connection = BenchServer.AddressOf(engine);
            if (jobs == 1) await engine.Jobs.SubmitAsync(Work.Job(n), new("bench", null, null), CancellationToken.None);
            else await Work.SubmitSinglesAsync(engine.Jobs, jobs);
            await Work.SettleAsync(engine.Database);
            // A worker that claims nothing: statements are prepared and code is compiled once, as in a hub that has run for a minute.
            await using (var warm = new Drainer(engine, "warm")) await warm.RunAsync(Math.Min(5000, n / 10));
            var left = n - Math.Min(5000, n / 10);
            var drainers = new List<Drainer>();
            for (var i = 0; i < workers; i++) drainers.Add(new Drainer(engine, $"w{i}"));
            foreach (var d in drainers) await d.OpenAsync();
            sample = await Sample.RateAsync(left, async () =>
            {
                await Task.WhenAll(drainers.Select(d => Task.Run(() => d.RunAsync(int.MaxValue))));
                await Work.EndedAsync(engine.Database);
            });
            await Work.CheckAsync(engine.Database, n);
            foreach (var d in drainers) await d.DisposeAsync();
        }

        await BenchServer.DropAsync(connection);
        return sample;
    }

    /// <summary>One worker of the engine: claims, completes, and renews its lease beside it.</summary>
    private sealed class Drainer(EngineHost engine, string name) : IAsyncDisposable
    {
        private readonly CancellationTokenSource _over = new();
        private WorkerSession? _session;
        private Guid[] _held = [];
        private Task _renewing = Task.CompletedTask;

        public async Task OpenAsync()
        {
            if (_session is not null) return;
            _session = await engine.OpenAsync(name, Batch);
            _renewing = Task.Run(RenewAsync);
        }

        public async Task RunAsync(int most)
        {
            await OpenAsync();
            var (claims, completions) = (engine.Get<Claims>(), engine.Get<Completions>());
            for (var taken = 0; taken < most;)
            {
                var claimed = (await claims.ClaimAsync(_session!, new(Guid.NewGuid(), Batch, 0), CancellationToken.None)).Attempts;
                if (claimed.Length == 0) return;
                taken += claimed.Length;
                Volatile.Write(ref _held, Array.ConvertAll(claimed, c => c.Token));
                var answers = await completions.CompleteAsync(_session!.Id, Array.ConvertAll(claimed, ProtocolBenchmark.Ended), CancellationToken.None);
                if (answers.Any(a => a != CompletionAnswer.Accepted)) throw new InvalidOperationException("A completion was refused.");
            }
        }


        private async Task RenewAsync()
        {
            while (!_over.IsCancellationRequested)
            {
                await engine.Sessions.RenewAsync(_session!.Id, new(Volatile.Read(ref _held), [], [], 0, 0), CancellationToken.None);
                await Task.Delay(1000, _over.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }

        public async ValueTask DisposeAsync()
        {
            await _over.CancelAsync();
            await _renewing;
            _over.Dispose();
            if (_session is not null) await engine.Sessions.CloseAsync(_session.Id, CancellationToken.None);
        }
    }
}
