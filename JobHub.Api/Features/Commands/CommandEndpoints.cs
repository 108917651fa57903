using JobHub.Api.Http;
using JobHub.Api.Http.Access;
using JobHub.Engine.Attempts;
using JobHub.Engine.Files;
using JobHub.Engine.Jobs;
using JobHub.Engine.Tasks;
using Microsoft.Extensions.Options;

namespace JobHub.Api.Features.Commands;

/// <summary>/jobs: commands with files. /submission and /status/{id} are what older clients call them.</summary>
public static class CommandEndpoints
{
    public static void MapCommands(this IEndpointRouteBuilder routes)
    {
        var limit = routes.ServiceProvider.GetRequiredService<IOptions<FileSpaceOptions>>().Value.UploadLimit;
        var family = routes.MapGroup("").WithGroupName("commands").WithQuery("project", "The project; default without.");
        var jobs = family.MapGroup("").WithTags("Jobs");
        foreach (var path in (string[])["/jobs", "/submission"])
        {
            jobs.MapPost(path, SubmitAsync).WithBodyLimit(limit).Accepts<SubmitCommandWire>("multipart/form-data", "application/x-www-form-urlencoded", "application/json")
                .WithSummary("Submits a command: multipart/form-data with its files (part file[], the file name is the destination), a form without files, or JSON.")
                .WithDescription("With an Idempotency-Key a resend within 24 hours answers the first job.")
                .Produces<SubmittedCommandWire>(201).ProducesProblem(400).ProducesProblem(404).ProducesProblem(409).ProducesProblem(413).ProducesProblem(415).ProducesProblem(422);
        }

        foreach (var path in (string[])["/jobs/{id}", "/status/{id}"])
        {
            jobs.MapGet(path, GetAsync).WithSummary("One job; of one that is QUEUED also why.").Produces<CommandWire>().ProducesProblem(404);
        }

        jobs.MapGet("/jobs", ListAsync)
            .WithSummary("Jobs that have not ended, newest first: whole, or with ?limit= a page whose Link header names the next. ?status= (a status, or all) and ?after= (the last id seen).")
            .WithQuery("status", "QUEUED, PENDING, RUNNING, COMPLETE, FAILED or all; without it all that have not ended.").WithQuery("limit", "1 to 10000; without it the list is whole.")
            .WithQuery("after", "The last id seen.").Produces<CommandListWire>().ProducesProblem(400);
        jobs.MapMethods("/jobs/{id}/log", [HttpMethods.Get, HttpMethods.Head], LogAsync)
            .WithSummary("What the command printed, from ?offset=; ?follow=true stays until it ends.").Produces(200, contentType: "text/plain").ProducesProblem(404)
            .WithQuery("offset", "From which byte printed on.").WithQuery("follow", "true: stays until the command ends.").WithQuery("attempt", "Which attempt; the latest without.");
        jobs.MapDelete("/jobs/{id}", StopAsync).WithSummary("Stops a job: its processes end within the grace time.")
            .Produces<StoppingWire>(202).ProducesProblem(404).ProducesProblem(409);
        family.MapFiles();
    }

    private static async Task<IResult> SubmitAsync(HttpContext context, CommandPlanner planner, JobService jobs, JobReader reader, FileStaging staging, IOptions<FileSpaceOptions> options, CancellationToken ct)
    {
        var key = IdempotencyKey.Of(context.Request);
        var project = Project.Of(context.Request);
        await using var form = new CommandForm(staging, options);
        var request = await form.ReadAsync(context.Request, hash: key is not null, ct);
        var who = new Submission(Caller.Of(context).Name, key, request.Hash, project);
        // A resend is answered by what the first did, not by how files and names are now.
        if (await jobs.FindReplayAsync(who, ct) is { } earlier) return await AnswerAsync(earlier, reader, null, ct);
        var spec = await planner.PlanAsync(request, project, ct);
        // A caller's own id may be a uuid, but not the one by which the hub knows another job.
        var taken = spec.Name is { } name && JobId.TryRead(name) is { } known && await reader.GetAsync(known, ct) is not null;
        var result = taken ? new SubmitResult.NameTaken() : await jobs.SubmitAsync(spec, who, ct);
        if (result is SubmitResult.Accepted { Replayed: false }) form.Take();
        return await AnswerAsync(result, reader, spec, ct);
    }

