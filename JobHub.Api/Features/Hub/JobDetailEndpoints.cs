using System.Security.Cryptography;
using System.Text;
using JobHub.Api.Http;
using JobHub.Api.Http.Access;
using JobHub.Api.Http.Auditing;
using JobHub.Engine.Jobs;
using JobHub.Engine.Tasks;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.Net.Http.Headers;

namespace JobHub.Api.Features.Hub;

/// <summary>One job as a page shows it: all its tasks in a byte each, its attempts over time, and the same job once more.</summary>
internal static class JobDetailEndpoints
{
    private const int DefaultPage = 50, LargestPage = 500, DefaultBars = 500, MostBars = 2000;

    /// <summary>The header that says which tasks the bytes are of.</summary>
    public const string PhasesHeader = "JobHub-Phases";

    public static void MapJobDetail(this RouteGroupBuilder jobs)
    {
        jobs.MapGet("/{id}/tasks", TasksAsync).ProducesProblem(400).ProducesProblem(404).WithQuery("state", "One or several, with commas.").WithQuery("kind", "Map, Reduce, Command or Analysis.")
            .WithQuery("from", "With kind: from this index.").WithQuery("to", "With kind: to this index, which is in it.").WithQuery("limit", "To 500 (50).").WithQuery("after", "The last page's next.")
            .WithSummary("A job's tasks in order.");
        jobs.MapGet("/{id}/tasks/states", StatesAsync).Produces(200, contentType: "application/octet-stream").Produces(304).ProducesProblem(404)
            .WithSummary("The states of all tasks in order, a byte each; JobHub-Phases says of which kinds they are. With If-None-Match nothing is sent that has not changed.");
        jobs.MapGet("/{id}/timeline", TimelineAsync).ProducesProblem(400).ProducesProblem(404).WithQuery("limit", "To 2000 (500).").WithSummary("The newest attempts by their end, those that run first.");
        jobs.MapPost("/{id}/run-again", RunAgainAsync).Produces<HubRunAgain>(201).ProducesProblem(404).ProducesProblem(409).ProducesProblem(422)
            .WithSummary("Submits the same job once more. With an Idempotency-Key a resend within 24 hours answers the first.");
        jobs.MapJobGraph();
        jobs.MapJobSums();
        jobs.MapJobData();
    }

    private static async Task<Results<Ok<HubTaskPage>, ProblemResult>> TasksAsync(HttpContext context, JobReader reader, CancellationToken ct)
    {
        var request = context.Request;
        if (RouteText.JobOf(context) is not { } id || await reader.GetAsync(id, ct) is null) return HubEndpoints.Unknown();
        var limit = Paging.LimitOf(request, LargestPage) ?? DefaultPage;
        (TaskKind, int)? after = null;
        if (request.QueryText("after") is { } text) after = HubEndpoints.TaskOf(id, text) ?? throw Problems.InvalidField("after", "'after' must be the id of a task of this job.");
        var kind = request.QueryWord<TaskKind>("kind");
        var (from, to) = (request.QueryNumber("from", 0, int.MaxValue), request.QueryNumber("to", 0, int.MaxValue));
        if (kind is null && (from ?? to) is not null) throw Problems.InvalidField("kind", "'from' and 'to' are indexes of one kind: say which.");
        var filter = new TaskFilter { States = StatesOf(request), Kind = kind, From = (int)(from ?? 0), To = (int)(to ?? int.MaxValue), After = after, Limit = limit + 1 };
        var (items, more) = await Paging.TakeAsync(reader.TasksAsync(id, filter, ct), limit, ct);
        return TypedResults.Ok(new HubTaskPage([.. items.Select(HubMapping.ToWire)], more ? items[^1].Name : null));
    }

