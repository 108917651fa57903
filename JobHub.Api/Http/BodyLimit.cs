using Microsoft.AspNetCore.Http.Metadata;

namespace JobHub.Api.Http;

/// <summary>How many bytes a route's body may have; the server refuses more with 413. Routes without one take <see cref="JsonBody.DefaultLimit"/>.</summary>
public sealed class BodyLimit(long bytes) : IRequestSizeLimitMetadata
{
    public long? MaxRequestBodySize { get; } = bytes;
}

/// <summary>How a route says its limit.</summary>
public static class BodyLimits
{
    public static TBuilder WithBodyLimit<TBuilder>(this TBuilder route, long bytes) where TBuilder : IEndpointConventionBuilder =>
        route.WithMetadata(new BodyLimit(bytes));
}
