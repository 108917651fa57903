using JobHub.Api.Http;
using JobHub.Api.Http.Access;
using JobHub.Engine.Jobs;
using JobHub.Engine.MapReduce;
using JobHub.Engine.Storage;
using JobHub.Engine.Tasks;
using Microsoft.AspNetCore.Http.HttpResults;

namespace JobHub.Api.Features.MapReduce;

/// <summary>/api/v1: the MapReduce family.</summary>
public static class MapReduceEndpoints
{
    public static void MapMapReduce(this IEndpointRouteBuilder routes)
    {
        var family = routes.MapGroup("/api/v1").WithGroupName("mapreduce");
        family.MapArtifacts();
        var jobs = family.MapGroup("/jobs").WithTags("Jobs");
        jobs.MapGet("", ListAsync)
            .WithSummary("Jobs, newest first: whole, or with ?limit= a page whose Link header names the next. ?status= and ?after= (the last id seen) narrow it.")
            .Produces<IEnumerable<JobWire>>().ProducesProblem(400);
        jobs.MapPost("", SubmitAsync).Accepts<SubmitJobWire>("application/json")
            .WithSummary("Submits a job. Input, output and programs are looked at before it is accepted.")
            .WithDescription("With an Idempotency-Key a resend within 24 hours answers the first job.")
            .Produces<SubmittedJobWire>(201).ProducesProblem(400).ProducesProblem(404).ProducesProblem(415).ProducesProblem(422);
        jobs.MapDelete("", static () => Problems.BadRequest("job-id-missing", "Say which job to stop: DELETE /api/v1/jobs/{id}.", "id"))
            .WithSummary("Always 400: stopping needs a job's id.");
        jobs.MapGet("/{id}", GetAsync).WithSummary("One job.").ProducesProblem(404);
        jobs.MapDelete("/{id}", StopAsync).WithSummary("Stops a job: its processes end within the grace time, partial output is removed.")
            .Produces<string>(200, "text/plain").ProducesProblem(404).ProducesProblem(409);
        jobs.MapGet("/{id}/tasks", TasksAsync).WithSummary("A job's tasks, mappers before reducers. ?limit=, ?after= and ?status= as for jobs.")
            .Produces<IEnumerable<TaskWire>>().ProducesProblem(404);
    }

    private static async Task<IResult> ListAsync(HttpContext context, JobReader reader, ProjectAccess access, CancellationToken ct)
    {
        var limit = Paging.LimitOf(context.Request);
        var word = Word<JobStatusWord>(context.Request);
        JobId? after = context.Request.QueryText("after") is not { } text ? null : JobId.TryRead(text) ?? throw Problems.InvalidField("after", "'after' must be the id of a job.");
        var filter = new JobFilter { Family = JobFamily.MapReduce, Projects = await access.ReadableAsync(Caller.Of(context), ct), OnlyUnmade = Caller.Of(context).IsDeveloper, After = after, Limit = word is null && limit is { } most ? most + 1 : null };
        var jobs = WholeLists.JobsAsync(reader, filter, word is { } asked ? MapReduceMapping.StatesOf(asked) : [], ct);
        if (word is { } wanted) jobs = jobs.Where(job => MapReduceMapping.StatusOf(job) == wanted);
        return await ListResult.OfAsync(context, jobs, limit, MapReduceMapping.ToWire, static job => job.Id.ToString(), ct);
    }

    private static async Task<Results<Created<SubmittedJobWire>, ProblemResult>> SubmitAsync(
        HttpContext context, MapReduceSubmitter submitter, JobReader reader, CancellationToken ct)
    {
        var caller = Caller.Of(context);
        var key = IdempotencyKey.Of(context.Request);
        var project = Project.Of(context.Request);
        var body = await JsonBody.ReadAsync<SubmitJobWire>(context.Request, ct);
        var request = SubmitJobRules.Read(body.Value, project);
        switch (await submitter.SubmitAsync(request, new Submission(caller.Name, key, body.Hash, project), ct))
        {
            case MapReduceSubmission.Accepted accepted:
                var job = await reader.GetAsync(accepted.Id, ct);
                if (job is null) return Unknown();
                return TypedResults.Created($"/api/v1/jobs/{accepted.Id}", MapReduceMapping.ToSubmitted(job));
            case MapReduceSubmission.KeyReused:
                return Problems.KeyReused();
            case MapReduceSubmission.ArtifactUnknown unknown:
                return Problems.Of(404, "artifact-not-found", $"There is no program '{unknown.Name}'. Upload it with PUT /api/v1/artifacts.", unknown.Field);
            case MapReduceSubmission.ProgramsDiffer differ:
                return Problems.BadRequest("programs-differ", differ.Detail, differ.Field);
            case MapReduceSubmission.TooManySplits many:
                return Problems.BadRequest("too-many-splits", many.Detail, "splitSize");
            case MapReduceSubmission.PlaceRefused refused:
                return Refusal(refused);
            default:
                throw new System.Diagnostics.UnreachableException();
        }
    }

