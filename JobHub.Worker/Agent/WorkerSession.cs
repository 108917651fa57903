using System.Buffers;
using System.Collections.Concurrent;
using System.Threading.Channels;
using JobHub.Engine.Attempts;
using JobHub.Engine.Protocol;
using JobHub.Worker.Runtime;

namespace JobHub.Worker.Agent;

/// <summary>
/// One session with the hub: claims, renews, stops and runs, until the hub ends it, the lease cannot be held, or the worker stops. Everything it held is over when
/// <see cref="RunAsync"/> returns.
/// </summary>
internal sealed class WorkerSession : IDisposable
{
    private const int ClaimWaitMs = 20_000;
    private static readonly TimeSpan AnnounceAfter = TimeSpan.FromMilliseconds(300);
    private const int ControlWaitMs = 20_000;
    private static readonly TimeSpan LiveEvery = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan GiveBackAfter = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan EndTime = TimeSpan.FromSeconds(2);

    private readonly AgentClient _client;
    private readonly AttemptRunner _runner;
    private readonly Outbox _outbox;
    private readonly Action _exit;
    private readonly TimeProvider _clock;
    private readonly ILogger _logger;
    private readonly long _id;
    private readonly int _slots;
    private readonly TimeSpan _renewEvery, _fenceAfter;
    private readonly ConcurrentDictionary<Guid, LeasedAttempt> _held = new();
    private readonly Channel<LeasedAttempt> _queue = Channel.CreateUnbounded<LeasedAttempt>();
    private readonly ClaimPlan _plan;
    private readonly SemaphoreSlim _slotFreed = new(0, 1);
    private readonly CancellationTokenSource _over = new();
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private long _leaseFrom;
    private bool _fenced;

    /// <param name="exit">Begins the end of the worker's process; called more than once.</param>
    public WorkerSession(SessionOpened opened, long sentAt, int slots, AgentClient client, AttemptRunner runner, Outbox outbox, Action exit, TimeProvider clock, ILogger logger)
    {
        _exit = exit;
        (_client, _runner, _outbox, _clock, _logger, _slots) = (client, runner, outbox, clock, logger, slots);
        _id = opened.Session;
        _plan = new ClaimPlan(slots);
        _leaseFrom = sentAt;
        _renewEvery = TimeSpan.FromSeconds(opened.RenewSeconds);
        // A second before the hub gives our tasks to others, whatever our clocks say; half of a lease that is shorter than two.
        _fenceAfter = TimeSpan.FromSeconds(Math.Max(opened.LeaseSeconds - 1, opened.LeaseSeconds / 2));
        _outbox.Answered += OnAnswered;
    }

