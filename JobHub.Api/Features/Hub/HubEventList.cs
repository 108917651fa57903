using System.Text.Json;
using JobHub.Api.Http;
using JobHub.Api.Http.Access;
using JobHub.Engine.Accounts;
using JobHub.Engine.Events;
using JobHub.Engine.Jobs;
using Microsoft.AspNetCore.Http.HttpResults;

namespace JobHub.Api.Features.Hub;

/// <summary><c>/hub/v1/events/list</c>: past events of the projects that the caller may read, newest first.</summary>
public static class HubEventList
{
    private const int DefaultPage = 50, LargestPage = 500, LongestKind = 100;

    public static void MapEventList(this IEndpointRouteBuilder hub) =>
        hub.MapGet("/events/list", ListAsync).WithTags("Events").ProducesProblem(400).ProducesProblem(404)
            .WithSummary("Past events, newest first: ?job=, ?kind=, ?project=, ?before= (the next of an earlier page), ?after= (newer than this position only), ?limit= (50, at most 500). A page may be empty and not the last.");

    private static async Task<Results<Ok<HubPastEvents>, ProblemResult>> ListAsync(HttpContext context, EventReader events, JobReader reader, ProjectAccess access, CancellationToken ct)
    {
        var (request, caller) = (context.Request, Caller.Of(context));
        JobId? job = null;
        if (request.QueryText("job") is { } text)
        {
            job = JobId.TryRead(text);
            if (job is not { } id || await reader.GetAsync(id, ct) is not { } found || await access.OfAsync(caller, found.Project, made: false, ct) == ProjectRight.None) return HubEndpoints.Unknown();
        }

        var kind = request.QueryText("kind");
        if (kind?.Length > LongestKind) throw Problems.InvalidField("kind", $"'kind' may hold {LongestKind} characters.");
        var project = request.QueryText("project");
        if (project?.Length > LongestKind) throw Problems.InvalidField("project", $"'project' may hold {LongestKind} characters.");
        var before = request.QueryNumber("before", 0, long.MaxValue);
        var after = request.QueryNumber("after", 0, long.MaxValue - 1);
        var limit = Paging.LimitOf(request, LargestPage) ?? DefaultPage;
        // What one job's project allows was asked above.
        var projects = job is null ? await access.ReadableAsync(caller, ct) : null;
        var (items, next) = await events.PastAsync(new(job, kind, before, projects, job is null && caller.IsDeveloper, limit, project, after), ct);
        return TypedResults.Ok(new HubPastEvents([.. items.Select(ToWire)], next));
    }

    private static HubPastEvent ToWire(HubEvent happened)
    {
        using var payload = JsonDocument.Parse(happened.Payload);
        return new(happened.Position, happened.At, happened.Kind, happened.JobId?.ToString(), happened.Project, payload.RootElement.Clone());
    }
}
