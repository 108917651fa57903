using System.Text.Json;
using JobHub.Engine.Events;
using JobHub.Engine.Jobs;
using JobHub.Engine.Tasks;
using JobHub.Testing;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;
using Xunit;

namespace JobHub.Engine.Tests.Events;

/// <summary>Cursors over the ledger: one holder, nothing left out, and retention behind them.</summary>
public sealed class OutboxTests(OutboxTests.Server server) : IClassFixture<OutboxTests.Server>, IAsyncLifetime
{
    /// <summary>One Postgres for all of them.</summary>
    public sealed class Server : IAsyncLifetime
    {
        public PostgresServer Postgres { get; private set; } = null!;

        public async Task InitializeAsync() => Postgres = await PostgresServer.StartAsync();

        public async Task DisposeAsync() => await Postgres.DisposeAsync();
    }

    private EngineHost engine = null!;

    public async Task InitializeAsync() => engine = await EngineHost.StartAsync(server.Postgres);

    public async Task DisposeAsync() => await engine.DisposeAsync();

    [Fact]
    public async Task Cursor_WhileOneHoldsIt_IsNobodyElsesAndIsTakenOverWhereItStands()
    {
        var cursors = new EventCursors(engine.Database);
        await EndOneAsync();
        var first = await cursors.TryTakeAsync("a", default);
        Assert.NotNull(first);
        Assert.Equal(0, await first.LagAsync(default));
        Assert.Null(await cursors.TryTakeAsync("a", default));
        await using (var other = await cursors.TryTakeAsync("b", default)) Assert.NotNull(other);

        await first.MoveAsync(first.Position + 7, default);
        await first.DisposeAsync();

        await using var next = await cursors.TryTakeAsync("a", default);
        Assert.Equal(first.Position, next!.Position);
    }

    [Fact]
    public async Task Cursor_OfABrokenConnection_IsFree()
    {
        var cursors = new EventCursors(engine.Database);
        await using var first = await cursors.TryTakeAsync("a", default);
        await using (var end = engine.Database.CreateCommand("SELECT pg_terminate_backend($1)"))
        {
            end.Parameters.AddWithValue(first!.Connection.ProcessID);
            await end.ExecuteNonQueryAsync();
        }

        await using var next = await Eventually.GetAsync(() => cursors.TryTakeAsync("a", default), turn => turn is not null, "the turn of a holder that died");
        await Assert.ThrowsAnyAsync<Exception>(() => first.MoveAsync(first.Position + 1, default));
    }

    [Fact]
    public async Task Messages_ReadInSmallPages_AreTheSameAsInOne()
    {
        await using var turn = await new EventCursors(engine.Database).TryTakeAsync("a", default);
        for (var i = 0; i < 5; i++) await EndOneAsync();
        await Eventually.TrueAsync(async () => (await Outbox.ReadAsync(turn!.Connection, turn.Position, false, 100, default)).Messages.Count == 5, "five final messages");
        var whole = (await Outbox.ReadAsync(turn!.Connection, turn.Position, every: true, 100, default)).Messages;
        Assert.Equal(["job-queued", "job-ended"], whole.Where(m => m.Job == whole[0].Job).Select(m => m.Event));

        var pieces = new List<OutboxMessage>();
        for (var at = turn.Position; ;)
        {
            var page = await Outbox.ReadAsync(turn.Connection, at, every: true, 3, default);
            Assert.InRange(page.Messages.Count, 0, 3);
            pieces.AddRange(page.Messages);
            if (page.Upto >= page.Newest) break;
            at = page.Upto;
        }

        Assert.Equal(whole.Select(m => m.Position), pieces.Select(m => m.Position));
    }

    [Fact]
    public async Task Retention_OfAJobThatIsStillToBeTold_WaitsForTheCursor()
    {
        var cursors = new EventCursors(engine.Database);
        await (await cursors.TryTakeAsync("a", default))!.DisposeAsync();
        var job = await EndOneAsync();
        await engine.CountAsync("WITH u AS (UPDATE job SET ended_at = ended_at - interval '40 days' RETURNING 1), l AS (UPDATE ledger SET at = at - interval '40 days' RETURNING 1) SELECT count(*) FROM l");
        var retention = new Retention(engine.Database, Options.Create(new RetentionOptions()), NullLogger<Retention>.Instance, engine.Stores);

        Assert.Equal((0, 1), await RunAsync());
        await using (var turn = await cursors.TryTakeAsync("a", default))
        {
            var page = await Outbox.ReadAsync(turn!.Connection, turn.Position, false, 10, default);
            Assert.Equal(job.ToString(), Assert.Single(page.Messages).JobId);
            await turn.MoveAsync(page.Upto, default);
        }

        Assert.Equal((1, 0), await RunAsync());
        Assert.Equal(0, await engine.CountAsync("SELECT count(*) FROM ledger"));

        async Task<(int, int)> RunAsync()
        {
            var result = await retention.ApplyAsync(default);
            return (result.Jobs, result.Kept);
        }
    }

    [Fact]
    public async Task Retention_WithACursorThatNobodyHasHeldForAWeek_DoesNotWait()
    {
        await (await new EventCursors(engine.Database).TryTakeAsync("a", default))!.DisposeAsync();
        await EndOneAsync();
        await engine.CountAsync("WITH u AS (UPDATE job SET ended_at = ended_at - interval '40 days'), c AS (UPDATE event_cursor SET seen_at = seen_at - interval '8 days') SELECT 0::bigint");
        var result = await new Retention(engine.Database, Options.Create(new RetentionOptions()), NullLogger<Retention>.Instance, engine.Stores).ApplyAsync(default);
        Assert.Equal(1, result.Jobs);
    }

    private async Task<JobId> EndOneAsync()
    {
        var spec = new JobSpec
        {
            Family = JobFamily.Commands, Details = JsonSerializer.Serialize(new CommandDetails { Command = "true" }, JsonSerializerOptions.Web), Tasks = [new TaskGroup(TaskKind.Command, 1, false)],
        };
        await engine.Jobs.SubmitAsync(spec, new Submission("test", null, null), default);
        await engine.Jobs.CancelAsync(spec.Id, "test", default);
        // Its last event too has its place.
        await Eventually.TrueAsync(
            async () => await engine.CountAsync($"SELECT count(*) FROM job j JOIN ledger l ON l.job = j.number WHERE j.id = '{spec.Id}' AND l.kind = 'job-ended' AND l.position IS NOT NULL") == 1, "the job's end");
        return spec.Id;
    }
}
