using System.Globalization;
using JobHub.Api.Http;
using JobHub.Api.Http.Access;
using JobHub.Api.Http.Auditing;
using JobHub.Engine.Accounts;
using JobHub.Engine.Trees;
using JobHub.Engine.Workers;
using JobHub.ServiceDefaults;

namespace JobHub.Api.Features.Hub;

/// <summary><c>/hub/v1/trees</c>: what can be changed of the jobs of trees, of many at once: values, place and dependencies.</summary>
public static class HubTreeEndpoints
{
    private const int MostJobs = 500, LongestTitle = 1000, LongestAffinity = 4000, MostRetries = 99, LongestTimeout = 31_536_000;

    public static void MapTrees(this RouteGroupBuilder hub)
    {
        var trees = hub.MapGroup("/trees").WithTags("Trees");
        trees.MapGet("/jobs", GetAsync).WithQuery("ids", "Numbers of jobs of trees, with commas, at most 500.", required: true).Produces<HubTreeJobs>().ProducesProblem(400).ProducesProblem(404)
            .WithSummary("What can be changed of jobs of trees: the values they have.");
        trees.MapPost("/jobs", ChangeAsync).Accepts<HubTreeChange>("application/json").ProducesProblem(400).ProducesProblem(404).ProducesProblem(409)
            .WithSummary("Gives jobs of trees a title, a priority, affinity, retries, a timeout or dependencies, or moves them into another group: all or none.");
        trees.MapTreeSlots();
    }

