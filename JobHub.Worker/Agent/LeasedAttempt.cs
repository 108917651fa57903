using JobHub.Engine.Protocol;
using JobHub.Worker.Runtime;

namespace JobHub.Worker.Agent;

/// <summary>An attempt this worker holds: claimed, running, or reported and not yet answered. It is listed in every renew until it is gone.</summary>
public sealed class LeasedAttempt(AttemptSpec spec, long session, long claimedAt) : IDisposable
{
    private const int Queued = 0, Running = 1, Over = 2;
    private readonly CancellationTokenSource _stop = new();
    private readonly CancellationTokenSource _lost = new();
    private readonly CancellationTokenSource _hurry = new();
    private readonly Lock _gate = new();
    private int _state;

    public AttemptSpec Spec { get; } = spec;
    public long Session { get; } = session;
    /// <summary>TimeProvider timestamps.</summary>
    public long ClaimedAt { get; } = claimedAt;
    public long StartedAt { get; private set; }
    /// <summary>The hub knows that it runs.</summary>
    public bool Announced { get; set; }
    /// <summary>The first reason it was stopped for.</summary>
    public StopReason? Reason { get; private set; }
    public CancellationToken Stopping => _stop.Token;
    /// <summary>Cancelled when the lease is lost, also for one that was stopped for another reason before.</summary>
    public CancellationToken LeaseLost => _lost.Token;
    /// <summary>Cancelled when the worker stops, also for one that has come to its end and is keeping what it made.</summary>
    public CancellationToken Hurry => _hurry.Token;
    public bool IsRunning => Volatile.Read(ref _state) == Running;
    public AttemptContext? Context { get; set; }
    internal LogSpool? Log { get; set; }

    /// <summary>A slot takes it. False when it was ended while it waited.</summary>
    public bool TryStart(long now)
    {
        StartedAt = now;
        return Interlocked.CompareExchange(ref _state, Running, Queued) == Queued;
    }

    /// <summary>Ends one that no slot has taken. False when one has.</summary>
    public bool TryDrop() => Interlocked.CompareExchange(ref _state, Over, Queued) == Queued;

    /// <summary>Its body has come to an end of its own: from here no stop changes the outcome. False when it was stopped first.</summary>
    public bool TryConclude()
    {
        lock (_gate)
        {
            if (Reason is not null) return false;
            Volatile.Write(ref _state, Over);
            return true;
        }
    }

    /// <summary>Asks it to stop; only the first reason counts, save that a lost lease overrides: then nothing is reported. True when this call was the first.</summary>
    public bool Stop(StopReason reason)
    {
        lock (_gate)
        {
            var first = Reason is null;
            if (first || reason == StopReason.LeaseLost) Reason = reason;
            if (reason == StopReason.LeaseLost) Cancel(_lost);
            if (reason == StopReason.WorkerStopping) Cancel(_hurry);
            if (!first || Volatile.Read(ref _state) == Over) return false;
        }
        Cancel(_stop);
        return true;
    }

    // Callbacks run elsewhere: one that is slow must not hold up the renew loop.
    private static void Cancel(CancellationTokenSource source)
    {
        try { _ = source.CancelAsync(); }
        catch (ObjectDisposedException) { /* it ended meanwhile */ }
    }

    public void Dispose()
    {
        _stop.Dispose();
        _lost.Dispose();
        _hurry.Dispose();
    }
}
