using System.Reflection;
using JobHub.Api.Delivery;
using JobHub.Api.Http;
using JobHub.Api.Http.Access;
using JobHub.Engine.Files;
using JobHub.Engine.Jobs;
using JobHub.Engine.Projects;
using JobHub.Engine.Storage;
using JobHub.Engine.Tasks;
using JobHub.Engine.Upkeep;
using JobHub.Engine.Webhooks;
using JobHub.Engine.Workers;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.Extensions.Options;

namespace JobHub.Api.Features.Hub;

/// <summary><c>/hub/v1/settings</c>: what the hub runs with, and how its parts are.</summary>
public static class HubSettingsEndpoints
{
    private static readonly DateTimeOffset Started = new(System.Diagnostics.Process.GetCurrentProcess().StartTime.ToUniversalTime(), TimeSpan.Zero);

    internal static void MapSettings(this IEndpointRouteBuilder hub) =>
        hub.MapGet("/settings", GetAsync).WithTags("Settings").WithSummary("What the hub runs with, as far as its users may know, and how its parts are. No addresses, keys or paths.");

    private static async Task<Ok<HubSettings>> GetAsync(HttpContext context, HubHealth health, CancellationToken ct)
    {
        var services = context.RequestServices;
        T Of<T>() where T : class => services.GetRequiredService<IOptions<T>>().Value;
        var environment = services.GetRequiredService<IHostEnvironment>();
        var (storage, files, typing, retention) = (Of<StorageOptions>(), Of<FileSpaceOptions>(), Of<TypingOptions>(), Of<RetentionOptions>());
        var (retry, webhooks) = (Of<RetryOptions>(), Of<WebhookOptions>());
        var parts = await health.AskAsync(ct);
        return TypedResults.Ok(new HubSettings(
            Assembly.GetExecutingAssembly().GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion.Split('+')[0] ?? "0",
            environment.IsDevelopment() ? "development" : "production", services.GetRequiredService<DevelopmentRule>().Open, Started,
            new(storage.Kind.ToString().ToLowerInvariant(), storage.AllowAnyFile ?? (environment.IsDevelopment() && storage.FileRoots.Count == 0)),
            new(Of<ArtifactOptions>().UploadLimit, files.UploadLimit, files.FilesPerJob, files.KeptBytes, files.KeptFiles, typing.UploadLimit, typing.MostRows, typing.MostLoci, webhooks.Most),
            new(retention.Jobs.TotalSeconds, retention.IdempotencyKeys.TotalSeconds, webhooks.KeepDelivered.TotalSeconds, webhooks.KeepDead.TotalSeconds),
            new(Of<LeaseOptions>().Duration.TotalSeconds, retry.Lost, retry.OutOfMemory, retry.Backoff.TotalSeconds),
            new(services.GetService<RabbitTarget>() is null ? "off" : Of<RabbitOptions>().Publish.ToString().ToLowerInvariant(), Of<MailOptions>().Host.Length > 0, Webhooks: true),
            new([.. Of<ProvidersOptions>().Providers.Keys.Order(StringComparer.Ordinal)]),
            [.. parts.Select(static part => new HubPart(part.Name, part.State.ToString().ToLowerInvariant(), Math.Round(part.Took.TotalMilliseconds, 1), part.Message))]));
    }
}
