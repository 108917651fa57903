using JobHub.Api.Http;
using JobHub.Api.Http.Access;
using JobHub.Api.Http.Auditing;
using JobHub.Engine.Jobs;
using JobHub.Engine.Projects;

namespace JobHub.Api.Features.Projects;

/// <summary>The jobs of a project: each makes one analysis.</summary>
internal static class ProjectJobEndpoints
{
    private const string Tag = "Jobs";

    public static void Map(RouteGroupBuilder group)
    {
        ArgumentNullException.ThrowIfNull(group);
        var jobs = group.MapGroup("/{project}/jobs").WithTags(Tag);
        jobs.MapGet("", ListAsync).WithSummary("A page of the project's jobs, oldest first.").WithQuery("page", "From 0.").WithQuery("size", "1 to 500, which it is without.")
            .Produces<ProjectJobWire[]>().ProducesProblem(400).ProducesProblem(404);
        jobs.MapPost("", SubmitAsync).Accepts<NewProjectJobWire>("application/json").WithQuery("priority", "0 to 255, higher first; 255 without.")
            .WithSummary("Starts an analysis. With an Idempotency-Key a resend within 24 hours answers the first job.")
            .Produces<SubmittedProjectJobWire>(202).ProducesProblem(400).ProducesProblem(403).ProducesProblem(404).ProducesProblem(422);
        jobs.MapGet("/{job}", GetAsync).WithSummary("One job.").Produces<ProjectJobWire>().ProducesProblem(404);
        jobs.MapDelete("/{job}", CancelAsync).WithSummary("Cancels a job that has not ended; it stays in the list. Of one that has ended nothing changes.")
            .Produces(204).ProducesProblem(403).ProducesProblem(404);
    }

    private static async Task<IResult> ListAsync(HttpContext context, AnalysisJobs jobs, CancellationToken ct)
    {
        var project = await ProjectsOf.ReadAsync(context, ct);
        var (page, size) = AnalysisMapping.PageOf(context.Request);
        return TypedResults.Ok((await jobs.ListAsync(project, page, size, ct)).Select(AnalysisMapping.ToWire).ToArray());
    }

    private static async Task<IResult> SubmitAsync(HttpContext context, AnalysisPlanner planner, AnalysisJobs reader, JobService jobs, CancellationToken ct)
    {
        var project = await ProjectsOf.WriteAsync(context, ct);
        var key = IdempotencyKey.Of(context.Request);
        var priority = (int)(context.Request.QueryNumber("priority", 0, 255) ?? 255);
        var body = await JsonBody.ReadAsync<NewProjectJobWire>(context.Request, ct);
        var who = new Submission(Caller.Of(context).Name, key, key is null ? null : body.Hash, project);
        // A resend is answered by what the first did, not by how the dataset is now.
        if (await jobs.FindReplayAsync(who, ct) is { } earlier) return await AnswerAsync(earlier);
        var spec = await planner.PlanAsync(project, body.Value, priority, ct);
        return await AnswerAsync(await jobs.SubmitAsync(spec, who, ct));

        async Task<IResult> AnswerAsync(SubmitResult result)
        {
            switch (result)
            {
                case SubmitResult.Accepted accepted when await reader.FindAsync(project, accepted.Id, ct) is { } job:
                    var id = job.Id.ToString();
                    AuditNote.Of(context).Object = id;
                    return TypedResults.Accepted(ProjectEndpoints.MadeAt(context, id), new SubmittedProjectJobWire(id, job.Details.Analysis.ToString()));
                case SubmitResult.InputDeleted:
                    return Problems.NotFound("dataset-not-found", "The dataset or the inference was deleted meanwhile.");
                default:
                    return Problems.KeyReused();
            }
        }
    }

    private static async Task<IResult> GetAsync(HttpContext context, AnalysisJobs jobs, CancellationToken ct)
    {
        var project = await ProjectsOf.ReadAsync(context, ct);
        return await FindAsync(context, project, jobs, ct) is { } job ? TypedResults.Ok(AnalysisMapping.ToWire(job)) : Unknown();
    }

    private static async Task<IResult> CancelAsync(HttpContext context, AnalysisJobs reader, JobService jobs, CancellationToken ct)
    {
        var project = await ProjectsOf.WriteAsync(context, ct);
        if (await FindAsync(context, project, reader, ct) is not { } job) return Unknown();
        return await jobs.CancelAsync(job.Id, Caller.Of(context).Name, ct) is CancelResult.NotFound ? Unknown() : TypedResults.NoContent();
    }

    private static async Task<AnalysisJob?> FindAsync(HttpContext context, string project, AnalysisJobs jobs, CancellationToken ct) =>
        JobId.TryRead(RouteText.Of(context, "job")) is { } id ? await jobs.FindAsync(project, id, ct) : null;

    private static ProblemResult Unknown() => Problems.NotFound("job-not-found", "The project has no job with this id.");
}
