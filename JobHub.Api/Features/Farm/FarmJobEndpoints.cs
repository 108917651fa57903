using System.Globalization;
using JobHub.Api.Http;
using JobHub.Api.Http.Access;
using JobHub.Api.Http.Auditing;
using JobHub.Engine.Jobs;
using JobHub.Engine.Trees;
using JobHub.Engine.Workers;

namespace JobHub.Api.Features.Farm;

/// <summary>/api/jobs.</summary>
public static class FarmJobEndpoints
{
    private const string IdsExample = "[123,124,125]";

    public static void MapFarmJobs(this IEndpointRouteBuilder routes)
    {
        var jobs = routes.MapGroup("/api").WithTags("Jobs");
        MapReads(jobs);
        jobs.MapPut("/jobs", CreateAsync).WithBodyLimit(FarmBody.LargeLimit).WithQuery("project", "The project; default without.")
            .WithBody("A job, or an array of up to 50 000. Everything is optional; without a command it is a group.", """{"parent":0,"title":"Job 1","command":"echo test","dir":".","environment":"","state":"WAITING","paused":false,"retry":10,"timeout":1000,"priority":255,"affinity":"LINUX","user":"render","url":"","progress_pattern":"#%percent","dependencies":[]}""")
            .WithSummary("Makes a job, or many; answers the id, or the ids in the order of the array.")
            .WithDescription("With an Idempotency-Key a resend within 24 hours answers the first ids. All jobs of an array are made, or none.")
            .Produces<long>().ProducesProblem(400).ProducesProblem(403).ProducesProblem(404).ProducesProblem(409).ProducesProblem(413).ProducesProblem(422);
        jobs.MapPost("/jobs", EditAsync).WithBodyLimit(FarmBody.LargeLimit)
            .WithBody("The fields to change, by the jobs' ids.", """{"123":{"title":"Job renamed 123","command":"echo renamed"}}""")
            .WithSummary("Changes jobs, all or none.").Produces<int>().ProducesProblem(400).ProducesProblem(403).ProducesProblem(404).ProducesProblem(409).ProducesProblem(413);
        jobs.MapDelete("/jobs", DeleteAsync).WithBody("Ids of jobs.", IdsExample).WithSummary("Removes jobs with everything below them, their logs and what runs.")
            .Produces<int>().ProducesProblem(400).ProducesProblem(404);
        jobs.MapPost("/jobs/{id}/dependencies", SetDependenciesAsync).WithBody("The ids it depends on from now on; [] = none.", "[124,125]")
            .WithSummary("Replaces what a job depends on.").Produces<int>().ProducesProblem(400).ProducesProblem(404).ProducesProblem(409);
        MapChange(jobs, "/resetjobs", "Runs jobs and all below them again from the beginning: counters, logs and times begin anew.", static (trees, ids, caller, ct) => trees.ResetAsync(ids, failedOnly: false, caller, ct));
        MapChange(jobs, "/reseterrorjobs", "The same for those in ERROR alone.", static (trees, ids, caller, ct) => trees.ResetAsync(ids, failedOnly: true, caller, ct));
        MapChange(jobs, "/startjobs", "Takes the pause off the jobs and runs again what has ended below them.", static (trees, ids, caller, ct) => trees.StartAsync(ids, caller, ct));
        MapChange(jobs, "/pausejobs", "Pauses jobs with all below them; what runs is stopped and waits.", static (trees, ids, caller, ct) => trees.PauseAsync(ids, caller, ct));
    }

    private static void MapReads(RouteGroupBuilder jobs)
    {
        WithListQuery(jobs.MapGet("/jobs", static (HttpContext context, TreeReader reader, AffinitySlots slots, FarmAccess access, CancellationToken ct) =>
                FarmLists.ChildrenAsync(context, reader, slots, access, 0, ct)))
            .WithSummary("The jobs without a parent, by id: whole, or with ?limit= a page whose Link header names the next.").Produces<FarmJobWire[]>().ProducesProblem(400);
        jobs.MapGet("/jobs/{id}", GetAsync).WithSummary("One job.").Produces<FarmJobDetailWire>().ProducesProblem(404);
        WithListQuery(jobs.MapGet("/jobs/{id}/children", ChildrenAsync)).WithSummary("The jobs in a group; of id 0 those without a parent.").Produces<FarmJobWire[]>().ProducesProblem(400).ProducesProblem(404);
        jobs.MapGet("/jobs/{id}/dependencies", DependenciesAsync).WithSummary("The jobs a job depends on.").Produces<FarmJobWire[]>().ProducesProblem(404);
        jobs.MapGet("/jobs/{id}/childrendependencies", ChildDependenciesAsync).WithSummary("What the jobs in a group depend on; of id 0 those without a parent.").Produces<FarmDependencyWire[]>().ProducesProblem(404);
        jobs.MapGet("/jobs/{id}/log", LogAsync).WithSummary("What the job's runs printed, framed by lines that begin with '* ', as a JSON string.")
            .WithQuery("offset", "From which byte of the log on.").WithQuery("tail", "Only so many bytes, counted from its end.").Produces<string>().ProducesProblem(400).ProducesProblem(404);
        foreach (var (path, member, field) in ((string, string, TreeField)[])[("users", "user", TreeField.User), ("states", "state", TreeField.State), ("workers", "worker", TreeField.Worker),
            ("priorities", "priority", TreeField.Priority), ("affinities", "affinity", TreeField.Affinity)])
        {
            jobs.MapGet($"/jobs/{path}", async (HttpContext context, TreeReader reader, FarmAccess access, CancellationToken ct) =>
                    await ValuesAsync(reader, member, field, await access.ReadableAsync(context, ct), ct))
                .WithSummary($"The values of '{member}' that jobs have, each once.").Produces<Dictionary<string, string>[]>();
        }
    }

