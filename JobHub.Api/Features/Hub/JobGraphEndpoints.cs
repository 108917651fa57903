using System.Globalization;
using JobHub.Api.Http;
using JobHub.Api.Http.Access;
using JobHub.Engine.Jobs;
using JobHub.Engine.Tasks;
using JobHub.Engine.Trees;
using Microsoft.AspNetCore.Http.HttpResults;

namespace JobHub.Api.Features.Hub;

/// <summary>A job as a graph: the phases of MapReduce, or the jobs of a tree around it and what they wait for.</summary>
internal static class JobGraphEndpoints
{
    public static void MapJobGraph(this RouteGroupBuilder jobs) =>
        jobs.MapGet("/{id}/graph", GraphAsync).ProducesProblem(404)
            .WithSummary("The phases of a job, or of a tree the jobs below it, those that they wait for and those that wait for them: at most 10,000 and 50,000 dependencies.");

    private static async Task<Results<Ok<HubGraph>, ProblemResult>> GraphAsync(
        HttpContext context, JobReader reader, TaskVectors vectors, JobGraphs graphs, ProjectAccess access, CancellationToken ct)
    {
        if (RouteText.JobOf(context) is not { } id || await reader.GetAsync(id, ct) is not { } job) return HubEndpoints.Unknown();
        if (job.Family == JobFamily.Farm)
        {
            var caller = Caller.Of(context);
            return TypedResults.Ok(await OfTreeAsync(await graphs.ReadAsync(job.Number, ct), new(caller.SeesAll ? null : access, caller), ct));
        }

        return await vectors.ReadAsync(job, ct) is { } vector ? TypedResults.Ok(OfPhases(job, vector)) : HubEndpoints.Unknown();
    }

    private static async Task<HubGraph> OfTreeAsync(JobGraph graph, ReadableProjects readable, CancellationToken ct)
    {
        var seen = new Dictionary<long, TreeJobView>(graph.Jobs.Count);
        foreach (var job in graph.Jobs)
        {
            if (await readable.HasAsync(job.Project, ct)) seen[job.Number] = job;
        }

        return new HubGraph(
            [.. seen.Values.Select(job => new HubGraphNode(Key(job.Number), job.IsGroup ? "Group" : "Job", HubMapping.StateOf(job).ToString(), job.Title, job.Id.ToString(), job.Number, seen.ContainsKey(job.Parent) ? Key(job.Parent) : null,
                job.IsGroup ? new(job.Leaves.Total, job.Leaves.Running, job.Leaves.Succeeded, job.Leaves.Failed) : null))],
            [.. graph.Dependencies.Where(edge => seen.ContainsKey(edge.Job) && seen.ContainsKey(edge.Dependency)).Select(static edge => new HubGraphEdge(Key(edge.Dependency), Key(edge.Job)))],
            graph.Jobs.Count - seen.Count, graph.More);

        static string Key(long number) => number.ToString(CultureInfo.InvariantCulture);
    }

    private static HubGraph OfPhases(JobView job, TaskVector vector)
    {
        var nodes = new List<HubGraphNode>();
        var at = 0;
        foreach (var (kind, count) in vector.Phases)
        {
            var squares = vector.Squares.AsSpan(at, count);
            at += count;
            var (running, succeeded, failed, canceled) = (0, 0, 0, 0);
            foreach (var square in squares)
            {
                switch ((TaskSquare)square)
                {
                    case TaskSquare.Leased or TaskSquare.Running or TaskSquare.SecondAttempt: running++; break;
                    case TaskSquare.Succeeded: succeeded++; break;
                    case TaskSquare.Failed or TaskSquare.TimedOut or TaskSquare.OutOfMemory or TaskSquare.Lost: failed++; break;
                    case TaskSquare.Canceled or TaskSquare.Skipped: canceled++; break;
                }
            }

            var state = failed > 0 ? "Failed" : canceled > 0 ? "Canceled" : succeeded == count ? "Succeeded" : running > 0 || succeeded > 0 ? "Running"
                : squares.Contains((byte)TaskSquare.Paused) ? "Paused" : squares.Contains((byte)TaskSquare.Blocked) ? "Blocked" : "Queued";
            nodes.Add(new(kind.ToString().ToLowerInvariant(), kind.ToString(), state, Tasks: new(count, running, succeeded, failed)));
        }

        if (job.Family == JobFamily.MapReduce)
        {
            var (map, reduce) = (nodes.Find(static node => node.Kind == nameof(TaskKind.Map))?.State ?? "Succeeded", nodes.Find(static node => node.Kind == nameof(TaskKind.Reduce))?.State ?? "Succeeded");
            nodes.Insert(0, new("input", "Input", map == "Succeeded" ? map : job.StartedAt is null ? "Queued" : map, Bytes: Counter("map_input_bytes"), Records: Counter("map_input_records")));
            nodes.Insert(nodes.Count - 1, new("shuffle", "Shuffle", reduce is "Succeeded" or "Failed" or "Canceled" ? reduce : map == "Succeeded" ? "Running" : "Blocked", Bytes: Counter("shuffle_bytes"), Records: Counter("reduce_input_records")));
            nodes.Add(new("output", "Output", reduce, Bytes: Counter("reduce_output_bytes"), Records: Counter("reduce_output_records")));
        }

        return new HubGraph(nodes, [.. nodes.Zip(nodes.Skip(1), static (from, to) => new HubGraphEdge(from.Key, to.Key))], 0, false);

        long? Counter(string name) => job.Counters.TryGetValue(name, out var value) ? value : null;
    }
}
