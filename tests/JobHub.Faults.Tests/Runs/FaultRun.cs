using System.Globalization;
using JobHub.AppHost.LocalHosting;
using JobHub.Faults.Tests.Hubs;
using JobHub.Faults.Tests.Ledger;
using JobHub.Testing;
using Xunit.Abstractions;

namespace JobHub.Faults.Tests.Runs;

/// <summary>
/// Word counts one after another, faults from a plan over them, and the ledger's check at the end. A fault comes a random moment after a job's mappers began or
/// the last fault was over; what was killed is waited for, so that each fault meets a running hub.
/// </summary>
public sealed class FaultRun(FaultHub hub, int seed, ITestOutputHelper output)
{
    private readonly List<(Fault Fault, long At, IReadOnlyList<LedgerLine> Running)> done = [];

    public int Maps { get; init; } = 16;

    /// <summary>Seconds of half a program.</summary>
    public double Work { get; init; } = 0.15;

    /// <summary>Longest time from one fault to the next.</summary>
    public TimeSpan Longest { get; init; } = TimeSpan.FromSeconds(1.5);

    /// <summary>Runs until every fault of the plan has happened and every job has ended.</summary>
    public async Task RunAsync(IReadOnlyDictionary<FaultKind, int> counts)
    {
        var plan = FaultPlan.Of(seed, counts, Longest);
        await WordCount.UploadAsync(hub);
        var jobs = new Dictionary<string, WordCount?>();
        await using var watch = new HubWatch(hub) { OutputsMayBeLost = counts.ContainsKey(FaultKind.LoseShuffle) };
        var injecting = InjectAsync(plan);
        do
        {
            var text = new WordCount(seed + jobs.Count, 120_000);
            var id = await hub.SubmitAsync(text.Job(hub, Maps, work: Work));
            jobs.Add(id, text);
            watch.Add(id, text.Lines);
            await hub.EndAsync(id);
        }
        while (!injecting.IsCompleted);
        await injecting;
        await hub.WaitWorkerAsync();

        var checker = new LedgerChecker(hub);
        var findings = await checker.CheckAsync(jobs, watch);
        output.WriteLine(Summary(jobs.Count, counts, checker));
        output.WriteLine($"reads {watch.Reads}, event streams {watch.Streams}, events {watch.Positions.Count}");
        Assert.True(findings.Count == 0, $"seed {seed}\n{string.Join('\n', findings)}");
    }

    private string Summary(int jobs, IReadOnlyDictionary<FaultKind, int> counts, LedgerChecker checker)
    {
        var recoveries = Recoveries();
        var times = recoveries.Count == 0 ? "none" : string.Create(CultureInfo.InvariantCulture, $"{recoveries[recoveries.Count / 2]:0.0} s median {recoveries[^1]:0.0} s max of {recoveries.Count}");
        return $"seed {seed}, jobs {jobs}, faults {string.Join(' ', counts.Select(c => $"{c.Key}={c.Value}"))}, lost {checker.Lost}, doubled {checker.Doubled}, "
            + $"duplicate starts {checker.DuplicateStarts}, fenced {hub.Refused}, recovery {times}";
    }

    /// <summary>From each fault to the next start of every task that ran then and had to run again, in seconds, ascending.</summary>
    private List<double> Recoveries()
    {
        var starts = hub.Ledger.Lines.Where(l => l.Word == "start").GroupBy(l => l.Task).ToDictionary(g => g.Key, g => g.ToList());
        var seconds = new List<double>();
        foreach (var (_, at, running) in done)
        {
            foreach (var cut in running)
            {
                if (starts[cut.Task].Find(s => s.Attempt == cut.Attempt + 1) is { } next && next.At > at) seconds.Add(TimeProvider.System.GetElapsedTime(at, next.At).TotalSeconds);
            }
        }

        seconds.Sort();
        return seconds;
    }

    private async Task InjectAsync(IReadOnlyList<Fault> plan)
    {
        var over = 0L;
        foreach (var fault in plan)
        {
            // Work has begun since the last fault: each meets a hub that goes again.
            await Eventually.TrueAsync(() => hub.Ledger.Lines.Any(l => l.Word == "start" && l.At > over), "work after a fault", TimeSpan.FromMinutes(3));
            // The moment is part of the fault.
            await Task.Delay(fault.After);
            var running = fault.Kind == FaultKind.KillWorker ? await HeldAsync(Environment.MachineName) : [];
            var at = TimeProvider.System.GetTimestamp();
            await InjectAsync(fault);
            done.Add((fault, at, running));
            over = TimeProvider.System.GetTimestamp();
        }
    }

    /// <summary>What runs on one of the hub's workers, of all that programs said they began.</summary>
    private async Task<IReadOnlyList<LedgerLine>> HeldAsync(string worker)
    {
        var tokens = await hub.QueryAsync($"SELECT l.token FROM live l JOIN worker_session s ON s.id = l.session_id WHERE s.ended_at IS NULL AND s.worker = '{worker}'", r => r.GetGuid(0));
        return [.. hub.Ledger.Open().Where(l => tokens.Contains(l.Token))];
    }

    private async Task InjectAsync(Fault fault)
    {
        const int Stop = 19;
        switch (fault.Kind)
        {
            case FaultKind.KillWorker: await KillAsync("worker"); break;
            case FaultKind.KillApi: await KillAsync("api"); break;
            case FaultKind.KillPostgres: await KillAsync("postgres"); break;
            case FaultKind.KillMapper:
                var tokens = hub.Ledger.Open().Select(l => l.Token).ToHashSet();
                var programs = ProgramProcesses.All().Where(p => tokens.Contains(p.Token)).ToArray();
                if (programs.Length > 0) Unix.Signal(programs[(int)(fault.Choice * programs.Length)].Id, Unix.Kill);
                break;
            case FaultKind.KillBackend:
                await hub.QueryAsync("""
                    SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() ORDER BY random() LIMIT 3) b
                    """, r => r.GetBoolean(0));
                break;
            case FaultKind.FreezeWorker or FaultKind.FreezeApi:
                var name = fault.Kind == FaultKind.FreezeWorker ? "worker" : "api";
                hub.Process.Signal(name, Stop);
                // Past its lease of 6 s, by up to half of it.
                await Task.Delay(TimeSpan.FromSeconds(fault.Kind == FaultKind.FreezeWorker ? 7 + (3 * fault.Choice) : 1 + (4 * fault.Choice)));
                hub.Process.Signal(name, Unix.Continue);
                break;
            case FaultKind.LoseShuffle:
                var objects = Directory.EnumerateFiles(hub.Store, "*", SearchOption.AllDirectories).Where(f => f.Contains("/shuffle/", StringComparison.Ordinal)).Order().ToArray();
                if (objects.Length > 0) File.Delete(objects[(int)(fault.Choice * objects.Length)]);
                break;
            default: throw new System.Diagnostics.UnreachableException();
        }
    }

    private async Task KillAsync(string name) => await hub.Process.WaitRestartedAsync(name, await hub.Process.KillAsync(name));
}