    private static RouteHandlerBuilder WithListQuery(RouteHandlerBuilder route) => route
        .WithQuery("limit", "1 to 10000; without it the list is whole.").WithQuery("after", "The last id seen.").WithQuery("state", string.Join(", ", FarmMapping.States) + ".")
        .WithQuery("user", "Jobs of this user.").WithQuery("q", "Words in the title.").WithQuery("project", "Jobs of this project; of all without.");

    private static void MapChange(RouteGroupBuilder jobs, string path, string summary, Func<JobTrees, IReadOnlyList<long>, string, CancellationToken, Task<TreeResult>> change) =>
        jobs.MapPost(path, async (HttpContext context, JobTrees trees, FarmAccess access, CancellationToken ct) =>
        {
            if (await FarmBody.ReadAsync(context.Request, FarmTokens.BodyOfIds, ct) is not { Value: { Length: > 0 } ids }) return FarmEndpoints.One();
            await access.CheckChangeAsync(context, ids, [], ct);
            return (await change(trees, ids, Caller.Of(context).Name, ct)).Answer();
        })
            .WithBody("Ids of jobs.", IdsExample).WithSummary(summary).Produces<int>().ProducesProblem(400).ProducesProblem(404).ProducesProblem(409);

    private static async Task<IResult> GetAsync(HttpContext context, TreeReader reader, AffinitySlots slots, CancellationToken ct)
    {
        if (await FindAsync(context, reader, ct) is not { } job) return Unknown();
        return TypedResults.Ok(new FarmJobDetailWire(await FarmMapping.ToWireAsync(job, slots, ct), await reader.DependencyIdsAsync(job.Number, ct)));
    }

    private static async Task<IResult> ChildrenAsync(HttpContext context, TreeReader reader, AffinitySlots slots, FarmAccess access, CancellationToken ct) =>
        await ParentAsync(context, reader, ct) is { } parent ? await FarmLists.ChildrenAsync(context, reader, slots, access, parent, ct) : Unknown();

    private static async Task<IResult> DependenciesAsync(HttpContext context, TreeReader reader, AffinitySlots slots, FarmAccess access, CancellationToken ct)
    {
        if (await FindAsync(context, reader, ct) is not { } job) return Unknown();
        var projects = await access.ReadableAsync(context, ct);
        return TypedResults.Ok(FarmMapping.ToWireAsync(reader.DependenciesAsync(job.Number, ct).Where(other => projects?.Contains(other.Project) != false), slots, ct));
    }

    private static async Task<IResult> ChildDependenciesAsync(HttpContext context, TreeReader reader, FarmAccess access, CancellationToken ct) =>
        await ParentAsync(context, reader, ct) is { } parent
            ? TypedResults.Ok(reader.ChildDependenciesAsync(parent, await access.ReadableAsync(context, ct), ct).Select(static edge => new FarmDependencyWire(edge.Job, edge.Dependency)))
            : Unknown();

    private static async Task<IResult> LogAsync(HttpContext context, TreeReader reader, TreeLog logs, CancellationToken ct)
    {
        var offset = context.Request.QueryNumber("offset", 0, long.MaxValue) ?? 0;
        var tail = context.Request.QueryNumber("tail", 0, long.MaxValue);
        if (await FindAsync(context, reader, ct) is not { } job) return Unknown();
        var log = await logs.OpenAsync(job.Number, ct);
        return new JsonTextResult(cancel => log.ReadAsync(tail is { } last ? Math.Max(offset, log.Size - last) : offset, cancel));
    }

    private static async Task<IResult> ValuesAsync(TreeReader reader, string member, TreeField field, string[]? projects, CancellationToken ct)
    {
        var values = await reader.ValuesAsync(field, projects, ct);
        return TypedResults.Ok(values.Select(value => FarmMapping.ValueOf(field, value)).Distinct().Select(value => new Dictionary<string, object> { [member] = value }));
    }

