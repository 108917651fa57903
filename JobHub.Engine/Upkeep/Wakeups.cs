using System.Collections.Concurrent;

namespace JobHub.Engine.Upkeep;

/// <summary>
/// Wakes what waits: claims of a class, control polls of a session, readers of events, the upkeep loop. In memory at once; other Apis hear of it over a connection of
/// their own, at most once per 5 ms (see <see cref="WakeupRelay"/>). Polling is the truth: a lost wake-up costs time, never work.
/// </summary>
public sealed class Wakeups
{
    private readonly Signal _work = new();
    private readonly Signal _orders = new();
    private readonly Signal _events = new();
    private readonly Signal _upkeep = new();
    private readonly Signal _steps = new();
    private readonly Signal _trees = new();
    private readonly Signal _changes = new();
    private readonly ConcurrentDictionary<string, bool> _outgoing = new();
    private readonly Signal _outgoingSet = new();

    /// <summary>Tasks of this class have become claimable.</summary>
    public void Work(int classId)
    {
        _work.Set();
        Tell("work");
        _ = classId;
    }

    /// <summary>Some leased attempts are to stop.</summary>
    public void Orders()
    {
        _orders.Set();
        Tell("orders");
    }

    /// <summary>Events have been given positions.</summary>
    public void Events()
    {
        _events.Set();
        Tell("events");
    }

    /// <summary>There is something to fold or to move on.</summary>
    public void Upkeep() => _upkeep.Set();

    /// <summary>A job may be moved on.</summary>
    public void Steps() => _steps.Set();

    /// <summary>A subtree is to be changed.</summary>
    public void Trees() => _trees.Set();

    /// <summary>Jobs are to be changed, or many of them at once.</summary>
    public void Changes() => _changes.Set();

    /// <summary>A waiter taken before looking, so that what happens between the look and the wait is not missed.</summary>
    public Task NextWork => _work.Next;

    /// <inheritdoc cref="NextWork"/>
    public Task NextOrders => _orders.Next;

    /// <inheritdoc cref="NextWork"/>
    public Task NextEvents => _events.Next;

    /// <inheritdoc cref="NextWork"/>
    public Task NextUpkeep => _upkeep.Next;

    /// <inheritdoc cref="NextWork"/>
    public Task NextSteps => _steps.Next;

    /// <inheritdoc cref="NextWork"/>
    public Task NextTrees => _trees.Next;

    /// <inheritdoc cref="NextWork"/>
    public Task NextChanges => _changes.Next;

    /// <summary>Completes when there is something to tell the other Apis.</summary>
    internal Task NextOutgoing => _outgoingSet.Next;

    internal string[] TakeOutgoing()
    {
        var taken = _outgoing.Keys.ToArray();
        foreach (var key in taken) _outgoing.TryRemove(key, out _);
        return taken;
    }

    private void Tell(string topic)
    {
        if (_outgoing.TryAdd(topic, true)) _outgoingSet.Set();
    }

    internal void Heard(string topic)
    {
        switch (topic)
        {
            case "work": _work.Set(); break;
            case "orders": _orders.Set(); break;
            case "events": _events.Set(); break;
        }
    }

    /// <summary>Everybody who waits now is woken once.</summary>
    private sealed class Signal
    {
        private TaskCompletionSource _next = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Task Next => Volatile.Read(ref _next).Task;

        public void Set() => Interlocked.Exchange(ref _next, new(TaskCreationOptions.RunContinuationsAsynchronously)).TrySetResult();
    }
}
