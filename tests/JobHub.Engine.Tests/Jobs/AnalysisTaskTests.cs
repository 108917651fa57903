using System.Text;
using System.Text.Json;
using JobHub.Engine.Analyses;
using JobHub.Engine.Attempts;
using JobHub.Engine.Jobs;
using JobHub.Engine.MapReduce;
using JobHub.Engine.Protocol;
using JobHub.Engine.Tasks;
using JobHub.Engine.Tests.Tasks;
using JobHub.Engine.Workers;
using JobHub.Testing;
using Npgsql;
using Xunit;

namespace JobHub.Engine.Tests.Jobs;

/// <summary>Jobs that make analyses, as the engine keeps them: reserved at submit, made once, and gone with what they were made of.</summary>
public sealed class AnalysisTaskTests(EngineFixture fixture) : IClassFixture<EngineFixture>
{
    private static readonly CancellationToken None = CancellationToken.None;
    private EngineHost Hub => fixture.Hub;

    [Fact]
    public async Task Analysis_WhenItsTaskSucceeds_ExistsWithItsObject()
    {
        var (job, analysis) = await SubmitAsync(await DatasetAsync());
        Assert.Equal((true, false), await AnalysisAsync(analysis));
        var worker = await Hub.OpenAsync($"w-{Guid.NewGuid():N}");

        var spec = Assert.Single(await Hub.ClaimAsync(worker));
        Assert.Equal((TaskKind.Analysis, $"{job}-a-0"), (spec.Kind, spec.TaskName));
        Assert.Equal(("goeburst", 3), (spec.Analysis!.Algorithm, Assert.Single(spec.Analysis.Numbers)));
        Assert.NotNull(spec.Analysis.Profiles.Path);
        Assert.Null(spec.Analysis.Edges);
        Assert.Equal(CompletionAnswer.Accepted, await SucceedAsync(worker, spec, "1\t2\t1\n"));

        Assert.Equal(JobState.Succeeded, (await EndOfAsync(job)).State);
        Assert.Equal((true, true), await AnalysisAsync(analysis));
        Assert.Equal("1\t2\t1\n", await ObjectAsync(analysis));
    }

    [Fact]
    public async Task Analysis_WhenTheFirstAttemptIsLost_IsMadeOnceByTheSecond()
    {
        var (job, analysis) = await SubmitAsync(await DatasetAsync());
        var first = await Hub.OpenAsync($"w-{Guid.NewGuid():N}");
        var lost = Assert.Single(await Hub.ClaimAsync(first));
        await Hub.Sessions.CloseAsync(first.Id, None);
        var second = await Hub.OpenAsync($"w-{Guid.NewGuid():N}");
        var again = Assert.Single(await Hub.ClaimAsync(second, waitMs: 5000));
        Assert.Equal(2, again.Attempt);

        Assert.Equal(CompletionAnswer.Accepted, await SucceedAsync(second, again, "second\t2\t1\n"));
        Assert.Equal(CompletionAnswer.Lost, await SucceedAsync(first, lost, "first\t2\t1\n"));

        Assert.Equal(JobState.Succeeded, (await EndOfAsync(job)).State);
        Assert.Equal("second\t2\t1\n", await ObjectAsync(analysis));
        await Eventually.TrueAsync(() => Task.FromResult(!File.Exists(lost.Analysis!.Output.Path)), "the lost attempt's bytes are gone");
    }

    [Fact]
    public async Task Job_OfADatasetThatWasDeletedBeforeItRan_FailsAndSaysWhy()
    {
        var dataset = await DatasetAsync();
        var (job, _) = await SubmitAsync(dataset);
        await ExecuteAsync("DELETE FROM dataset WHERE id = $1", dataset);

        Assert.Empty(await Hub.ClaimAsync(await Hub.OpenAsync($"w-{Guid.NewGuid():N}")));

        var ended = await EndOfAsync(job);
        Assert.Equal((JobState.Failed, "input-deleted"), (ended.State, ended.Error!.Type));
    }

