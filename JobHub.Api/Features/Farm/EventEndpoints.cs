using System.Globalization;
using JobHub.Api.Http;
using JobHub.Engine.Workers;

namespace JobHub.Api.Features.Farm;

/// <summary>/api/events: the runs of jobs.</summary>
public static class EventEndpoints
{
    /// <summary>Maps the route.</summary>
    public static void MapEvents(this IEndpointRouteBuilder routes) => routes.MapGroup("/api/events").WithTags("events").MapGet("", ListAsync)
        .WithQuery("job", "Runs of this job.").WithQuery("worker", "Runs on this worker.").WithQuery("howlong", "Runs that began in the last so many seconds.")
        .WithQuery("limit", "1 to 10000; without it the list is whole.").WithQuery("after", "The last id seen.")
        .WithSummary("Runs of jobs, by id: whole, or with ?limit= a page whose Link header names the next.").Produces<EventWire[]>().ProducesProblem(400);

    private static async Task<IResult> ListAsync(HttpContext context, RunReader runs, FarmAccess access, CancellationToken ct)
    {
        var request = context.Request;
        var limit = Paging.LimitOf(request);
        var filter = new RunFilter
        {
            // 0 and -1 stood for no filter.
            Job = request.QueryNumber("job", -1, long.MaxValue) is > 0 and var job ? job : null, Worker = request.QueryText("worker"),
            Projects = await access.ReadableAsync(context, ct),
            Within = request.QueryNumber("howlong", -1, long.MaxValue) is >= 0 and var seconds ? TimeSpan.FromSeconds(Math.Min(seconds, TimeSpan.FromDays(36_500).TotalSeconds)) : null,
            After = request.QueryNumber("after", 0, long.MaxValue) ?? 0, Limit = limit + 1,
        };
        return await ListResult.OfAsync(context, runs.ListAsync(filter, ct), limit, WorkerMapping.ToWire, static run => run.Number.ToString(CultureInfo.InvariantCulture), ct);
    }
}