    private static async Task<IResult> GetAsync(HttpContext context, TreeReader trees, ProjectAccess access, JobProjects projects, CancellationToken ct)
    {
        string[] parts = (context.Request.QueryText("ids") ?? "").Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        var numbers = new HashSet<long>();
        foreach (var part in parts) numbers.Add(long.TryParse(part, NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : throw Problems.InvalidField("ids", "'ids' must be numbers of jobs, with commas."));
        if (numbers.Count is 0 or > MostJobs) throw Problems.InvalidField("ids", $"'ids' names 1 to {MostJobs} jobs.");
        await CheckAsync(context, access, projects, numbers, [], writes: false, ct);
        var items = new List<HubTreeJob>();
        await foreach (var job in trees.ManyAsync([.. numbers], ct))
        {
            items.Add(new(job.Id.ToString(), job.Number, job.Parent, job.IsGroup, job.Title, job.Priority, job.Affinity, job.Retry, job.TimeoutSeconds, await trees.DependencyIdsAsync(job.Number, ct)));
        }

        if (items.Count < numbers.Count) throw Unknown(numbers.First(n => items.TrueForAll(i => i.Number != n)));
        return TypedResults.Ok(new HubTreeJobs(items));
    }

    private static async Task<IResult> ChangeAsync(HttpContext context, JobTrees trees, ProjectAccess access, JobProjects projects, CancellationToken ct)
    {
        var change = (await JsonBody.ReadAsync<HubTreeChange>(context.Request, ct)).Value;
        if (change.Jobs is not { Length: > 0 and <= MostJobs } jobs) throw Problems.InvalidField("jobs", $"'jobs' names 1 to {MostJobs} jobs by their numbers.");
        if (change.Title?.Length > LongestTitle) throw Problems.InvalidField("title", $"'title' has at most {LongestTitle} characters.");
        if (change.Affinity?.Length > LongestAffinity) throw Problems.InvalidField("affinity", $"'affinity' has at most {LongestAffinity} characters.");
        if (change.Title?.Contains('\0') == true) throw Problems.InvalidField("title", "'title' must not hold a NUL.");
        if (change.Affinity?.Contains('\0') == true) throw Problems.InvalidField("affinity", "'affinity' must not hold a NUL.");
        CheckSteps(change);
        In("priority", change.Priority, 255);
        In("retry", change.Retry, MostRetries);
        In("timeoutSeconds", change.TimeoutSeconds, LongestTimeout);
        if (change.Dependencies?.Length > MostJobs) throw Problems.InvalidField("dependencies", $"'dependencies' names at most {MostJobs} jobs.");
        long[] numbers = [.. jobs.Distinct()];
        // What it depends on may be of a project that he reads; where it goes he must be able to change.
        var found = await CheckAsync(context, access, projects, [.. numbers, change.Parent ?? 0], [.. change.Dependencies ?? [], .. change.AddDependencies ?? []], writes: true, ct);
        AuditNote.Objects(context, numbers);
        if (numbers.Where(found.ContainsKey).Select(n => found[n]).Distinct().ToArray() is [var only]) AuditNote.Of(context).Project = only;
        TreeEdit[] edits = [.. numbers.Select(n => new TreeEdit(n)
        {
            Title = change.Title, Priority = change.Priority, Affinity = change.Affinity, Retry = change.Retry, TimeoutSeconds = change.TimeoutSeconds, Parent = change.Parent, Dependencies = change.Dependencies,
            AddTags = change.AddAffinity ?? [], DropTags = change.RemoveAffinity ?? [], AddDependencies = change.AddDependencies ?? [], DropDependencies = change.RemoveDependencies ?? [],
        })];
        return await trees.EditAsync(edits, Caller.Of(context).Name, ct) switch
        {
            TreeResult.Conflict conflict => Problems.Conflict(conflict.Code, conflict.Message),
            TreeResult.NotFound none => Problems.NotFound(none.Code, none.Message),
            _ => TypedResults.NoContent(),
        };
    }

    /// <summary>What is added and taken away, each by itself; not together with a value in place of all.</summary>
    private static void CheckSteps(HubTreeChange change)
    {
        foreach (var (field, tags) in new[] { ("addAffinity", change.AddAffinity), ("removeAffinity", change.RemoveAffinity) })
        {
            if (tags is null) continue;
            if (change.Affinity is not null) throw Problems.InvalidField(field, $"'{field}' changes what jobs have; 'affinity' gives them all the same. Name one of them.");
            if (tags.Length > AffinitySlots.Count) throw Problems.InvalidField(field, $"'{field}' holds at most {AffinitySlots.Count} names.");
            foreach (var tag in tags) HubTreeSlots.CheckName(field, tag, empty: false);
        }

        foreach (var (field, jobs) in new[] { ("addDependencies", change.AddDependencies), ("removeDependencies", change.RemoveDependencies) })
        {
            if (jobs is null) continue;
            if (change.Dependencies is not null) throw Problems.InvalidField(field, $"'{field}' changes what jobs depend on; 'dependencies' gives them all the same. Name one of them.");
            if (jobs.Length > MostJobs) throw Problems.InvalidField(field, $"'{field}' names at most {MostJobs} jobs.");
        }
    }

    private static void In(string field, int? value, int most)
    {
        if (value < 0 || value > most) throw Problems.InvalidField(field, string.Create(CultureInfo.InvariantCulture, $"'{field}' must be a whole number from 0 to {most}."));
    }

    /// <summary>Jobs of projects that the caller may not see are none for him; those he may only read he does not change. 0, the place of the roots, is nobody's.</summary>
    private static async Task<Dictionary<long, string>> CheckAsync(HttpContext context, ProjectAccess access, JobProjects projects, IReadOnlyCollection<long> numbers, IReadOnlyCollection<long> others, bool writes, CancellationToken ct)
    {
        var found = await projects.OfAsync([.. numbers.Concat(others).Distinct()], ct);
        var caller = Caller.Of(context);
        var rights = new Dictionary<string, ProjectRight>();
        foreach (var project in found.Values.Distinct()) rights[project] = await access.OfAsync(caller, project, made: false, ct);
        foreach (var number in numbers.Concat(others).Where(static n => n != 0))
        {
            if (!found.TryGetValue(number, out var project) || rights[project] == ProjectRight.None) throw Unknown(number);
        }

        if (writes && numbers.Any(n => n != 0 && rights[found[n]] != ProjectRight.Write)) throw new RefusedException(ProjectProblems.ReadOnly);
        return found;
    }

    private static RefusedException Unknown(long number) => new(404, "job-not-found", string.Create(CultureInfo.InvariantCulture, $"There is no job {number} in a tree."));
}

/// <summary>Jobs of trees with the values they have.</summary>
public sealed record HubTreeJobs(IReadOnlyList<HubTreeJob> Items);

/// <summary>What can be changed of a job of a tree. <paramref name="Parent"/> is 0 for a root, <paramref name="TimeoutSeconds"/> 0 without one.</summary>
public sealed record HubTreeJob(string Id, long Number, long Parent, bool IsGroup, string Title, int Priority, string Affinity, int Retry, int TimeoutSeconds, IReadOnlyList<long> Dependencies);

/// <summary>What changes of jobs; absent stays as it is. <c>parent</c> is the number of the group they move into, 0 among the roots.</summary>
public sealed record HubTreeChange
{
    public long[]? Jobs { get; init; }
    public string? Title { get; init; }
    public int? Priority { get; init; }
    public string? Affinity { get; init; }
    public int? Retry { get; init; }
    public int? TimeoutSeconds { get; init; }
    public long? Parent { get; init; }
    public long[]? Dependencies { get; init; }
    public string[]? AddAffinity { get; init; }
    public string[]? RemoveAffinity { get; init; }
    public long[]? AddDependencies { get; init; }
    public long[]? RemoveDependencies { get; init; }
}
