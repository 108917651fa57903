using System.Runtime.CompilerServices;
using System.Text.Json;
using JobHub.Api.Http;
using JobHub.Api.Http.Access;
using JobHub.Engine.Accounts;
using JobHub.Engine.Events;
using JobHub.Engine.Jobs;
using JobHub.Engine.Tasks;
using JobHub.Engine.Trees;
using Microsoft.AspNetCore.Http.HttpResults;

namespace JobHub.Api.Features.Hub;

/// <summary>/hub/v1: JobHub's own API over all families. The dashboard uses nothing else.</summary>
public static class HubEndpoints
{
    public static void MapHub(this IEndpointRouteBuilder routes)
    {
        var hub = routes.MapGroup("/hub/v1").WithGroupName("hub");
        var jobs = hub.MapGroup("/jobs").WithTags("Jobs");
        hub.MapJobList();
        hub.MapTrees();
        jobs.MapGet("/{id}", GetAsync).WithSummary("One job with its family's details.").ProducesProblem(404);
        jobs.MapPost("/{id}/cancel", CancelAsync).WithSummary("Asks for a job's end; it reads as Canceling from the answer on.").ProducesProblem(404).ProducesProblem(409);
        jobs.MapJobChanges();
        jobs.MapJobDetail();
        jobs.MapGet("/{id}/tasks/{task}/attempts", AttemptsAsync).WithSummary("The attempts of a task, by number.").ProducesProblem(404);
        jobs.MapLog();
        hub.MapExplain();
        hub.MapBulk();
        hub.MapSubmitCheck();
        hub.MapWebhooks();
        hub.MapArtifacts();
        hub.MapFiles();
        hub.MapHubProjects();
        hub.MapSettings();
        hub.MapOverview();
        hub.MapHubWorkers();
        hub.MapEventList();
        hub.MapGet("/events", Events).WithTags("Events").Produces(200, contentType: "text/event-stream").ProducesProblem(404)
            .WithSummary("What happens, as server-sent events: of all jobs or of ?job=. Resumes after Last-Event-ID; begins with what happens next without one.");
    }

    private static async Task<Results<Ok<HubJob>, ProblemResult>> GetAsync(HttpContext context, JobReader reader, TreeReader trees, CancellationToken ct)
    {
        if (RouteText.JobOf(context) is not { } id || await reader.GetAsync(id, ct) is not { } job) return Unknown();
        if (job.Family != JobFamily.Farm) return TypedResults.Ok(HubMapping.ToDetail(job));
        if (await trees.GetAsync(job.Number, ct) is not { } tree) return Unknown();
        var parent = tree.Parent == 0 ? null : await trees.GetAsync(tree.Parent, ct);
        return TypedResults.Ok(HubMapping.ToDetail(job).InTree(tree, parent?.Id));
    }

    private static async Task<Results<Accepted<HubCancelAccepted>, ProblemResult>> CancelAsync(HttpContext context, JobService jobs, CancellationToken ct)
    {
        if (RouteText.JobOf(context) is not { } id) return Unknown();
        return await jobs.CancelAsync(id, Caller.Of(context).Name, ct) switch
        {
            CancelResult.Accepted => TypedResults.Accepted($"/hub/v1/jobs/{id}", new HubCancelAccepted(id.ToString(), nameof(JobState.Canceling))),
            CancelResult.AlreadyFinished done => Problems.Conflict("job-already-finished", $"Job {id} is {done.State}; there is nothing to cancel."),
            _ => Unknown(),
        };
    }

    private static async Task<Results<Ok<HubAttempt[]>, ProblemResult>> AttemptsAsync(HttpContext context, JobReader reader, CancellationToken ct)
    {
        if (RouteText.JobOf(context) is not { } id || await reader.GetAsync(id, ct) is not { } job) return Unknown();
        if (TaskOf(id, RouteText.Of(context, "task")) is not { } task || !await reader.HasTaskAsync(id, task.Kind, task.Index, ct)) return UnknownTask(job.Id);
        var attempts = await reader.AttemptsAsync(id, task.Kind, task.Index, ct);
        return TypedResults.Ok(attempts.Select(HubMapping.ToWire).ToArray());
    }

    private static async Task<IResult> Events(HttpContext context, EventReader events, JobReader reader, ProjectAccess access, CallerReader callers, CancellationToken ct)
    {
        var caller = Caller.Of(context);
        JobId? job = null;
        if (context.Request.QueryText("job") is { } text)
        {
            job = JobId.TryRead(text);
            if (job is not { } id || await reader.GetAsync(id, ct) is not { } found || await access.OfAsync(caller, found.Project, made: false, ct) == ProjectRight.None) return Unknown();
        }

        var after = EventStream.ResumeAfter(context.Request);
        // Of one job everything is told from its beginning: it is little, and a page that shows a job wants all of it.
        after ??= job is null ? await events.LastPositionAsync(ct) : 0;
        return new EventStream(FollowAsync(events, after.Value, job, caller.SeesAll ? null : access, caller), EventStream.Heartbeat,
            caller.Token is null ? null : stopped => callers.IsStillAsync(context, caller, stopped));
    }

    private static async IAsyncEnumerable<SentEvent> FollowAsync(EventReader events, long after, JobId? job, ProjectAccess? access, Caller caller, [EnumeratorCancellation] CancellationToken ct = default)
    {
        var buffer = new System.Buffers.ArrayBufferWriter<byte>(512);
        var seen = new ReadableProjects(access, caller);
        await foreach (var happened in events.ReadAsync(after, job, follow: true, ct))
        {
            if (!await seen.HasAsync(happened.Project, ct)) continue;
            buffer.ResetWrittenCount();
            await using (var json = new Utf8JsonWriter(buffer))
            {
                json.WriteStartObject();
                json.WriteNumber("position", happened.Position);
                json.WriteString("at", happened.At);
                json.WriteString("kind", happened.Kind);
                if (happened.JobId is { } id) json.WriteString("job", id);
                json.WritePropertyName("payload");
                using (var payload = JsonDocument.Parse(happened.Payload)) payload.WriteTo(json);
                json.WriteEndObject();
            }

            yield return new SentEvent(happened.Position, happened.Kind, System.Text.Encoding.UTF8.GetString(buffer.WrittenSpan));
        }
    }

    /// <summary>A task of this job by its name, or by the part after the job's id (<c>m-3</c>).</summary>
    internal static (TaskKind Kind, int Index)? TaskOf(JobId job, string text)
    {
        var name = TaskName.TryRead(text) ?? TaskName.TryRead($"{job}-{text}");
        return name is { } found && found.Job == job ? (found.Kind, found.Index) : null;
    }

    internal static ProblemResult Unknown() => Problems.NotFound("job-not-found", "There is no job with this id.");

    internal static ProblemResult UnknownTask(JobId job) => Problems.NotFound("task-not-found", $"Job {job} has no such task. GET /hub/v1/jobs/{job}/tasks lists them.");
}
