using JobHub.Api.Http;
using JobHub.Engine.Attempts;
using JobHub.Engine.Jobs;
using JobHub.Engine.Tasks;
using JobHub.ServiceDefaults;

namespace JobHub.Api.Features.Hub;

/// <summary><c>/hub/v1/jobs/{id}/log</c>.</summary>
public static class HubLog
{
    public static void MapLog(this RouteGroupBuilder jobs)
    {
        jobs.MapMethods("/{id}/log", [HttpMethods.Get, HttpMethods.Head], ReadAsync)
            .Produces(200, contentType: "text/plain").ProducesProblem(400).ProducesProblem(404)
            .WithSummary("What an attempt of ?task= printed, from ?offset=; ?attempt= (default: the latest); ?follow=true stays until the attempt ends. With ?limit=, ?before= or ?tail= a piece in whole lines; ?download=true as a file.");
        jobs.MapLogSearch();
        jobs.MapMergedLog();
    }

    /// <summary>The task that a request is about: of <c>?task=</c>, or the only one of its job.</summary>
    internal static async Task<(JobId Id, (TaskKind Kind, int Index) Task)> TaskAsync(HttpContext context, JobReader reader, CancellationToken ct)
    {
        if (RouteText.JobOf(context) is not { } id || await reader.GetAsync(id, ct) is not { } job) throw new RefusedException(HubEndpoints.Unknown().Problem);
        if (context.Request.QueryText("task") is not { } text)
        {
            if (job.Tasks.Total != 1) throw new RefusedException(Problems.BadRequest("missing-field", "Say whose log: ?task=<task id>.", "task").Problem);
            text = await OnlyTaskAsync(reader, id, ct);
        }

        if (HubEndpoints.TaskOf(id, text) is not { } task || !await reader.HasTaskAsync(id, task.Kind, task.Index, ct)) throw new RefusedException(HubEndpoints.UnknownTask(id).Problem);
        return (id, task);
    }

    internal static int? AttemptOf(HttpRequest request) => (int?)request.QueryNumber("attempt", 1, int.MaxValue);

    private static async Task<IResult> ReadAsync(HttpContext context, JobReader reader, LogReader logs, CancellationToken ct)
    {
        var (id, task) = await TaskAsync(context, reader, ct);
        var request = context.Request;
        var (tail, before, limit) = (request.QueryNumber("tail", 0, LogPieces.MostBytes), request.QueryNumber("before", 0, long.MaxValue), request.QueryNumber("limit", 1, LogPieces.MostBytes));
        if (tail is null && before is null && limit is null) return await AttemptLog.ReadAsync(context, reader, logs, id, task, ct);
        if (tail is not null && before is not null) throw Problems.InvalidField("tail", "'tail' is a piece before the end: give it or 'before'.");
        var pieces = new LogPieces(logs, id, task, AttemptOf(request));
        if (tail is null && before is null) return await pieces.FromAsync(context, request.QueryNumber("offset", 0, long.MaxValue) ?? 0, (int)limit!, ct);
        return await pieces.BeforeAsync(context, before, (int)(tail ?? limit ?? LogPieces.DefaultBytes), ct);
    }

    private static async Task<string> OnlyTaskAsync(JobReader reader, JobId id, CancellationToken ct)
    {
        await foreach (var only in reader.TasksAsync(id, new TaskFilter { Limit = 1 }, ct)) return only.Name;
        return "";
    }
}
