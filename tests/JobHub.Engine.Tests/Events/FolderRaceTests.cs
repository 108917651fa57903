using System.Text.Json;
using JobHub.Engine.Attempts;
using JobHub.Engine.Events;
using JobHub.Engine.Jobs;
using JobHub.Engine.Protocol;
using JobHub.Engine.Tasks;
using JobHub.Engine.Upkeep;
using JobHub.Testing;
using Npgsql;
using Xunit;

namespace JobHub.Engine.Tests.Events;

public sealed class FolderRaceTests
{
    [Theory]
    [InlineData(4, "Succeeded")]
    [InlineData(6, "Canceled")]
    public async Task Job_EndedByAStepWhileItsResultIsFolded_EndsOnce(int state, string name)
    {
        await using var engine = await EngineHost.StartAsync(upkeep: false);
        var made = await engine.Jobs.SubmitAsync(new JobSpec
        {
            Family = JobFamily.Commands, Details = JsonSerializer.Serialize(new CommandDetails { Command = "true" }, JsonSerializerOptions.Web), Tasks = [new TaskGroup(TaskKind.Command, 1, false)],
        }, new("test", null, null), CancellationToken.None);
        Assert.NotNull(made);
        var session = await engine.OpenAsync();
        var attempt = Assert.Single(await engine.ClaimAsync(session, 1));
        await engine.Get<Completions>().CompleteAsync(session.Id, [new AttemptResult { Token = attempt.Token, TaskId = attempt.TaskId, Outcome = AttemptOutcome.Succeeded, ExitCode = 0 }], CancellationToken.None);

        var folder = new LedgerFolder(engine.Database, engine.Get<Wakeups>(), TimeProvider.System);

        // As a step does it: the row is locked, changed, and the end noted in one transaction.
        await using var connection = await engine.Database.OpenConnectionAsync();
        await using var transaction = await connection.BeginTransactionAsync();
        await using (var end = new NpgsqlCommand($"""
            WITH ended AS (UPDATE job SET state = {state}, ended_at = clock_timestamp() RETURNING number)
            INSERT INTO ledger (job, kind, payload) SELECT number, 'job-ended', jsonb_build_object('state', '{name}') FROM ended
            """, connection)) await end.ExecuteNonQueryAsync();
        var folding = folder.FoldAsync(CancellationToken.None);
        await Eventually.TrueAsync(async () => await engine.CountAsync("SELECT count(*) FROM pg_locks WHERE NOT granted") > 0, "the folder at the job's row");
        await transaction.CommitAsync();
        await folding;
        await folder.FoldAsync(CancellationToken.None);

        Assert.Equal(1, await engine.CountAsync("SELECT count(*) FROM ledger WHERE kind = 'job-ended'"));
        Assert.Equal(state, await engine.CountAsync("SELECT state::bigint FROM job"));
        Assert.Equal(1, await engine.CountAsync("SELECT succeeded::bigint FROM job"));
    }
}
