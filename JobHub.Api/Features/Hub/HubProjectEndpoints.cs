using JobHub.Api.Http;
using JobHub.Api.Http.Access;
using JobHub.Engine.Accounts;
using JobHub.Engine.Projects;
using JobHub.ServiceDefaults;
using Microsoft.AspNetCore.Http.HttpResults;

namespace JobHub.Api.Features.Hub;

/// <summary><c>/hub/v1/projects</c>: projects with what they hold. What is below one, and how it is changed, is the family's own part.</summary>
public static class HubProjectEndpoints
{
    private const int DefaultPage = 50, LargestPage = 500;

    internal static void MapHubProjects(this IEndpointRouteBuilder hub)
    {
        var projects = hub.MapGroup("/projects").WithTags("Projects");
        projects.MapGet("", ListAsync).ProducesProblem(400).WithQuery("q", "A part of the name.").WithQuery("limit", "To 500 (50).").WithQuery("after", "The last page's next.")
            .WithSummary("The projects that the caller may read: default, then the newest first.");
        projects.MapGet("/{project}", GetAsync).ProducesProblem(404).WithSummary("One project with its jobs by how they stand; its members for members only.");
    }

    private static async Task<Ok<HubProjectPage>> ListAsync(HttpContext context, ProjectOverview overview, ProjectAccess access, CancellationToken ct)
    {
        var (request, caller) = (context.Request, Caller.Of(context));
        var limit = Paging.LimitOf(request, LargestPage) ?? DefaultPage;
        var lines = await overview.ListAsync(await access.ReadableAsync(caller, ct), caller.Account ?? 0, request.QueryText("q"), request.QueryText("after"), limit + 1, ct);
        return TypedResults.Ok(new HubProjectPage([.. lines.Take(limit).Select(line => ToWire(line.Project, caller, line.Members, line.Datasets))], lines.Count > limit ? lines[limit - 1].Project.Id : null));
    }

    private static async Task<Ok<HubProject>> GetAsync(HttpContext context, ProjectStore projects, ProjectOverview overview, ProjectAccess access, CancellationToken ct)
    {
        var caller = Caller.Of(context);
        var text = RouteText.Of(context, "project");
        // What cannot be an id is looked for all the same, as an id that none has.
        var project = text.Length <= 64 && !text.Contains('\0', StringComparison.Ordinal) ? text : "";
        if (await access.OfAsync(caller, project, made: true, ct) == ProjectRight.None || await projects.GetAsync(project, caller.Account ?? 0, ct) is not { } view) throw new RefusedException(ProjectProblems.NotFound);
        var users = await projects.MembersAsync(project, ct);
        var jobs = await overview.JobsAsync(project, ct);
        return TypedResults.Ok(ToWire(view, caller, users.Count, await overview.DatasetsAsync(project, ct)) with
        {
            Users = view.IsMember || caller.Role == CallerRole.Admin ? users : null, Jobs = new(jobs.Open, jobs.Succeeded, jobs.Failed, jobs.Canceled, jobs.More),
        });
    }

    private static HubProject ToWire(ProjectView p, Caller caller, int members, int datasets)
    {
        var member = p.IsMember || p.Id == ProjectRights.Default;
        var changes = caller.Role == CallerRole.Admin || (caller.Role == CallerRole.Member && member);
        return new(p.Id, p.Name, p.Description, p.IsPublic ? "public" : "private", p.CreatedAt, member, changes, members, datasets);
    }
}
