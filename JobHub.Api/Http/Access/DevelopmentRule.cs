using System.Net;
using JobHub.ServiceDefaults;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.Options;

namespace JobHub.Api.Http.Access;

/// <summary>
/// In development callers on this machine need no token. That is safe only while nothing but this machine reaches the port, and while a page in the
/// developer's browser cannot: commands run here.
/// </summary>
public sealed class DevelopmentRule(IHostEnvironment environment, IOptions<AuthOptions> auth, IOptions<WebOptions> web)
{
    private readonly string[] origins = web.Value.Origins;

    /// <summary>Requests without a token may be let in.</summary>
    public bool Open { get; } = environment.IsDevelopment() && auth.Value.OpenInDevelopment;

    /// <summary>Refuses configured addresses before anything has started, so that the refusal is all that is printed.</summary>
    public void CheckConfigured(IConfiguration configuration)
    {
        ArgumentNullException.ThrowIfNull(configuration);
        if (!Open) return;
        var urls = configuration["urls"]?.Split(';', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries) ?? [];
        var endpoints = configuration.GetSection("Kestrel:Endpoints").GetChildren().Select(static endpoint => endpoint["Url"]).OfType<string>();
        foreach (var url in urls.Concat(endpoints))
        {
            var address = BindingAddress.Parse(url);
            var local = address.IsUnixPipe || string.Equals(address.Host, "localhost", StringComparison.OrdinalIgnoreCase)
                || (IPAddress.TryParse(address.Host.Trim('[', ']'), out var ip) && IPAddress.IsLoopback(ip));
            if (!local) throw Refusal(url);
        }
    }

    /// <summary>Called for each listener before it is bound, wherever its address came from.</summary>
    public void CheckListener(ListenOptions listener)
    {
        ArgumentNullException.ThrowIfNull(listener);
        if (Open && !IsLocal(listener.EndPoint)) throw Refusal(listener.EndPoint.ToString());
    }

    private static StartRefusedException Refusal(string? address) => new(
        $"In development JobHub takes commands without a token and therefore listens on loopback only, not on {address}. "
        + "Listen on localhost, or set JobHub__Auth__OpenInDevelopment=false, or run in another environment than Development.");

    /// <summary>Why a request without a token is not let in although the rule is on; null when it is.</summary>
    public string? Objection(HttpContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        var (connection, request) = (context.Connection, context.Request);
        // A second lock behind the check of the listeners: whatever was bound, only this machine gets in.
        if (connection.RemoteIpAddress is { } remote && !IPAddress.IsLoopback(remote)) return "it does not come from this machine";
        // Commands share this machine's network: what runs as their user is no developer.
        if (!PeerUser.IsTrusted(context)) return "it comes from a user that programs run as, or from one that cannot be told";
        var host = request.Host;
        var ourName = host.Host is "127.0.0.1" or "[::1]" || string.Equals(host.Host, "localhost", StringComparison.OrdinalIgnoreCase);
        // A page's name that resolves to 127.0.0.1 (DNS rebinding) still stands in Host.
        if (!ourName || (connection.RemoteIpAddress is not null && (host.Port ?? 80) != connection.LocalPort)) return "its Host is not localhost with this port";
        foreach (var origin in request.Headers.Origin)
        {
            if (!IsOurs(origin, host)) return "its Origin is another site";
        }

        foreach (var site in request.Headers["Sec-Fetch-Site"])
        {
            if (site is not ("none" or "same-origin")) return "its Sec-Fetch-Site says that another site sent it";
        }

        return null;
    }

    private bool IsOurs(string? origin, HostString host) =>
        string.IsNullOrEmpty(origin)
        || string.Equals(origin, $"http://{host.Value}", StringComparison.OrdinalIgnoreCase)
        || origins.Contains(origin, StringComparer.OrdinalIgnoreCase);

    private static bool IsLocal(EndPoint endPoint) => endPoint switch
    {
        IPEndPoint ip => IPAddress.IsLoopback(ip.Address),
        System.Net.Sockets.UnixDomainSocketEndPoint => true,
        _ => false,
    };

}
