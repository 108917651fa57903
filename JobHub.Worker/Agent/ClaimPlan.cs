namespace JobHub.Worker.Agent;

/// <summary>
/// How many attempts to claim. Slots are filled; ahead of them only tiny tasks are taken, about 250 ms worth, so that the hub is asked a few times a second and not once a task.
/// As soon as every slot has been busy for longer than a tiny task lasts, nothing is taken ahead.
/// </summary>
internal sealed class ClaimPlan(int slots)
{
    private const double TinySeconds = 0.125;
    private const double AheadSeconds = 0.25;
    private const int MostAhead = 512;
    private readonly Lock _gate = new();
    private readonly long[] _since = new long[slots];
    private double _typical = 1;
    private int _busy;

    public int Busy { get { lock (_gate) return _busy; } }

    public void Begin(int slot, long now)
    {
        lock (_gate)
        {
            _since[slot] = now;
            _busy++;
        }
    }

    public void End(int slot, double seconds)
    {
        lock (_gate)
        {
            _since[slot] = 0;
            _busy--;
            _typical += (seconds - _typical) * 0.2;
        }
    }

    /// <summary>How many to ask for now; 0 = wait.</summary>
    public int Want(int queued, TimeProvider clock)
    {
        lock (_gate)
        {
            var idle = slots - _busy - queued;
            var ahead = Ahead(clock);
            var want = slots + ahead - _busy - queued;
            // A full claim for an idle slot; ahead of need only in halves, so that claims stay few.
            return idle > 0 || want >= Math.Max(1, ahead / 2) ? Math.Max(0, want) : 0;
        }
    }

    private int Ahead(TimeProvider clock)
    {
        var typical = _typical;
        if (_busy == slots)
        {
            var youngest = double.MaxValue;
            foreach (var since in _since) youngest = Math.Min(youngest, clock.GetElapsedTime(since).TotalSeconds);
            typical = Math.Max(typical, youngest);
        }
        return typical >= TinySeconds ? 0 : (int)Math.Clamp(AheadSeconds / Math.Max(typical, 1e-4) * slots, slots, MostAhead);
    }
}
