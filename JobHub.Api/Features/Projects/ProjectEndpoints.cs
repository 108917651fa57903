using JobHub.Api.Http;

namespace JobHub.Api.Features.Projects;

/// <summary>/projects: projects with their members, typing data, and what is worked out from it. One file a resource.</summary>
public static class ProjectEndpoints
{
    public static void MapProjects(this IEndpointRouteBuilder routes)
    {
        ArgumentNullException.ThrowIfNull(routes);
        var group = routes.MapGroup("/projects").WithGroupName("projects");
        ProjectResourceEndpoints.Map(group);
        DatasetEndpoints.Map(group);
        ProjectJobEndpoints.Map(group);
        InferenceEndpoints.Map(group);
        VisualizationEndpoints.Map(group);
    }
}
