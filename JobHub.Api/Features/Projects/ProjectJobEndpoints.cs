namespace JobHub.Api.Features.Projects;

/// <summary>The jobs of a project.</summary>
internal static class ProjectJobEndpoints
{
    public static void Map(RouteGroupBuilder group) => ArgumentNullException.ThrowIfNull(group);
}
