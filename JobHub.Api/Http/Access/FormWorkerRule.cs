using System.Net;
using JobHub.ServiceDefaults;
using Microsoft.Extensions.Options;

namespace JobHub.Api.Http.Access;

/// <summary>Whether the protocol of forms is spoken.</summary>
public enum FormProtocol
{
    Off,
    On,
}

/// <summary>Section <c>JobHub:Farm</c>: workers that speak by forms.</summary>
public sealed class FormWorkerOptions
{
    /// <summary>Whether <c>/workers</c> is there. Without a value: on where callers on this machine need no token (development), off elsewhere.</summary>
    public FormProtocol? WorkerProtocol { get; init; }

    /// <summary>A proxy in front of the hub lets only workers through to <c>/workers</c>: requests are taken whatever address they come from.</summary>
    public bool BehindProxy { get; init; }
}

/// <summary>
/// Workers that speak by forms have no tokens, and whoever speaks for them is given commands and answers for them. In development the rule of development holds; elsewhere
/// requests are taken from loopback and private addresses only, unless a proxy vouches for them.
/// </summary>
public sealed class FormWorkerRule(IOptions<FormWorkerOptions> options, DevelopmentRule development)
{
    private static readonly IPNetwork[] Private =
    [
        IPNetwork.Parse("127.0.0.0/8"), IPNetwork.Parse("10.0.0.0/8"), IPNetwork.Parse("172.16.0.0/12"), IPNetwork.Parse("192.168.0.0/16"), IPNetwork.Parse("169.254.0.0/16"),
        IPNetwork.Parse("100.64.0.0/10"), IPNetwork.Parse("::1/128"), IPNetwork.Parse("fc00::/7"), IPNetwork.Parse("fe80::/10"),
    ];

    private static readonly string[] ProxyHeaders = ["X-Forwarded-For", "Forwarded", "Via", "X-Real-IP"];

    /// <summary>The routes are there.</summary>
    public bool IsOn { get; } = options.Value.WorkerProtocol is { } said ? said == FormProtocol.On : development.Open;

    /// <summary>Refuses configured addresses that anybody could reach, before anything has started.</summary>
    public void CheckConfigured(IConfiguration configuration)
    {
        ArgumentNullException.ThrowIfNull(configuration);
        if (!IsOn || development.Open || options.Value.BehindProxy) return;
        var urls = configuration["urls"]?.Split(';', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries) ?? [];
        foreach (var url in urls.Concat(configuration.GetSection("Kestrel:Endpoints").GetChildren().Select(static endpoint => endpoint["Url"]).OfType<string>()))
        {
            // A wildcard is no public address yet: each request is looked at.
            if (IPAddress.TryParse(BindingAddress.Parse(url).Host.Trim('[', ']'), out var address) && !IsAny(address) && !IsPrivate(address))
            {
                throw new StartRefusedException($"Workers that speak by forms have no tokens, so the hub does not listen for them on the public address {url}. "
                    + "Listen on a private address, set JobHub__Farm__WorkerProtocol=Off, or put a proxy with authentication in front of /workers and set JobHub__Farm__BehindProxy=true.");
            }
        }
    }

    /// <summary>Why a request without a token is not let in; null when it is.</summary>
    public Problem? Objection(HttpContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        // A page in somebody's browser can send forms anywhere; workers have no origin.
        if (context.Request.Headers.Origin.Count > 0 || context.Request.Headers.ContainsKey("Sec-Fetch-Site")) return Refused("it comes from a page in a browser");
        if (options.Value.BehindProxy) return null;
        if (context.Connection.RemoteIpAddress is { } remote && !IsPrivate(remote)) return Refused("it comes from a public address");
        // Whom a proxy speaks for is not seen here, and only its owner can say that it asks.
        return ProxyHeaders.Any(context.Request.Headers.ContainsKey) ? Refused("it comes through a proxy (JobHub:Farm:BehindProxy says that the proxy authenticates)") : null;
    }

    /// <summary>Loopback, or of a network that is not routed publicly.</summary>
    internal static bool IsPrivate(IPAddress address)
    {
        var plain = address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address;
        return Array.Exists(Private, network => network.Contains(plain));
    }

    private static bool IsAny(IPAddress address) => address.Equals(IPAddress.Any) || address.Equals(IPAddress.IPv6Any);

    private static Problem Refused(string why) => new(403, "worker-address-refused", $"Requests of workers without a token are taken from private addresses only: {why}.");
}
