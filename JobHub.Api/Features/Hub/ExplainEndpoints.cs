using JobHub.Api.Http;
using JobHub.Api.Http.Access;
using JobHub.Engine.Jobs;
using Microsoft.AspNetCore.Http.HttpResults;

namespace JobHub.Api.Features.Hub;

/// <summary>Why something waits, with the numbers and what would change it.</summary>
public static class ExplainEndpoints
{
    internal static void MapExplain(this IEndpointRouteBuilder hub)
    {
        hub.MapGet("/jobs/{id}/explain", JobAsync).WithTags("Jobs").ProducesProblem(404)
            .WithSummary("Why a job waits and what would change it; null when it does not. Its waiting tasks by what they wait for.");
        hub.MapGet("/jobs/{id}/tasks/{task}/explain", TaskAsync).WithTags("Jobs").WithSummary("Why one task waits; null when it does not.").ProducesProblem(404);
        hub.MapGet("/waiting", CountsAsync).WithTags("Jobs").WithSummary("Waiting tasks of the hub by reason, most first; each count stops at ten thousand.");
    }

    private static async Task<Results<Ok<HubExplained>, ProblemResult>> JobAsync(HttpContext context, JobReader reader, Explain explain, CancellationToken ct)
    {
        if (RouteText.JobOf(context) is not { } id || await reader.GetAsync(id, ct) is null) return HubEndpoints.Unknown();
        var tasks = await explain.TasksAsync(id, ct);
        return TypedResults.Ok(new HubExplained(ToWire(await explain.JobAsync(id, ct)), [.. tasks.Select(static t =>
            new HubWaitingTasks(t.Count, t.Kind.ToString(), t.Why.Reason, t.Why.Message, t.Why.Change, t.Why.Until, t.Why.Numbers))]));
    }

    private static async Task<Results<Ok<HubTaskExplained>, ProblemResult>> TaskAsync(HttpContext context, JobReader reader, Explain explain, CancellationToken ct)
    {
        if (RouteText.JobOf(context) is not { } id || await reader.GetAsync(id, ct) is not { } job) return HubEndpoints.Unknown();
        if (HubEndpoints.TaskOf(id, RouteText.Of(context, "task")) is not { } task || !await reader.HasTaskAsync(id, task.Kind, task.Index, ct)) return HubEndpoints.UnknownTask(job.Id);
        return TypedResults.Ok(new HubTaskExplained(ToWire(await explain.TaskAsync(id, task.Kind, task.Index, ct))));
    }

    private static async Task<Ok<HubWaitingCounts>> CountsAsync(HttpContext context, Explain explain, ProjectAccess access, CancellationToken ct)
    {
        var counts = await explain.CountsAsync(await access.ReadableAsync(Caller.Of(context), ct), Caller.Of(context).IsDeveloper, ct);
        return TypedResults.Ok(new HubWaitingCounts([.. counts.Select(static c => new HubWaitingCount(c.Reason, c.Count, c.AtLeast))]));
    }

    internal static HubWaiting? ToWire(Waiting? why) => why is null ? null : new(why.Reason, why.Message, why.Change, why.Until, why.Numbers);
}
