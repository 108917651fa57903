using System.Net;
using System.Net.Sockets;

namespace JobHub.Worker.Agent;

/// <summary>410: the session is over. Everything it held must stop.</summary>
public sealed class SessionEndedException() : Exception("The hub has ended this worker's session.");

/// <summary>404 on an attempt's own route: the token is not this session's any more.</summary>
public sealed class AttemptLostException() : Exception("The attempt is not this worker's any more.");

/// <summary>The hub or a store refused, in a way that is not one of the above.</summary>
public sealed class HubException(HttpStatusCode status, string message) : Exception(message)
{
    public HttpStatusCode Status { get; } = status;
    public bool Transient => IsTransient(Status);

    internal static bool IsTransient(HttpStatusCode status) =>
        (int)status >= 500 || status is HttpStatusCode.RequestTimeout or HttpStatusCode.TooManyRequests;
}

/// <summary>What is worth trying again.</summary>
public static class Faults
{
    /// <summary>Network trouble, a timeout of ours (never the caller's cancellation), 408, 429 and 5xx.</summary>
    public static bool IsTransient(Exception e) => e switch
    {
        HubException hub => hub.Transient,
        HttpRequestException or HttpIOException or SocketException or TimeoutException => true,
        // A read that broke inside HttpClient's stream; local disk faults carry an errno as HResult.
        IOException { InnerException: SocketException } => true,
        _ => false,
    };

    /// <summary>ENOSPC and EDQUOT.</summary>
    public static bool IsDiskFull(Exception e) => e is IOException { HResult: 28 or 122 };
}

/// <summary>Waits that grow, with jitter: 100 ms doubling to a limit, each between half and all of it.</summary>
public struct Backoff(TimeSpan first, TimeSpan limit)
{
    private double _milliseconds = first.TotalMilliseconds;

    public TimeSpan Next()
    {
#pragma warning disable CA5394 // jitter, not a secret
        var wait = _milliseconds * (0.5 + (Random.Shared.NextDouble() / 2));
#pragma warning restore CA5394
        _milliseconds = Math.Min(_milliseconds * 2, limit.TotalMilliseconds);
        return TimeSpan.FromMilliseconds(wait);
    }

    public void Reset() => _milliseconds = first.TotalMilliseconds;
}
