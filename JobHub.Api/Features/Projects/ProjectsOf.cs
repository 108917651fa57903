using JobHub.Api.Http;
using JobHub.Api.Http.Access;
using JobHub.Engine.Accounts;
using JobHub.ServiceDefaults;

namespace JobHub.Api.Features.Projects;

/// <summary>The project of a request's path, when its caller may do there what he wants to. Every route below <c>/projects/{project}</c> begins with it.</summary>
internal static class ProjectsOf
{
    /// <summary>The project's id. Refused with 404 when he may not see it, with the same answer as when it does not exist.</summary>
    public static async Task<string> ReadAsync(HttpContext context, CancellationToken ct) => (await OfAsync(context, ct)).Project;

    /// <summary>The project's id. Refused with 403 <c>project-read-only</c> when he may see it and no more.</summary>
    public static async Task<string> WriteAsync(HttpContext context, CancellationToken ct)
    {
        var (project, right) = await OfAsync(context, ct);
        return right == ProjectRight.Write ? project : throw new RefusedException(ProjectProblems.ReadOnly);
    }

    /// <summary>The answer of a project that is not there, or not for this caller.</summary>
    public static RefusedException NotFound() => new(ProjectProblems.NotFound);

    private static async Task<(string Project, ProjectRight Right)> OfAsync(HttpContext context, CancellationToken ct)
    {
        var text = RouteText.Of(context, "project");
        // What cannot be an id is looked for all the same, as an id that none has.
        var project = text.Length <= 64 && !text.Contains('\0', StringComparison.Ordinal) ? text : "";
        var right = await context.RequestServices.GetRequiredService<ProjectAccess>().OfAsync(Caller.Of(context), project, made: true, ct);
        return right != ProjectRight.None ? (project, right) : throw new RefusedException(ProjectProblems.NotFound);
    }
}
