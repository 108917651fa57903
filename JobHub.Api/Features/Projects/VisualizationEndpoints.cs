namespace JobHub.Api.Features.Projects;

/// <summary>The visualizations of an inference.</summary>
internal static class VisualizationEndpoints
{
    public static void Map(RouteGroupBuilder group) => ArgumentNullException.ThrowIfNull(group);
}
