using System.Net;
using System.Net.Sockets;

namespace JobHub.Engine.Storage;

/// <summary>A connection that the rules for callers' addresses refuse. The message is fit for a caller.</summary>
public sealed class AddressDeniedException(string message) : IOException(message);

/// <summary>
/// Connections to addresses that callers give: inputs, webhooks, OAuth. The name is resolved at each connection, refused when any answer is denied, and the
/// checked address is what is connected to, so that a second answer of the name cannot lead elsewhere. No redirects, no proxy, no cookies.
/// </summary>
public static class GuardedHttp
{
    /// <summary>Time until a host counts as unreachable, name resolution included.</summary>
    public static readonly TimeSpan ConnectTimeout = TimeSpan.FromSeconds(5);

    /// <summary>A handler to be shared by all clients of one kind. <paramref name="listed"/>: endpoints that may be loopback or private.</summary>
    /// <param name="setting">Name of the setting that lists endpoints, for messages.</param>
    public static SocketsHttpHandler Create(IEnumerable<StorageEndpoint> listed, string setting)
    {
        var inner = PlacesOf(listed);
        return new SocketsHttpHandler
        {
            AllowAutoRedirect = false,
            UseProxy = false,
            UseCookies = false,
            AutomaticDecompression = DecompressionMethods.None,
            ConnectTimeout = ConnectTimeout,
            PooledConnectionLifetime = TimeSpan.FromMinutes(5),
            PooledConnectionIdleTimeout = TimeSpan.FromMinutes(1),
            MaxConnectionsPerServer = 256,
            ActivityHeadersPropagator = null,
            ConnectCallback = (context, ct) => ConnectAsync(context.DnsEndPoint, inner, setting, ct),
        };
    }

    /// <summary>Why a connection to a host would be refused now, or null. A name that is not found is no objection: nothing is reached by it.</summary>
    public static async Task<string?> ObjectionAsync(string host, int port, IEnumerable<StorageEndpoint> listed, string setting, CancellationToken ct)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(ct);
        limit.CancelAfter(ConnectTimeout);
        try
        {
            await ResolveAsync(new DnsEndPoint(host, port), PlacesOf(listed), setting, limit.Token);
            return null;
        }
        catch (AddressDeniedException denied)
        {
            return denied.Message;
        }
        catch (Exception fault) when (fault is SocketException or ArgumentException || (fault is OperationCanceledException && !ct.IsCancellationRequested))
        {
            return null;
        }
    }

    private static HashSet<(string Host, int Port)> PlacesOf(IEnumerable<StorageEndpoint> listed) => listed.Select(endpoint => (endpoint.Host, endpoint.Port)).ToHashSet();

    private static async ValueTask<Stream> ConnectAsync(DnsEndPoint target, HashSet<(string Host, int Port)> inner, string setting, CancellationToken ct)
    {
        var addresses = await ResolveAsync(target, inner, setting, ct);
        SocketException? last = null;
        foreach (var address in addresses)
        {
            var socket = new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
            try
            {
                socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.KeepAlive, true);
                await socket.ConnectAsync(new IPEndPoint(address, target.Port), ct);
                return new NetworkStream(socket, ownsSocket: true);
            }
            catch (SocketException e)
            {
                socket.Dispose();
                last = e;
            }
            catch
            {
                socket.Dispose();
                throw;
            }
        }

        throw last ?? new SocketException((int)SocketError.HostNotFound);
    }

    private static async Task<IPAddress[]> ResolveAsync(DnsEndPoint target, HashSet<(string Host, int Port)> inner, string setting, CancellationToken ct)
    {
        var host = target.Host.TrimEnd('.').ToLowerInvariant();
        var addresses = IPAddress.TryParse(host, out var literal) ? [literal] : await Dns.GetHostAddressesAsync(host, ct);
        var listed = inner.Contains((host, target.Port));
        foreach (var address in addresses)
        {
            var kind = AddressRules.Classify(address);
            if (kind == AddressClass.Forbidden) throw new AddressDeniedException($"{host} is at an address that is never allowed.");
            if (kind == AddressClass.Inner && !listed)
            {
                throw new AddressDeniedException($"{host}:{target.Port} is at a loopback or private address and not listed in {setting}.");
            }
        }

        return addresses;
    }
}
