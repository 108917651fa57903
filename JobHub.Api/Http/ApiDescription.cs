using Microsoft.AspNetCore.OpenApi;

namespace JobHub.Api.Http;

/// <summary>One OpenAPI document a family at <c>/openapi/&lt;family&gt;.json</c>, and a page over them at <c>/openapi</c>.</summary>
public static class ApiDescription
{
    /// <summary>The families: the group names of their routes, and their titles.</summary>
    public static IReadOnlyList<(string Name, string Title)> Families { get; } =
    [
        ("mapreduce", "JobHub MapReduce"),
        ("commands", "JobHub commands"),
        ("farm", "JobHub farm"),
        ("projects", "JobHub projects"),
        ("hub", "JobHub"),
        ("agents", "JobHub agents"),
    ];

    // The page has no inline script; its styles are set by script and its icons are data.
    private const string PagePolicy =
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

    public static void AddApiDescription(this IServiceCollection services)
    {
        foreach (var (name, title) in Families)
        {
            services.AddOpenApi(name, options =>
            {
                options.ShouldInclude = description => string.Equals(description.GroupName, name, StringComparison.Ordinal);
                options.AddOperationTransformer(QueryParameters.DescribeAsync);
                options.AddOperationTransformer(BodyDescriptions.DescribeAsync);
                options.AddDocumentTransformer((document, _, _) =>
                {
                    document.Info.Title = title;
                    document.Info.Version = "v1";
                    document.Info.Description = "Errors are application/problem+json; their type is urn:jobhub:<code>. Send a bearer token, except in development on this machine.";
                    // The address of one request to this document is not the address of the hub.
                    document.Servers?.Clear();
                    return Task.CompletedTask;
                });
            });
        }
    }

    /// <summary>The page's files. Before routing, so that they need no policy of their own: they are part of the program.</summary>
    public static void UseApiDescriptionPage(this WebApplication app)
    {
        app.UseWhen(static context => context.Request.Path.StartsWithSegments("/openapi", StringComparison.OrdinalIgnoreCase), static page =>
        {
            page.Use(static (context, next) =>
            {
                context.Response.Headers.ContentSecurityPolicy = PagePolicy;
                return next(context);
            });
        });
        app.UseSwaggerUI(static page =>
        {
            page.RoutePrefix = "openapi";
            page.DocumentTitle = "JobHub API";
            foreach (var (name, title) in Families) page.SwaggerEndpoint($"/openapi/{name}.json", title);
        });
    }

    /// <summary>The documents.</summary>
    public static void MapApiDescription(this IEndpointRouteBuilder routes) => routes.MapOpenApi("/openapi/{documentName}.json");
}