    [Fact]
    public async Task Job_OfADatasetThatIsDeletedWhileItRuns_FailsAndLeavesNoObject()
    {
        var dataset = await DatasetAsync();
        var (job, analysis) = await SubmitAsync(dataset);
        var worker = await Hub.OpenAsync($"w-{Guid.NewGuid():N}");
        var spec = Assert.Single(await Hub.ClaimAsync(worker));
        await ExecuteAsync("DELETE FROM dataset WHERE id = $1", dataset);

        Assert.Equal(CompletionAnswer.Accepted, await SucceedAsync(worker, spec, "1\t2\t1\n"));

        var ended = await EndOfAsync(job);
        Assert.Equal((JobState.Failed, "input-deleted"), (ended.State, ended.Error!.Type));
        Assert.Equal((false, false), await AnalysisAsync(analysis));
        await Eventually.TrueAsync(async () => await Hub.Stores.Hub.HeadAsync(Hub.Get<JobObjects>().Analysis(analysis), None) is null, "the object is gone");
    }

    [Fact]
    public async Task Job_WhenItIsCanceledOrFails_LeavesNoAnalysis()
    {
        var dataset = await DatasetAsync();
        var (canceled, first) = await SubmitAsync(dataset);
        await Hub.Jobs.CancelAsync(canceled, "test", None);
        Assert.Equal(JobState.Canceled, (await EndOfAsync(canceled)).State);
        var (failed, second) = await SubmitAsync(dataset);
        var worker = await Hub.OpenAsync($"w-{Guid.NewGuid():N}");
        var spec = Assert.Single(await Hub.ClaimAsync(worker));
        await CompleteAsync(worker, new() { Token = spec.Token, TaskId = spec.TaskId, Outcome = AttemptOutcome.Failed, Error = new("invalid-input", "Line 3 of the profiles has 2 fields, not 5.") });

        // No second run can mend it.
        var ended = await EndOfAsync(failed);

        Assert.Equal((JobState.Failed, "invalid-input"), (ended.State, ended.Error!.Type));
        Assert.Equal((false, false), await AnalysisAsync(first));
        Assert.Equal((false, false), await AnalysisAsync(second));
    }

    [Fact]
    public async Task Job_ThatIsCanceledAfterItsAnalysisWasMade_Succeeds()
    {
        // Nothing is folded before the cancel has come.
        await using var hub = await EngineHost.StartAsync(upkeep: false);
        var dataset = await DatasetAsync(hub);
        var (job, analysis) = await SubmitAsync(dataset, hub: hub);
        var worker = await hub.OpenAsync();
        var spec = Assert.Single(await hub.ClaimAsync(worker));
        Assert.Equal(CompletionAnswer.Accepted, await SucceedAsync(worker, spec, "1\t2\t1\n", hub));

        await hub.Jobs.CancelAsync(job, "test", None);

        await using var upkeep = await hub.AnotherAsync();
        Assert.Equal(JobState.Succeeded, (await EndOfAsync(job, upkeep)).State);
        Assert.Equal((true, true), await AnalysisAsync(analysis, hub));
        Assert.Equal("1\t2\t1\n", await ObjectAsync(analysis, hub));
        Assert.IsType<CancelResult.AlreadyFinished>(await hub.Jobs.CancelAsync(job, "test", None));
    }

    [Fact]
    public async Task Analysis_WhenItIsDeleted_IsGarbageTogetherWithWhatWasMadeOfIt()
    {
        var dataset = await DatasetAsync();
        var inference = await MadeAsync(dataset, null);
        var picture = await MadeAsync(dataset, inference);

        await ExecuteAsync("DELETE FROM analysis WHERE id = $1", inference);

        Assert.Equal((false, false), await AnalysisAsync(picture));
        foreach (var id in (Guid[])[inference, picture])
            Assert.Equal(1L, await Hub.CountAsync($"SELECT count(*) FROM file_garbage WHERE object = '{JobObjects.AnalysisKey(id)}' AND due_at > clock_timestamp()"));
    }

