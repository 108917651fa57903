using JobHub.Api.Http.Auditing;
using JobHub.Engine.Artifacts;
using JobHub.Engine.Protocol;
using JobHub.ServiceDefaults;

namespace JobHub.Api.Http;

/// <summary>Section <c>JobHub:Artifacts</c>.</summary>
public sealed class ArtifactOptions
{
    /// <summary>The largest upload in bytes, the form around it included.</summary>
    [System.ComponentModel.DataAnnotations.Range(1, 1L << 40)]
    public long UploadLimit { get; init; } = 1L << 30;
}

/// <summary>Programs as requests bring and take them, the same for every family that has routes for them.</summary>
public static class ArtifactUploads
{
    /// <summary>Stores the program of a form: the file <c>program</c>, and <c>type</c>, in whatever order they come.</summary>
    public static async Task<Artifact> TakeFormAsync(HttpRequest request, ArtifactStore artifacts, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(request);
        ArgumentNullException.ThrowIfNull(artifacts);
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
            return await artifacts.PublishAsync(name, type ?? ProgramType.Executable, staged, ct);
        }
        finally
        {
            if (staged is not null) await staged.DisposeAsync();
        }
    }

    /// <summary>Stores the body itself as the program <c>?name=</c> of the type <c>?type=</c>.</summary>
    public static async Task<Artifact> TakeBodyAsync(HttpRequest request, ArtifactStore artifacts, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(request);
        ArgumentNullException.ThrowIfNull(artifacts);
        var name = request.QueryText("name") ?? throw SubmitFields.Missing("name");
        if (!ArtifactName.IsValid(name)) throw Problems.InvalidField("name", "'name' must have 1 to 128 characters, none of them a control character, '/' or '\\', and be neither . nor ...");
        var type = TypeOf(request.QueryText("type") ?? "") ?? ProgramType.Executable;
        AuditNote.Of(request.HttpContext).Object = name;
        await using var staged = await artifacts.StageAsync(request.Body, ct);
        return await artifacts.PublishAsync(name, type, staged, ct);
    }

    /// <summary>A version's bytes.</summary>
    public static BytesResult ContentOf(Artifact version, ArtifactStore artifacts)
    {
        ArgumentNullException.ThrowIfNull(version);
        return new()
        {
            Size = version.Size, ETag = version.Hash, Modified = version.CreatedAt, FileName = version.Name,
            Open = (offset, length, cancel) => artifacts.OpenAsync(version, offset, length, cancel),
        };
    }

    /// <summary>The word for a type.</summary>
    public static string WordOf(ProgramType type) => type == ProgramType.Streaming ? "streaming" : "executable";

    private static ProgramType? TypeOf(string text) => text switch
    {
        // An empty value counts as absent.
        "" => null,
        "executable" => ProgramType.Executable,
        "streaming" => ProgramType.Streaming,
        _ => throw Problems.InvalidField("type", "'type' must be executable or streaming."),
    };
}
