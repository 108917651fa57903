using JobHub.Api.Http;
using JobHub.Api.Http.Access;
using JobHub.Api.Http.Auditing;
using JobHub.Engine.Accounts;
using JobHub.Engine.Projects;
using JobHub.ServiceDefaults;
using Microsoft.AspNetCore.Http.HttpResults;

namespace JobHub.Api.Features.Projects;

/// <summary>Projects themselves, and who is a member.</summary>
internal static class ProjectResourceEndpoints
{
    private const int LongestName = 200, LongestDescription = 10_000, MostUsers = 1000;

    public static void Map(RouteGroupBuilder group, bool whole)
    {
        var projects = group.MapGroup("").WithTags("Projects");
        projects.MapPost("", CreateAsync).Accepts<ProjectBody>("application/json").ProducesProblem(400).ProducesProblem(403).WithSummary("A new project; its creator is a member.");
        if (whole) projects.MapGet("", ListAsync).WithPages().ProducesProblem(400).WithSummary("The projects that the caller may read, oldest first; an admin's are all.");
        if (whole) projects.MapGet("/{project}", GetAsync).ProducesProblem(404).WithSummary("One project; its members for members only.");
        projects.MapPut("/{project}", ChangeAsync).Accepts<ProjectBody>("application/json").ProducesProblem(400).ProducesProblem(403).ProducesProblem(404)
            .WithSummary("Changes a project: what is left out stays, 'users' are the members from now on.");
        projects.MapDelete("/{project}", DeleteAsync).ProducesProblem(403).ProducesProblem(404).ProducesProblem(409)
            .WithSummary("Deletes a project: its jobs are canceled, and what it holds is removed.");
        projects.MapPut("/{project}/users/{name}", AddAsync).ProducesProblem(403).ProducesProblem(404).ProducesProblem(409).WithSummary("Makes a user a member.");
        projects.MapDelete("/{project}/users/{name}", RemoveAsync).ProducesProblem(403).ProducesProblem(404).ProducesProblem(409).WithSummary("Takes a member out.");
    }

    private static async Task<Created<MadeWire>> CreateAsync(HttpContext context, ProjectStore projects, CancellationToken ct)
    {
        var caller = Caller.Of(context);
        if (caller.Role == CallerRole.Viewer) throw new RefusedException(403, "role-not-allowed", "A viewer makes no projects.");
        if (caller.Project is not null) throw new RefusedException(403, "role-not-allowed", "This token is for one project and makes no other.");
        var body = (await JsonBody.ReadAsync<ProjectBody>(context.Request, ct)).Value;
        if (body.Name is null) throw Problems.InvalidField("name", "'name' is missing: the project's name.");
        var members = await CheckAsync(body, projects, ct) ?? [];
        if (caller.Account is { } creator && !members.Contains(creator)) members = [.. members, creator];
        var id = await projects.CreateAsync(body.Name.Trim(), body.Description ?? "", body.Visibility == "public", caller.Account, members, ct);
        AuditNote.Of(context).Project = id;
        return TypedResults.Created(ProjectEndpoints.MadeAt(context, id), new MadeWire(id));
    }

    private static async Task<Ok<IEnumerable<ProjectWire>>> ListAsync(HttpContext context, ProjectStore projects, ProjectAccess access, CancellationToken ct)
    {
        var (page, size) = ProjectPages.Of(context.Request);
        var caller = Caller.Of(context);
        var list = await projects.ListAsync(await access.ReadableAsync(caller, ct), caller.Account ?? 0, page, size, ct);
        return TypedResults.Ok(list.Select(static p => ToWire(p, null)));
    }

    private static async Task<Ok<ProjectWire>> GetAsync(HttpContext context, ProjectStore projects, CancellationToken ct) =>
        TypedResults.Ok(await ReadAsync(context, await ProjectsOf.ReadAsync(context, ct), projects, ct));

    private static async Task<Ok<ProjectWire>> ChangeAsync(HttpContext context, ProjectStore projects, CancellationToken ct)
    {
        var project = await ProjectsOf.WriteAsync(context, ct);
        var body = (await JsonBody.ReadAsync<ProjectBody>(context.Request, ct)).Value;
        if (project == ProjectRights.Default) RefuseDefault("Its name, description, visibility and members are the hub's.");
        var members = await CheckAsync(body, projects, ct);
        if (!await projects.ChangeAsync(project, body.Name?.Trim(), body.Description, body.Visibility is null ? null : body.Visibility == "public", members, ct)) throw ProjectsOf.NotFound();
        return TypedResults.Ok(await ReadAsync(context, project, projects, ct));
    }

