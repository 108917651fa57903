using System.Collections.Concurrent;
using System.Diagnostics.Metrics;

namespace JobHub.Engine.Events;

/// <summary>How the outboxes do, by outbox (rabbitmq, webhooks). The lag is told by the process whose turn it is.</summary>
public sealed class OutboxMeter
{
    public const string Name = "JobHub.Outbox";

    private readonly Counter<long> _published;
    private readonly Counter<long> _failed;
    private readonly ConcurrentDictionary<string, long> _lags = new(StringComparer.Ordinal);

    public OutboxMeter(IMeterFactory meters)
    {
        ArgumentNullException.ThrowIfNull(meters);
        var meter = meters.Create(Name);
        _published = meter.CreateCounter<long>("jobhub.outbox.published", "{message}", "Messages that the other side has confirmed.");
        _failed = meter.CreateCounter<long>("jobhub.outbox.failed", "{failure}", "Attempts to publish that failed; they are made again.");
        meter.CreateObservableGauge("jobhub.outbox.lag", () => _lags.Select(lag => new Measurement<long>(lag.Value, Tag(lag.Key))), "{event}", "Events of the ledger that an outbox has not passed.");
    }

    public void Published(string outbox, int messages) => _published.Add(messages, Tag(outbox));

    public void Failed(string outbox) => _failed.Add(1, Tag(outbox));

    /// <summary>Null: another process has the turn.</summary>
    public void Lag(string outbox, long? events)
    {
        if (events is { } known) _lags[outbox] = known;
        else _lags.TryRemove(outbox, out _);
    }

    private static KeyValuePair<string, object?> Tag(string outbox) => new("outbox", outbox);
}