    public async Task RunAsync(CancellationToken stopping)
    {
        using var claiming = CancellationTokenSource.CreateLinkedTokenSource(stopping, _over.Token);
        var fence = new Thread(Fence) { IsBackground = true, Name = "lease fence" };
        fence.Start();
        Task[] loops = [Task.Run(RenewAsync, CancellationToken.None), Task.Run(ControlAsync, CancellationToken.None), Task.Run(PushLiveAsync, CancellationToken.None)];
        var slots = Enumerable.Range(0, _slots).Select(i => Task.Run(() => RunSlotAsync(i), CancellationToken.None)).ToArray();
        var claim = Task.Run(() => ClaimAsync(claiming.Token), CancellationToken.None);
        var stop = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        using (stopping.UnsafeRegister(s => ((TaskCompletionSource)s!).TrySetResult(), stop)) await Task.WhenAny(_ended.Task, stop.Task);

        await claiming.CancelAsync();
        await claim;
        var drain = !_ended.Task.IsCompleted;
        var interrupted = 0;
        foreach (var attempt in _held.Values)
        {
            // One that waits for a slot is not reported: ending the session returns it.
            if (attempt.TryDrop()) Remove(attempt.Spec.Token);
            else if (attempt.Stop(drain ? StopReason.WorkerStopping : StopReason.LeaseLost)) interrupted++;
        }
        _queue.Writer.TryComplete();
        // Renewing goes on while programs use their grace.
        await Task.WhenAll(slots);
        if (drain)
        {
            using var flush = new CancellationTokenSource(EndTime);
            await _outbox.WhenEmptyAsync(flush.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
        await _over.CancelAsync();
        await Task.WhenAll(loops);
        fence.Join();
        if (drain || _fenced) await EndAsync(interrupted);
    }

    private async Task EndAsync(int interrupted)
    {
        using var limit = new CancellationTokenSource(EndTime);
        try
        {
            await _client.EndAsync(_id, limit.Token);
            _logger.Drained(_id, interrupted);
        }
        catch (Exception e) { _logger.SessionNotEnded(_id, e.Message); }
    }

    private void End(bool fenced)
    {
        lock (_ended)
        {
            if (_ended.Task.IsCompleted) return;
            _fenced = fenced;
            _ended.TrySetResult();
        }
        if (fenced)
        {
            WorkerMetrics.Fenced();
            _logger.Fenced(_id, _held.Count);
        }
        else _logger.SessionEnded(_id, _held.Count);
        // At once, not when the main loop comes round.
        foreach (var attempt in _held.Values) attempt.Stop(StopReason.LeaseLost);
    }

    // A thread of its own: a pool that is busy must not keep us from letting go in time. The clock is monotonic.
    private void Fence()
    {
        while (!_over.IsCancellationRequested)
        {
            var left = _fenceAfter - _clock.GetElapsedTime(Interlocked.Read(ref _leaseFrom));
            if (left <= TimeSpan.Zero)
            {
                End(fenced: true);
                return;
            }
            _over.Token.WaitHandle.WaitOne(left < LiveEvery ? left : LiveEvery);
        }
    }

    private async Task RunSlotAsync(int slot)
    {
        await foreach (var attempt in _queue.Reader.ReadAllAsync(CancellationToken.None))
        {
            var now = _clock.GetTimestamp();
            if (!attempt.TryStart(now)) continue;
            _plan.Begin(slot, now);
            WorkerMetrics.SlotBusy(1);
            AttemptResult? result;
            try { result = await _runner.RunAsync(attempt); }
            catch (Exception e)
            {
                _logger.AttemptBroke(e, attempt.Spec.Token, attempt.Spec.TaskName);
                result = attempt.Reason == StopReason.LeaseLost ? null : new AttemptResult
                {
                    Token = attempt.Spec.Token, TaskId = attempt.Spec.TaskId, Outcome = AttemptOutcome.Failed,
                    Error = new AttemptError(ErrorTypes.Internal, "The worker could not clean up after the attempt; its log has the reason."),
                };
            }
            WorkerMetrics.SlotBusy(-1);
            WorkerMetrics.Ended(result?.Outcome ?? AttemptOutcome.Lost);
            if (result is null) Remove(attempt.Spec.Token);
            else _outbox.Add(_id, result);
            _plan.End(slot, _clock.GetElapsedTime(now).TotalSeconds);
            Wake();
        }
    }

    private void Wake()
    {
        if (_slotFreed.CurrentCount > 0) return;
        try { _slotFreed.Release(); }
        catch (SemaphoreFullException) { /* already awake */ }
    }

    private async Task ClaimAsync(CancellationToken ct)
    {
        var backoff = new Backoff(TimeSpan.FromMilliseconds(100), TimeSpan.FromSeconds(2));
        var claimId = Guid.NewGuid();
        while (!ct.IsCancellationRequested)
        {
            try
            {
                GiveBack();
                var want = _plan.Want(_queue.Reader.Count, _clock);
                if (want == 0)
                {
                    await _slotFreed.WaitAsync(LiveEvery, ct);
                    continue;
                }
                var answer = await _client.ClaimAsync(_id, new ClaimRequest(claimId, Math.Min(want, 1000), ClaimWaitMs), ct);
                claimId = Guid.NewGuid();
                backoff.Reset();
                var now = _clock.GetTimestamp();
                foreach (var spec in answer.Attempts)
                {
                    var attempt = new LeasedAttempt(spec, _id, now);
                    // A resend may give again what we have.
                    if (!_held.TryAdd(spec.Token, attempt)) attempt.Dispose();
                    else if (!_queue.Writer.TryWrite(attempt)) Remove(spec.Token);
                }
            }
            catch (OperationCanceledException) when (ct.IsCancellationRequested) { return; }
            catch (SessionEndedException)
            {
                End(fenced: false);
                return;
            }
            catch (Exception e)
            {
                // Unclear answers are asked for again under the same id. A refusal makes a new one.
                if (e is HubException { Transient: false }) claimId = Guid.NewGuid();
                _logger.ClaimFailed(e.Message);
                await Task.Delay(backoff.Next(), _clock, ct).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
    }

    // Taken ahead for tiny tasks that then were not: others may have a slot for them.
    private void GiveBack()
    {
        while (_queue.Reader.TryPeek(out var first) && _clock.GetElapsedTime(first.ClaimedAt) > GiveBackAfter && _queue.Reader.TryRead(out var attempt))
        {
            if (!attempt.TryDrop()) continue;
            _outbox.Add(_id, new AttemptResult
            {
                Token = attempt.Spec.Token, TaskId = attempt.Spec.TaskId, Outcome = AttemptOutcome.Interrupted, Error = new AttemptError("not-started", "Given back: all slots are busy."),
            });
        }
    }

    private async Task RenewAsync()
    {
        var ct = _over.Token;
        while (!ct.IsCancellationRequested)
        {
            var wait = _renewEvery;
            try
            {
                var held = _held.ToArray();
                var started = held.Where(h => h.Value is { IsRunning: true, Announced: false }).Select(h => h.Value).ToArray();
                var sentAt = _clock.GetTimestamp();
                var answer = await _client.RenewAsync(_id, new RenewRequest([.. held.Select(h => h.Key)], [.. started.Select(s => s.Spec.Token)], ProgressOf(held),
                    Machine.Load(), Machine.FreeMemoryBytes()), _renewEvery, ct);
                WorkerMetrics.Renewed(_clock.GetElapsedTime(sentAt));
                Interlocked.Exchange(ref _leaseFrom, sentAt);
                foreach (var attempt in started) attempt.Announced = true;
                foreach (var token in answer.Lost) Lose(token);
                Obey(answer.Cancel);
                // As a signal to stop: what runs gets its grace, is reported, and the session is ended.
                if (answer.Exit) _exit();
                wait -= _clock.GetElapsedTime(sentAt);
            }
            catch (OperationCanceledException) when (ct.IsCancellationRequested) { return; }
            catch (SessionEndedException)
            {
                End(fenced: false);
                return;
            }
            catch (Exception e)
            {
                _logger.RenewFailed(_id, e.Message);
                wait = TimeSpan.FromMilliseconds(250);
            }
            await WaitForRenewAsync(wait, ct);
        }
    }

    /// <summary>Until the next renew is due, or a program has run for a moment that the hub has not heard of: whoever looks shall see soon that it runs.</summary>
    private async Task WaitForRenewAsync(TimeSpan wait, CancellationToken ct)
    {
        var since = _clock.GetTimestamp();
        while (!ct.IsCancellationRequested && wait - _clock.GetElapsedTime(since) is var left && left > TimeSpan.Zero)
        {
            await Task.Delay(left < AnnounceAfter ? left : AnnounceAfter, _clock, ct).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            foreach (var (_, attempt) in _held)
            {
                if (attempt is { IsRunning: true, Announced: false } && _clock.GetElapsedTime(attempt.StartedAt) >= AnnounceAfter) return;
            }
        }
    }

    private static AttemptProgress[] ProgressOf(KeyValuePair<Guid, LeasedAttempt>[] held)
    {
        List<AttemptProgress>? all = null;
        foreach (var (token, attempt) in held)
        {
            if (attempt.Context is { } context && (context.Fraction > 0 || context.Status is not null)) (all ??= []).Add(new AttemptProgress(token, context.Fraction, context.Status, null));
        }
        return all?.ToArray() ?? [];
    }

    private void Lose(Guid token)
    {
        // Gone already: its completion was answered while the renew was on its way.
        if (!_held.TryGetValue(token, out var attempt)) return;
        _logger.AttemptStopped(token, attempt.Spec.TaskName, nameof(StopReason.LeaseLost));
        attempt.Stop(StopReason.LeaseLost);
        if (attempt.TryDrop()) Remove(token);
    }

    /// <summary>Carries out orders; true when one of them was new.</summary>
    private bool Obey(StopOrder[] orders)
    {
        var news = false;
        foreach (var order in orders)
        {
            if (!_held.TryGetValue(order.Token, out var attempt) || attempt.Reason is not null) continue;
            news = true;
            attempt.Stop(order.Reason);
            _logger.AttemptStopped(order.Token, attempt.Spec.TaskName, order.Reason.ToString());
            // No slot has it yet: its end is known now.
            if (attempt.TryDrop()) _outbox.Add(_id, AttemptRunner.Stopped(attempt, null));
        }
        return news;
    }

    private async Task ControlAsync()
    {
        var ct = _over.Token;
        var backoff = new Backoff(TimeSpan.FromMilliseconds(100), TimeSpan.FromSeconds(1));
        while (!ct.IsCancellationRequested)
        {
            try
            {
                var answer = await _client.ControlAsync(_id, ControlWaitMs, ct);
                // The hub repeats its orders until an attempt has ended; the ones being carried out need no answer in a tight loop.
                if (Obey(answer.Cancel) || answer.Cancel.Length == 0) backoff.Reset();
                if (answer.Cancel.Length == 0) continue;
            }
            catch (OperationCanceledException) when (ct.IsCancellationRequested) { return; }
            catch (SessionEndedException)
            {
                End(fenced: false);
                return;
            }
            catch (Exception e) { _logger.ControlFailed(_id, e.Message); }
            await Task.Delay(backoff.Next(), _clock, ct).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private async Task PushLiveAsync()
    {
        var ct = _over.Token;
        while (!ct.IsCancellationRequested)
        {
            await Task.Delay(LiveEvery, _clock, ct).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            foreach (var (token, attempt) in _held)
            {
                if (ct.IsCancellationRequested) return;
                if (attempt.Log is not { } log || !attempt.IsRunning || _clock.GetElapsedTime(attempt.StartedAt) < LiveEvery) continue;
                var buffer = ArrayPool<byte>.Shared.Rent(LogSpool.LiveLimit);
                try
                {
                    var n = log.PeekLive(buffer, out var offset);
                    if (n == 0) continue;
                    await _client.PushLiveAsync(_id, token, offset, buffer.AsMemory(0, n), ct);
                    log.LiveSent(offset + n);
                }
                catch (Exception e) { _logger.LiveDropped(token, e.Message); }
                finally { ArrayPool<byte>.Shared.Return(buffer); }
            }
        }
    }

    private void OnAnswered(long session, Guid token, CompletionAnswer answer)
    {
        if (session == _id) Remove(token);
    }

    private void Remove(Guid token)
    {
        if (_held.TryRemove(token, out var attempt)) attempt.Dispose();
    }

    public void Dispose()
    {
        _outbox.Answered -= OnAnswered;
        foreach (var token in _held.Keys) Remove(token);
        _slotFreed.Dispose();
        _over.Dispose();
    }
}
