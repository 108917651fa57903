using System.ComponentModel.DataAnnotations;
using JobHub.Engine.Storage;

namespace JobHub.Engine.Webhooks;

/// <summary>Section <c>JobHub:Webhooks</c>.</summary>
public sealed class WebhookOptions : IValidatableObject
{
    public const string Section = "JobHub:Webhooks";

    /// <summary>Receivers that may be at a loopback or private address: <c>host:port</c> or <c>scheme://host:port</c>.</summary>
    public IList<string> AllowedEndpoints { get; } = [];

    /// <summary>How long a receiver may take, the connection included.</summary>
    [Range(typeof(TimeSpan), "00:00:00.1", "00:05:00")]
    public TimeSpan Timeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Before the second attempt; it doubles from attempt to attempt.</summary>
    [Range(typeof(TimeSpan), "00:00:00.01", "01:00:00")]
    public TimeSpan Backoff { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>The longest wait between two attempts.</summary>
    [Range(typeof(TimeSpan), "00:00:00.01", "1.00:00:00")]
    public TimeSpan MaxBackoff { get; init; } = TimeSpan.FromHours(1);

    /// <summary>A delivery that has not succeeded for so long is dead.</summary>
    [Range(typeof(TimeSpan), "00:00:00.01", "30.00:00:00")]
    public TimeSpan GiveUpAfter { get; init; } = TimeSpan.FromDays(1);

    /// <summary>Delivered ones are kept this long,</summary>
    [Range(typeof(TimeSpan), "00:01:00", "3650.00:00:00")]
    public TimeSpan KeepDelivered { get; init; } = TimeSpan.FromDays(3);

    /// <summary>and dead ones this long.</summary>
    [Range(typeof(TimeSpan), "00:01:00", "3650.00:00:00")]
    public TimeSpan KeepDead { get; init; } = TimeSpan.FromDays(30);

    /// <summary>Requests under way at once: in all,</summary>
    [Range(1, 4096)]
    public int Concurrency { get; init; } = 256;

    /// <summary>and to one receiver that answers. One that fails gets one at a time.</summary>
    [Range(1, 256)]
    public int PerWebhook { get; init; } = 8;

    /// <summary>How many webhooks there may be.</summary>
    [Range(0, 100_000)]
    public int Most { get; init; } = 1000;

    /// <inheritdoc />
    public IEnumerable<ValidationResult> Validate(ValidationContext validationContext)
    {
        foreach (var allowed in AllowedEndpoints)
        {
            if (StorageEndpoint.TryParse(allowed, "http") is null)
                yield return new($"{Section}: AllowedEndpoints: \"{allowed}\" is not host:port or scheme://host:port.", [nameof(AllowedEndpoints)]);
        }
    }
}
