using System.Text.Json.Nodes;
using Microsoft.AspNetCore.OpenApi;
using Microsoft.OpenApi;

namespace JobHub.Api.Http;

/// <summary>A body that a route reads by hand whatever its Content-Type, for its description.</summary>
/// <param name="Example">JSON.</param>
public sealed record BodyDescription(string Description, string Example);

/// <summary>How routes describe such bodies. Accepts would have the router refuse other Content-Types.</summary>
public static class BodyDescriptions
{
    /// <summary>Declares the body.</summary>
    public static TBuilder WithBody<TBuilder>(this TBuilder route, string description, string example) where TBuilder : IEndpointConventionBuilder =>
        route.WithMetadata(new BodyDescription(description, example));

    /// <summary>Puts the declared body into the operation.</summary>
    public static Task DescribeAsync(OpenApiOperation operation, OpenApiOperationTransformerContext context, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(operation);
        ArgumentNullException.ThrowIfNull(context);
        if (context.Description.ActionDescriptor.EndpointMetadata.OfType<BodyDescription>().LastOrDefault() is not { } body) return Task.CompletedTask;
        var example = JsonNode.Parse(body.Example);
        operation.RequestBody = new OpenApiRequestBody
        {
            Description = body.Description,
            Content = new Dictionary<string, OpenApiMediaType>
            {
                ["application/json"] = new() { Example = example, Schema = new OpenApiSchema { Type = example is JsonArray ? JsonSchemaType.Array : JsonSchemaType.Object } },
            },
        };
        return Task.CompletedTask;
    }
}