    private static ProblemResult Refusal(MapReduceSubmission.PlaceRefused refused)
    {
        var side = refused.Field == "outputPath" ? "output" : "input";
        var code = refused.Fault.Fault switch
        {
            StoreFault.NotFound => $"{side}-not-found",
            StoreFault.AccessDenied => $"{side}-access-denied",
            StoreFault.Unreachable => $"{side}-unreachable",
            StoreFault.EndpointNotAllowed => "endpoint-not-allowed",
            StoreFault.InvalidPath => "invalid-path",
            _ => $"{side}-store-failed",
        };
        return Problems.BadRequest(code, refused.Fault.Message, refused.Field);
    }

    private static async Task<Results<Ok<JobWire>, ProblemResult>> GetAsync(HttpContext context, JobReader reader, CancellationToken ct) =>
        await FindAsync(context, reader, ct) is { } job ? TypedResults.Ok(MapReduceMapping.ToWire(job)) : Unknown();

    private static async Task<IResult> StopAsync(HttpContext context, JobReader reader, JobService jobs, CancellationToken ct)
    {
        if (await FindAsync(context, reader, ct) is not { } job) return Unknown();
        return await jobs.CancelAsync(job.Id, Caller.Of(context).Name, ct) switch
        {
            CancelResult.Accepted => TypedResults.Text($"Job {job.Id} was successfully stopped", "text/plain"),
            CancelResult.NotFound => Unknown(),
            CancelResult.AlreadyFinished => Problems.Conflict("job-already-finished", $"Job {job.Id} has ended; there is nothing to stop."),
            _ => throw new System.Diagnostics.UnreachableException(),
        };
    }

    private static async Task<IResult> TasksAsync(HttpContext context, JobReader reader, CancellationToken ct)
    {
        if (await FindAsync(context, reader, ct) is not { } job) return Unknown();
        var spec = MapReduceMapping.SpecOf(job);
        var limit = Paging.LimitOf(context.Request);
        var word = Word<TaskStatusWord>(context.Request);
        (TaskKind, int)? after = null;
        if (context.Request.QueryText("after") is { } text)
        {
            after = TaskName.TryRead(text) is { } name && name.Job == job.Id ? (name.Kind, name.Index) : throw Problems.InvalidField("after", "'after' must be the id of a task of this job.");
        }

        var filter = new TaskFilter { After = after, Limit = word is null && limit is { } most ? most + 1 : null };
        var tasks = WholeLists.TasksAsync(reader, job.Id, filter, word is { } asked ? MapReduceMapping.StatesOf(asked) : [], ct);
        return await ListResult.OfAsync(context, tasks, limit, task => MapReduceMapping.ToWire(task, spec), static task => task.Name, ct);
    }

    /// <summary>A job of this family; those of others do not exist here.</summary>
    private static async Task<JobView?> FindAsync(HttpContext context, JobReader reader, CancellationToken ct) =>
        RouteText.JobOf(context) is { } id && await reader.GetAsync(id, ct) is { Family: JobFamily.MapReduce } job ? job : null;

    private static TWord? Word<TWord>(HttpRequest request) where TWord : struct, Enum
    {
        if (request.QueryText("status") is not { } text) return null;
        foreach (var word in Enum.GetValues<TWord>())
        {
            if (string.Equals(MapReduceMapping.TextOf(word), text, StringComparison.OrdinalIgnoreCase)) return word;
        }

        throw Problems.InvalidField("status", $"'status' must be one of {string.Join(", ", Enum.GetValues<TWord>().Select(MapReduceMapping.TextOf))}.");
    }

    private static ProblemResult Unknown() => Problems.NotFound("job-not-found", "There is no MapReduce job with this id.");
}