    private static async Task<NoContent> DeleteAsync(HttpContext context, ProjectStore projects, CancellationToken ct)
    {
        var project = await ProjectsOf.WriteAsync(context, ct);
        if (project == ProjectRights.Default) RefuseDefault("It is always there.");
        return await projects.DeleteAsync(project, Caller.Of(context).Name, ct) ? TypedResults.NoContent() : throw ProjectsOf.NotFound();
    }

    private static async Task<NoContent> AddAsync(HttpContext context, ProjectStore projects, CancellationToken ct)
    {
        var project = await ProjectsOf.WriteAsync(context, ct);
        if (project == ProjectRights.Default) RefuseDefault("Everybody is a member of it.");
        return await projects.AddMemberAsync(project, UserOf(context), ct) ? TypedResults.NoContent() : throw UserNotFound();
    }

    private static async Task<NoContent> RemoveAsync(HttpContext context, ProjectStore projects, CancellationToken ct)
    {
        var project = await ProjectsOf.WriteAsync(context, ct);
        if (project == ProjectRights.Default) RefuseDefault("Everybody is a member of it.");
        return await projects.RemoveMemberAsync(project, UserOf(context), ct) ? TypedResults.NoContent() : throw UserNotFound();
    }

    private static async Task<ProjectWire> ReadAsync(HttpContext context, string project, ProjectStore projects, CancellationToken ct)
    {
        var caller = Caller.Of(context);
        var view = await projects.GetAsync(project, caller.Account ?? 0, ct) ?? throw ProjectsOf.NotFound();
        return ToWire(view, view.IsMember || caller.Role == CallerRole.Admin ? await projects.MembersAsync(project, ct) : null);
    }

    /// <summary>What is wrong with a body is refused; else the accounts of its users, or null when it names none.</summary>
    private static async Task<long[]?> CheckAsync(ProjectBody body, ProjectStore projects, CancellationToken ct)
    {
        if (body.Name is { } name && (name.Trim().Length is 0 or > LongestName || name.Any(char.IsControl)))
            throw Problems.InvalidField("name", $"'name' has 1 to {LongestName} characters and no control characters.");
        if (body.Visibility is not (null or "public" or "private")) throw Problems.InvalidField("visibility", "'visibility' must be public or private.");
        CheckDescription(body.Description);
        if (body.Users is not { } users) return null;
        if (users.Length > MostUsers) throw Problems.InvalidField("users", $"'users' names at most {MostUsers} users.");
        if (users.Any(static u => u.Length == 0 || u.Contains('\0', StringComparison.Ordinal))) throw Problems.InvalidField("users", "'users' are names of users.");
        var (accounts, unknown) = await projects.AccountsAsync(users, ct);
        return unknown is null ? accounts : throw new RefusedException(400, "user-not-found", $"There is no user '{(unknown.Length <= 200 ? unknown : unknown[..200] + "…")}'.", "users");
    }

    /// <summary>Descriptions of projects and datasets.</summary>
    internal static void CheckDescription(string? text)
    {
        if (text is { Length: > LongestDescription } || text?.Contains('\0', StringComparison.Ordinal) == true)
            throw Problems.InvalidField("description", $"'description' has at most {LongestDescription} characters and no NUL.");
    }

    private static string UserOf(HttpContext context) => RouteText.Of(context, "name") is var name && !name.Contains('\0', StringComparison.Ordinal) ? name : throw UserNotFound();

    private static RefusedException UserNotFound() => new(404, "user-not-found", "There is no such user, or he is no member.");

    private static void RefuseDefault(string reason) => throw new RefusedException(409, "project-default", "'default' is the project of whatever names none. " + reason);

    private static ProjectWire ToWire(ProjectView p, IReadOnlyList<string>? users) =>
        new(p.Id, p.Name, p.IsPublic ? "public" : "private", p.Description, p.CreatedAt, p.IsMember || p.Id == ProjectRights.Default, users);
}
