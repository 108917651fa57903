using JobHub.Engine.Events;
using JobHub.Engine.Jobs;
using JobHub.Engine.Protocol;
using JobHub.Engine.Tasks;
using JobHub.Engine.Workers;
using JobHub.Testing;
using Xunit;

namespace JobHub.Engine.Tests.Workers;

public sealed class WorkerDirectoryTests(WorkerDirectoryTests.Server server) : IClassFixture<WorkerDirectoryTests.Server>, IAsyncLifetime
{
    /// <summary>One Postgres for all of them.</summary>
    public sealed class Server : IAsyncLifetime
    {
        public PostgresServer Postgres { get; private set; } = null!;

        public async Task InitializeAsync() => Postgres = await PostgresServer.StartAsync();

        public async Task DisposeAsync() => await Postgres.DisposeAsync();
    }

    private static readonly CancellationToken None = CancellationToken.None;
    private EngineHost _hub = null!;

    private WorkerDirectory Workers => _hub.Get<WorkerDirectory>();

    public async Task InitializeAsync() => _hub = await EngineHost.StartAsync(server.Postgres);

    public async Task DisposeAsync() => await _hub.DisposeAsync();

    [Fact]
    public async Task Agent_WhenItOpensAndRenews_IsListedWithWhatItSays()
    {
        var opened = await _hub.Sessions.OpenAsync(new("w1", "host", 2, 4, 8L << 30, 0, [["A", "B"], ["C"]], [], "plain", "test"), None, "10.0.0.7");
        var view = Assert.Single(await Workers.ListAsync(None));
        Assert.Equal(("w1", "10.0.0.7", "A,B\nC", WorkerState.Waiting, 8192L, true), (view.Name, view.Ip, view.Affinity, view.State, view.TotalMemory, view.Active));
        await RunSqlAsync("UPDATE worker SET seen_at = seen_at - interval '2 seconds'");
        Assert.False((await _hub.Sessions.RenewAsync(opened.Session, new([], [], [], 1, 3L << 30), None))!.Exit);
        var renewed = Assert.Single(await Workers.ListAsync(None));
        Assert.Equal(("[25]", 3072L), (renewed.Cpu, renewed.FreeMemory));
        Assert.True(renewed.SeenAt > view.SeenAt.AddSeconds(-1));
        // Within a second of the last write nothing is written.
        await RunSqlAsync("UPDATE worker SET seen_at = clock_timestamp() + interval '1 hour'");
        await _hub.Sessions.RenewAsync(opened.Session, new([], [], [], 2, 1L << 30), None);
        Assert.Equal("[25]", Assert.Single(await Workers.ListAsync(None)).Cpu);
        await _hub.Sessions.CloseAsync(opened.Session, None);
        await RunSqlAsync("UPDATE worker SET seen_at = clock_timestamp() - interval '11 seconds'");
        Assert.Equal(WorkerState.TimedOut, Assert.Single(await Workers.ListAsync(None)).State);
    }

    [Fact]
    public async Task Stopped_WhileItRuns_IsToldAndIsGivenNothingUntilItIsStarted()
    {
        var (first, second) = (await SubmitAsync(), await SubmitAsync());
        var worker = await _hub.OpenAsync("w1");
        var held = Assert.Single(await _hub.ClaimAsync(worker, 1));
        Assert.Equal(first.Value, held.JobId);
        Assert.Equal(WorkerState.Working, Assert.Single(await Workers.ListAsync(None)).State);

        Assert.IsType<WorkerResult.Done>(await Workers.StopAsync(["w1"], terminate: false, "me", None));
        var order = Assert.Single(await _hub.Sessions.OrdersAsync(worker.Id, TimeSpan.FromSeconds(20), None));
        Assert.Equal((held.Token, StopReason.Restarted), (order.Token, order.Reason));
        Assert.Empty(await _hub.ClaimAsync(worker));
        Assert.False(Assert.Single(await Workers.ListAsync(None)).Active);
        // Given in the moment it was stopped: the next renew tells.
        await RunSqlAsync("UPDATE live SET stop = 0");
        Assert.Equal(StopReason.Restarted, Assert.Single((await _hub.Sessions.RenewAsync(worker.Id, new([held.Token], [], [], 0, 0), None))!.Cancel).Reason);

        Assert.IsType<WorkerResult.Done>(await Workers.StartAsync(["w1"], "me", None));
        Assert.Equal(second.Value, Assert.Single(await _hub.ClaimAsync(worker, 1)).JobId);
    }

    [Fact]
    public async Task Drained_WhileItRuns_EndsThatAndIsGivenNothingUntilItIsStarted()
    {
        var (first, second) = (await SubmitAsync(), await SubmitAsync());
        var worker = await _hub.OpenAsync("w1");
        var held = Assert.Single(await _hub.ClaimAsync(worker, 1));
        Assert.Equal(first.Value, held.JobId);

        Assert.IsType<WorkerResult.Done>(await Workers.DrainAsync(["w1"], "me", None));
        Assert.Empty(await _hub.ClaimAsync(worker));
        var known = await _hub.Get<WorkerReader>().GetAsync("w1", None);
        Assert.Equal((WorkerStanding.Draining, 1), (known!.Standing, known.Busy));
        // What it runs goes on: no order to stop comes with a renew.
        var renewed = await _hub.Sessions.RenewAsync(worker.Id, new([held.Token], [held.Token], [], 0, 0), None);
        Assert.Empty(renewed!.Cancel);
        Assert.Empty(renewed.Lost);

        Assert.IsType<WorkerResult.Done>(await Workers.StartAsync(["w1"], "me", None));
        Assert.Equal(WorkerStanding.Active, (await _hub.Get<WorkerReader>().GetAsync("w1", None))!.Standing);
        Assert.Equal(second.Value, Assert.Single(await _hub.ClaimAsync(worker, 1)).JobId);
    }

