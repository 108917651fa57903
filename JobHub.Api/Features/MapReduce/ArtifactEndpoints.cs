using JobHub.Api.Http;
using JobHub.Engine.Artifacts;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.Extensions.Options;

namespace JobHub.Api.Features.MapReduce;

/// <summary>/api/v1/artifacts: programs by name.</summary>
public static class ArtifactEndpoints
{
    public static void MapArtifacts(this RouteGroupBuilder family)
    {
        var limit = ((IEndpointRouteBuilder)family).ServiceProvider.GetRequiredService<IOptions<ArtifactOptions>>().Value.UploadLimit;
        var artifacts = family.MapGroup("/artifacts").WithTags("Artifacts");
        artifacts.MapGet("", List).WithSummary("All programs, by name.");
        artifacts.MapPut("", PutAsync).WithBodyLimit(limit)
            .WithSummary("Uploads a program: form file 'program', and 'type' executable (default) or streaming.")
            .WithDescription("The same bytes and type again change nothing; other bytes or another type make a new version. Jobs keep the version they were submitted with.")
            .ProducesProblem(StatusCodes.Status413PayloadTooLarge).ProducesProblem(StatusCodes.Status415UnsupportedMediaType);
        artifacts.MapGet("/{filename}", GetAsync).WithSummary("One program.").ProducesProblem(StatusCodes.Status404NotFound);
        artifacts.MapMethods("/{filename}/content", [HttpMethods.Get, HttpMethods.Head], DownloadAsync)
            .WithSummary("A program's bytes: ranges, If-None-Match and HEAD are answered.")
            .Produces(StatusCodes.Status200OK, contentType: "application/octet-stream").ProducesProblem(StatusCodes.Status404NotFound);
        artifacts.MapDelete("/{filename}", DeleteAsync)
            .WithSummary("Deletes a program's name. Jobs that were submitted with it keep it.").ProducesProblem(StatusCodes.Status404NotFound);
    }

    private static Ok<IAsyncEnumerable<ArtifactWire>> List(ArtifactStore artifacts, CancellationToken ct) =>
        TypedResults.Ok(artifacts.ListAsync(ct).Select(MapReduceMapping.ToWire));

    private static async Task<Results<Ok<ArtifactWire>, ProblemResult>> PutAsync(HttpRequest request, ArtifactStore artifacts, CancellationToken ct) =>
        TypedResults.Ok(MapReduceMapping.ToWire(await ArtifactUploads.TakeFormAsync(request, artifacts, ct)));

    private static async Task<Results<Ok<ArtifactWire>, ProblemResult>> GetAsync(HttpContext context, ArtifactStore artifacts, CancellationToken ct) =>
        await artifacts.FindAsync(RouteText.Of(context, "filename"), ct) is { } found ? TypedResults.Ok(MapReduceMapping.ToWire(found)) : Unknown();

    private static async Task<IResult> DownloadAsync(HttpContext context, ArtifactStore artifacts, CancellationToken ct) =>
        await artifacts.FindAsync(RouteText.Of(context, "filename"), ct) is { } found ? ArtifactUploads.ContentOf(found, artifacts) : Unknown();

    private static async Task<Results<NoContent, ProblemResult>> DeleteAsync(HttpContext context, ArtifactStore artifacts, CancellationToken ct) =>
        await artifacts.DeleteAsync(RouteText.Of(context, "filename"), ct) ? TypedResults.NoContent() : Unknown();

    private static ProblemResult Unknown() => Problems.NotFound("artifact-not-found", "There is no program of this name. GET /api/v1/artifacts lists them.");
}
