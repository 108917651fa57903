namespace JobHub.Api.Features.Projects;

/// <summary>The inferences of a dataset.</summary>
internal static class InferenceEndpoints
{
    public static void Map(RouteGroupBuilder group) => ArgumentNullException.ThrowIfNull(group);
}
