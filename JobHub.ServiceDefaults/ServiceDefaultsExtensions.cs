using System.Text.Json;
using System.Text.Json.Serialization;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Diagnostics.HealthChecks;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace JobHub.ServiceDefaults;

/// <summary>What every JobHub process that speaks HTTP shares: telemetry, health, request ids, problem bodies, JSON.</summary>
public static class ServiceDefaultsExtensions
{
    /// <summary>Paths that say nothing about a caller's data and are asked for by probes.</summary>
    public const string ReadinessPath = "/health", LivenessPath = "/alive";

    /// <summary>Registers the shared services. Processes without HTTP may call it too.</summary>
    public static TBuilder AddServiceDefaults<TBuilder>(this TBuilder builder) where TBuilder : IHostApplicationBuilder
    {
        builder.AddTelemetry();
        builder.Services.TryAddSingleton(TimeProvider.System);
        builder.Services.AddHealthChecks();
        ParentPipe.AddTo(builder.Services);
        builder.Services.AddProblemDetails();
        builder.Services.ConfigureHttpJsonOptions(options => Shape(options.SerializerOptions));
        builder.Logging.Configure(static options => options.ActivityTrackingOptions = ActivityTrackingOptions.None);
        // Two lines a request tell nobody anything; a setting brings them back.
        if (builder.Configuration["Logging:LogLevel:Microsoft.AspNetCore"] is null) builder.Logging.AddFilter("Microsoft.AspNetCore", LogLevel.Warning);
        var scopes = builder.Configuration["Logging:Console:FormatterOptions:IncludeScopes"];
        builder.Logging.AddSimpleConsole(console =>
        {
            console.SingleLine = true;
            console.TimestampFormat = "yyyy-MM-dd'T'HH:mm:ss.fff'Z' ";
            console.UseUtcTimestamp = true;
            // The request's id is a scope; without it a line cannot be found again from a caller's problem body.
            console.IncludeScopes = scopes is null || bool.Parse(scopes);
        });
        return builder;
    }

    /// <summary>The outermost middleware: a request id, one problem body for every fault. Call it first.</summary>
    public static WebApplication UseServiceDefaults(this WebApplication app)
    {
        app.UseMiddleware<RequestIdMiddleware>();
        app.UseMiddleware<ProblemMiddleware>();
        return app;
    }

    /// <summary><c>/health</c>: may take work (checks tagged "ready" or untagged); <c>/alive</c>: the process answers.</summary>
    public static IEndpointRouteBuilder MapHealth(this IEndpointRouteBuilder routes)
    {
        routes.MapHealthChecks(ReadinessPath, new HealthCheckOptions { ResponseWriter = WriteHealthAsync }).ExcludeFromDescription();
        routes.MapHealthChecks(LivenessPath, new HealthCheckOptions { Predicate = static _ => false, ResponseWriter = WriteHealthAsync }).ExcludeFromDescription();
        return routes;
    }

    /// <summary>The hub's JSON: camelCase names, values that are not there left out, enums as text.</summary>
    public static void Shape(JsonSerializerOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        options.PropertyNamingPolicy = JsonNamingPolicy.CamelCase;
        options.DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull;
        options.NumberHandling = JsonNumberHandling.Strict;
        // The answer is application/json and never put into a page as it is: text stays readable.
        options.Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping;
        options.Converters.Add(new JsonStringEnumConverter());
    }

    private static Task WriteHealthAsync(HttpContext context, Microsoft.Extensions.Diagnostics.HealthChecks.HealthReport report)
    {
        // Names and states only: what a check found belongs to the log, not to whoever can reach the port.
        context.Response.ContentType = "application/json";
        return context.Response.WriteAsync(JsonSerializer.Serialize(new
        {
            status = report.Status.ToString(),
            checks = report.Entries.ToDictionary(static entry => entry.Key, static entry => entry.Value.Status.ToString()),
        }), context.RequestAborted);
    }
}
