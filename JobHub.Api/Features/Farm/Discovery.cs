using System.ComponentModel.DataAnnotations;
using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.Options;

namespace JobHub.Api.Features.Farm;

/// <summary>Section <c>JobHub:Farm</c>: the answer to workers of the original system that look for a server on their network.</summary>
public sealed class DiscoveryOptions : IValidatableObject
{
    public const int DefaultPort = 19211;

    /// <summary>The address to bind, with a port where it is not 19211: <c>0.0.0.0</c>, <c>[::]:19211</c>. Empty: off. A worker then speaks HTTP to port 19211 of whoever answered.</summary>
    [StringLength(100)]
    public string Discovery { get; init; } = "";

    /// <summary>Answers a second, whoever asks; what is more is not answered.</summary>
    [Range(1, 10_000)]
    public int DiscoveryPerSecond { get; init; } = 100;

    internal IPEndPoint? Endpoint => IPEndPoint.TryParse(Discovery, out var at) ? at.Port == 0 && !Discovery.EndsWith(":0", StringComparison.Ordinal) ? new(at.Address, DefaultPort) : at : null;

    /// <inheritdoc />
    public IEnumerable<ValidationResult> Validate(ValidationContext validationContext)
    {
        if (Discovery.Length > 0 && Endpoint is null) yield return new("JobHub:Farm:Discovery must be an IP address, with a port if it is not 19211.", [nameof(Discovery)]);
    }
}

/// <summary>
/// Answers the UDP datagram `coalition` with `roxor`, as the original server does. The answer is shorter than the question and there are so many a second at most, so nobody
/// gains by asking in another's name; everything else is dropped unread.
/// </summary>
public sealed class Discovery(IOptions<DiscoveryOptions> options, TimeProvider clock, ILogger<Discovery> logger) : BackgroundService
{
    private static readonly byte[] Question = "coalition"u8.ToArray(), Answer = "roxor"u8.ToArray();

    private readonly TaskCompletionSource<IPEndPoint> bound = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Where it listens.</summary>
    public Task<IPEndPoint> Bound => bound.Task;

    /// <inheritdoc />
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        if (options.Value.Endpoint is not { } endpoint) return;
        while (!stoppingToken.IsCancellationRequested)
        {
            try
            {
                using var socket = new Socket(endpoint.AddressFamily, SocketType.Dgram, ProtocolType.Udp);
                if (endpoint.AddressFamily == AddressFamily.InterNetworkV6) socket.DualMode = true;
                socket.Bind(endpoint);
                bound.TrySetResult((IPEndPoint)socket.LocalEndPoint!);
                DiscoveryLog.Answers(logger, socket.LocalEndPoint!);
                await AnswerAsync(socket, stoppingToken);
            }
            catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
            {
                return;
            }
            catch (SocketException fault)
            {
                // Another Api of this machine has the port, or an interface is down: nobody else waits for this.
                DiscoveryLog.Waits(logger, endpoint, fault.Message);
                await Task.Delay(TimeSpan.FromSeconds(10), clock, stoppingToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
    }

    private async Task AnswerAsync(Socket socket, CancellationToken ct)
    {
        // One byte more than the question: what is longer is another one.
        var buffer = new byte[Question.Length + 1];
        var (second, given) = (clock.GetTimestamp(), 0);
        while (true)
        {
            SocketReceiveFromResult got;
            try { got = await socket.ReceiveFromAsync(buffer, SocketFlags.None, AnyOf(socket), ct); }
            // An answer met a closed port, or a datagram was longer than the buffer (which some systems report so).
            catch (SocketException fault) when (fault.SocketErrorCode is SocketError.ConnectionReset or SocketError.MessageSize) { continue; }
            if (!buffer.AsSpan(0, got.ReceivedBytes).SequenceEqual(Question)) continue;
            if (clock.GetElapsedTime(second) >= TimeSpan.FromSeconds(1)) (second, given) = (clock.GetTimestamp(), 0);
            if (++given > options.Value.DiscoveryPerSecond) continue;
            try { await socket.SendToAsync(Answer, SocketFlags.None, got.RemoteEndPoint, ct); }
            catch (SocketException) { /* nobody to be reached there */ }
        }
    }

    private static IPEndPoint AnyOf(Socket socket) => new(socket.AddressFamily == AddressFamily.InterNetworkV6 ? IPAddress.IPv6Any : IPAddress.Any, 0);
}

internal static partial class DiscoveryLog
{
    [LoggerMessage(1170, LogLevel.Information, "Workers that look for a server are answered at {Endpoint} (UDP)")]
    public static partial void Answers(ILogger logger, EndPoint endpoint);

    [LoggerMessage(1171, LogLevel.Warning, "Workers that look for a server are not answered at {Endpoint} for now: {Reason}")]
    public static partial void Waits(ILogger logger, EndPoint endpoint, string reason);
}