    private static TaskState[] StatesOf(HttpRequest request)
    {
        if (request.QueryText("state") is not { } text) return [];
        var states = new HashSet<TaskState>();
        foreach (var word in text.Split(','))
        {
            var found = Array.Find(Enum.GetNames<TaskState>(), name => string.Equals(name, word, StringComparison.OrdinalIgnoreCase));
            states.Add(found is null ? throw Problems.InvalidField("state", $"'state' must be one or several of {string.Join(", ", Enum.GetNames<TaskState>())}.") : Enum.Parse<TaskState>(found));
        }

        return [.. states];
    }

    private static async Task<IResult> StatesAsync(HttpContext context, JobReader reader, TaskVectors vectors, CancellationToken ct)
    {
        if (RouteText.JobOf(context) is not { } id || await reader.GetAsync(id, ct) is not { } job || await vectors.ReadAsync(job, ct) is not { } vector) return HubEndpoints.Unknown();
        var phases = string.Join(',', vector.Phases.Select(static phase => $"{phase.Kind}={phase.Count}"));
        context.Response.Headers[PhasesHeader] = phases;
        context.Response.Headers.CacheControl = "private, no-cache";
        return TypedResults.Bytes(vector.Squares, "application/octet-stream", entityTag: TagOf(phases, vector.Squares));
    }

    private static EntityTagHeaderValue TagOf(string phases, byte[] squares)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData(Encoding.UTF8.GetBytes(phases));
        hash.AppendData(squares);
        return new($"\"{Convert.ToHexStringLower(hash.GetHashAndReset().AsSpan(0, 12))}\"");
    }

    private static async Task<Results<Ok<HubTimeline>, ProblemResult>> TimelineAsync(HttpContext context, JobReader reader, Timelines timelines, CancellationToken ct)
    {
        if (RouteText.JobOf(context) is not { } id || await reader.GetAsync(id, ct) is null) return HubEndpoints.Unknown();
        var bars = await timelines.ReadAsync(id, (int)(context.Request.QueryNumber("limit", 1, MostBars) ?? DefaultBars), ct);
        return TypedResults.Ok(new HubTimeline([.. bars.Select(bar => new HubBar(
            TaskName.Of(id, bar.Kind, bar.Index), bar.Kind.ToString(), bar.Index, bar.Attempt, bar.Worker, bar.StartedAt, bar.EndedAt, bar.Outcome?.ToString(), bar.Speculative))]));
    }

    private static async Task<Results<Created<HubRunAgain>, ProblemResult>> RunAgainAsync(HttpContext context, JobReader reader, JobRepeats repeats, JobService jobs, CancellationToken ct)
    {
        var key = IdempotencyKey.Of(context.Request);
        if (RouteText.JobOf(context) is not { } id || await reader.GetAsync(id, ct) is not { } job) return HubEndpoints.Unknown();
        // What is asked for is all in the address.
        var who = new Submission(Caller.Of(context).Name, key, SHA256.HashData(Encoding.UTF8.GetBytes($"run-again {id}")), job.Project);
        if (await jobs.FindReplayAsync(who, ct) is { } earlier) return Answer(earlier);
        return await repeats.PlanAsync(job, ct) switch
        {
            RepeatPlan.Ready ready => Answer(await jobs.SubmitAsync(ready.Spec, who, ct)),
            RepeatPlan.Refused refused => Problems.Conflict(refused.Code, refused.Message),
            _ => throw new System.Diagnostics.UnreachableException(),
        };

        Results<Created<HubRunAgain>, ProblemResult> Answer(SubmitResult result)
        {
            switch (result)
            {
                case SubmitResult.Accepted accepted:
                    AuditNote.Of(context).Object = accepted.Id.ToString();
                    return TypedResults.Created($"/hub/v1/jobs/{accepted.Id}", new HubRunAgain(accepted.Id.ToString()));
                case SubmitResult.InputDeleted: return Problems.Conflict("input-not-available", "What the job reads was deleted meanwhile.");
                default: return Problems.KeyReused();
            }
        }
    }
}
