using System.Globalization;
using JobHub.Api.Http;
using JobHub.Api.Http.Access;
using JobHub.Api.Http.Auditing;
using JobHub.Engine.Accounts;
using JobHub.Engine.Jobs;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.WebUtilities;

namespace JobHub.Api.Features.Hub;

/// <summary><c>/hub/v1/bulk</c>: one change of many jobs, by ids or by a filter, in the background.</summary>
public static class BulkEndpoints
{
    private const int DefaultPage = 20, LargestPage = 100;

    internal static void MapBulk(this IEndpointRouteBuilder hub)
    {
        var bulk = hub.MapGroup("/bulk").WithTags("Bulk");
        bulk.MapPost("", CreateAsync).Accepts<BulkRequest>("application/json").WithQuery("preview", "true: nothing is done; the answer counts the jobs by state.")
            .Produces<HubBulkPreview>().Produces<HubBulkAccepted>(202).ProducesProblem(400).ProducesProblem(422)
            .WithSummary("Cancels, retries, pauses, resumes, deletes or resets many jobs, or changes their priority: those of ids or of a filter that the caller may change.");
        bulk.MapGet("", ListAsync).WithSummary("The caller's bulks, newest first. ?limit= to 100 (20).").ProducesProblem(400);
        bulk.MapGet("/{id}", GetAsync).WithSummary("How far a bulk is, and which jobs it left.").ProducesProblem(404);
        bulk.MapPost("/{id}/cancel", StopAsync).WithSummary("Stops a bulk: what was done stays done.").ProducesProblem(404).ProducesProblem(409);
        bulk.MapPost("/{id}/undo", UndoAsync).WithSummary("Gives the jobs back what they had, of pause, resume and priority, for ten minutes; a bulk of its own.").ProducesProblem(404).ProducesProblem(409);
    }

    private static async Task<IResult> CreateAsync(HttpContext context, BulkStore store, HubJobQuery query, JobIds ids, ProjectAccess access, CancellationToken ct)
    {
        var request = context.Request;
        var preview = request.QueryFlag("preview");
        var key = IdempotencyKey.Of(request);
        var body = await JsonBody.ReadAsync<BulkRequest>(request, ct);
        var action = ActionOf(body.Value.Action);
        var caller = Caller.Of(context);
        var bulk = new NewBulk(action, action == JobAction.Priority ? JobChangeEndpoints.PriorityOf(body.Value.Priority) : null) { Projects = await access.WritableAsync(caller, ct), OnlyUnmade = caller.IsDeveloper };
        if (action != JobAction.Priority && body.Value.Priority is not null) throw Problems.InvalidField("priority", "'priority' belongs to the action priority.");
        bulk = (body.Value.Ids, body.Value.Filter) switch
        {
            ({ } given, null) => await OfIdsAsync(bulk, given, ids, access, caller, ct),
            (null, { } filter) => bulk with { Filter = (await FilterOfAsync(context, filter, query, ct)) with { Projects = bulk.Projects } },
            _ => throw Problems.InvalidField("ids", "Either 'ids' or 'filter' says which jobs."),
        };
        if (preview)
        {
            AuditNote.Of(context).Unchanged = true;
            var found = await store.PreviewAsync(bulk, ct);
            return TypedResults.Ok(new HubBulkPreview(WordOf(action), found.Total, found.Touched, found.Exact, found.States.ToDictionary(static s => s.Key.ToString(), static s => s.Value), bulk.Refused.Count));
        }

        var result = await store.CreateAsync(bulk, new Submission(caller.Name, key, body.Hash), caller.Account, ct);
        if (result is BulkResult.Accepted accepted)
        {
            AuditNote.Of(context).Object = accepted.Id.ToString("D");
            AuditNote.Of(context).Action = $"job.bulk-{WordOf(action)}";
        }

        return Answer(result);
    }

    private static async Task<NewBulk> OfIdsAsync(NewBulk bulk, string[] given, JobIds ids, ProjectAccess access, Caller caller, CancellationToken ct)
    {
        if (given.Length is 0 or > BulkStore.MostIds)
            throw Problems.InvalidField("ids", string.Create(CultureInfo.InvariantCulture, $"'ids' holds 1 to {BulkStore.MostIds} ids; more are reached by a filter."));
        var wanted = new HashSet<JobId>(given.Length);
        for (var i = 0; i < given.Length; i++) wanted.Add(JobId.TryRead(given[i]) ?? throw Problems.InvalidField(string.Create(CultureInfo.InvariantCulture, $"ids[{i}]"), $"'ids[{i}]' is not the id of a job."));
        var found = await ids.FindAsync([.. wanted], ct);
        var readable = await access.ReadableAsync(caller, ct);
        var rights = new Dictionary<string, bool>();
        var (numbers, refused) = (new List<long>(found.Count), new List<BulkRemaining>());
        foreach (var id in wanted)
        {
            if (!found.TryGetValue(id, out var job) || readable?.Contains(job.Project) == false || (caller.IsDeveloper && !await MayAsync(job.Project)))
                refused.Add(new(id.ToString(), JobRefusal.NotFound.Code, JobRefusal.NotFound.Message));
            else if (bulk.Projects?.Contains(job.Project) == false) refused.Add(new(id.ToString(), ProjectProblems.ReadOnly.Code, "You may read this job's project and not change it."));
            else numbers.Add(job.Number);
        }

        return bulk with { Jobs = [.. numbers], Refused = refused };

        async ValueTask<bool> MayAsync(string project)
        {
            if (!rights.TryGetValue(project, out var may)) rights[project] = may = await access.OfAsync(caller, project, made: false, ct) == ProjectRight.Write;
            return may;
        }
    }

