using System.Buffers.Binary;
using JobHub.Api.Http;
using JobHub.Engine.Jobs;
using JobHub.Engine.Tasks;
using Microsoft.AspNetCore.Http.HttpResults;

namespace JobHub.Api.Features.Hub;

/// <summary>What is summed or grouped over all tasks of a job: workers and attempts, times, bytes of partitions.</summary>
internal static class JobSumEndpoints
{
    public static void MapJobSums(this RouteGroupBuilder jobs)
    {
        jobs.MapGet("/{id}/tasks/vector", VectorAsync).ProducesProblem(400).ProducesProblem(404).WithQuery("of", "worker or attempts.", required: true)
            .WithSummary("The worker, or the number of attempts, of each task in task order.");
        jobs.MapGet("/{id}/tasks/times", TimesAsync).ProducesProblem(400).ProducesProblem(404).WithQuery("kind", "Map, Reduce, Command or Analysis.", required: true)
            .WithQuery("from", "From this index.").WithQuery("to", "To this index, which is in it.").WithSummary("How long tasks of one kind took that have ended.");
        jobs.MapGet("/{id}/partitions", PartitionsAsync).ProducesProblem(404).WithSummary("Bytes of map output by reduce, over the maps that have succeeded.");
    }

    private static async Task<Results<Ok<HubTaskVector>, ProblemResult>> VectorAsync(HttpContext context, JobReader reader, TaskSums sums, CancellationToken ct)
    {
        var of = context.Request.QueryWord<TaskGrouping>("of") ?? throw Problems.InvalidField("of", "'of' must be worker or attempts.");
        if (RouteText.JobOf(context) is not { } id || await reader.GetAsync(id, ct) is null || await sums.GroupsAsync(id, of, ct) is not { } groups) return HubEndpoints.Unknown();
        var bytes = new byte[2 * groups.Tasks.Length];
        for (var i = 0; i < groups.Tasks.Length; i++) BinaryPrimitives.WriteUInt16LittleEndian(bytes.AsSpan(2 * i), groups.Tasks[i]);
        return TypedResults.Ok(new HubTaskVector(groups.Names, bytes));
    }

    private static async Task<Results<Ok<HubTaskTimes>, ProblemResult>> TimesAsync(HttpContext context, JobReader reader, TaskSums sums, CancellationToken ct)
    {
        var request = context.Request;
        var kind = request.QueryWord<TaskKind>("kind") ?? throw Problems.InvalidField("kind", "'kind' must be Map, Reduce, Command or Analysis.");
        var (from, to) = ((int)(request.QueryNumber("from", 0, int.MaxValue) ?? 0), (int)(request.QueryNumber("to", 0, int.MaxValue) ?? int.MaxValue));
        if (to < from) throw Problems.InvalidField("to", "'to' must not be less than 'from'.");
        if (RouteText.JobOf(context) is not { } id || await reader.GetAsync(id, ct) is null || await sums.TimesAsync(id, kind, from, to, ct) is not { } times) return HubEndpoints.Unknown();
        return TypedResults.Ok(new HubTaskTimes(times.Ended, times.Mean?.TotalSeconds, times.Longest is { } longest ? TaskName.Of(id, kind, longest) : null, times.LongestTime?.TotalSeconds));
    }

    private static async Task<Results<Ok<HubPartitions>, ProblemResult>> PartitionsAsync(HttpContext context, JobReader reader, TaskSums sums, CancellationToken ct)
    {
        if (RouteText.JobOf(context) is not { } id || await reader.GetAsync(id, ct) is null || await sums.PartitionsAsync(id, ct) is not { } partitions) return HubEndpoints.Unknown();
        return TypedResults.Ok(new HubPartitions(partitions.Maps, partitions.MapsTotal, [.. partitions.Partitions.Select(static p => new HubPartition(p.Bytes, p.Records, p.Groups))]));
    }
}
