using System.Globalization;
using JobHub.Api.Http;
using JobHub.Api.Http.Access;
using JobHub.Engine.Artifacts;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.Extensions.Options;

namespace JobHub.Api.Features.Hub;

/// <summary><c>/hub/v1/artifacts</c>: programs with their versions, and the jobs that use them.</summary>
public static class HubArtifactEndpoints
{
    private const int DefaultPage = 50, LargestPage = 500, ShownVersions = 100;

    internal static void MapArtifacts(this IEndpointRouteBuilder hub)
    {
        var limit = hub.ServiceProvider.GetRequiredService<IOptions<ArtifactOptions>>().Value.UploadLimit;
        var artifacts = hub.MapGroup("/artifacts").WithTags("Artifacts");
        artifacts.MapGet("", ListAsync).ProducesProblem(400).WithQuery("q", "A part of the name.").WithQuery("limit", "To 500 (50).").WithQuery("after", "The last page's next.")
            .WithSummary("Programs in their current version, by name.");
        artifacts.MapPost("", PutAsync).WithBodyLimit(limit).WithQuery("name", "The program's name; of a form its file's name is taken.").WithQuery("type", "executable (default) or streaming.")
            .ProducesProblem(400).ProducesProblem(413).ProducesProblem(415)
            .WithSummary("Uploads a program: the body itself, or a form with the file 'program' and 'type'. The same bytes and type again change nothing.");
        artifacts.MapGet("/{name}", GetAsync).ProducesProblem(404).WithSummary("One program with its versions.");
        artifacts.MapDelete("/{name}", DeleteAsync).ProducesProblem(404).WithSummary("Deletes a program's name. Jobs that were submitted with it keep it.");
        artifacts.MapGet("/{name}/jobs", JobsAsync).ProducesProblem(400).ProducesProblem(404).WithQuery("version", "Which one; the current without.")
            .WithQuery("limit", "To 500 (50).").WithQuery("after", "The last page's next.").WithSummary("Jobs that were submitted with a version, newest first.");
        artifacts.MapMethods("/{name}/versions/{version}/content", [HttpMethods.Get, HttpMethods.Head], DownloadAsync)
            .Produces(200, contentType: "application/octet-stream").ProducesProblem(404).WithSummary("A version's bytes: ranges, If-None-Match and HEAD are answered.");
    }

    private static async Task<Ok<HubArtifactPage>> ListAsync(HttpContext context, ArtifactHistory history, CancellationToken ct)
    {
        var request = context.Request;
        var limit = Paging.LimitOf(request, LargestPage) ?? DefaultPage;
        var (items, more) = await Paging.TakeAsync(history.SearchAsync(request.QueryText("q"), request.QueryText("after"), limit + 1, ct), limit, ct);
        return TypedResults.Ok(new HubArtifactPage([.. items.Select(ToWire)], more ? items[^1].Name : null));
    }

    private static async Task<Ok<HubArtifact>> PutAsync(HttpRequest request, ArtifactStore artifacts, CancellationToken ct) =>
        TypedResults.Ok(ToWire(request.HasFormContentType ? await ArtifactUploads.TakeFormAsync(request, artifacts, ct) : await ArtifactUploads.TakeBodyAsync(request, artifacts, ct)));

    private static async Task<Results<Ok<HubArtifact>, ProblemResult>> GetAsync(HttpContext context, ArtifactHistory history, CancellationToken ct)
    {
        var versions = await history.VersionsAsync(RouteText.Of(context, "name"), int.MaxValue, ShownVersions, ct);
        return versions is [var current, ..]
            ? TypedResults.Ok(ToWire(current) with { Versions = [.. versions.Select(static v => new HubArtifactVersion(v.Version, ArtifactUploads.WordOf(v.Type), v.Size, v.Hash, v.CreatedAt))] }) : Unknown();
    }

    private static async Task<Results<NoContent, ProblemResult>> DeleteAsync(HttpContext context, ArtifactStore artifacts, CancellationToken ct) =>
        await artifacts.DeleteAsync(RouteText.Of(context, "name"), ct) ? TypedResults.NoContent() : Unknown();

    private static async Task<Results<Ok<HubArtifactUsePage>, ProblemResult>> JobsAsync(HttpContext context, ArtifactStore artifacts, ArtifactHistory history, ProjectAccess access, CancellationToken ct)
    {
        var (request, name) = (context.Request, RouteText.Of(context, "name"));
        var limit = Paging.LimitOf(request, LargestPage) ?? DefaultPage;
        var before = request.QueryNumber("after", 1, long.MaxValue) ?? long.MaxValue;
        var version = request.QueryNumber("version", 1, int.MaxValue) is { } number ? await history.VersionAsync(name, (int)number, ct) : await artifacts.FindAsync(name, ct);
        if (version is null) return Unknown();
        var caller = Caller.Of(context);
        var (uses, next) = await history.UsesAsync(version, await access.ReadableAsync(caller, ct), caller.IsDeveloper, before, limit, ct);
        return TypedResults.Ok(new HubArtifactUsePage(
            [.. uses.Select(static u => new HubArtifactUse(u.Job.ToString("D"), u.Number, u.Title, u.Project, u.State.ToString(), u.Role, u.CreatedAt))], next?.ToString(CultureInfo.InvariantCulture)));
    }

    private static async Task<IResult> DownloadAsync(HttpContext context, ArtifactStore artifacts, ArtifactHistory history, CancellationToken ct) =>
        int.TryParse(RouteText.Of(context, "version"), NumberStyles.None, CultureInfo.InvariantCulture, out var number) && await history.VersionAsync(RouteText.Of(context, "name"), number, ct) is { } version
            ? ArtifactUploads.ContentOf(version, artifacts) : Unknown();

    private static HubArtifact ToWire(Artifact artifact) =>
        new(artifact.Name, artifact.Version, ArtifactUploads.WordOf(artifact.Type), artifact.Size, artifact.Hash, artifact.CreatedAt);

    private static ProblemResult Unknown() => Problems.NotFound("artifact-not-found", "There is no program of this name, or not in this version. GET /hub/v1/artifacts lists them.");
}