    [Fact]
    public async Task Terminated_UntilItOpensAnotherSession_IsToldToExitAndStaysStopped()
    {
        var worker = await _hub.OpenAsync("w1");
        Assert.IsType<WorkerResult.Done>(await Workers.StopAsync(["w1"], terminate: true, "me", None));
        Assert.True((await _hub.Sessions.RenewAsync(worker.Id, new([], [], [], 0, 0), None))!.Exit);
        var again = await _hub.OpenAsync("w1");
        Assert.False((await _hub.Sessions.RenewAsync(again.Id, new([], [], [], 0, 0), None))!.Exit);
        Assert.False(Assert.Single(await Workers.ListAsync(None)).Active);
    }

    [Fact]
    public async Task Edit_OfAffinity_ReplacesWhatTheWorkerSays()
    {
        var job = await SubmitAsync("OPERATORS");
        var worker = await _hub.OpenAsync("w1", affinity: [["OWN"]]);
        Assert.Empty(await _hub.ClaimAsync(worker));
        Assert.IsType<WorkerResult.Done>(await Workers.EditAsync(new Dictionary<string, WorkerEdit> { ["w1"] = new(" X , OPERATORS \n\nY", null) }, "me", None));
        Assert.Equal("X,OPERATORS\nY", Assert.Single(await Workers.ListAsync(None)).Affinity);
        Assert.Equal(["X", "OPERATORS", "Y"], (await _hub.Get<AffinitySlots>().ListAsync(None))[..3]);
        Assert.Equal(job.Value, Assert.Single(await _hub.ClaimAsync(worker)).JobId);
    }

    [Fact]
    public async Task Calls_WithAnUnknownName_ChangeNothing()
    {
        await _hub.OpenAsync("w1");
        Assert.Equal("who", Assert.IsType<WorkerResult.NotFound>(await Workers.EditAsync(new Dictionary<string, WorkerEdit> { ["w1"] = new("A", false), ["who"] = new(null, true) }, "me", None)).Name);
        Assert.IsType<WorkerResult.NotFound>(await Workers.StopAsync(["w1", "who"], terminate: true, "me", None));
        Assert.IsType<WorkerResult.NotFound>(await Workers.RemoveAsync(["w1", "who"], "me", None));
        var view = Assert.Single(await Workers.ListAsync(None));
        Assert.Equal(("", true), (view.Affinity, view.Active));
        Assert.Equal("", (await _hub.Get<AffinitySlots>().ListAsync(None))[0]);
    }

    [Fact]
    public async Task Removed_WhileItLives_ComesBackWithItsNextCallAndKeepsWhatItRuns()
    {
        await SubmitAsync();
        var worker = await _hub.OpenAsync("w1");
        var held = Assert.Single(await _hub.ClaimAsync(worker, 1));
        await Workers.EditAsync(new Dictionary<string, WorkerEdit> { ["w1"] = new("A", null) }, "me", None);
        Assert.IsType<WorkerResult.Done>(await Workers.RemoveAsync(["w1"], "me", None));
        Assert.Empty(await Workers.ListAsync(None));
        var answer = await _hub.Sessions.RenewAsync(worker.Id, new([held.Token], [], [], 0, 0), None);
        Assert.Empty(answer!.Lost);
        var view = Assert.Single(await Workers.ListAsync(None));
        Assert.Equal(("w1", "", WorkerState.Working), (view.Name, view.Affinity, view.State));
    }

    [Fact]
    public async Task Workers_WhateverBecomesOfThem_AreToldInTheEvents()
    {
        await _hub.OpenAsync("w1");
        await Workers.StopAsync(["w1"], terminate: false, "me", None);
        await Workers.StartAsync(["w1"], "me", None);
        await RunSqlAsync("UPDATE worker_session SET lease_until = clock_timestamp() - interval '1 second'");
        var seen = new List<string>();
        await foreach (var e in _hub.Get<EventReader>().ReadAsync(0, null, follow: true, None))
        {
            Assert.Null(e.JobId);
            Assert.Contains("\"w1\"", e.Payload, StringComparison.Ordinal);
            seen.Add(e.Kind);
            if (e.Kind == "worker-lost") break;
        }

        Assert.Equal(["worker-opened", "worker-stopped", "worker-started", "worker-lost"], seen);
    }

    private async Task<JobId> SubmitAsync(params string[] tags) => Assert.IsType<SubmitResult.Accepted>(await _hub.Jobs.SubmitAsync(new()
    {
        Family = JobFamily.Commands, Details = """{"command":"true"}""", Tasks = [new(TaskKind.Command, 1, false)], Needs = Requirement.None with { Affinity = tags },
    }, new("test", null, null), None)).Id;

    private async Task RunSqlAsync(string sql)
    {
        await using var command = _hub.Database.CreateCommand(sql);
        await command.ExecuteNonQueryAsync();
    }
}
