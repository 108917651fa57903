using JobHub.Api.Http;

namespace JobHub.Api.Features.Projects;

/// <summary><c>?page=</c>, from 0, and <c>?size=</c> of this family's lists.</summary>
internal static class ProjectPages
{
    public const int LargestPage = 500;

    /// <summary>Strictly read: a negative or mistyped one is a 400 that names it.</summary>
    public static (long Page, int Size) Of(HttpRequest request, int largest = LargestPage) =>
        (request.QueryNumber("page", 0, 1_000_000) ?? 0, (int)(request.QueryNumber("size", 1, largest) ?? largest));

    public static TBuilder WithPages<TBuilder>(this TBuilder route) where TBuilder : IEndpointConventionBuilder =>
        route.WithQuery("page", "The page, from 0.").WithQuery("size", "Items a page, up to 500 (500).");
}
