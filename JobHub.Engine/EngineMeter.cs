using System.Diagnostics.Metrics;
using JobHub.Engine.Attempts;

namespace JobHub.Engine;

/// <summary>What the engine counts (meter JobHub.Engine).</summary>
public sealed class EngineMeter
{
    /// <summary>The meter's name, for exporters.</summary>
    public const string Name = "JobHub.Engine";

    private readonly Counter<long> _ended;
    private readonly Counter<long> _fenced;
    private readonly Counter<long> _lost;
    private readonly Counter<long> _claimed;
    private readonly Counter<long> _faults;
    private readonly Counter<long> _audit;

    public EngineMeter(IMeterFactory meters)
    {
        var meter = meters.Create(Name);
        _ended = meter.CreateCounter<long>("jobhub.attempts.ended", "{attempt}", "Attempts ended, by outcome.");
        _fenced = meter.CreateCounter<long>("jobhub.results.fenced", "{result}", "Late results that were refused.");
        _lost = meter.CreateCounter<long>("jobhub.attempts.lost", "{attempt}", "Attempts given back because a lease ran out.");
        _claimed = meter.CreateCounter<long>("jobhub.tasks.claimed", "{task}", "Tasks given to workers.");
        _faults = meter.CreateCounter<long>("jobhub.upkeep.faults", "{fault}", "Upkeep steps that failed and run again.");
        _audit = meter.CreateCounter<long>("jobhub.audit.lost", "{row}", "Audit rows that could not be written.");
    }

    /// <summary>Late results refused since the process started.</summary>
    public long FencedResults => Interlocked.Read(ref _fencedTotal);

    private long _fencedTotal;

    public void Ended(AttemptOutcome outcome, bool accepted) => _ended.Add(1, new("outcome", outcome.ToString()), new("accepted", accepted));

    public void Fenced()
    {
        Interlocked.Increment(ref _fencedTotal);
        _fenced.Add(1);
    }

    public void Lost(int attempts) => _lost.Add(attempts);

    public void Claimed(int tasks) => _claimed.Add(tasks);

    public void AuditLost(int rows) => _audit.Add(rows);

    public void UpkeepFault(string step) => _faults.Add(1, new KeyValuePair<string, object?>("step", step));
}
