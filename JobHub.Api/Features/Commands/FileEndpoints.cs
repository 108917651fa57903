using JobHub.Api.Http;
using JobHub.Engine.Files;
using JobHub.Engine.Jobs;
using Microsoft.Extensions.Options;

namespace JobHub.Api.Features.Commands;

/// <summary>/files: the project's file space, and with <c>job_id</c> one job's own tree.</summary>
public static class FileEndpoints
{
    public static void MapFiles(this IEndpointRouteBuilder family)
    {
        var limit = family.ServiceProvider.GetRequiredService<IOptions<FileSpaceOptions>>().Value.UploadLimit;
        var files = family.MapGroup("/files").WithTags("Files").WithQuery("path", "Absolute.", required: true);
        files.MapMethods("", [HttpMethods.Get, HttpMethods.Head], GetAsync)
            .WithSummary("?path=: a file's bytes (ranges, If-None-Match and HEAD are answered), or the top level of a folder. ?job_id= shows that job's own tree.")
            .WithQuery("job_id", "That job's own tree; without it the project's file space.").Produces<FolderWire>().ProducesProblem(400).ProducesProblem(404);
        files.MapPut("", PutAsync).WithBodyLimit(limit).WithSummary("?path=: the body becomes the file of this path.")
            .Produces<FileWire>(201).ProducesProblem(400).ProducesProblem(409).ProducesProblem(413).ProducesProblem(415);
        files.MapDelete("", RemoveAsync).WithSummary("?path=: removes a file; with ?recursive=true a folder and all below it. Jobs that had it keep it.")
            .WithQuery("recursive", "true: a folder and all below it.").Produces(204).ProducesProblem(400).ProducesProblem(404).ProducesProblem(409);
    }

    private static async Task<IResult> GetAsync(HttpContext context, FileSpace space, JobReader reader, CancellationToken ct)
    {
        var (project, path, asFolder) = ProjectFiles.PlaceOf(context.Request);
        var tree = FileSpace.Space;
        if (context.Request.QueryText("job_id") is { } id)
        {
            if (await reader.FindAsync(project, id, ct) is not { Family: JobFamily.Commands } job) return Problems.NotFound("job-not-found", "There is no command job with this id.");
            tree = job.Number;
        }

        if (!asFolder && await space.FindAsync(project, tree, path, ct) is { } file) return ProjectFiles.ContentOf(file, path, space);
        return await space.HasFolderAsync(project, tree, path, ct)
            ? TypedResults.Ok(new FolderWire(path.Value, space.ListAsync(project, tree, path, ct).Select(CommandMapping.ToWire)))
            : throw ProjectFiles.Unknown(path);
    }

    private static async Task<IResult> PutAsync(HttpContext context, FileSpace space, FileStaging staging, CancellationToken ct)
    {
        var place = OwnPlaceOf(context.Request);
        var staged = await ProjectFiles.TakeAsync(context.Request, place, space, staging, ct);
        return TypedResults.Created($"/files?path={Uri.EscapeDataString(place.Path.Value)}", new FileWire(place.Path.Value, staged.Size));
    }

    private static async Task<IResult> RemoveAsync(HttpContext context, FileSpace space, CancellationToken ct)
    {
        var recursive = context.Request.QueryFlag("recursive");
        await ProjectFiles.RemoveAsync(OwnPlaceOf(context.Request), recursive, space, ct);
        return TypedResults.NoContent();
    }

    private static FilePlace OwnPlaceOf(HttpRequest request) => request.QueryText("job_id") is null
        ? ProjectFiles.PlaceOf(request)
        : throw Problems.InvalidField("job_id", "What a job was given and left is not changed. Leave job_id away to change the file space.");
}
