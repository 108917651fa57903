using System.Globalization;
using JobHub.Engine.Events;
using RabbitMQ.Client;
using RabbitMQ.Client.Events;
using RabbitMQ.Client.Exceptions;

namespace JobHub.Api.Delivery;

/// <summary>The broker did not take a message, or went away. The message is fit for a log line.</summary>
internal sealed class BrokerException(string message, Exception? inner = null) : Exception(message, inner);

/// <summary>
/// One connection to a broker with one channel. Messages are written in order, many before the first is confirmed; what counts is how far they are confirmed without a gap.
/// Used by one call at a time.
/// </summary>
internal sealed class RabbitBroker : IAsyncDisposable
{
    private static readonly TimeSpan CloseTime = TimeSpan.FromSeconds(2);

    private readonly IConnection connection;
    private readonly IChannel channel;
    private readonly string queue;
    private readonly Lock gate = new();
    private readonly TaskCompletionSource closed = new(TaskCreationOptions.RunContinuationsAsynchronously);

    // Of the batch in flight: message i has sequence number first + i.
    private TaskCompletionSource batch = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private bool[] acks = [];
    private ulong first, following = 1;
    private int confirmed;
    private bool frozen;

    private RabbitBroker(IConnection connection, IChannel channel, string queue, Action<bool, string> blocked)
    {
        (this.connection, this.channel, this.queue) = (connection, channel, queue);
        channel.BasicAcksAsync += (_, e) => Took(e.DeliveryTag, e.Multiple);
        channel.BasicNacksAsync += (_, _) => Fails("the broker refused a message (is the queue full?)");
        // The queue was deleted: the broker confirms such a message as well, after this.
        channel.BasicReturnAsync += (_, _) => Fails($"the queue {queue} is gone");
        channel.ChannelShutdownAsync += (_, e) => Closes(e);
        connection.ConnectionShutdownAsync += (_, e) => Closes(e);
        connection.ConnectionBlockedAsync += (_, e) => Say(true, e.Reason);
        connection.ConnectionUnblockedAsync += (_, _) => Say(false, "");

        Task Say(bool isBlocked, string reason)
        {
            blocked(isBlocked, reason);
            return Task.CompletedTask;
        }
    }

    /// <summary>Completes when the connection has ended.</summary>
    public Task Closed => closed.Task;

    /// <summary>Of the last batch: how many messages, from the first on, the broker has.</summary>
    public int Confirmed
    {
        get
        {
            lock (gate) return confirmed;
        }
    }

    /// <summary>Connects and declares the queue.</summary>
    /// <param name="blocked">Told when the broker takes nothing for a while (an alarm), and when it does again.</param>
    /// <exception cref="BrokerException">The broker is away or refuses.</exception>
    public static async Task<RabbitBroker> ConnectAsync(RabbitTarget target, string queue, Action<bool, string> blocked, CancellationToken ct)
    {
        IConnection? connection = null;
        try
        {
            connection = await target.Factory.CreateConnectionAsync(ct);
            await DeclareAsync(connection, queue, ct);
            var channel = await connection.CreateChannelAsync(new CreateChannelOptions(publisherConfirmationsEnabled: true, publisherConfirmationTrackingEnabled: false), ct);
            return new RabbitBroker(connection, channel, queue, blocked);
        }
        catch (Exception fault)
        {
            if (connection is not null) await CloseAsync(connection);
            if (fault is OperationCanceledException && ct.IsCancellationRequested) throw;
            throw new BrokerException(ReasonOf(fault), fault);
        }
    }

    /// <summary>Writes the messages in their order and waits until the broker has stored them all. After a fault <see cref="Confirmed"/> says how far it came.</summary>
    /// <exception cref="BrokerException">Not all are stored.</exception>
    public async Task PublishAsync(IReadOnlyList<OutboxMessage> messages, CancellationToken ct)
    {
        var done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (gate)
        {
            (batch, acks, first, confirmed, frozen) = (done, new bool[messages.Count], following, 0, false);
            // Nobody else writes on this channel; after a fault it is not used again.
            following += (ulong)messages.Count;
        }

        try
        {
            if (closed.Task.IsCompleted) throw new BrokerException("the connection ended");
            foreach (var message in messages)
            {
                // Something went wrong with an earlier one.
                if (done.Task.IsCompleted) break;
                var properties = new BasicProperties
                {
                    Persistent = true, ContentType = "application/json", MessageId = message.Position.ToString(CultureInfo.InvariantCulture), CorrelationId = message.JobId, Type = message.Event,
                };
                await channel.BasicPublishAsync("", queue, mandatory: true, properties, message.Body, ct);
            }

            await done.Task.WaitAsync(ct);
        }
        catch (Exception fault) when (fault is not BrokerException && !(fault is OperationCanceledException && ct.IsCancellationRequested))
        {
            throw new BrokerException(ReasonOf(fault), fault);
        }
    }

    /// <inheritdoc />
    public async ValueTask DisposeAsync() => await CloseAsync(connection);

    private static async Task DeclareAsync(IConnection connection, string queue, CancellationToken ct)
    {
        try
        {
            await using var channel = await connection.CreateChannelAsync(cancellationToken: ct);
            await channel.QueueDeclareAsync(queue, durable: true, exclusive: false, autoDelete: false, arguments: null, cancellationToken: ct);
        }
        catch (OperationInterruptedException fault) when (fault.ShutdownReason?.ReplyCode is Constants.PreconditionFailed or Constants.AccessRefused)
        {
            // Somebody else made it, with other arguments, or only others may make queues: it is used as it is.
            await using var channel = await connection.CreateChannelAsync(cancellationToken: ct);
            await channel.QueueDeclarePassiveAsync(queue, ct);
        }
    }

    private Task Took(ulong tag, bool multiple)
    {
        lock (gate)
        {
            if (frozen || tag < first) return Task.CompletedTask;
            var upto = (int)Math.Min(tag - first, (ulong)acks.Length - 1);
            for (var i = multiple ? confirmed : upto; i <= upto; i++) acks[i] = true;
            while (confirmed < acks.Length && acks[confirmed]) confirmed++;
            if (confirmed == acks.Length) batch.TrySetResult();
        }

        return Task.CompletedTask;
    }

    private Task Fails(string reason)
    {
        lock (gate)
        {
            frozen = true;
            batch.TrySetException(new BrokerException(reason));
        }

        return Task.CompletedTask;
    }

    private Task Closes(ShutdownEventArgs e)
    {
        closed.TrySetResult();
        return Fails(e.ReplyText is { Length: > 0 } text ? text : "the connection ended");
    }

    private static async Task CloseAsync(IConnection connection)
    {
        try
        {
            // Without waiting for a broker that does not answer.
            await connection.AbortAsync(Constants.ReplySuccess, "the publisher goes on elsewhere", CloseTime).WaitAsync(2 * CloseTime);
        }
        catch (Exception fault) when (fault is IOException or TimeoutException or RabbitMQClientException or ObjectDisposedException or OperationCanceledException)
        {
            // It is given up in any case.
        }

        connection.Dispose();
    }

    // The innermost reason: the outer ones say only that no endpoint was reached. None of them holds the address.
    private static string ReasonOf(Exception fault)
    {
        while (fault.InnerException is { } inner) fault = inner;
        return fault switch
        {
            OperationCanceledException or TimeoutException => "it does not answer",
            OperationInterruptedException { ShutdownReason: { } reason } => reason.ReplyText,
            _ => fault.Message,
        };
    }
}
