using Microsoft.AspNetCore.OpenApi;
using Microsoft.OpenApi;

namespace JobHub.Api.Http;

/// <summary>A query value that a route reads, for its description.</summary>
public sealed record QueryParameter(string Name, string Description, bool Required = false);

/// <summary>How routes say what they read of an address: handlers read it by hand, so nothing can be inferred.</summary>
public static class QueryParameters
{
    /// <summary>Declares a query value.</summary>
    public static TBuilder WithQuery<TBuilder>(this TBuilder route, string name, string description, bool required = false) where TBuilder : IEndpointConventionBuilder =>
        route.WithMetadata(new QueryParameter(name, description, required));

    /// <summary>Puts the values of the address, of the route's pattern and of its declared query, into the operation.</summary>
    public static Task DescribeAsync(OpenApiOperation operation, OpenApiOperationTransformerContext context, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(operation);
        ArgumentNullException.ThrowIfNull(context);
        var parameters = operation.Parameters ??= [];
        void Add(string name, ParameterLocation place, string? description, bool required)
        {
            if (parameters.Any(known => known.Name == name && known.In == place)) return;
            parameters.Add(new OpenApiParameter { Name = name, In = place, Description = description, Required = required, Schema = new OpenApiSchema { Type = JsonSchemaType.String } });
        }

        foreach (var part in (context.Description.RelativePath ?? "").Split('{', '}').Where(static (_, index) => index % 2 == 1)) Add(part.Split(':')[0], ParameterLocation.Path, null, required: true);
        foreach (var query in context.Description.ActionDescriptor.EndpointMetadata.OfType<QueryParameter>()) Add(query.Name, ParameterLocation.Query, query.Description, query.Required);
        return Task.CompletedTask;
    }
}
