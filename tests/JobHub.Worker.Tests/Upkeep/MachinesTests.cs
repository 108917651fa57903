using JobHub.Engine.Jobs;
using JobHub.Engine.Trees;
using JobHub.Testing;
using JobHub.Worker.Upkeep;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Xunit;

namespace JobHub.Worker.Tests.Upkeep;

public sealed class MachinesTests
{
    private static readonly DateTimeOffset Now = new(2026, 11, 22, 12, 0, 0, TimeSpan.Zero);

    private static readonly MachineOptions Options = new()
    {
        Start = "start", Stop = "stop", WaitingPerWorker = 10, IdleTime = TimeSpan.FromMinutes(15), Cooldown = TimeSpan.FromMinutes(5), AtOnce = 4, Most = 20, Fewest = 1,
    };

    [Theory]
    // Waiting, workers, minutes each idle one has been so; machines more or fewer.
    [InlineData(0, 3, new int[0], 0)]
    [InlineData(1, 3, new int[0], 1)]
    [InlineData(10, 3, new int[0], 1)]
    [InlineData(11, 3, new int[0], 2)]
    [InlineData(11, 3, new[] { 1 }, 1)]
    [InlineData(11, 3, new[] { 1, 1 }, 0)]
    [InlineData(1000, 3, new int[0], 4)]
    [InlineData(1000, 18, new int[0], 2)]
    [InlineData(1000, 20, new int[0], 0)]
    [InlineData(1000, 25, new int[0], 0)]
    [InlineData(0, 0, new int[0], 1)]
    [InlineData(0, 3, new[] { 14, 14 }, 0)]
    [InlineData(0, 3, new[] { 16, 14 }, -1)]
    [InlineData(0, 3, new[] { 30, 30, 30 }, -2)]
    [InlineData(0, 9, new[] { 30, 30, 30, 30, 30, 30 }, -4)]
    [InlineData(5, 3, new[] { 30, 30 }, 0)]
    public void Decision_OfALoad_IsSoManyMachines(int waiting, int workers, int[] idle, int expected) =>
        Assert.Equal(expected, MachineDecision.Of(LoadOf(waiting, workers, idle), Options, Now, lastAt: null));

    [Fact]
    public void Decision_AfterACommand_WaitsForTheCooldown()
    {
        var load = LoadOf(1000, 3, []);
        Assert.Equal(0, MachineDecision.Of(load, Options, Now, Now - TimeSpan.FromMinutes(4.9)));
        Assert.Equal(4, MachineDecision.Of(load, Options, Now, Now - TimeSpan.FromMinutes(5)));
    }

    [Fact]
    public void Decision_WithoutTheCommandForIt_IsNothing()
    {
        Assert.Equal(0, MachineDecision.Of(LoadOf(1000, 3, []), new() { Stop = "stop" }, Now, null));
        Assert.Equal(0, MachineDecision.Of(LoadOf(0, 3, [60, 60]), new() { Start = "start" }, Now, null));
    }

    [Fact]
    public async Task Commands_OfAFarmThatFillsAndEmpties_AreRunOnceEachWithTheNumbers()
    {
        await using var engine = await EngineHost.StartAsync();
        await engine.OpenAsync("idle one");
        var busy = await engine.OpenAsync("busy");
        var made = Assert.IsType<TreeResult.Done>(await engine.Get<JobTrees>().CreateAsync([.. Enumerable.Range(0, 26).Select(_ => new NewTreeJob { Command = "true" })], new("test", null, null), CancellationToken.None));
        Assert.Equal(26, made.Ids.Count);
        Assert.Single(await engine.ClaimAsync(busy, 1));
        var folder = Directory.CreateTempSubdirectory("jobhub-machines-").FullName;
        try
        {
            await using (var _ = await SchedulerAsync(engine, folder, "Start", "env | grep ^JOBHUB_ | sort > start; echo once >> count; echo started"))
                await Eventually.TrueAsync(() => File.Exists(Path.Combine(folder, "count")), "the start of machines");
            Assert.Equal("JOBHUB_IDLE=1\nJOBHUB_IDLE_WORKERS=idle one\nJOBHUB_MACHINES=2\nJOBHUB_WAITING=25\nJOBHUB_WORKERS=2\n", await File.ReadAllTextAsync(Path.Combine(folder, "start")));
            Assert.Equal("once\n", await File.ReadAllTextAsync(Path.Combine(folder, "count")));

            Assert.IsType<TreeResult.Done>(await engine.Get<JobTrees>().DeleteAsync(made.Ids, "test", CancellationToken.None));
            await using (var _ = await SchedulerAsync(engine, folder, "Stop", "echo $JOBHUB_MACHINES $JOBHUB_WAITING \"$JOBHUB_IDLE_WORKERS\" > stop.new; mv stop.new stop"))
                await Eventually.TrueAsync(() => File.Exists(Path.Combine(folder, "stop")), "the stop of machines");
            Assert.StartsWith("1 0 idle one\n", await File.ReadAllTextAsync(Path.Combine(folder, "stop")), StringComparison.Ordinal);
        }
        finally { Directory.Delete(folder, recursive: true); }
    }

    private static FarmLoad LoadOf(int waiting, int workers, int[] idle) => new(waiting, workers, [.. idle.Select((m, i) => ($"w{i}", Now - TimeSpan.FromMinutes(m)))]);

    private static async Task<RunningHost> SchedulerAsync(EngineHost engine, string folder, string which, string command)
    {
        var builder = Host.CreateApplicationBuilder(new HostApplicationBuilderSettings { DisableDefaults = true });
        builder.Configuration.AddInMemoryCollection(new Dictionary<string, string?>
        {
            ["ConnectionStrings:jobhub"] = engine.Get<IConfiguration>().GetConnectionString("jobhub"), [$"JobHub:Farm:Machines:{which}"] = $"cd '{folder}' && {command}",
            ["JobHub:Farm:Machines:WaitingPerWorker"] = "10", ["JobHub:Farm:Machines:AtOnce"] = which == "Start" ? "4" : "1", ["JobHub:Farm:Machines:IdleTime"] = "00:00:01", ["JobHub:Farm:Machines:Every"] = "00:00:01",
        });
        builder.Services.AddLogging(l => l.AddConsole().SetMinimumLevel(LogLevel.Error)).AddSingleton(TimeProvider.System);
        builder.Services.AddSchedulerRole(builder.Configuration);
        var host = builder.Build();
        await host.StartAsync();
        return new RunningHost(host);
    }

    private sealed class RunningHost(IHost host) : IAsyncDisposable
    {
        public async ValueTask DisposeAsync()
        {
            await host.StopAsync();
            host.Dispose();
        }
    }
}
