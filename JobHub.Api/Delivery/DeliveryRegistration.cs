using JobHub.Engine.Events;
using JobHub.Engine.Webhooks;

namespace JobHub.Api.Delivery;

/// <summary>What tells the outside about jobs: RabbitMQ, webhooks, mail.</summary>
internal static class DeliveryRegistration
{
    /// <summary>The outboxes and their publishers.</summary>
    public static IServiceCollection AddDelivery(this IServiceCollection services, IConfiguration configuration)
    {
        services.AddSingleton<EventCursors>().AddSingleton<OutboxMeter>();
        services.AddOptions<RabbitOptions>().BindConfiguration("JobHub:RabbitMq").ValidateDataAnnotations().ValidateOnStart();
        if (RabbitTarget.Of(configuration) is { } broker) services.AddSingleton(broker).AddHostedService<RabbitPublisher>();
        services.AddOptions<WebhookOptions>().BindConfiguration(WebhookOptions.Section).ValidateDataAnnotations().ValidateOnStart();
        services.AddSingleton<WebhookAddresses>().AddSingleton<WebhookStore>().AddSingleton<WebhookQueue>().AddSingleton<WebhookPost>().AddHostedService<WebhookSender>();
        services.AddOptions<MailOptions>().BindConfiguration(MailOptions.Section).ValidateDataAnnotations().ValidateOnStart();
        if (!string.IsNullOrEmpty(configuration[$"{MailOptions.Section}:{nameof(MailOptions.Host)}"])) services.AddHostedService<MailSender>();
        return services;
    }
}
