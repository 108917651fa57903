using System.Globalization;
using JobHub.Engine.Accounts;
using JobHub.Engine.Jobs;
using JobHub.ServiceDefaults;

namespace JobHub.Api.Http.Access;

/// <summary>
/// Holds callers of accounts to their projects, before a handler runs. A job of a project that they may not see is none: the handler looks for an id that no job has and answers what it
/// always answers, by the same way. Lists, and what bodies name, are their handlers' to ask about. Whoever sees all projects costs no query here.
/// </summary>
public sealed class ProjectGate(RequestDelegate next, ProjectAccess access, JobProjects jobs)
{
    // 2^42: ids of trees are drawn from a sequence that does not come this far.
    private const string NoTreeJob = "4398046511104";

    // The rights are asked of unknown jobs too: what it costs to refuse does not tell one from the other.
    private const string NoProject = "";

    private static readonly string NoJob = Guid.Empty.ToString();

    public async Task InvokeAsync(HttpContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        if (await RefusalAsync(context, context.RequestAborted) is { } problem) await problem.WriteAsync(context);
        else await next(context);
    }

    private async ValueTask<Problem?> RefusalAsync(HttpContext context, CancellationToken ct)
    {
        if (context.GetEndpoint() is not RouteEndpoint { RoutePattern.RawText: var pattern } || RoutePolicies.ProjectOf(pattern) is not (not ProjectSource.None and var source)) return null;
        var caller = Caller.Of(context);
        // A farm's trees are open to developers whole: what is asked for each of a thousand frames is not asked there.
        if (caller.SeesAll || (caller.IsDeveloper && source == ProjectSource.TreeJob)) return null;
        var writes = RoutePolicies.Writes(context.Request.Method, pattern);
        var values = context.Request.RouteValues;
        if (source != ProjectSource.Query && values.ContainsKey("id"))
        {
            var (project, none) = await OfJobAsync(context, source, ct);
            if (none is null) return null;
            var right = await access.OfAsync(caller, project ?? NoProject, made: false, ct);
            if (right == ProjectRight.None) values["id"] = none;
            return writes && right == ProjectRight.Read ? ProjectProblems.ReadOnly : null;
        }

        if (source != ProjectSource.Query && !(writes && (HttpMethods.IsPut(context.Request.Method) || HttpMethods.IsPost(context.Request.Method)))) return null;
        // A farm's jobs are changed by ids in the body; only new ones are of the query's project.
        if (source == ProjectSource.TreeJob && !HttpMethods.IsPut(context.Request.Method)) return null;
        return await access.OfAsync(caller, Project.Of(context.Request), made: false, ct) switch
        {
            ProjectRight.None => ProjectProblems.NotFound,
            ProjectRight.Read when writes => ProjectProblems.ReadOnly,
            _ => null,
        };
    }

    /// <summary>The project of the job in the address, null when there is none, and an id of its kind that no job has; that is null for 0, the root of all trees, whose lists show what the caller may read.</summary>
    private async ValueTask<(string? Project, string? None)> OfJobAsync(HttpContext context, ProjectSource source, CancellationToken ct)
    {
        if (source == ProjectSource.Job) return (RouteText.JobOf(context) is { } id ? await jobs.OfAsync(id, ct) : null, NoJob);
        if (!long.TryParse(RouteText.Of(context, "id"), NumberStyles.None, CultureInfo.InvariantCulture, out var number) || number == 0) return (null, null);
        return ((await jobs.OfAsync([number], ct)).GetValueOrDefault(number), NoTreeJob);
    }
}

/// <summary>What callers hear of projects that are not theirs.</summary>
public static class ProjectProblems
{
    /// <summary>The same for a project that does not exist and one that the caller may not see.</summary>
    public static Problem NotFound { get; } = new(404, "project-not-found", "There is no project with this id among those you may see.", "project");

    public static Problem ReadOnly { get; } = new(403, "project-read-only", "You may read this project. Ask one of its members to make you a member if you have to change it.", "project");
}