    private static async Task<IResult> CreateAsync(HttpContext context, JobTrees trees, CommandRules rules, FarmAccess access, CancellationToken ct)
    {
        var key = IdempotencyKey.Of(context.Request);
        var project = Project.Of(context.Request);
        // Nothing sent is an empty object: an empty group.
        var body = await FarmBody.ReadAsync(context.Request, FarmJobFields.ReadNew, ct) ?? new(new([new()], Many: false), []);
        var (jobs, many) = body.Value;
        for (var index = 0; index < jobs.Count; index++) rules.Check(jobs[index].User, jobs[index].Command, many ? string.Create(CultureInfo.InvariantCulture, $"[{index}].command") : "command");
        if (jobs.Count == 0) return TypedResults.Ok(Array.Empty<long>());
        await access.CheckAsync(context, [.. jobs.Select(static job => job.Parent)], writes: true, ct);
        await access.CheckAsync(context, [.. jobs.SelectMany(static job => job.Dependencies)], writes: false, ct);
        var made = await trees.CreateAsync(jobs, new Submission(Caller.Of(context).Name, key, body.Hash, project), ct);
        // A key of another family's submission with the very same body made no farm jobs.
        if (made is TreeResult.Done { Ids.Count: 0 }) return Problems.KeyReused();
        if (made is TreeResult.Done all) AuditNote.Objects(context, all.Ids);
        return made.Answer(done => many ? TypedResults.Ok(done.Ids) : TypedResults.Ok(done.Ids[0]));
    }

    private static async Task<IResult> EditAsync(HttpContext context, JobTrees trees, TreeReader reader, CommandRules rules, FarmAccess access, CancellationToken ct)
    {
        if (await FarmBody.ReadAsync(context.Request, FarmJobFields.ReadEdits, ct) is not { Value: { Count: > 0 } edits }) return FarmEndpoints.One();
        await access.CheckChangeAsync(context, [.. edits.Select(static edit => edit.Id)], [.. edits.Select(static edit => edit.Parent ?? 0)], ct);
        await access.CheckAsync(context, [.. edits.SelectMany(static edit => edit.Dependencies ?? [])], writes: false, ct);
        if (!rules.AllowAll)
        {
            foreach (var edit in edits)
            {
                if (edit is { Command: null, User: null } || await reader.GetAsync(edit.Id, ct) is not { } job) continue;
                rules.Check(edit.User ?? job.User, edit.Command ?? job.Command, string.Create(CultureInfo.InvariantCulture, $"{edit.Id}.{(edit.Command is null ? "user" : "command")}"));
            }
        }

        return (await trees.EditAsync(edits, Caller.Of(context).Name, ct)).Answer();
    }

    private static async Task<IResult> DeleteAsync(HttpContext context, JobTrees trees, FarmAccess access, CancellationToken ct)
    {
        if (await FarmBody.ReadAsync(context.Request, FarmTokens.BodyOfIds, ct) is not { Value: { Length: > 0 } ids }) return FarmEndpoints.One();
        await access.CheckChangeAsync(context, ids, [], ct);
        return (await trees.DeleteAsync(ids, Caller.Of(context).Name, ct)).Answer();
    }

    private static async Task<IResult> SetDependenciesAsync(HttpContext context, JobTrees trees, TreeReader reader, FarmAccess access, CancellationToken ct)
    {
        // A body that is not there says nothing; [] says that there are none.
        var body = await FarmBody.ReadAsync(context.Request, FarmTokens.BodyOfIds, ct);
        if (await FindAsync(context, reader, ct) is not { } job) return Unknown();
        if (body is null) return FarmEndpoints.One();
        if (body.Value.Length > FarmJobFields.MostDependencies) throw Problems.InvalidField("body", $"A job depends on at most {FarmJobFields.MostDependencies} jobs. Put them into a group and depend on that.");
        await access.CheckAsync(context, body.Value, writes: false, ct);
        return (await trees.SetDependenciesAsync(job.Number, body.Value, Caller.Of(context).Name, ct)).Answer();
    }

    /// <summary>The id of the address; null when the text cannot be one.</summary>
    private static long? IdOf(HttpContext context) =>
        long.TryParse(RouteText.Of(context, "id"), NumberStyles.None, CultureInfo.InvariantCulture, out var id) ? id : null;

    private static async Task<TreeJobView?> FindAsync(HttpContext context, TreeReader reader, CancellationToken ct) => IdOf(context) is > 0 and var id ? await reader.GetAsync(id, ct) : null;

    /// <summary>A job that is there, or 0 for the root of all.</summary>
    private static async Task<long?> ParentAsync(HttpContext context, TreeReader reader, CancellationToken ct) =>
        IdOf(context) is not { } id ? null : id == 0 || await reader.GetAsync(id, ct) is not null ? id : null;

    private static ProblemResult Unknown() => Problems.NotFound("job-not-found", "There is no farm job with this id.");
}
