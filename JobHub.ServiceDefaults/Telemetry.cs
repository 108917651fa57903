using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using OpenTelemetry;
using OpenTelemetry.Exporter;
using OpenTelemetry.Metrics;
using OpenTelemetry.Resources;
using OpenTelemetry.Trace;

namespace JobHub.ServiceDefaults;

/// <summary>OTLP traces and metrics, on when <c>OTEL_EXPORTER_OTLP_ENDPOINT</c> is set. The frameworks emit their own sources and meters; they are taken by name.</summary>
public static class Telemetry
{
    private static readonly string[] SourceNames = ["Microsoft.AspNetCore", "System.Net.Http", "Npgsql", "JobHub.*"];
    private static readonly string[] MeterNames = ["Microsoft.AspNetCore.*", "System.Net.Http", "System.Net.NameResolution", "Npgsql", "System.Runtime", "JobHub.*"];

    internal static void AddTelemetry(this IHostApplicationBuilder builder)
    {
        // The exporter reads the OTEL_* variables itself (endpoint, protocol, headers, timeout).
        if (string.IsNullOrWhiteSpace(builder.Configuration["OTEL_EXPORTER_OTLP_ENDPOINT"])) return;
        var service = builder.Configuration["OTEL_SERVICE_NAME"] is { Length: > 0 } name ? name : builder.Environment.ApplicationName;
        builder.Services.AddSingleton(new ServiceName(service));
        builder.Services.AddHostedService<TelemetryExport>();
    }

    private sealed record ServiceName(string Value);

    /// <summary>Holds the two providers for the life of the host and flushes them at its end.</summary>
    private sealed class TelemetryExport(ServiceName service) : IHostedLifecycleService, IDisposable
    {
        private TracerProvider? traces;
        private MeterProvider? metrics;

        // Before every other service, so that what happens while they start is seen too.
        public Task StartingAsync(CancellationToken cancellationToken)
        {
            var resource = ResourceBuilder.CreateDefault().AddService(service.Value).AddEnvironmentVariableDetector();
            traces = Sdk.CreateTracerProviderBuilder().SetResourceBuilder(resource).AddSource(SourceNames).AddOtlpExporter().Build();
            metrics = Sdk.CreateMeterProviderBuilder().SetResourceBuilder(resource).AddMeter(MeterNames).AddOtlpExporter().Build();
            return Task.CompletedTask;
        }

        public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public Task StartedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public Task StoppingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public Task StoppedAsync(CancellationToken cancellationToken)
        {
            Dispose();
            return Task.CompletedTask;
        }

        public void Dispose()
        {
            // Disposing sends what is still held, for at most the exporter's timeout.
            Interlocked.Exchange(ref traces, null)?.Dispose();
            Interlocked.Exchange(ref metrics, null)?.Dispose();
        }
    }
}
