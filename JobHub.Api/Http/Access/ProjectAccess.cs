using System.Diagnostics;
using JobHub.Engine.Accounts;

namespace JobHub.Api.Http.Access;

/// <summary>What a caller may do in a project: the rule of every family.</summary>
public sealed class ProjectAccess(ProjectRights rights)
{
    /// <summary>
    /// His right in a project. Members of it and admins write, anybody signed in reads a public one, a viewer never writes.
    /// </summary>
    /// <param name="made">The project must have been made: of the projects' own routes. Elsewhere any name is a project to those who see all.</param>
    public async Task<ProjectRight> OfAsync(Caller caller, string project, bool made, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(caller);
        if ((caller.SeesAll || (caller.IsDeveloper && project == ProjectRights.Default)) && !made) return ProjectRight.Write;
        var standing = await rights.OfAsync(caller.Account ?? 0, project, ct);
        if (caller.IsDeveloper) return standing.Exists ? ProjectRight.None : ProjectRight.Write;
        if (!standing.Exists || (caller.Project is { } only && only != project) || caller.Role == CallerRole.Worker) return ProjectRight.None;
        if (caller.Role is CallerRole.Admin) return ProjectRight.Write;
        if (!standing.IsMember) return standing.IsPublic ? ProjectRight.Read : ProjectRight.None;
        return caller.Role == CallerRole.Viewer ? ProjectRight.Read : ProjectRight.Write;
    }

    /// <summary>The projects whose things a list may show him; null = all, for a developer all that nobody made.</summary>
    public async Task<string[]?> ReadableAsync(Caller caller, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(caller);
        if (caller.SeesAll || caller.IsDeveloper) return null;
        if (caller.Project is { } only) return await OfAsync(caller, only, made: true, ct) == ProjectRight.None ? [] : [only];
        return await rights.ReadableAsync(caller.Account ?? 0, ct);
    }

    /// <summary>The projects whose jobs he may change; null = all, for a developer all that nobody made.</summary>
    public async Task<string[]?> WritableAsync(Caller caller, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(caller);
        if (caller.SeesAll || caller.IsDeveloper) return null;
        if (caller.Project is { } only) return await OfAsync(caller, only, made: true, ct) == ProjectRight.Write ? [only] : [];
        return caller.Role is CallerRole.Member ? await rights.WritableAsync(caller.Account ?? 0, ct) : [];
    }
}

/// <summary>The projects that one caller of a long answer may read, asked again every few seconds: who loses a project while he follows its events loses them soon.</summary>
/// <param name="access">Null: he sees all.</param>
public sealed class ReadableProjects(ProjectAccess? access, Caller caller)
{
    private static readonly TimeSpan Kept = TimeSpan.FromSeconds(5);
    private readonly Dictionary<string, bool> _made = [];
    private string[]? _projects;
    private long _asked;

    /// <summary>Whether he may hear of it; null = of no project, which all may; empty = of one that is not known any more.</summary>
    public async ValueTask<bool> HasAsync(string? project, CancellationToken ct)
    {
        if (access is null || project is null) return true;
        if (project.Length == 0) return false;
        if (caller.IsDeveloper)
        {
            if (_made.Count > 1000) _made.Clear();
            if (!_made.TryGetValue(project, out var made)) _made[project] = made = await access.OfAsync(caller, project, made: false, ct) == ProjectRight.None;
            return !made;
        }

        if (_projects is null || Stopwatch.GetElapsedTime(_asked) > Kept)
        {
            _projects = await access.ReadableAsync(caller, ct) ?? [];
            _asked = Stopwatch.GetTimestamp();
        }

        return _projects.Contains(project);
    }
}
