using System.Diagnostics.Metrics;
using JobHub.Engine.Attempts;

namespace JobHub.Worker.Agent;

/// <summary>Meter JobHub.Worker.</summary>
public static class WorkerMetrics
{
    public const string MeterName = "JobHub.Worker";

    private static readonly Meter Meter = new(MeterName);
    private static readonly Counter<long> Attempts = Meter.CreateCounter<long>("jobhub.worker.attempts", "{attempt}", "Attempts ended here, by outcome.");
    private static readonly UpDownCounter<int> Busy = Meter.CreateUpDownCounter<int>("jobhub.worker.slots.busy", "{slot}", "Slots that run an attempt.");
    private static readonly Histogram<double> Renew = Meter.CreateHistogram<double>("jobhub.worker.renew.duration", "s", "From sending a renew to its answer.");
    private static readonly Counter<long> Fences = Meter.CreateCounter<long>("jobhub.worker.fenced", "{session}", "Sessions that fenced themselves for want of an accepted renew.");

    internal static void Ended(AttemptOutcome outcome) => Attempts.Add(1, new KeyValuePair<string, object?>("outcome", outcome.ToString()));
    internal static void SlotBusy(int by) => Busy.Add(by);
    internal static void Renewed(TimeSpan took) => Renew.Record(took.TotalSeconds);
    internal static void Fenced() => Fences.Add(1);
    internal static void ObserveOutbox(Func<int> count) => Meter.CreateObservableGauge("jobhub.worker.outbox", count, "{result}", "Results the hub has not answered.");
}
