using JobHub.Engine.Events;
using JobHub.Engine.Upkeep;
using Microsoft.Extensions.Options;
using Npgsql;

namespace JobHub.Api.Delivery;

/// <summary>
/// Publishes the outbox to RabbitMQ, from one Api at a time: whoever has the cursor's turn. At least once and in order per job; a broker that is away delays messages and
/// nothing else. An Api that cannot reach the broker gives up its turn between its tries: another one may.
/// </summary>
public sealed class RabbitPublisher(
    RabbitTarget target, EventCursors cursors, Wakeups wakeups, OutboxMeter meter, IOptions<RabbitOptions> options, TimeProvider clock, ILogger<RabbitPublisher> logger) : BackgroundService
{
    /// <summary>Of the cursor, and in metrics.</summary>
    public const string Outbox = "rabbitmq";

    // Confirmed together: 500 are five times as fast as one by one, and more gain nothing.
    private const int Batch = 500;
    private static readonly TimeSpan Beat = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan Presence = TimeSpan.FromMinutes(1);

    private long awaySince;
    private bool databaseAway;

    /// <inheritdoc />
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        var backoff = new Backoff(TimeSpan.FromMilliseconds(200), options.Value.MaxBackoff);
        while (!stoppingToken.IsCancellationRequested)
        {
            var wait = Beat;
            try
            {
                await using var turn = await cursors.TryTakeAsync(Outbox, stoppingToken);
                databaseAway = false;
                if (turn is not null)
                {
                    meter.Lag(Outbox, await turn.LagAsync(stoppingToken));
                    await PublishAsync(turn, backoff, stoppingToken);
                }
                else
                {
                    meter.Lag(Outbox, null);
                }
            }
            catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
            {
                return;
            }
            catch (BrokerException fault)
            {
                meter.Failed(Outbox);
                wait = backoff.Next();
                if (awaySince == 0)
                {
                    awaySince = clock.GetTimestamp();
                    DeliveryLog.BrokerAway(logger, target.Place, fault.Message);
                }
            }
            catch (Exception fault)
            {
                // The database is in trouble, which the engine says as well; nothing may end the loop.
                if (!databaseAway) DeliveryLog.OutboxFailed(logger, Outbox, fault is NpgsqlException ? null : fault, fault.Message);
                databaseAway = true;
            }

            await Task.Delay(wait, clock, stoppingToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private async Task PublishAsync(CursorTurn turn, Backoff backoff, CancellationToken ct)
    {
        await using var broker = await RabbitBroker.ConnectAsync(target, options.Value.Queue, Blocked, ct);
        if (awaySince != 0) DeliveryLog.BrokerBack(logger, target.Place, clock.GetElapsedTime(awaySince).TotalSeconds);
        else DeliveryLog.Publishing(logger, options.Value.Queue, target.Place);
        awaySince = 0;
        var seen = clock.GetTimestamp();
        while (true)
        {
            var next = wakeups.NextEvents;
            var page = await Engine.Events.Outbox.ReadAsync(turn.Connection, turn.Position, options.Value.Publish == PublishedChanges.All, Batch, ct);
            if (page.Messages.Count > 0) await SendAsync(broker, turn, page.Messages, ct);
            if (page.Upto > turn.Position || clock.GetElapsedTime(seen) > Presence)
            {
                await turn.MoveAsync(page.Upto, ct);
                seen = clock.GetTimestamp();
            }

            meter.Lag(Outbox, Math.Max(0, page.Newest - page.Upto));
            // The connection holds: the next outage begins with a short wait again.
            backoff.Reset();
            if (page.Upto < page.Newest) continue;
            await Task.WhenAny(next, broker.Closed, Task.Delay(Beat, clock, ct));
            ct.ThrowIfCancellationRequested();
            if (broker.Closed.IsCompleted) throw new BrokerException("the connection ended");
        }
    }

    private async Task SendAsync(RabbitBroker broker, CursorTurn turn, List<OutboxMessage> messages, CancellationToken ct)
    {
        try
        {
            await broker.PublishAsync(messages, ct);
        }
        finally
        {
            // What the broker has is not sent again, also when the rest of the batch failed or the host stops.
            if (broker.Confirmed is > 0 and var confirmed)
            {
                meter.Published(Outbox, confirmed);
                await turn.MoveAsync(messages[confirmed - 1].Position, CancellationToken.None);
            }
        }
    }

    private void Blocked(bool blocked, string reason)
    {
        if (blocked) DeliveryLog.BrokerBlocked(logger, target.Place, reason);
        else DeliveryLog.BrokerUnblocked(logger, target.Place);
    }
}