    private async Task<Guid> MadeAsync(Guid dataset, Guid? inference)
    {
        var (job, analysis) = await SubmitAsync(dataset, inference);
        var worker = await Hub.OpenAsync($"w-{Guid.NewGuid():N}");
        var spec = Assert.Single(await Hub.ClaimAsync(worker));
        Assert.Equal(inference is null, spec.Analysis!.Edges is null);
        await SucceedAsync(worker, spec, "1\t2\t1\n");
        await EndOfAsync(job);
        return analysis;
    }

    private async Task<Guid> DatasetAsync(EngineHost? hub = null)
    {
        var dataset = Guid.CreateVersion7();
        await ExecuteAsync("INSERT INTO dataset (id, project, description, loci, profiles) VALUES ($1, 'default', '', '{a,b,c}', 2)", dataset, hub);
        return dataset;
    }

    private async Task<(JobId Job, Guid Analysis)> SubmitAsync(Guid dataset, Guid? inference = null, EngineHost? hub = null)
    {
        var details = new AnalysisDetails
        {
            Kind = inference is null ? AnalysisKind.Inference : AnalysisKind.Visualization, Algorithm = inference is null ? "goeburst" : "radial", Analysis = Guid.CreateVersion7(), Dataset = dataset,
            Profiles = $"datasets/{dataset}/1", Inference = inference, Edges = inference is { } i ? JobObjects.AnalysisKey(i) : null, Numbers = inference is null ? [3] : [],
        };
        var spec = new JobSpec
        {
            Family = JobFamily.Projects, Details = JsonSerializer.Serialize(details, EngineJson.Default.AnalysisDetails), Tasks = [new(TaskKind.Analysis, 1, false)], Analysis = new(details, "[]"),
        };
        Assert.IsType<SubmitResult.Accepted>(await (hub ?? Hub).Jobs.SubmitAsync(spec, new("test", null, null), None));
        return (spec.Id, details.Analysis);
    }

    private async Task<CompletionAnswer> SucceedAsync(WorkerSession worker, AttemptSpec spec, string lines, EngineHost? hub = null)
    {
        var bytes = Encoding.UTF8.GetBytes(lines);
        var path = spec.Analysis!.Output.Path!;
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        await File.WriteAllBytesAsync(path, bytes);
        var output = new PendingOutput(bytes.Length, Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(bytes)), path, null, null);
        return await CompleteAsync(worker, new() { Token = spec.Token, TaskId = spec.TaskId, Outcome = AttemptOutcome.Succeeded, Output = output }, hub);
    }

    private async Task<CompletionAnswer> CompleteAsync(WorkerSession worker, AttemptResult result, EngineHost? hub = null) =>
        Assert.Single(await (hub ?? Hub).Get<Completions>().CompleteAsync(worker.Id, [result], None));

    private Task<JobView> EndOfAsync(JobId job, EngineHost? hub = null) =>
        Eventually.GetAsync(async () => (await (hub ?? Hub).Reader.GetAsync(job, None))!, j => j.State.IsTerminal, "the job has ended");

    private async Task<(bool Reserved, bool Made)> AnalysisAsync(Guid id, EngineHost? hub = null)
    {
        await using var command = (hub ?? Hub).Database.CreateCommand("SELECT made_at IS NOT NULL AND object IS NOT NULL FROM analysis WHERE id = $1");
        command.Parameters.AddWithValue(id);
        return await command.ExecuteScalarAsync() is bool made ? (true, made) : (false, false);
    }

    private async Task<string> ObjectAsync(Guid analysis, EngineHost? hub = null)
    {
        await using var stream = await (hub ?? Hub).Stores.Hub.OpenReadAsync((hub ?? Hub).Get<JobObjects>().Analysis(analysis), 0, null, None);
        using var reader = new StreamReader(stream);
        return await reader.ReadToEndAsync();
    }

    private async Task ExecuteAsync(string sql, Guid id, EngineHost? hub = null)
    {
        await using var command = (hub ?? Hub).Database.CreateCommand(sql);
        command.Parameters.AddWithValue(id);
        await command.ExecuteNonQueryAsync();
    }
}
