using System.Collections.Concurrent;
using System.Text.Json.Nodes;
using RabbitMQ.Client;
using RabbitMQ.Client.Events;

namespace JobHub.Testing;

/// <summary>A message as a listener gets it.</summary>
public sealed record RabbitMessage(long Id, string Job, string? ContentType, bool Persistent, JsonObject Body)
{
    public string Status => (string)Body["status"]!;

    public bool IsFinal => Status is "COMPLETE" or "FAILED";
}

/// <summary>Listens on the queue, as a user of the hub does, and keeps what comes, in the order in which it comes.</summary>
public sealed class RabbitInbox : IAsyncDisposable
{
    private readonly ConcurrentQueue<RabbitMessage> received = new();
    private readonly IConnection connection;
    private readonly IChannel channel;

    private RabbitInbox(IConnection connection, IChannel channel) => (this.connection, this.channel) = (connection, channel);

    public IReadOnlyList<RabbitMessage> Messages => [.. received];

    public static async Task<RabbitInbox> OpenAsync(RabbitServer broker, string queue = "job_response", bool declare = true)
    {
        var connection = await new ConnectionFactory { Uri = new Uri(broker.ConnectionString), AutomaticRecoveryEnabled = false }.CreateConnectionAsync();
        var channel = await connection.CreateChannelAsync();
        var inbox = new RabbitInbox(connection, channel);
        if (declare) await channel.QueueDeclareAsync(queue, durable: true, exclusive: false, autoDelete: false);
        var consumer = new AsyncEventingBasicConsumer(channel);
        consumer.ReceivedAsync += (_, e) =>
        {
            var p = e.BasicProperties;
            inbox.received.Enqueue(new(long.Parse(p.MessageId!), p.CorrelationId!, p.ContentType, p.Persistent, JsonNode.Parse(e.Body.Span)!.AsObject()));
            return Task.CompletedTask;
        };
        await channel.BasicConsumeAsync(queue, autoAck: true, consumer);
        return inbox;
    }

    /// <summary>Waits for the final message of every job, and returns all messages about them without repetitions.</summary>
    public async Task<ILookup<string, RabbitMessage>> OfAsync(IReadOnlySet<string> jobs)
    {
        await Eventually.GetAsync(
            () => Task.FromResult(received.Where(m => m.IsFinal && jobs.Contains(m.Job)).Select(m => m.Job).Distinct().Count()), count => count == jobs.Count,
            $"final messages of {jobs.Count} jobs", TimeSpan.FromMinutes(2));
        return received.Where(m => jobs.Contains(m.Job)).DistinctBy(m => m.Id).ToLookup(m => m.Job);
    }

    public async ValueTask DisposeAsync()
    {
        await channel.DisposeAsync();
        await connection.DisposeAsync();
    }
}
