using JobHub.Api.Http;
using JobHub.Engine.Analyses;
using JobHub.Engine.Projects;

namespace JobHub.Api.Features.Projects;

/// <summary>The visualizations of an inference.</summary>
internal static class VisualizationEndpoints
{
    public static void Map(RouteGroupBuilder group)
    {
        ArgumentNullException.ThrowIfNull(group);
        var pictures = group.MapGroup("/{project}/datasets/{dataset}/inferences/{inference}/visualizations").WithTags("Visualizations");
        pictures.MapGet("", ListAsync).WithSummary("The inference's visualizations, oldest first.").WithQuery("page", "From 0.").WithQuery("size", "1 to 500, which it is without.")
            .Produces<AnalysisWire[]>().ProducesProblem(400).ProducesProblem(404);
        pictures.MapGet("/{visualization}", GetAsync).WithSummary("One visualization with its coordinates.").Produces(200, contentType: "application/json").ProducesProblem(404);
        pictures.MapGet("/{visualization}.svg", PictureAsync).WithSummary("The picture.").Produces(200, contentType: "image/svg+xml").ProducesProblem(404);
        pictures.MapDelete("/{visualization}", DeleteAsync).WithSummary("Removes a visualization.").Produces(204).ProducesProblem(403).ProducesProblem(404);
    }

    private static async Task<IResult> ListAsync(HttpContext context, AnalysisStore analyses, CancellationToken ct)
    {
        var project = await ProjectsOf.ReadAsync(context, ct);
        var (page, size) = AnalysisMapping.PageOf(context.Request);
        var inference = await InferenceEndpoints.OfAsync(context, project, analyses, ct);
        return TypedResults.Ok((await analyses.ListAsync(project, inference.Dataset, inference.Id, page, size, ct)).Select(v => AnalysisMapping.ToWire(project, v)).ToArray());
    }

    private static async Task<IResult> GetAsync(HttpContext context, AnalysisStore analyses, CancellationToken ct)
    {
        var project = await ProjectsOf.ReadAsync(context, ct);
        var visualization = await OfAsync(context, project, analyses, ct);
        return new AnalysisResult(await analyses.OpenAsync(visualization, ct), "application/json; charset=utf-8", (points, body, stop) => AnalysisTexts.PointsAsync(project, visualization, points, body, stop));
    }

    private static async Task<IResult> PictureAsync(HttpContext context, AnalysisStore analyses, CancellationToken ct)
    {
        var project = await ProjectsOf.ReadAsync(context, ct);
        var visualization = await OfAsync(context, project, analyses, ct);
        var inference = await InferenceEndpoints.OfAsync(context, project, analyses, ct);
        List<TreeEdge> edges;
        await using (var stream = await analyses.OpenAsync(inference, ct)) edges = await AnalysisTexts.ReadAsync(AnalysisFiles.ReadEdgesAsync(stream, ct), ct);
        var profiles = await analyses.ProfilesAsync(visualization, ct);
        // A picture opened by itself in a browser is a document of this origin: it may run nothing and fetch nothing.
        context.Response.Headers.ContentSecurityPolicy = "default-src 'none'; style-src 'unsafe-inline'; sandbox";
        context.Response.Headers.XContentTypeOptions = "nosniff";
        return new AnalysisResult(await analyses.OpenAsync(visualization, ct), "image/svg+xml; charset=utf-8", (points, body, stop) => AnalysisTexts.PictureAsync(points, edges, profiles, visualization.Algorithm, body, stop));
    }

    private static async Task<IResult> DeleteAsync(HttpContext context, AnalysisStore analyses, CancellationToken ct)
    {
        var project = await ProjectsOf.WriteAsync(context, ct);
        return await analyses.DeleteAsync(project, AnalysisMapping.IdOf(context, "dataset"), AnalysisMapping.IdOf(context, "inference"), AnalysisMapping.IdOf(context, "visualization"), ct)
            ? TypedResults.NoContent() : throw AnalysisMapping.NoVisualization();
    }

    private static async Task<Analysis> OfAsync(HttpContext context, string project, AnalysisStore analyses, CancellationToken ct) =>
        await analyses.FindAsync(project, AnalysisMapping.IdOf(context, "dataset"), AnalysisMapping.IdOf(context, "inference"), AnalysisMapping.IdOf(context, "visualization"), ct)
            ?? throw AnalysisMapping.NoVisualization();
}