    private static async Task<IResult> AnswerAsync(SubmitResult result, JobReader reader, JobSpec? spec, CancellationToken ct)
    {
        switch (result)
        {
            case SubmitResult.Accepted { Replayed: false } accepted when spec is not null:
                return Created(spec.Name ?? accepted.Id.ToString(), System.Text.Json.JsonSerializer.Deserialize(spec.Details, Engine.EngineJson.Default.CommandDetails)!);
            case SubmitResult.Accepted accepted:
                return await reader.GetAsync(accepted.Id, ct) is { Family: JobFamily.Commands } job ? Created(CommandMapping.IdOf(job), CommandMapping.DetailsOf(job)) : Problems.KeyReused();
            case SubmitResult.NameTaken:
                return Problems.Conflict("job-id-taken", $"The project has a job '{spec?.Name}' already. Choose another unique_id.", "unique_id");
            default:
                return Problems.KeyReused();
        }

        static IResult Created(string id, CommandDetails details) =>
            TypedResults.Created($"/jobs/{Uri.EscapeDataString(id)}", new SubmittedCommandWire(id, details.Command, CommandMapping.GpusOf(details)));
    }

    private static async Task<IResult> ListAsync(HttpContext context, JobReader reader, CancellationToken ct)
    {
        var request = context.Request;
        var project = Project.Of(request);
        var limit = Paging.LimitOf(request);
        var filter = new JobFilter { Family = JobFamily.Commands, Project = project };
        JobState[] states = [];
        switch (request.QueryText("status")?.ToUpperInvariant())
        {
            case null: filter = filter with { Ended = false }; break;
            case "ALL": break;
            case var text: (filter, states) = CommandMapping.FilterOf(WordOf(text), filter); break;
        }

        long count = states.Length == 0 ? await reader.CountAsync(filter, ct) : 0;
        foreach (var state in states) count += await reader.CountAsync(filter with { State = state }, ct);
        if (request.QueryText("after") is { } after)
            filter = filter with { After = (await reader.FindAsync(project, after, ct))?.Id ?? throw Problems.InvalidField("after", "'after' must be the id of a job.") };
        var jobs = WholeLists.JobsAsync(reader, filter with { Limit = limit + 1 }, states, ct);
        if (limit is { } most)
        {
            var (page, more) = await Paging.TakeAsync(jobs, most, ct);
            if (more) Paging.LinkNext(context, CommandMapping.IdOf(page[^1]));
            jobs = page.ToAsyncEnumerable();
        }

        return TypedResults.Ok(new CommandListWire(count, CommandMapping.ToWireAsync(jobs, reader, ct)));
    }

    private static CommandStatusWord WordOf(string text)
    {
        foreach (var word in Enum.GetValues<CommandStatusWord>())
        {
            if (word.ToString() == text) return word;
        }

        throw Problems.InvalidField("status", $"'status' must be all or one of {string.Join(", ", Enum.GetNames<CommandStatusWord>())}.");
    }

    private static async Task<IResult> GetAsync(HttpContext context, JobReader reader, Explain explain, CancellationToken ct)
    {
        if (await FindAsync(context, reader, ct) is not { } job) return Unknown();
        var last = (await reader.LastAttemptsAsync([CommandMapping.TaskOf(job)], ct)).GetValueOrDefault(CommandMapping.TaskOf(job));
        var waiting = CommandMapping.StatusOf(job) == CommandStatusWord.QUEUED ? await explain.JobAsync(job.Id, ct) : null;
        return TypedResults.Ok(CommandMapping.ToWire(job, last, waiting));
    }

    private static async Task<IResult> LogAsync(HttpContext context, JobReader reader, LogReader logs, CancellationToken ct) =>
        await FindAsync(context, reader, ct) is { } job ? await AttemptLog.ReadAsync(context, reader, logs, job.Id, (TaskKind.Command, 0), ct) : Unknown();

    private static async Task<IResult> StopAsync(HttpContext context, JobReader reader, JobService jobs, CancellationToken ct)
    {
        if (await FindAsync(context, reader, ct) is not { } job) return Unknown();
        var id = CommandMapping.IdOf(job);
        return await jobs.CancelAsync(job.Id, Caller.Of(context).Name, ct) switch
        {
            CancelResult.Accepted => TypedResults.Accepted($"/jobs/{Uri.EscapeDataString(id)}", new StoppingWire(id, "The job is being stopped.")),
            CancelResult.NotFound => Unknown(),
            CancelResult.AlreadyFinished => Problems.Conflict("job-already-finished", $"Job {id} has ended; there is nothing to stop."),
            _ => throw new System.Diagnostics.UnreachableException(),
        };
    }

    /// <summary>A job of this family in the caller's project; others do not exist here.</summary>
    private static async Task<JobView?> FindAsync(HttpContext context, JobReader reader, CancellationToken ct) =>
        await reader.FindAsync(Project.Of(context.Request), RouteText.Of(context, "id"), ct) is { Family: JobFamily.Commands } job ? job : null;

    private static Http.ProblemResult Unknown() => Problems.NotFound("job-not-found", "There is no command job with this id.");
}
