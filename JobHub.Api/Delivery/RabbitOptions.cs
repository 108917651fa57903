using System.ComponentModel.DataAnnotations;
using JobHub.Api.Http.Access;
using RabbitMQ.Client;

namespace JobHub.Api.Delivery;

/// <summary>Which changes of jobs are published.</summary>
public enum PublishedChanges
{
    /// <summary>Only the change to a final state.</summary>
    Final,
    /// <summary>QUEUED, RUNNING and the final state.</summary>
    All,
}

/// <summary>Section <c>JobHub:RabbitMq</c>. Publishing is on when a connection named <c>rabbitmq</c> is configured.</summary>
public sealed class RabbitOptions
{
    public PublishedChanges Publish { get; init; } = PublishedChanges.Final;

    /// <summary>Declared durable; one that exists with other arguments is used as it is.</summary>
    [Required, StringLength(255, MinimumLength = 1)]
    public string Queue { get; init; } = "job_response";

    /// <summary>The longest wait before the next try to reach a broker that is away.</summary>
    [Range(typeof(TimeSpan), "00:00:00.1", "01:00:00")]
    public TimeSpan MaxBackoff { get; init; } = TimeSpan.FromSeconds(30);
}

/// <summary>Where the broker is. Made from the connection string, which holds a password and is shown nowhere.</summary>
/// <param name="Place">host:port, for lines and messages.</param>
public sealed record RabbitTarget(ConnectionFactory Factory, string Place)
{
    /// <summary>Null when no connection named <c>rabbitmq</c> is configured.</summary>
    /// <exception cref="StartRefusedException">It is not an address of a broker.</exception>
    public static RabbitTarget? Of(IConfiguration configuration)
    {
        if (configuration.GetConnectionString("rabbitmq") is not { Length: > 0 } text) return null;
        try
        {
            var uri = new Uri(text, UriKind.Absolute);
            if (uri.Scheme is not ("amqp" or "amqps")) throw new UriFormatException();
            var factory = new ConnectionFactory
            {
                Uri = uri, ClientProvidedName = "jobhub",
                // The publisher begins anew by itself: from the cursor, not from what the client library remembers.
                AutomaticRecoveryEnabled = false, TopologyRecoveryEnabled = false,
                RequestedConnectionTimeout = TimeSpan.FromSeconds(5), ContinuationTimeout = TimeSpan.FromSeconds(10), HandshakeContinuationTimeout = TimeSpan.FromSeconds(10),
                RequestedHeartbeat = TimeSpan.FromSeconds(10),
            };
            return new(factory, $"{factory.Endpoint.HostName}:{factory.Endpoint.Port}");
        }
        catch (Exception fault) when (fault is UriFormatException or ArgumentException)
        {
            // Without its text: a password may stand in it.
            throw new StartRefusedException("ConnectionStrings:rabbitmq is not an address of a broker: amqp://user:password@host:port or amqps://...");
        }
    }
}
