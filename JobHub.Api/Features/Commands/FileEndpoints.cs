using JobHub.Api.Http;
using JobHub.Engine.Files;
using JobHub.Engine.Jobs;
using JobHub.ServiceDefaults;
using Microsoft.AspNetCore.StaticFiles;
using Microsoft.Extensions.Options;

namespace JobHub.Api.Features.Commands;

/// <summary>/files: the project's file space, and with <c>job_id</c> one job's own tree.</summary>
public static class FileEndpoints
{
    private static readonly FileExtensionContentTypeProvider Types = new();

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
        var (project, path, asFolder) = PlaceOf(context.Request);
        var tree = FileSpace.Space;
        if (context.Request.QueryText("job_id") is { } id)
        {
            if (await reader.FindAsync(project, id, ct) is not { Family: JobFamily.Commands } job) return Problems.NotFound("job-not-found", "There is no command job with this id.");
            tree = job.Number;
        }

        if (!asFolder && await space.FindAsync(project, tree, path, ct) is { } file)
        {
            return new BytesResult
            {
                Size = file.Size, ETag = file.ETag, Modified = file.ModifiedAt, FileName = path.Name,
                ContentType = Types.TryGetContentType(path.Name, out var type) ? type : "application/octet-stream",
                Open = (offset, length, cancel) => space.OpenAsync(file, offset, length, cancel),
            };
        }

        return await space.HasFolderAsync(project, tree, path, ct)
            ? TypedResults.Ok(new FolderWire(path.Value, space.ListAsync(project, tree, path, ct).Select(CommandMapping.ToWire)))
            : Unknown(path);
    }

    private static async Task<IResult> PutAsync(HttpContext context, FileSpace space, FileStaging staging, CancellationToken ct)
    {
        var (project, path, asFolder) = OwnPlaceOf(context.Request);
        if (asFolder || path.IsRoot) throw new RefusedException(400, "invalid-path", "A file's path does not end with '/'.", "path");
        if (context.Request.HasFormContentType) throw new RefusedException(415, "unsupported-media-type", "Send the file's bytes as the body, not a form.", "Content-Type");
        var staged = await staging.StageAsync(context.Request.Body, hash: false, ct);
        var put = FileChange.NotFound;
        try
        {
            put = await space.PutAsync(project, path, staged, ct);
        }
        finally
        {
            if (put != FileChange.Done) await staging.DropAsync([staged.Object]);
        }

        return put switch
        {
            FileChange.Done => TypedResults.Created($"/files?path={Uri.EscapeDataString(path.Value)}", new FileWire(path.Value, staged.Size)),
            FileChange.IsFolder => Problems.Conflict("path-is-folder", $"{path} is a folder.", "path"),
            _ => Problems.Conflict("path-below-file", $"A part of {path} is a file.", "path"),
        };
    }

    private static async Task<IResult> RemoveAsync(HttpContext context, FileSpace space, CancellationToken ct)
    {
        var recursive = context.Request.QueryFlag("recursive");
        var (project, path, asFolder) = OwnPlaceOf(context.Request);
        return await space.RemoveAsync(project, path, asFolder, recursive, ct) switch
        {
            FileChange.Done => TypedResults.NoContent(),
            FileChange.IsFolder => Problems.Conflict("folder-not-empty", $"{path} is a folder with files. Say ?recursive=true to remove all of them.", "path"),
            _ => Unknown(path),
        };
    }

    private static (string Project, FilePath Path, bool AsFolder) OwnPlaceOf(HttpRequest request) => request.QueryText("job_id") is null
        ? PlaceOf(request)
        : throw Problems.InvalidField("job_id", "What a job was given and left is not changed. Leave job_id away to change the file space.");

    private static (string Project, FilePath Path, bool AsFolder) PlaceOf(HttpRequest request)
    {
        var project = Project.Of(request);
        var text = request.QueryText("path") ?? throw SubmitFields.Missing("path");
        if (FilePath.Read(text, folder: null, out var path) is { } reason) throw new RefusedException(400, "invalid-path", reason, "path");
        return (project, path, text.EndsWith('/'));
    }

    private static ProblemResult Unknown(FilePath path) => Problems.NotFound("file-not-found", $"There is neither a file nor a folder {path}.");
}
