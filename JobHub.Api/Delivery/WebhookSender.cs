using System.Threading.Channels;
using JobHub.Engine.Events;
using JobHub.Engine.Upkeep;
using JobHub.Engine.Webhooks;
using Microsoft.Extensions.Options;
using Npgsql;

namespace JobHub.Api.Delivery;

/// <summary>
/// Sends webhooks, from one Api at a time: whoever has the cursor's turn makes deliveries of events and sends what is due, many receivers at once. A receiver that fails gets
/// one request at a time, with pauses, so that it takes nothing from the others.
/// </summary>
public sealed class WebhookSender(
    EventCursors cursors, WebhookQueue queue, WebhookPost post, Wakeups wakeups, OutboxMeter meter, IOptions<WebhookOptions> options, TimeProvider clock, ILogger<WebhookSender> logger)
    : BackgroundService
{
    private const int FailuresBeforePause = 3;
    private static readonly TimeSpan Beat = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan Refresh = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan Presence = TimeSpan.FromMinutes(1);
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(10);

    private bool databaseAway;

    /// <summary>What is under way to one receiver.</summary>
    private sealed class Lane
    {
        public int Flying { get; set; }
        /// <summary>Failures since its last success.</summary>
        public int Streak { get; set; }
        public long PausedAt { get; set; }
        public TimeSpan Pause { get; set; }
    }

    /// <inheritdoc />
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        while (!stoppingToken.IsCancellationRequested)
        {
            try
            {
                await using var turn = await cursors.TryTakeAsync(WebhookQueue.Cursor, stoppingToken);
                databaseAway = false;
                if (turn is not null) await SendWhileHeldAsync(turn, stoppingToken);
                else meter.Lag(WebhookQueue.Cursor, null);
            }
            catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
            {
                return;
            }
            catch (Exception fault)
            {
                // The turn went with its connection; what was under way is sent again by whoever has it next.
                if (!databaseAway) DeliveryLog.OutboxFailed(logger, WebhookQueue.Cursor, fault is NpgsqlException ? null : fault, fault.Message);
                databaseAway = true;
            }

            await Task.Delay(2 * Beat, clock, stoppingToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private async Task SendWhileHeldAsync(CursorTurn turn, CancellationToken stopping)
    {
        using var held = CancellationTokenSource.CreateLinkedTokenSource(stopping);
        var run = new Run(held.Token);
        try
        {
            while (true)
            {
                stopping.ThrowIfCancellationRequested();
                var next = wakeups.NextEvents;
                await SettleAsync(turn, run, stopping);
                var ahead = await queue.FanOutAsync(turn, stopping);
                meter.Lag(WebhookQueue.Cursor, ahead);
                if (run.Receivers is null || clock.GetElapsedTime(run.RefreshedAt) > Refresh) await RefreshAsync(turn, run, stopping);
                var started = await StartDueAsync(turn, run, stopping);
                await KeepHouseAsync(turn, run, stopping);
                if (ahead > 0 || (started > 0 && run.Outcomes.Reader.TryPeek(out _))) continue;
                run.Waiting ??= run.Outcomes.Reader.WaitToReadAsync(stopping).AsTask();
                var pause = Task.Delay(run.Sleep(Beat, clock), clock, stopping);
                // Without webhooks nobody is told what happens; a new one is noticed within the beat.
                await (run.Receivers!.Count == 0 ? pause : Task.WhenAny(next, run.Waiting, pause));
                if (run.Waiting.IsCompleted) run.Waiting = null;
            }
        }
        finally
        {
            await held.CancelAsync();
        }
    }

    private async Task SettleAsync(CursorTurn turn, Run run, CancellationToken ct)
    {
        var outcomes = new List<DeliveryOutcome>();
        while (run.Outcomes.Reader.TryRead(out var outcome)) outcomes.Add(outcome);
        if (outcomes.Count == 0) return;
        await queue.SettleAsync(turn, outcomes, ct);
        foreach (var outcome in outcomes)
        {
            run.Flying.Remove(outcome.Id);
            var lane = run.LaneOf(outcome.Webhook);
            lane.Flying--;
            if (outcome.Delivered)
            {
                if (lane.Streak >= FailuresBeforePause) DeliveryLog.ReceiverBack(logger, outcome.Webhook);
                lane.Streak = 0;
                continue;
            }

            meter.Failed(WebhookQueue.Cursor);
            if (outcome.Gone) DeliveryLog.ReceiverGone(logger, outcome.Webhook);
            run.WakeIn(outcome.Wait, Beat, clock);
            if (++lane.Streak < FailuresBeforePause) continue;
            if (lane.Streak == FailuresBeforePause) DeliveryLog.ReceiverFails(logger, outcome.Webhook, outcome.Error ?? "");
            var longest = options.Value.MaxBackoff < LongestPause ? options.Value.MaxBackoff : LongestPause;
            (lane.PausedAt, lane.Pause) = (clock.GetTimestamp(), Backoff.Of(lane.Streak - FailuresBeforePause, options.Value.Backoff, longest));
            run.WakeIn(lane.Pause, Beat, clock);
        }

        if (outcomes.Count(o => o.Delivered) is > 0 and var delivered) meter.Published(WebhookQueue.Cursor, delivered);
        if (outcomes.Exists(o => o.Gone)) run.Receivers = null;
    }

    private async Task RefreshAsync(CursorTurn turn, Run run, CancellationToken ct)
    {
        run.Receivers = await queue.ReceiversAsync(turn, ct);
        run.RefreshedAt = clock.GetTimestamp();
        foreach (var id in run.Lanes.Where(l => l.Value.Flying == 0 && !run.Receivers.ContainsKey(l.Key)).Select(l => l.Key).ToArray()) run.Lanes.Remove(id);
    }

    private async Task<int> StartDueAsync(CursorTurn turn, Run run, CancellationToken ct)
    {
        var room = options.Value.Concurrency - run.Flying.Count;
        var rooms = run.Receivers!.Keys.Select(id => (id, RoomOf(run.LaneOf(id)))).Where(r => r.Item2 > 0).ToArray();
        if (room <= 0 || rooms.Length == 0) return 0;
        var due = await queue.DueAsync(turn, rooms, [.. run.Flying], room, ct);
        foreach (var delivery in due)
        {
            run.Flying.Add(delivery.Id);
            run.LaneOf(delivery.Webhook).Flying++;
            _ = SendAsync(run, delivery, run.Receivers[delivery.Webhook]);
        }

        return due.Count;
    }

    private int RoomOf(Lane lane)
    {
        if (lane.Streak >= FailuresBeforePause && clock.GetElapsedTime(lane.PausedAt) < lane.Pause) return 0;
        return (lane.Streak > 0 ? 1 : options.Value.PerWebhook) - lane.Flying;
    }

    private async Task SendAsync(Run run, DueDelivery delivery, Receiver receiver)
    {
        var answer = await post.SendAsync(receiver, delivery, run.Stopping);
        // Cut off by our own stop: it is as if it had not been tried.
        if (run.Stopping.IsCancellationRequested) return;
        var wait = Backoff.Of(delivery.Attempts, options.Value.Backoff, options.Value.MaxBackoff);
        run.Outcomes.Writer.TryWrite(new(delivery.Id, delivery.Webhook, answer.Error is null, answer.Status == StatusCodes.Status410Gone, answer.Status, answer.Error, wait));
    }

    private async Task KeepHouseAsync(CursorTurn turn, Run run, CancellationToken ct)
    {
        if (clock.GetElapsedTime(run.KeptAt) < Presence) return;
        await turn.MoveAsync(turn.Position, ct);
        // With more to remove it goes on in the next round, between deliveries.
        if (!await queue.ForgetAsync(turn, ct)) run.KeptAt = clock.GetTimestamp();
    }

    /// <summary>What one turn knows; gone with it.</summary>
    private sealed class Run(CancellationToken stopping)
    {
        public CancellationToken Stopping => stopping;
        public Channel<DeliveryOutcome> Outcomes { get; } = Channel.CreateUnbounded<DeliveryOutcome>(new UnboundedChannelOptions { SingleReader = true });
        public Task<bool>? Waiting { get; set; }
        public Dictionary<Guid, Receiver>? Receivers { get; set; }
        public long RefreshedAt { get; set; }
        public long KeptAt { get; set; }
        public HashSet<Guid> Flying { get; } = [];
        public Dictionary<Guid, Lane> Lanes { get; } = [];

        // Waits that end before the next beat would.
        private readonly PriorityQueue<int, long> early = new();

        public void WakeIn(TimeSpan wait, TimeSpan beat, TimeProvider clock)
        {
            if (wait < beat) early.Enqueue(0, clock.GetTimestamp() + (long)(wait.TotalSeconds * clock.TimestampFrequency) + 1);
        }

        public TimeSpan Sleep(TimeSpan beat, TimeProvider clock)
        {
            var now = clock.GetTimestamp();
            while (early.TryPeek(out _, out var at))
            {
                // A little over: the row's own time is the database's clock.
                if (at > now) return TimeSpan.FromMilliseconds(Math.Min(beat.TotalMilliseconds, clock.GetElapsedTime(now, at).TotalMilliseconds + 2));
                early.Dequeue();
            }

            return beat;
        }

        public Lane LaneOf(Guid webhook)
        {
            if (!Lanes.TryGetValue(webhook, out var lane)) Lanes.Add(webhook, lane = new());
            return lane;
        }
    }
}
