using JobHub.Api.Http;
using JobHub.Engine.Attempts;
using JobHub.Engine.Jobs;
using JobHub.ServiceDefaults;
using Microsoft.AspNetCore.Http.HttpResults;

namespace JobHub.Api.Features.Hub;

/// <summary><c>/hub/v1/jobs/{id}/log/search</c>: lines of a whole log that hold a text, read as a stream.</summary>
public static class HubLogSearch
{
    public static void MapLogSearch(this RouteGroupBuilder jobs) =>
        jobs.MapGet("/{id}/log/search", SearchAsync).ProducesProblem(400).ProducesProblem(404)
            .WithSummary("The lines of a log that hold ?q=, in their order: ?task=, ?attempt=, ?case=true (capitals count), ?after= (an offset; the next of an earlier answer), ?limit= (100, at most 1000).");

    private static async Task<Ok<HubLogMatches>> SearchAsync(HttpContext context, JobReader reader, LogReader logs, CancellationToken ct)
    {
        var (id, task) = await HubLog.TaskAsync(context, reader, ct);
        var request = context.Request;
        var scan = LogScan.Of(request);
        var after = request.QueryNumber("after", 0, long.MaxValue) ?? 0;
        var attempt = HubLog.AttemptOf(request);
        if (await logs.OpenAsync(id, task.Kind, task.Index, attempt, after, ct) is not { } slice)
        {
            if (attempt is not null) throw new RefusedException(Problems.NotFound("attempt-not-found", $"The task has no attempt {attempt}.").Problem);
            return TypedResults.Ok(new HubLogMatches([], after, true));
        }

        var matches = new List<HubLogMatch>();
        var (next, full) = await scan.ReadAsync(logs.ReadAsync(id, task.Kind, task.Index, slice, ct).LinesAsync(after, ct), after, slice.Ended, (offset, text) => matches.Add(new(offset, text)), ct);
        return TypedResults.Ok(new HubLogMatches(matches, next, !full));
    }
}
