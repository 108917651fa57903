using JobHub.Api.Http;
using JobHub.Api.Http.Access;
using JobHub.Engine.Accounts;
using JobHub.Engine.Jobs;
using JobHub.Engine.Statistics;
using JobHub.Engine.Webhooks;
using JobHub.Engine.Workers;
using Microsoft.AspNetCore.Http.HttpResults;

namespace JobHub.Api.Features.Hub;

/// <summary>/hub/v1/overview: whether something is wrong, and whether it will get done.</summary>
public static class OverviewEndpoints
{
    private const int MostCauses = 12;

    public static void MapOverview(this IEndpointRouteBuilder hub)
    {
        hub.MapGet("/overview", GetAsync).WithTags("Overview").ProducesProblem(400).WithQuery("window", "15m, 1h (without it), 24h or 7d.").WithQuery("project", "Only of this project.")
            .WithSummary("How the hub is: jobs by state, what ended, failures by cause, what waits and why, what needs a look, capacity by pool.");
        hub.MapGet("/overview/now", NowAsync).WithTags("Overview").WithQuery("project", "Only of this project.").WithSummary("Three numbers of it: jobs that run, findings, workers that were lost in the last day.");
        hub.MapGet("/overview/load", LoadAsync).WithTags("Overview").ProducesProblem(400).WithQuery("window", "15m, 1h (without it) or 24h.")
            .WithSummary("Load, memory and slots of all workers together, by minute.");
    }

    private static async Task<Results<Ok<HubOverview>, ProblemResult>> GetAsync(
        HttpContext context, StatisticReader statistics, JobSearch search, WorkerReader workers, WebhookStore webhooks, ProjectAccess access, TimeProvider clock, CancellationToken ct)
    {
        var (window, caller, project) = (WindowOf(context.Request), Caller.Of(context), context.Request.QueryText("project"));
        var scope = await ScopeAsync(caller, project, access, ct);
        var now = clock.GetUtcNow();
        var known = await workers.ListAsync(ct);
        var (sampledAt, waiting) = await statistics.WaitingAsync(scope, ct);
        var buckets = await statistics.EndedAsync(scope, window, ct);
        var failures = await statistics.OfWorkersAsync(scope, OverviewFindings.Recent, ct);
        var told = await WebhooksAsync(caller, project, webhooks, ct);
        var jobs = (await search.CountAsync(new() { Projects = scope.Projects, OnlyUnmade = scope.OnlyUnmade }, ct)).ByState;
        var ready = waiting.Where(static w => w.Claimable).ToArray();
        return TypedResults.Ok(new HubOverview(
            now, window.Name, window.From(now), (int)window.Bucket.TotalSeconds, project,
            new(jobs.GetValueOrDefault(JobState.Queued), jobs.GetValueOrDefault(JobState.Running), jobs.GetValueOrDefault(JobState.Paused), jobs.GetValueOrDefault(JobState.Canceling)),
            new(buckets.Sum(static b => b.JobsSubmitted), buckets.Sum(static b => b.JobsSucceeded), buckets.Sum(static b => b.JobsFailed), buckets.Sum(static b => b.JobsCanceled),
                buckets.Sum(static b => b.TasksSucceeded), buckets.Sum(static b => b.TasksFailed), buckets.Sum(static b => b.TasksCanceled)),
            [.. buckets.Select(static b => new HubEndedBucket(b.At, b.TasksSucceeded, b.TasksFailed, b.TasksCanceled, b.JobsSucceeded, b.JobsFailed))],
            new(await CausesAsync(ofJobs: true), await CausesAsync(ofJobs: false)),
            new(sampledAt, ready.Sum(static w => w.Tasks), waiting.Where(static w => !w.Claimable).Sum(static w => w.Tasks), ready.Min(static w => w.OldestAt),
                [.. waiting.Select(static w => new HubQueueReason(w.Reason, w.Tasks, w.OldestAt, w.Tags.Length == 0 ? null : w.Tags))],
                [.. (await statistics.QueueAsync(scope, window, ct)).Select(static q => new HubQueueBucket(q.At, q.Ready, q.Waiting))]),
            OverviewFindings.Of(failures, waiting, known, told, now), WorkerMapping.Pools(known)));

        async Task<HubCause[]> CausesAsync(bool ofJobs) =>
            [.. (await statistics.CausesAsync(scope, window, ofJobs, MostCauses, ct)).Select(static c => new HubCause(c.Cause, c.ExitCode, c.Count))];
    }

    private static async Task<Ok<HubNow>> NowAsync(HttpContext context, OverviewNow now, ProjectAccess access, CancellationToken ct)
    {
        var (caller, project) = (Caller.Of(context), context.Request.QueryText("project"));
        return TypedResults.Ok(await now.OfAsync(await ScopeAsync(caller, project, access, ct), project, SeesWebhooks(caller), ct));
    }

    private static bool SeesWebhooks(Caller caller) => RoutePolicies.Allows(RoutePolicy.Operators, caller.Role, writes: false);

    /// <summary>The webhooks that a caller may know of.</summary>
    private static async Task<IReadOnlyList<Webhook>> WebhooksAsync(Caller caller, string? project, WebhookStore webhooks, CancellationToken ct)
    {
        if (!SeesWebhooks(caller)) return [];
        var all = await webhooks.ListAsync(ct);
        return project is null ? all : [.. all.Where(w => w.Project == project)];
    }

    private static async Task<Results<Ok<HubWorkerMinutes>, ProblemResult>> LoadAsync(HttpContext context, StatisticReader statistics, CancellationToken ct) =>
        TypedResults.Ok(WorkerMapping.ToWire(await statistics.MinutesAsync(null, WorkerEndpoints.HistoryOf(context.Request), ct)));

    /// <summary>The projects whose numbers a caller may know; of a project that he may not see there are none.</summary>
    private static async Task<StatisticScope> ScopeAsync(Caller caller, string? project, ProjectAccess access, CancellationToken ct)
    {
        if (project is not null) return new(caller.SeesAll || await access.OfAsync(caller, project, made: false, ct) != ProjectRight.None ? [project] : []);
        return new(await access.ReadableAsync(caller, ct), caller.IsDeveloper);
    }

    private static StatisticWindow WindowOf(HttpRequest request)
    {
        var name = request.QueryText("window") ?? "1h";
        return StatisticWindow.All.FirstOrDefault(w => w.Name == name) ?? throw Problems.InvalidField("window", "'window' must be one of 15m, 1h, 24h, 7d.");
    }
}
