using System.Text.Json;
using JobHub.Engine.Artifacts;
using JobHub.Engine.Jobs;
using JobHub.Engine.Protocol;
using JobHub.Engine.Storage;
using JobHub.Engine.Tasks;

namespace JobHub.Engine.MapReduce;

/// <summary>A MapReduce submission whose values are in their ranges; names and places are not looked at yet.</summary>
public sealed record MapReduceRequest
{
    public const long DefaultSplitSize = 64L << 20;

    public required int Reducers { get; init; }
    public required string InputPath { get; init; }
    /// <summary>The input objects are gzip: one split an object.</summary>
    public required bool Gzip { get; init; }
    public required string OutputPath { get; init; }
    public required string MapperName { get; init; }
    public required string ReducerName { get; init; }
    public string? CombinerName { get; init; }
    public bool UseSsl { get; init; }
    public StorageCredentials? InputCredentials { get; init; }
    public StorageCredentials? OutputCredentials { get; init; }
    public long SplitSize { get; init; } = DefaultSplitSize;
    public string[] MapperArgs { get; init; } = [];
    public string[] ReducerArgs { get; init; } = [];
    public Dictionary<string, string> Environment { get; init; } = [];
    public string Project { get; init; } = "default";
    public string? Title { get; init; }
    public Dictionary<string, string> Labels { get; init; } = [];
    public int Priority { get; init; } = 255;
    public int MaxAttempts { get; init; } = 4;
    public double? TimeoutSeconds { get; init; }
    public bool Speculative { get; init; } = true;
}

/// <summary>What a MapReduce submission came to. A refusal has stored nothing.</summary>
public abstract record MapReduceSubmission
{
    private MapReduceSubmission() { }

    /// <summary>A job, new or of an earlier request with the same key.</summary>
    public sealed record Accepted(JobId Id, bool Replayed) : MapReduceSubmission;

    /// <summary>The Idempotency-Key was used with another body.</summary>
    public sealed record KeyReused : MapReduceSubmission;

    /// <summary>There is no program of this name.</summary>
    public sealed record ArtifactUnknown(string Name, string Field) : MapReduceSubmission;

    /// <summary>The programs do not go together.</summary>
    public sealed record ProgramsDiffer(string Detail, string Field) : MapReduceSubmission;

    /// <summary>The input or the output cannot be used as it is named.</summary>
    public sealed record PlaceRefused(StoreException Fault, string Field) : MapReduceSubmission;

    /// <summary>The job would be too finely cut.</summary>
    public sealed record TooManySplits(long? SmallestSplitSize, string Detail) : MapReduceSubmission;
}

/// <summary>Turns a MapReduce request into a job: pins its programs, looks at its input, prepares its output, submits.</summary>
public sealed class MapReduceSubmitter(ArtifactStore artifacts, InputPlanner inputs, StoreRegistry stores, JobService jobs)
{
    /// <summary>The names under which a job's credentials are sealed.</summary>
    public const string InputSecret = "input", OutputSecret = "output";

    public async Task<MapReduceSubmission> SubmitAsync(MapReduceRequest request, Submission who, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(request);
        ArgumentNullException.ThrowIfNull(who);
        // A resend answers what the first did, also when the input or a program is gone by now.
        switch (await jobs.FindReplayAsync(who, ct))
        {
            case SubmitResult.Accepted earlier: return new MapReduceSubmission.Accepted(earlier.Id, Replayed: true);
            case SubmitResult.KeyReused: return new MapReduceSubmission.KeyReused();
        }

        var mapper = await PinAsync(request.MapperName, ct);
        if (mapper is null) return new MapReduceSubmission.ArtifactUnknown(request.MapperName, "mapperName");
        var reducer = await PinAsync(request.ReducerName, ct);
        if (reducer is null) return new MapReduceSubmission.ArtifactUnknown(request.ReducerName, "reducerName");
        var combiner = request.CombinerName is null ? null : await PinAsync(request.CombinerName, ct);
        if (combiner is null && request.CombinerName is not null) return new MapReduceSubmission.ArtifactUnknown(request.CombinerName, "combinerName");
        if (Mismatch(mapper, reducer, combiner) is { } mismatch) return mismatch;

        SplitCut cut;
        InputPlan plan;
        try
        {
            plan = await inputs.PlanAsync(request.InputPath, request.UseSsl, request.InputCredentials, request.Project, ct);
            cut = SplitPlan.Cut(plan.Objects, request.SplitSize, request.Gzip, request.Reducers);
        }
        catch (StoreException fault)
        {
            return new MapReduceSubmission.PlaceRefused(fault, "inputPath");
        }
        catch (TooManySplitsException fault)
        {
            return new MapReduceSubmission.TooManySplits(fault.SmallestSplitSize, fault.Message);
        }

        ObjectAddress output;
        try
        {
            output = await PrepareOutputAsync(request, ct);
        }
        catch (StoreException fault)
        {
            return new MapReduceSubmission.PlaceRefused(fault, "outputPath");
        }

        var spec = Spec(request, mapper, reducer, combiner, cut, MountOf(ObjectAddress.Parse(request.InputPath, request.UseSsl), output)) with { Files = plan.Files };
        return await jobs.SubmitAsync(spec, who, ct) switch
        {
            SubmitResult.Accepted accepted => new MapReduceSubmission.Accepted(accepted.Id, accepted.Replayed),
            SubmitResult.KeyReused => new MapReduceSubmission.KeyReused(),
            var other => throw new System.Diagnostics.UnreachableException(other.GetType().Name),
        };
    }

