using JobHub.Api.Http;

namespace JobHub.Api.Features.Projects;

/// <summary>/projects: projects with their members, typing data, and what is worked out from it. One file a resource.</summary>
public static class ProjectEndpoints
{
    public static void MapProjects(this IEndpointRouteBuilder routes)
    {
        ArgumentNullException.ThrowIfNull(routes);
        Map(routes.MapGroup("/projects").WithGroupName("projects"), whole: true);
        // The hub's own API has them too, with a list of its own.
        Map(routes.MapGroup("/hub/v1/projects").WithGroupName("hub"), whole: false);
    }

    /// <summary>Where what was made below a request's address is.</summary>
    internal static string MadeAt(HttpContext context, string id) => $"{context.Request.PathBase}{context.Request.Path.Value!.TrimEnd('/')}/{Uri.EscapeDataString(id)}";

    private static void Map(RouteGroupBuilder group, bool whole)
    {
        ProjectResourceEndpoints.Map(group, whole);
        DatasetEndpoints.Map(group);
        ProjectJobEndpoints.Map(group);
        InferenceEndpoints.Map(group);
        VisualizationEndpoints.Map(group);
    }
}
