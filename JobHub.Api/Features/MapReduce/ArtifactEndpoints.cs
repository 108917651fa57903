using JobHub.Api.Http;
using JobHub.Api.Http.Auditing;
using JobHub.Engine.Artifacts;
using JobHub.Engine.Protocol;
using JobHub.ServiceDefaults;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.Extensions.Options;

namespace JobHub.Api.Features.MapReduce;

/// <summary>Section <c>JobHub:Artifacts</c>.</summary>
public sealed class ArtifactOptions
{
    /// <summary>The largest upload in bytes, the form around it included.</summary>
    [System.ComponentModel.DataAnnotations.Range(1, 1L << 40)]
    public long UploadLimit { get; init; } = 1L << 30;
}

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

    private static async Task<Results<Ok<ArtifactWire>, ProblemResult>> PutAsync(HttpRequest request, ArtifactStore artifacts, CancellationToken ct)
    {
        StagedContent? staged = null;
        string? name = null;
        ProgramType? type = null;
        try
        {
            await foreach (var part in MultipartForm.ReadAsync(request, ct))
            {
                switch (part.Name)
                {
                    case "program" when staged is not null:
                        throw new RefusedException(400, "repeated-field", "The form has more than one 'program'.", "program");
                    case "program":
                        name = ArtifactName.BaseOf(part.FileName ?? "");
                        if (!ArtifactName.IsValid(name))
                        {
                            throw Problems.InvalidField("program", part.FileName is null
                                ? "'program' must be an uploaded file with a file name."
                                : "The file's name must have 1 to 128 characters, none of them a control character, '/' or '\\', and be neither . nor ...");
                        }

                        staged = await artifacts.StageAsync(part.Body, ct);
                        break;
                    case "type" when type is not null:
                        throw new RefusedException(400, "repeated-field", "The form has more than one 'type'.", "type");
                    case "type":
                        type = TypeOf(await part.ReadTextAsync(1024, ct));
                        break;
                    default:
                        throw new RefusedException(400, "unknown-field", "The form has a part that is neither 'program' nor 'type'.", part.Name.Length <= 64 ? part.Name : null);
                }
            }

            if (staged is null || name is null) throw new RefusedException(400, "missing-field", "The form needs a file in its field 'program'.", "program");
            AuditNote.Of(request.HttpContext).Object = name;
            return TypedResults.Ok(MapReduceMapping.ToWire(await artifacts.PublishAsync(name, type ?? ProgramType.Executable, staged, ct)));
        }
        finally
        {
            if (staged is not null) await staged.DisposeAsync();
        }
    }

    private static ProgramType? TypeOf(string text) => text switch
    {
        // An empty value counts as absent.
        "" => null,
        "executable" => ProgramType.Executable,
        "streaming" => ProgramType.Streaming,
        _ => throw Problems.InvalidField("type", "'type' must be executable or streaming."),
    };

    private static async Task<Results<Ok<ArtifactWire>, ProblemResult>> GetAsync(HttpContext context, ArtifactStore artifacts, CancellationToken ct) =>
        await artifacts.FindAsync(RouteText.Of(context, "filename"), ct) is { } found ? TypedResults.Ok(MapReduceMapping.ToWire(found)) : Unknown();

    private static async Task<IResult> DownloadAsync(HttpContext context, ArtifactStore artifacts, CancellationToken ct)
    {
        if (await artifacts.FindAsync(RouteText.Of(context, "filename"), ct) is not { } found) return Unknown();
        return new BytesResult
        {
            Size = found.Size,
            ETag = found.Hash,
            Modified = found.CreatedAt,
            FileName = found.Name,
            Open = (offset, length, cancel) => artifacts.OpenAsync(found, offset, length, cancel),
        };
    }

    private static async Task<Results<NoContent, ProblemResult>> DeleteAsync(HttpContext context, ArtifactStore artifacts, CancellationToken ct) =>
        await artifacts.DeleteAsync(RouteText.Of(context, "filename"), ct) ? TypedResults.NoContent() : Unknown();

    private static ProblemResult Unknown() => Problems.NotFound("artifact-not-found", "There is no program of this name. GET /api/v1/artifacts lists them.");
}
