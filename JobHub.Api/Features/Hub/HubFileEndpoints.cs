using JobHub.Api.Http;
using JobHub.Engine.Files;
using JobHub.Engine.Jobs;
using JobHub.ServiceDefaults;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.Extensions.Options;

namespace JobHub.Api.Features.Hub;

/// <summary><c>/hub/v1/files</c>: a project's file space, folder by folder.</summary>
public static class HubFileEndpoints
{
    private const int DefaultPage = 200, LargestPage = 1000;

    internal static void MapFiles(this IEndpointRouteBuilder hub)
    {
        var limit = hub.ServiceProvider.GetRequiredService<IOptions<FileSpaceOptions>>().Value.UploadLimit;
        var files = hub.MapGroup("/files").WithTags("Files").WithQuery("project", "The project; that of the token without, or default.").WithQuery("path", "Absolute.");
        files.MapGet("", ListAsync).ProducesProblem(400).ProducesProblem(404).WithQuery("limit", "To 1000 (200).").WithQuery("after", "The last page's next.")
            .WithSummary("A folder's files and folders with the job that made each file; the root without ?path=.");
        files.MapPut("", PutAsync).WithBodyLimit(limit).Produces<HubUploadedFile>(201).ProducesProblem(400).ProducesProblem(409).ProducesProblem(413).ProducesProblem(415)
            .WithSummary("The body becomes the file of ?path=.");
        files.MapDelete("", RemoveAsync).ProducesProblem(400).ProducesProblem(404).ProducesProblem(409).WithQuery("recursive", "true: a folder and all below it.")
            .WithSummary("Removes a file; with ?recursive=true a folder and all below it. Jobs that had it keep it.");
        files.MapMethods("/content", [HttpMethods.Get, HttpMethods.Head], ContentAsync).Produces(200, contentType: "application/octet-stream").ProducesProblem(400).ProducesProblem(404)
            .WithSummary("A file's bytes, as an attachment: ranges, If-None-Match and HEAD are answered.");
    }

    private static async Task<Ok<HubFolder>> ListAsync(HttpContext context, FileSpace space, JobNames jobs, CancellationToken ct)
    {
        var request = context.Request;
        var place = request.QueryText("path") is null ? new FilePlace(Project.Of(request), FilePath.Root, true) : ProjectFiles.PlaceOf(request);
        var limit = Paging.LimitOf(request, LargestPage) ?? DefaultPage;
        var after = request.QueryText("after");
        var (items, more) = await Paging.TakeAsync(space.ListAsync(place.Project, FileSpace.Space, place.Path, ct, after, limit + 1), limit, ct);
        if (items.Count == 0 && !await space.HasFolderAsync(place.Project, FileSpace.Space, place.Path, ct)) throw ProjectFiles.Unknown(place.Path);
        var makers = await jobs.OfAsync([.. items.Select(static entry => entry.Maker).OfType<long>().Distinct()], ct);
        return TypedResults.Ok(new HubFolder(place.Project, place.Path.Value, [.. items.Select(entry => ToWire(entry, makers))], more ? items[^1].Place : null));
    }

    private static async Task<Created<HubUploadedFile>> PutAsync(HttpContext context, FileSpace space, FileStaging staging, CancellationToken ct)
    {
        var place = ProjectFiles.PlaceOf(context.Request);
        var staged = await ProjectFiles.TakeAsync(context.Request, place, space, staging, ct);
        return TypedResults.Created($"/hub/v1/files/content?project={place.Project}&path={Uri.EscapeDataString(place.Path.Value)}", new HubUploadedFile(place.Project, place.Path.Value, staged.Size));
    }

    private static async Task<NoContent> RemoveAsync(HttpContext context, FileSpace space, CancellationToken ct)
    {
        var recursive = context.Request.QueryFlag("recursive");
        await ProjectFiles.RemoveAsync(ProjectFiles.PlaceOf(context.Request), recursive, space, ct);
        return TypedResults.NoContent();
    }

    private static async Task<IResult> ContentAsync(HttpContext context, FileSpace space, CancellationToken ct)
    {
        var place = ProjectFiles.PlaceOf(context.Request);
        return !place.AsFolder && await space.FindAsync(place.Project, FileSpace.Space, place.Path, ct) is { } file
            ? ProjectFiles.ContentOf(file, place.Path, space) : throw new RefusedException(404, "file-not-found", $"There is no file {place.Path}.");
    }

    private static HubFile ToWire(FolderEntry entry, Dictionary<long, JobName> makers) => new(
        entry.Name, entry.IsFolder ? "folder" : "file", entry.Size, entry.ModifiedAt,
        entry.Maker is { } number && makers.TryGetValue(number, out var job) ? new HubFileJob(job.Id.ToString(), job.Number, job.Title) : null);
}
