using System.Globalization;
using JobHub.Api.Http;
using JobHub.Api.Http.Access;
using JobHub.Api.Http.Auditing;
using JobHub.Engine.Accounts;
using JobHub.ServiceDefaults;

namespace JobHub.Api.Features.Farm;

/// <summary>Jobs that a body or query names by number: those of projects that the caller may not see are none for him, and those he may only read he does not change.</summary>
public sealed class FarmAccess(ProjectAccess access, JobProjects jobs)
{
    /// <summary>Refuses with 404 when one is not his to see, as when it did not exist, and with 403 when he may read it and wants to change it. 0, the place of the roots, is nobody's.</summary>
    public async ValueTask CheckAsync(HttpContext context, IReadOnlyCollection<long> ids, bool writes, CancellationToken ct)
    {
        if (Caller.Of(context) is { SeesAll: true } or { IsDeveloper: true } || ids.Count == 0) return;
        await CheckAsync(context, ids, await jobs.OfAsync([.. ids.Distinct()], ct), writes, ct);
    }

    /// <summary>The same of jobs that are to be changed, of which the audit says which they are and of which project, when it is one.</summary>
    /// <param name="others">Other jobs that take part.</param>
    public async ValueTask CheckChangeAsync(HttpContext context, IReadOnlyCollection<long> ids, IReadOnlyCollection<long> others, CancellationToken ct)
    {
        var projects = await jobs.OfAsync([.. ids.Concat(others).Distinct()], ct);
        if (Caller.Of(context) is not ({ SeesAll: true } or { IsDeveloper: true })) await CheckAsync(context, [.. ids, .. others], projects, writes: true, ct);
        AuditNote.Objects(context, ids);
        if (ids.Where(projects.ContainsKey).Select(id => projects[id]).Distinct().ToArray() is [var only]) AuditNote.Of(context).Project = only;
    }

    /// <summary>The projects whose jobs a list shows; null = all.</summary>
    public Task<string[]?> ReadableAsync(HttpContext context, CancellationToken ct) => access.ReadableAsync(Caller.Of(context), ct);

    private async ValueTask CheckAsync(HttpContext context, IReadOnlyCollection<long> ids, Dictionary<long, string> projects, bool writes, CancellationToken ct)
    {
        var caller = Caller.Of(context);
        var rights = new Dictionary<string, ProjectRight>();
        foreach (var project in projects.Values.Distinct()) rights[project] = await access.OfAsync(caller, project, made: false, ct);
        var changes = true;
        foreach (var id in ids)
        {
            if (id == 0) continue;
            var right = projects.TryGetValue(id, out var project) ? rights[project] : ProjectRight.None;
            if (right == ProjectRight.None) throw new RefusedException(404, "job-not-found", string.Create(CultureInfo.InvariantCulture, $"There is no job {id}."));
            changes &= right == ProjectRight.Write;
        }

        if (writes && !changes) throw new RefusedException(ProjectProblems.ReadOnly);
    }
}