    // A word that is not known must not make more jobs of it than were meant.
    private static readonly string[] Words =
    [
        "family", "state", "project", "-project", "user", "-user", "q", "-q", "label", "-label", "worker", "createdAfter", "createdBefore", "endedAfter", "endedBefore", "minPriority", "maxPriority",
        "cause", "exitCode", "ids", "flat", "parent",
    ];

    private static async Task<JobFilter> FilterOfAsync(HttpContext context, string filter, HubJobQuery query, CancellationToken ct)
    {
        var words = QueryHelpers.ParseQuery(filter);
        if (words.Keys.FirstOrDefault(static word => !Words.Contains(word)) is { } unknown) throw Problems.InvalidField("filter", $"'{unknown}' is none of the words of 'filter': {string.Join(", ", Words)}.");
        var asked = new DefaultHttpContext { RequestServices = context.RequestServices };
        asked.Features.Set(Caller.Of(context));
        asked.Request.Query = new QueryCollection(words);
        return await query.ReadAsync(asked.Request, ct) ?? throw Problems.InvalidField("filter", "'parent' is not a job that you may see.");
    }

    private static async Task<Results<Ok<HubBulkList>, ProblemResult>> ListAsync(HttpContext context, BulkStore store, CancellationToken ct)
    {
        var limit = Paging.LimitOf(context.Request, LargestPage) ?? DefaultPage;
        return TypedResults.Ok(new HubBulkList([.. (await store.ListAsync(OwnerOf(context), ProjectOf(context), limit, ct)).Select(ToWire)]));
    }

    private static async Task<Results<Ok<HubBulk>, ProblemResult>> GetAsync(HttpContext context, BulkStore store, CancellationToken ct) =>
        IdOf(context) is { } id && await store.GetAsync(id, OwnerOf(context), ProjectOf(context), ct) is { } bulk ? TypedResults.Ok(ToWire(bulk)) : Unknown();

    private static async Task<IResult> StopAsync(HttpContext context, BulkStore store, CancellationToken ct) =>
        IdOf(context) is { } id ? Answer(await store.StopAsync(id, OwnerOf(context), ProjectOf(context), ct)) : Unknown();

    private static async Task<IResult> UndoAsync(HttpContext context, BulkStore store, ProjectAccess access, CancellationToken ct) =>
        IdOf(context) is { } id
            ? Answer(await store.UndoAsync(id, OwnerOf(context), ProjectOf(context), await access.WritableAsync(Caller.Of(context), ct), Caller.Of(context).Account, ct)) : Unknown();

    private static IResult Answer(BulkResult result) => result switch
    {
        BulkResult.Accepted accepted => TypedResults.Accepted($"/hub/v1/bulk/{accepted.Id:D}", new HubBulkAccepted(accepted.Id.ToString("D"))),
        BulkResult.Conflict conflict => Problems.Conflict(conflict.Code, conflict.Message),
        BulkResult.KeyReused => Problems.KeyReused(),
        _ => Unknown(),
    };

    private static JobAction ActionOf(string? word) =>
        word is not null && Array.Find(Enum.GetValues<JobAction>(), a => WordOf(a) == word) is var action && WordOf(action) == word ? action
            : throw Problems.InvalidField("action", "'action' must be one of cancel, retry, pause, resume, priority, delete, reset.");

    private static string WordOf(JobAction action) => System.Text.Json.JsonNamingPolicy.CamelCase.ConvertName(action.ToString());

    /// <summary>Bulks are their caller's; who sees all sees those of all.</summary>
    private static string? OwnerOf(HttpContext context) => Caller.Of(context) is { SeesAll: false } caller ? caller.Name : null;

    /// <summary>A token that is for one project reaches the bulks of that one.</summary>
    private static string? ProjectOf(HttpContext context) => Caller.Of(context).Project;

    private static Guid? IdOf(HttpContext context) => Guid.TryParse(RouteText.Of(context, "id"), out var id) ? id : null;

    private static ProblemResult Unknown() => Problems.NotFound("bulk-not-found", "There is no bulk with this id among yours.");

    private static HubBulk ToWire(BulkView b) => new(
        b.Id.ToString("D"), WordOf(b.Action), b.Priority, b.State.ToString(), b.Caller, b.Total, b.Done, b.Failed, [.. b.Remaining.Select(static l => new HubBulkLeft(l.Id, l.Reason, l.Message))],
        b.CanUndo, b.UndoOf?.ToString("D"), b.Undone?.ToString("D"), b.CreatedAt, b.EndedAt);
}
