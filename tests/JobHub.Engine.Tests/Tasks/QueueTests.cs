using JobHub.Engine.Attempts;
using JobHub.Engine.Jobs;
using JobHub.Engine.MapReduce;
using JobHub.Engine.Protocol;
using JobHub.Engine.Tasks;
using JobHub.Engine.Workers;
using JobHub.Testing;
using Xunit;

namespace JobHub.Engine.Tests.Tasks;

public sealed class EngineFixture : IAsyncLifetime
{
    public EngineHost Hub { get; private set; } = null!;

    public async Task InitializeAsync() => Hub = await EngineHost.StartAsync();

    public async Task DisposeAsync() => await Hub.DisposeAsync();
}

public sealed class QueueTests(EngineFixture fixture) : IClassFixture<EngineFixture>
{
    private static readonly CancellationToken None = CancellationToken.None;
    private EngineHost Hub => fixture.Hub;

    [Fact]
    public async Task Submit_OfManyCommands_RunsEachOnceAndEndsTheJob()
    {
        var tag = Guid.NewGuid().ToString("N");
        var id = await SubmitAsync(tag, tasks: 500);
        var workers = await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => Hub.OpenAsync($"w-{Guid.NewGuid():N}", affinity: [[tag]])));
        var ran = new System.Collections.Concurrent.ConcurrentBag<long>();
        await Task.WhenAll(workers.Select(async worker =>
        {
            while (await Hub.ClaimAsync(worker, 17) is { Length: > 0 } claimed)
            {
                foreach (var attempt in claimed) ran.Add(attempt.TaskId);
                Assert.All(await CompleteAsync(worker, claimed), a => Assert.Equal(CompletionAnswer.Accepted, a));
            }
        }));

        Assert.Equal(500, ran.Count);
        Assert.Equal(500, ran.Distinct().Count());
        var job = await EndedAsync(id);
        Assert.Equal(JobState.Succeeded, job.State);
        Assert.Equal(500, job.Tasks.Succeeded);
        Assert.NotNull(job.StartedAt);
    }

    [Fact]
    public async Task Claim_ResentWithTheSameId_AnswersTheSameAttempts()
    {
        var tag = Guid.NewGuid().ToString("N");
        await SubmitAsync(tag, tasks: 10);
        var worker = await Hub.OpenAsync(affinity: [[tag]]);
        var claimId = Guid.NewGuid();
        var first = await Hub.ClaimAsync(worker, 4, claimId: claimId);
        var again = await Hub.ClaimAsync(worker, 4, claimId: claimId);
        Assert.Equal(4, first.Length);
        Assert.Equal(first.Select(a => a.Token).Order(), again.Select(a => a.Token).Order());
    }

    [Fact]
    public async Task Complete_Resent_IsAlreadyAcceptedAndCountsOnce()
    {
        var tag = Guid.NewGuid().ToString("N");
        var id = await SubmitAsync(tag, tasks: 1);
        var worker = await Hub.OpenAsync(affinity: [[tag]]);
        var claimed = await Hub.ClaimAsync(worker);
        Assert.Equal([CompletionAnswer.Accepted], await CompleteAsync(worker, claimed));
        Assert.Equal([CompletionAnswer.AlreadyAccepted], await CompleteAsync(worker, claimed));
        Assert.Equal(1, (await EndedAsync(id)).Tasks.Succeeded);
    }

    [Fact]
    public async Task Sweep_OfALostSession_GivesItsTasksToOthersAndRefusesItsLateResults()
    {
        var tag = Guid.NewGuid().ToString("N");
        var id = await SubmitAsync(tag, tasks: 3);
        var dead = await Hub.OpenAsync("dead", affinity: [[tag]]);
        var held = await Hub.ClaimAsync(dead);
        Assert.Equal(3, held.Length);
        // The lease is Postgres' clock: the test moves it, not the machine's.
        await RunSqlAsync($"UPDATE worker_session SET lease_until = clock_timestamp() - interval '1 second' WHERE id = {dead.Id}");
        var alive = await Hub.OpenAsync("alive", affinity: [[tag]]);
        var taken = new List<AttemptSpec>();
        await Eventually.TrueAsync(async () =>
        {
            taken.AddRange(await Hub.ClaimAsync(alive));
            return taken.Count == 3;
        }, "the lost tasks are given to the other worker");
        Assert.All(taken, a => Assert.Equal(2, a.Attempt));
        Assert.All(await CompleteAsync(dead, held), a => Assert.Equal(CompletionAnswer.Lost, a));
        Assert.All(await CompleteAsync(alive, [.. taken]), a => Assert.Equal(CompletionAnswer.Accepted, a));
        var job = await EndedAsync(id);
        Assert.Equal(3, job.Tasks.Succeeded);
        var attempts = await Hub.Reader.AttemptsAsync(id, TaskKind.Command, 0, None);
        Assert.Equal([AttemptOutcome.Lost, AttemptOutcome.Succeeded], attempts.Select(a => a.Outcome!.Value));
    }

    [Fact]
    public async Task Log_OfAnAttemptWhoseWorkerIsGone_IsWhatItHadSent()
    {
        var tag = Guid.NewGuid().ToString("N");
        var id = await SubmitAsync(tag, tasks: 1);
        var dead = await Hub.OpenAsync("dead-log", affinity: [[tag]]);
        var held = (await Hub.ClaimAsync(dead)).Single();
        await Hub.Get<FencedAttempts>().AppendLiveLogAsync(held.TaskId, held.Token, 0, "first "u8.ToArray(), None);
        await Hub.Get<FencedAttempts>().AppendLiveLogAsync(held.TaskId, held.Token, 6, "second"u8.ToArray(), None);
        await RunSqlAsync($"UPDATE worker_session SET lease_until = clock_timestamp() - interval '1 second' WHERE id = {dead.Id}");
        await Eventually.TrueAsync(async () => (await Hub.Reader.AttemptsAsync(id, TaskKind.Command, 0, None)) is [{ Outcome: AttemptOutcome.Lost, LogSize: 12 }], "the attempt is lost");
        await RunSqlAsync($"DELETE FROM live_log WHERE task_id = {held.TaskId}");
        var slice = await Hub.Get<LogReader>().OpenAsync(id, TaskKind.Command, 0, 1, 0, None);
        using var text = new StreamReader(slice!.Rest!);
        Assert.Equal("first second", await text.ReadToEndAsync());
    }

    [Fact]
    public async Task Fail_UpToTheBudget_RetriesAndThenFailsTheJobWithTheCause()
    {
        var tag = Guid.NewGuid().ToString("N");
        var id = await SubmitAsync(tag, tasks: 3, maxAttempts: 2);
        var worker = await Hub.OpenAsync(affinity: [[tag]]);
        var failures = 0;
        await Eventually.TrueAsync(async () =>
        {
            foreach (var attempt in await Hub.ClaimAsync(worker, 1))
            {
                failures++;
                await CompleteAsync(worker, [attempt], AttemptOutcome.Failed, new("exit-code", "The program ended with exit code 3."));
            }

            return (await Hub.Reader.GetAsync(id, None))!.State == JobState.Failed;
        }, "the job has failed");
        Assert.True(failures >= 2);
        var job = (await Hub.Reader.GetAsync(id, None))!;
        Assert.Equal("exit-code", job.Error!.Type);
        Assert.StartsWith($"{id}-c-", job.Error.TaskId, StringComparison.Ordinal);
        Assert.Equal(3, job.Tasks.Failed + job.Tasks.Canceled + job.Tasks.Succeeded);
    }

    [Fact]
    public async Task Runs_WhileAMapRunsAgain_SayWhichIsMissing()
    {
        var program = new PinnedProgram("p", ProgramType.Streaming, 1, "00");
        var details = new MapReduceSpec { Mapper = program, Reducer = program, InputPath = "file:///in", InputType = "file/txt", OutputPath = "file:///out", Maps = 4, Reducers = 1, SplitSize = 1, InputSize = 4 };
        var id = JobId.New();
        await Hub.Jobs.SubmitAsync(new JobSpec
        {
            Id = id, Family = JobFamily.MapReduce, Details = System.Text.Json.JsonSerializer.Serialize(details, EngineJson.Default.MapReduceSpec),
            Tasks = [new TaskGroup(TaskKind.Map, 4, false), new TaskGroup(TaskKind.Reduce, 1, true)], Needs = Requirement.None with { Affinity = [Guid.NewGuid().ToString("N")] },
        }, new("t", null, null), None);
        var number = (await Hub.Reader.GetAsync(id, None))!.Number;
        var worker = await Hub.OpenAsync();
        var job = (await Hub.Get<JobContexts>().GetAsync(number, None))!;
        async Task<RunPage> RunsAsync(int limit) => await Hub.Get<AttemptSpecs>().RunsAsync(worker, job, Guid.NewGuid(), 0, -1, limit, None);
        foreach (var (map, missing) in new (int, int?)[] { (0, 1), (3, 1), (2, 1), (1, null) })
        {
            await RunSqlAsync($"INSERT INTO task (id, state, attempt, winner, offsets) VALUES (({number}::bigint << 20) + {map}, 4, 1, gen_random_uuid(), decode('00000000000000000900000000000000', 'hex'))");
            Assert.Equal(missing, (await RunsAsync(10)).Missing);
        }

        Assert.Equal(4, (await RunsAsync(10)).Runs.Length);
        Assert.Equal(1, (await RunsAsync(2)).Next);
        await RunSqlAsync($"DELETE FROM task WHERE id = ({number}::bigint << 20) + 3");
        Assert.Equal(3, (await RunsAsync(10)).Missing);
    }

    [Fact]
    public async Task Cancel_WhileTasksRun_TellsTheirHolderAndEndsTheRest()
    {
        var tag = Guid.NewGuid().ToString("N");
        var id = await SubmitAsync(tag, tasks: 1000);
        var worker = await Hub.OpenAsync(affinity: [[tag]]);
        var held = await Hub.ClaimAsync(worker, 5);
        Assert.IsType<CancelResult.Accepted>(await Hub.Jobs.CancelAsync(id, "t", None));
        Assert.Equal(JobState.Canceling, (await Hub.Reader.GetAsync(id, None))!.State);
        Assert.Empty(await Hub.ClaimAsync(worker, 5));
        var orders = await Hub.Sessions.OrdersAsync(worker.Id, TimeSpan.FromSeconds(20), None);
        Assert.Equal(held.Select(a => a.Token).Order(), orders.Select(o => o.Token).Order());
        await CompleteAsync(worker, held, AttemptOutcome.Canceled);
        var job = await EndedAsync(id);
        Assert.Equal(JobState.Canceled, job.State);
        Assert.Equal(1000, job.Tasks.Canceled);
        Assert.IsType<CancelResult.AlreadyFinished>(await Hub.Jobs.CancelAsync(id, "t", None));
        Assert.IsType<CancelResult.NotFound>(await Hub.Jobs.CancelAsync(JobId.New(), "t", None));
    }

    [Fact]
    public async Task Renew_WithoutAToken_GivesTheAttemptBackUncharged()
    {
        var tag = Guid.NewGuid().ToString("N");
        var id = await SubmitAsync(tag, tasks: 1);
        var worker = await Hub.OpenAsync(affinity: [[tag]]);
        Assert.Single(await Hub.ClaimAsync(worker));
        await RunSqlAsync($"UPDATE live SET leased_at = leased_at - interval '5 seconds' WHERE session_id = {worker.Id}");
        await RenewAsync(worker, []);
        await RenewAsync(worker, []);
        var again = Assert.Single(await Hub.ClaimAsync(worker));
        Assert.Equal(2, again.Attempt);
        await CompleteAsync(worker, [again]);
        Assert.Equal(JobState.Succeeded, (await EndedAsync(id)).State);
        Assert.Equal(AttemptOutcome.Interrupted, (await Hub.Reader.AttemptsAsync(id, TaskKind.Command, 0, None))[0].Outcome);
    }

    [Fact]
    public async Task Claim_OfPriorities_TakesTheHigherFirstAndThenTheOlder()
    {
        var tag = Guid.NewGuid().ToString("N");
        var low = await SubmitAsync(tag, tasks: 1, priority: 10);
        var high = await SubmitAsync(tag, tasks: 1, priority: 200);
        var alsoHigh = await SubmitAsync(tag, tasks: 1, priority: 200);
        var worker = await Hub.OpenAsync(affinity: [[tag]]);
        Assert.Equal([high.Value, alsoHigh.Value, low.Value], (await Hub.ClaimAsync(worker, 3)).Select(a => a.JobId));
    }

    [Fact]
    public async Task Submit_WithTheSameKey_AnswersTheSameJobOnce()
    {
        var spec = Spec(Guid.NewGuid().ToString("N"), 1, 255, 4);
        var key = Guid.NewGuid().ToString();
        var answers = await Task.WhenAll(Enumerable.Range(0, 8).Select(_ =>
            Hub.Jobs.SubmitAsync(spec with { Id = JobId.New() }, new("me", key, [1, 2, 3]), None)));
        var accepted = answers.Cast<SubmitResult.Accepted>().ToList();
        Assert.Single(accepted.Select(a => a.Id).Distinct());
        Assert.Single(accepted, a => !a.Replayed);
        Assert.IsType<SubmitResult.KeyReused>(await Hub.Jobs.SubmitAsync(spec with { Id = JobId.New() }, new("me", key, [9]), None));
        Assert.IsType<SubmitResult.Accepted>(await Hub.Jobs.SubmitAsync(spec with { Id = JobId.New() }, new("you", key, [9]), None));
    }

    [Fact]
    public async Task Events_OfAJob_ComeInOrderEachPositionOnce()
    {
        var tag = Guid.NewGuid().ToString("N");
        var id = await SubmitAsync(tag, tasks: 20);
        var worker = await Hub.OpenAsync(affinity: [[tag]]);
        while (await Hub.ClaimAsync(worker, 3) is { Length: > 0 } claimed) await CompleteAsync(worker, claimed);
        await EndedAsync(id);
        var events = new List<Engine.Events.HubEvent>();
        await foreach (var e in Hub.Get<Engine.Events.EventReader>().ReadAsync(0, id, follow: true, None))
        {
            events.Add(e);
            if (e.Kind == "job-ended") break;
        }

        Assert.Equal("job-submitted", events[0].Kind);
        Assert.Equal(events.Select(e => e.Position).Order(), events.Select(e => e.Position));
        Assert.Equal(events.Count, events.Select(e => e.Position).Distinct().Count());
    }

    [Fact]
    public async Task Counters_WhileTasksEnd_AreNeverMoreThanEndedAndNeverShrink()
    {
        var tag = Guid.NewGuid().ToString("N");
        var id = await SubmitAsync(tag, tasks: 300);
        var worker = await Hub.OpenAsync(affinity: [[tag]]);
        var done = 0;
        using var stop = new CancellationTokenSource();
        var reading = Task.Run(async () =>
        {
            var last = 0;
            while (!stop.IsCancellationRequested)
            {
                var before = Volatile.Read(ref done);
                var seen = (await Hub.Reader.GetAsync(id, None))!.Tasks.Succeeded;
                Assert.InRange(seen, Math.Max(last, before), 300);
                last = seen;
            }
        });
        while (await Hub.ClaimAsync(worker, 7) is { Length: > 0 } claimed)
        {
            await CompleteAsync(worker, claimed);
            Interlocked.Add(ref done, claimed.Length);
        }

        await stop.CancelAsync();
        await reading;
        Assert.Equal(300, (await EndedAsync(id)).Tasks.Succeeded);
    }

    private static JobSpec Spec(string tag, int tasks, int priority, int maxAttempts) => new()
    {
        Family = JobFamily.Commands, Details = """{"command":"true"}""", Tasks = [new(TaskKind.Command, tasks, false)], Priority = priority, MaxAttempts = maxAttempts,
        Needs = Requirement.None with { Affinity = [tag] },
    };

    private async Task<JobId> SubmitAsync(string tag, int tasks, int priority = 255, int maxAttempts = 4) =>
        Assert.IsType<SubmitResult.Accepted>(await Hub.Jobs.SubmitAsync(Spec(tag, tasks, priority, maxAttempts), new("test", null, null), None)).Id;

    private async Task<CompletionAnswer[]> CompleteAsync(WorkerSession worker, AttemptSpec[] claimed, AttemptOutcome outcome = AttemptOutcome.Succeeded, AttemptError? error = null) =>
        await Hub.Get<Completions>().CompleteAsync(worker.Id, [.. claimed.Select(a => new AttemptResult { Token = a.Token, TaskId = a.TaskId, Outcome = outcome, Error = error, ExitCode = 0 })], None);

    private async Task RenewAsync(WorkerSession worker, Guid[] tokens) => Assert.NotNull(await Hub.Sessions.RenewAsync(worker.Id, new(tokens, [], [], 0, 0), None));

    private async Task RunSqlAsync(string sql)
    {
        await using var command = Hub.Database.CreateCommand(sql);
        await command.ExecuteNonQueryAsync();
    }

    private async Task<JobView> EndedAsync(JobId id)
    {
        JobView? job = null;
        await Eventually.TrueAsync(async () => (job = await Hub.Reader.GetAsync(id, None))!.State.IsTerminal, "the job has ended");
        return job!;
    }
}
