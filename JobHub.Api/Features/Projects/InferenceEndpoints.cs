using System.Text;
using JobHub.Api.Http;
using JobHub.Engine.Analyses;
using JobHub.Engine.Files;
using JobHub.Engine.Projects;
using JobHub.ServiceDefaults;
using Microsoft.AspNetCore.Mvc;

namespace JobHub.Api.Features.Projects;

/// <summary>The inferences of a dataset.</summary>
internal static class InferenceEndpoints
{
    /// <summary>A tree file is read whole: a label and a length of 200 000 profiles are a fraction of this.</summary>
    private const int UploadLimit = 32 << 20;

    public static void Map(RouteGroupBuilder group)
    {
        ArgumentNullException.ThrowIfNull(group);
        var inferences = group.MapGroup("/{project}/datasets/{dataset}/inferences").WithTags("Inferences");
        inferences.MapGet("", ListAsync).WithSummary("The dataset's inferences, oldest first.").WithQuery("page", "From 0.").WithQuery("size", "1 to 500, which it is without.")
            .Produces<AnalysisWire[]>().ProducesProblem(400).ProducesProblem(404);
        inferences.MapPost("", UploadAsync).WithBodyLimit(UploadLimit + (64 << 10)).WithSummary("Stores a Newick or Nexus file as an inference: the part 'file' of a form, or the body itself. Its labels are profiles of the dataset.")
            .Accepts<IFormFile>("multipart/form-data", "text/plain").Produces<NewInferenceWire>(201).ProducesProblem(400).ProducesProblem(403).ProducesProblem(404).ProducesProblem(413);
        inferences.MapGet("/{inference}", GetAsync).WithSummary("One inference with its edges, or as a tree file.").WithQuery("format", "json, which it is without, newick or nexus.")
            .Produces(200, contentType: "application/json").Produces(200, contentType: "text/plain").ProducesProblem(400).ProducesProblem(404);
        inferences.MapDelete("/{inference}", DeleteAsync).WithSummary("Removes an inference with its visualizations. Jobs that read it fail.").Produces(204).ProducesProblem(403).ProducesProblem(404);
    }

    private static async Task<IResult> ListAsync(HttpContext context, AnalysisStore analyses, CancellationToken ct)
    {
        var project = await ProjectsOf.ReadAsync(context, ct);
        var (page, size) = AnalysisMapping.PageOf(context.Request);
        var dataset = await DatasetAsync(context, project, analyses, ct);
        return TypedResults.Ok((await analyses.ListAsync(project, dataset, null, page, size, ct)).Select(i => AnalysisMapping.ToWire(project, i)).ToArray());
    }

    private static async Task<IResult> GetAsync(HttpContext context, AnalysisStore analyses, CancellationToken ct)
    {
        var project = await ProjectsOf.ReadAsync(context, ct);
        var format = context.Request.QueryText("format") ?? "json";
        if (format is not ("json" or "newick" or "nexus")) throw Problems.InvalidField("format", "'format' must be one of json, newick, nexus.");
        var inference = await OfAsync(context, project, analyses, ct);
        var profiles = format == "json" ? null : await analyses.ProfilesAsync(inference, ct);
        var edges = await analyses.OpenAsync(inference, ct);
        return format == "json"
            ? new AnalysisResult(edges, "application/json; charset=utf-8", (stream, body, stop) => AnalysisTexts.EdgesAsync(project, inference, stream, body, stop))
            : new AnalysisResult(edges, "text/plain; charset=utf-8", (stream, body, stop) => AnalysisTexts.TreeAsync(format == "nexus", stream, profiles?.Ids ?? [], body, stop));
    }

    private static async Task<IResult> UploadAsync(HttpContext context, AnalysisStore analyses, DatasetSnapshot snapshots, [FromServices] FileStaging staging, CancellationToken ct)
    {
        var project = await ProjectsOf.WriteAsync(context, ct);
        var dataset = await DatasetAsync(context, project, analyses, ct);
        var text = await TextAsync(context.Request, ct);
        var (algorithm, content) = AnalysisTexts.ReadTree(text, ct);
        if (await analyses.UnknownProfileAsync(dataset, AnalysisTexts.LabelsOf(content), ct) is { } label)
            throw new RefusedException(400, "unknown-profile", $"The tree has the label '{label}', and the dataset no profile of this id.", "file");
        if (await snapshots.EnsureAsync(project, dataset, ct) is not var (profiles, _, _)) throw AnalysisMapping.NoDataset();
        using var lines = new MemoryStream();
        foreach (var edge in content.Edges) lines.Write(Encoding.UTF8.GetBytes(AnalysisFiles.EdgeLine(edge)));
        lines.Position = 0;
        var staged = await staging.StageAsync(lines, hash: false, ct);
        Guid? id = null;
        try
        {
            id = await analyses.AddAsync(project, dataset, algorithm, staged, profiles, ct);
        }
        finally
        {
            if (id is null) await staging.DropAsync([staged.Object]);
        }

        return id is { } made
            ? TypedResults.Created(ProjectEndpoints.MadeAt(context, made.ToString()), new NewInferenceWire(made.ToString()))
            : throw AnalysisMapping.NoDataset();
    }

    private static async Task<IResult> DeleteAsync(HttpContext context, AnalysisStore analyses, CancellationToken ct)
    {
        var project = await ProjectsOf.WriteAsync(context, ct);
        return await analyses.DeleteAsync(project, AnalysisMapping.IdOf(context, "dataset"), null, AnalysisMapping.IdOf(context, "inference"), ct)
            ? TypedResults.NoContent() : throw AnalysisMapping.NoInference();
    }

    /// <summary>The dataset of the path.</summary>
    internal static async Task<Guid> DatasetAsync(HttpContext context, string project, AnalysisStore analyses, CancellationToken ct)
    {
        var dataset = AnalysisMapping.IdOf(context, "dataset");
        return await analyses.DatasetAsync(project, dataset, ct) is null ? throw AnalysisMapping.NoDataset() : dataset;
    }

    /// <summary>The inference of the path.</summary>
    internal static async Task<Analysis> OfAsync(HttpContext context, string project, AnalysisStore analyses, CancellationToken ct) =>
        await analyses.FindAsync(project, AnalysisMapping.IdOf(context, "dataset"), null, AnalysisMapping.IdOf(context, "inference"), ct) ?? throw AnalysisMapping.NoInference();

    private static async Task<string> TextAsync(HttpRequest request, CancellationToken ct)
    {
        if (!request.HasFormContentType)
        {
            using var body = await JsonBody.BoundedAsync(request, UploadLimit, ct);
            return Decode(body.GetBuffer().AsSpan(0, (int)body.Length));
        }

        await foreach (var part in MultipartForm.ReadAsync(request, ct))
        {
            if (part.Name == "file") return await part.ReadTextAsync(UploadLimit, ct);
        }

        throw SubmitFields.Missing("file");
    }

    private static string Decode(ReadOnlySpan<byte> bytes)
    {
        if (bytes.StartsWith(Encoding.UTF8.Preamble)) bytes = bytes[Encoding.UTF8.Preamble.Length..];
        return Encoding.UTF8.GetString(bytes);
    }
}
