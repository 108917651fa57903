using JobHub.Api.Http;
using JobHub.Api.Http.Access;
using JobHub.Engine.Jobs;
using Microsoft.AspNetCore.Http.HttpResults;

namespace JobHub.Api.Features.Hub;

/// <summary>Changes of one job of any family.</summary>
public static class JobChangeEndpoints
{
    internal static void MapJobChanges(this RouteGroupBuilder jobs)
    {
        Map(jobs.MapPost, "/{id}/pause", JobAction.Pause, "Pauses a job: nothing more of it starts, and what runs is finished. Of a tree it is all below, and what runs is stopped and waits.");
        Map(jobs.MapPost, "/{id}/resume", JobAction.Resume, "Takes the pause off a job. What has ended stays ended.");
        Map(jobs.MapPost, "/{id}/retry", JobAction.Retry, "Runs again what failed or was canceled. Of a job that runs: what waits for its next attempt, at once.");
        Map(jobs.MapPost, "/{id}/reset", JobAction.Reset, "Runs a tree again from the beginning.");
        Map(jobs.MapDelete, "/{id}", JobAction.Delete, "Removes an ended job with its tasks, logs and events; of a tree all of it, ended or not. Results stay.");
        jobs.MapPatch("/{id}", ChangeAsync).Accepts<ChangeJob>("application/json").WithSummary("Changes a job's priority, 0 to 255; what waits in the queue moves to its new place.")
            .ProducesProblem(400).ProducesProblem(404).ProducesProblem(409);
    }

    private static void Map(Func<string, Delegate, RouteHandlerBuilder> map, string pattern, JobAction action, string summary) =>
        map(pattern, (HttpContext context, JobReader reader, JobChanges changes, CancellationToken ct) => ApplyAsync(context, action, 0, reader, changes, ct))
            .WithSummary(summary).ProducesProblem(404).ProducesProblem(409);

    private static async Task<Results<Accepted<HubChangeAccepted>, ProblemResult>> ChangeAsync(HttpContext context, JobReader reader, JobChanges changes, CancellationToken ct)
    {
        var body = (await JsonBody.ReadAsync<ChangeJob>(context.Request, ct)).Value;
        return await ApplyAsync(context, JobAction.Priority, PriorityOf(body.Priority), reader, changes, ct);
    }

    internal static int PriorityOf(int? priority) =>
        priority is >= 0 and <= 255 and var value ? value : throw Problems.InvalidField("priority", "'priority' must be a whole number from 0 to 255.");

    private static async Task<Results<Accepted<HubChangeAccepted>, ProblemResult>> ApplyAsync(HttpContext context, JobAction action, int priority, JobReader reader, JobChanges changes, CancellationToken ct)
    {
        if (RouteText.JobOf(context) is not { } id || await reader.GetAsync(id, ct) is not { } job) return HubEndpoints.Unknown();
        var refused = await changes.ApplyAsync(action, [job.Number], priority, Caller.Of(context).Name, ct);
        if (refused.Count == 0) return TypedResults.Accepted($"/hub/v1/jobs/{id}", new HubChangeAccepted(id.ToString()));
        var refusal = refused[job.Number];
        return refusal == JobRefusal.NotFound ? HubEndpoints.Unknown() : Problems.Conflict(refusal.Code, refusal.Message);
    }
}

/// <summary>What changes of a job.</summary>
public sealed record ChangeJob
{
    public int? Priority { get; init; }
}