    /// <summary>The bucket is made now: a job that cannot write its output should not run its maps first.</summary>
    private async Task<ObjectAddress> PrepareOutputAsync(MapReduceRequest request, CancellationToken ct)
    {
        var output = ObjectAddress.ParseOutput(request.OutputPath, request.UseSsl);
        var (store, path) = stores.Open(output, request.OutputCredentials);
        if (output.Kind == AddressKind.File)
        {
            // The place of the first part, as the reducers' grants will name it: a file in the way of a folder, or a folder that cannot be made, is the caller's to hear of now.
            _ = store.TemporaryPath(output.Child("part-00000").Path, Guid.Empty);
            return output;
        }

        using var limit = CancellationTokenSource.CreateLinkedTokenSource(ct);
        limit.CancelAfter(InputPlanner.AnswerLimit);
        try
        {
            await store.EnsureBucketAsync(path.Bucket, limit.Token);
            return output;
        }
        catch (OperationCanceledException fault) when (!ct.IsCancellationRequested)
        {
            throw new StoreException(StoreFault.Unreachable, $"{output} did not answer within {InputPlanner.AnswerLimit.TotalSeconds} s.", transient: true, fault);
        }
    }

    private static JobSpec Spec(MapReduceRequest request, PinnedProgram mapper, PinnedProgram reducer, PinnedProgram? combiner, SplitCut cut, string? mount)
    {
        var secrets = new Dictionary<string, string>();
        if (request.InputCredentials is { } input) secrets[InputSecret] = JsonSerializer.Serialize(input, EngineJson.Default.StorageCredentials);
        if (request.OutputCredentials is { } output) secrets[OutputSecret] = JsonSerializer.Serialize(output, EngineJson.Default.StorageCredentials);
        var details = new MapReduceSpec
        {
            InputPath = request.InputPath, InputType = request.Gzip ? "file/gzip" : "file/txt", OutputPath = request.OutputPath, UseSsl = request.UseSsl,
            Reducers = request.Reducers, SplitSize = request.SplitSize, InputSize = cut.TotalSize, Maps = cut.Maps,
            Mapper = mapper, Reducer = reducer, Combiner = combiner,
            MapperArgs = request.MapperArgs, ReducerArgs = request.ReducerArgs, Environment = request.Environment,
        };
        // Without a map nothing ever ends a map phase: the reducers are ready at once and write their empty outputs.
        var reduces = new TaskGroup(TaskKind.Reduce, request.Reducers, Blocked: cut.Maps > 0);
        return new JobSpec
        {
            Family = JobFamily.MapReduce, Project = request.Project, Title = request.Title, Labels = request.Labels, Priority = request.Priority,
            MaxAttempts = request.MaxAttempts, TimeoutSeconds = request.TimeoutSeconds, Speculative = request.Speculative,
            Details = JsonSerializer.Serialize(details, EngineJson.Default.MapReduceSpec),
            Tasks = cut.Maps > 0 ? [new TaskGroup(TaskKind.Map, cut.Maps, Blocked: false), reduces] : [reduces],
            Needs = mount is null ? Requirement.None : Requirement.None with { Mount = mount },
            Inputs = cut.Inputs, Secrets = secrets,
        };
    }

    private static MapReduceSubmission.ProgramsDiffer? Mismatch(PinnedProgram mapper, PinnedProgram reducer, PinnedProgram? combiner)
    {
        if (mapper.Type != reducer.Type)
        {
            return new($"'{mapper.Name}' is {Word(mapper.Type)} and '{reducer.Name}' is {Word(reducer.Type)}: mapper and reducer must be of one type. Upload one of them again with the other's type.", "reducerName");
        }

        if (combiner is not null && combiner.Type != mapper.Type) return new($"'{combiner.Name}' is {Word(combiner.Type)} and the mapper is {Word(mapper.Type)}: they must be of one type.", "combinerName");
        return combiner is { Type: ProgramType.Executable } ? new("Only programs of type streaming can combine. Leave combinerName out.", "combinerName") : null;
    }

    private static string Word(ProgramType type) => type == ProgramType.Streaming ? "streaming" : "executable";

    private async Task<PinnedProgram?> PinAsync(string name, CancellationToken ct) =>
        await artifacts.FindAsync(name, ct) is { } found ? new PinnedProgram(found.Name, found.Type, found.Size, found.Hash) : null;

    /// <summary>The folder a worker must share for the files a job names: the one that holds them all.</summary>
    private static string? MountOf(ObjectAddress input, ObjectAddress output)
    {
        var folders = new List<string>(2);
        if (input.Kind == AddressKind.File) folders.Add(input.Key.EndsWith('/') ? input.Key : input.Key[..(input.Key.LastIndexOf('/') + 1)]);
        if (output.Kind == AddressKind.File) folders.Add(output.Key + "/");
        if (folders.Count == 0) return null;
        var common = folders[0].TrimEnd('/').Split('/', StringSplitOptions.RemoveEmptyEntries).AsEnumerable();
        if (folders.Count == 2) common = common.Zip(folders[1].Split('/', StringSplitOptions.RemoveEmptyEntries)).TakeWhile(static pair => pair.First == pair.Second).Select(static pair => pair.First);
        return "/" + string.Join('/', common);
    }
}
