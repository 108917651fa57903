using JobHub.Engine.Statistics;
using JobHub.Testing;
using Npgsql;
using Xunit;

namespace JobHub.Engine.Tests.Statistics;

public sealed class LedgerStatisticsTests
{
    private static readonly StatisticScope All = new(null);

    [Fact]
    public async Task RollUp_WhenManyRunAtOnceAndAreKilled_CountsEveryRowOnce()
    {
        const int rows = 60_000;
        await using var engine = await EngineHost.StartAsync(upkeep: false);
        await RunAsync(engine, $"""
            INSERT INTO ledger (job, kind, payload, succeeded, failed, position)
            SELECT 0, CASE WHEN n % 3 = 0 THEN 'job-ended' ELSE 'tasks-ended' END, CASE WHEN n % 3 = 0 THEN '{"{\"state\":\"Failed\"}"}'::jsonb END, CASE WHEN n % 3 = 1 THEN n % 7 ELSE 0 END, CASE WHEN n % 3 = 2 THEN 1 ELSE 0 END, n
            FROM generate_series(1, {rows}) n
            """);
        var (succeeded, failed) = (await engine.CountAsync("SELECT sum(succeeded)::bigint FROM ledger"), await engine.CountAsync("SELECT sum(failed)::bigint FROM ledger"));
        using var done = new CancellationTokenSource();
        var killed = 0L;
        var killer = Task.Run(async () =>
        {
            while (!done.IsCancellationRequested)
            {
                killed += await engine.CountAsync("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND query LIKE 'WITH place AS%' AND state = 'active'");
                await Task.Yield();
            }
        });
        await Task.WhenAll(Enumerable.Range(0, 4).Select(async _ =>
        {
            while (await engine.CountAsync("SELECT position FROM statistic_place WHERE name = 'ledger'") < rows)
            {
                try
                {
                    await engine.Get<LedgerStatistics>().RollUpAsync(CancellationToken.None);
                }
                catch (Exception fault) when (fault is NpgsqlException or IOException)
                {
                    // It was killed in the middle: somebody goes on from what was counted.
                    if (killed > 25) await done.CancelAsync();
                }
            }
        }));
        await done.CancelAsync();
        await killer;

        Assert.True(killed > 0);
        foreach (var window in StatisticWindow.All)
        {
            var ended = await engine.Get<StatisticReader>().EndedAsync(All, window, CancellationToken.None);
            Assert.Equal((succeeded, failed, rows / 3), (ended.Sum(b => b.TasksSucceeded), ended.Sum(b => b.TasksFailed), ended.Sum(b => b.JobsFailed)));
            Assert.Equal(rows / 3, (await engine.Get<StatisticReader>().CausesAsync(All, window, ofJobs: true, 10, CancellationToken.None)).Sum(c => c.Count));
        }
    }

    [Fact]
    public async Task RollUp_OfRowsWithoutAPosition_LeavesThemForLater()
    {
        await using var engine = await EngineHost.StartAsync(upkeep: false);
        var statistics = engine.Get<LedgerStatistics>();
        await RunAsync(engine, "INSERT INTO ledger (job, kind, succeeded) VALUES (0, 'tasks-ended', 5)");
        await statistics.RollUpAsync(CancellationToken.None);
        Assert.Equal(0, await SucceededAsync(engine));

        await RunAsync(engine, "UPDATE ledger SET position = 1");
        await statistics.RollUpAsync(CancellationToken.None);
        await statistics.RollUpAsync(CancellationToken.None);
        Assert.Equal(5, await SucceededAsync(engine));
    }

    private static async Task<long> SucceededAsync(EngineHost engine) =>
        (await engine.Get<StatisticReader>().EndedAsync(All, StatisticWindow.All[1], CancellationToken.None)).Sum(b => b.TasksSucceeded);

    private static async Task RunAsync(EngineHost engine, string sql)
    {
        await using var command = engine.Database.CreateCommand(sql);
        await command.ExecuteNonQueryAsync();
    }
}
