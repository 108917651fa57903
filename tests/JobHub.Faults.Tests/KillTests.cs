using JobHub.Testing;
using JobHub.Faults.Tests.Hubs;
using JobHub.Faults.Tests.Runs;
using Xunit.Abstractions;

namespace JobHub.Faults.Tests;

/// <summary>kill -9 of what runs programs, at random moments over running word counts. Five times each; fifty with <c>./test.sh --long</c>.</summary>
public class WorkerKillTests(ITestOutputHelper output)
{
    [Fact]
    public Task Job_WhenItsWorkerIsKilled_EndsWithTheRightResult() => KillRun.RunAsync(101, FaultKind.KillWorker, output);

    [Fact]
    public Task Job_WhenItsMappersAreKilled_EndsWithTheRightResult() => KillRun.RunAsync(102, FaultKind.KillMapper, output);

    [Fact]
    public void Plan_OfTheSameSeed_IsTheSame()
    {
        var counts = new Dictionary<FaultKind, int> { [FaultKind.KillApi] = 5, [FaultKind.KillWorker] = 5, [FaultKind.LoseShuffle] = 3 };
        Assert.Equal(FaultPlan.Of(7, counts, TimeSpan.FromSeconds(2)), FaultPlan.Of(7, counts, TimeSpan.FromSeconds(2)));
        Assert.NotEqual(FaultPlan.Of(7, counts, TimeSpan.FromSeconds(2)), FaultPlan.Of(8, counts, TimeSpan.FromSeconds(2)));
    }
}

/// <summary>The same of what keeps the state.</summary>
public class ApiKillTests(ITestOutputHelper output)
{
    [Fact]
    public Task Job_WhenTheApiIsKilled_EndsWithTheRightResult() => KillRun.RunAsync(103, FaultKind.KillApi, output);
}

/// <summary>The same of the database.</summary>
public class PostgresKillTests(ITestOutputHelper output)
{
    [Fact]
    public Task Job_WhenPostgresIsKilled_EndsWithTheRightResult() => KillRun.RunAsync(104, FaultKind.KillPostgres, output);
}

internal static class KillRun
{
    public static async Task RunAsync(int seed, FaultKind kind, ITestOutputHelper output)
    {
        await using var hub = await FaultHub.StartAsync();
        // What a killed worker ran is to run elsewhere.
        await using var spare = kind == FaultKind.KillWorker ? await SpareWorker.StartAsync(hub.Process, "spare", 2) : null;
        await new FaultRun(hub, seed, output).RunAsync(new Dictionary<FaultKind, int> { [kind] = FaultHub.IsLong ? 50 : 5 });
    }
}
