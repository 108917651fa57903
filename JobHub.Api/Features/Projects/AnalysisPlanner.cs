using System.Text.Json;
using JobHub.Api.Http;
using JobHub.Engine;
using JobHub.Engine.Analyses;
using JobHub.Engine.Jobs;
using JobHub.Engine.Projects;
using JobHub.Engine.Tasks;
using JobHub.ServiceDefaults;

namespace JobHub.Api.Features.Projects;

/// <summary>Turns a request for an analysis into a job, by what the algorithm says of its parameters. Nothing here knows one algorithm from another.</summary>
public sealed class AnalysisPlanner(AnalysisStore analyses, DatasetSnapshot snapshots)
{
    // A worker holds the whole dataset and what it works out; small ones are not worth a reservation.
    private const int ReservesFrom = 20_000;
    private const long BytesAProfile = 2048, BytesAnAllele = 64;

    /// <summary>The job. Refused with 400 for what is wrong in itself, with 404 for what is not in the project.</summary>
    public async Task<JobSpec> PlanAsync(string project, NewProjectJobWire wire, int priority, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(wire);
        var (kind, algorithm) = AlgorithmOf(wire);
        var values = wire.Parameters ?? throw SubmitFields.Missing("parameters");
        var labels = SubmitFields.Labels(wire.Labels);
        if (values.Length != algorithm.Parameters.Count) throw Problems.InvalidField("parameters", $"'{algorithm.Name}' takes {Described(algorithm)}, in this order; {values.Length} were sent.");
        // All types first: what is missing is said of a request that is right in itself.
        Guid? datasetId = null, inferenceId = null;
        var numbers = new List<int>();
        for (var i = 0; i < values.Length; i++)
        {
            switch (algorithm.Parameters[i])
            {
                case DatasetParameter: datasetId = IdOf(values[i], i, algorithm); break;
                case InferenceParameter: inferenceId = IdOf(values[i], i, algorithm); break;
                case WholeNumberParameter:
                    numbers.Add(values[i].ValueKind == JsonValueKind.Number && values[i].TryGetInt32(out var number) ? number : throw Mistyped(i, algorithm));
                    break;
            }
        }

        if (datasetId is not { } dataset || await analyses.DatasetAsync(project, dataset, ct) is not { } size) throw AnalysisMapping.NoDataset();
        Analysis? inference = null;
        if (inferenceId is { } of) inference = await analyses.FindAsync(project, dataset, null, of, ct) ?? throw AnalysisMapping.NoInference();
        if (size.Profiles < 2) throw new RefusedException(400, "too-few-profiles", $"An analysis needs at least 2 profiles; the dataset has {size.Profiles}.", "parameters[0]");
        CheckNumbers(algorithm, numbers, size.Loci);
        if (await snapshots.EnsureAsync(project, dataset, ct) is not var (profiles, _, _)) throw AnalysisMapping.NoDataset();
        var details = new AnalysisDetails
        {
            Kind = kind, Algorithm = algorithm.Name, Analysis = Guid.CreateVersion7(), Dataset = dataset, Profiles = profiles, Inference = inference?.Id, Edges = inference?.Object, Numbers = [.. numbers],
        };
        return new JobSpec
        {
            Family = JobFamily.Projects, Project = project, Title = $"{algorithm.Name} of {dataset}", Labels = labels, Priority = priority,
            Details = JsonSerializer.Serialize(details, EngineJson.Default.AnalysisDetails), Analysis = new NewAnalysis(details, JsonSerializer.Serialize(values)),
            Tasks = [new TaskGroup(TaskKind.Analysis, 1, Blocked: false)], Needs = NeedsOf(size),
        };
    }

    private static Requirement NeedsOf(DatasetSize size) => size.Profiles < ReservesFrom
        ? Requirement.None : Requirement.None with { MemoryBytes = Requirement.RoundMemory(size.Profiles * (BytesAProfile + (size.Loci * BytesAnAllele))) };

    private static (AnalysisKind Kind, Algorithm Algorithm) AlgorithmOf(NewProjectJobWire wire)
    {
        if (wire.Analysis is null) throw SubmitFields.Missing("analysis");
        if (wire.Algorithm is null) throw SubmitFields.Missing("algorithm");
        var kind = AnalysisMapping.KindOf(wire.Analysis) ?? throw new RefusedException(400, "unknown-analysis", "'analysis' must be one of inference, visualization.", "analysis");
        var known = string.Join(", ", Algorithm.All.Where(a => a.Kind == kind).Select(a => a.Name));
        return (kind, Algorithm.Find(kind, wire.Algorithm) ?? throw new RefusedException(400, "unknown-algorithm", $"There is no such {wire.Analysis} algorithm. Known: {known}.", "algorithm"));
    }

    /// <summary>Any text may be an id; one that nothing has is not found.</summary>
    private static Guid IdOf(JsonElement value, int index, Algorithm algorithm)
    {
        if (value.ValueKind != JsonValueKind.String) throw Mistyped(index, algorithm);
        return Guid.TryParseExact(value.GetString(), "D", out var id) ? id : Guid.Empty;
    }

    private static void CheckNumbers(Algorithm algorithm, List<int> numbers, int loci)
    {
        var at = 0;
        for (var i = 0; i < algorithm.Parameters.Count; i++)
        {
            if (algorithm.Parameters[i] is not WholeNumberParameter parameter) continue;
            var (number, most) = (numbers[at++], parameter.Most(loci));
            if (number < parameter.Least || number > most)
                throw Problems.InvalidField($"parameters[{i}]", $"'{parameter.Name}' must be a whole number from {parameter.Least} to {most}.");
        }
    }

    private static RefusedException Mistyped(int index, Algorithm algorithm) =>
        Problems.InvalidField($"parameters[{index}]", $"'parameters[{index}]' must be {Described(algorithm.Parameters[index])}: '{algorithm.Name}' takes {Described(algorithm)}.");

    private static string Described(Algorithm algorithm) => string.Join(", ", algorithm.Parameters.Select(Described));

    private static string Described(AlgorithmParameter parameter) => parameter switch
    {
        DatasetParameter => $"the id of a dataset ({parameter.Name})", InferenceParameter => $"the id of an inference ({parameter.Name})", _ => $"a whole number ({parameter.Name})",
    };
}
