using JobHub.Api.Http;
using JobHub.Engine.Attempts;
using JobHub.Engine.Jobs;
using JobHub.Engine.Tasks;

namespace JobHub.Api.Features.Hub;

/// <summary><c>/hub/v1/jobs/{id}/log</c>.</summary>
public static class HubLog
{
    public static void MapLog(this RouteGroupBuilder jobs) =>
        jobs.MapMethods("/{id}/log", [HttpMethods.Get, HttpMethods.Head], ReadAsync)
            .Produces(200, contentType: "text/plain").ProducesProblem(400).ProducesProblem(404)
            .WithSummary("What an attempt of ?task= printed, from ?offset=; ?attempt= (default: the latest); ?follow=true stays until the attempt ends.");

    private static async Task<IResult> ReadAsync(HttpContext context, JobReader reader, LogReader logs, CancellationToken ct)
    {
        var request = context.Request;
        if (RouteText.JobOf(context) is not { } id || await reader.GetAsync(id, ct) is not { } job) return HubEndpoints.Unknown();
        if (request.QueryText("task") is not { } text)
        {
            if (job.Tasks.Total != 1) return Problems.BadRequest("missing-field", "Say whose log: ?task=<task id>.", "task");
            text = await OnlyTaskAsync(reader, id, ct);
        }

        if (HubEndpoints.TaskOf(id, text) is not { } task || !await reader.HasTaskAsync(id, task.Kind, task.Index, ct)) return HubEndpoints.UnknownTask(id);
        return await AttemptLog.ReadAsync(context, reader, logs, id, task, ct);
    }

    private static async Task<string> OnlyTaskAsync(JobReader reader, JobId id, CancellationToken ct)
    {
        await foreach (var only in reader.TasksAsync(id, new TaskFilter { Limit = 1 }, ct)) return only.Name;
        return "";
    }
}
