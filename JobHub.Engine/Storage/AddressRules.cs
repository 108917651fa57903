using System.Net;
using System.Net.Sockets;

namespace JobHub.Engine.Storage;

/// <summary>What kind of place an IP address is, for connections that a caller asks for.</summary>
public enum AddressClass
{
    Public,
    /// <summary>Loopback and private networks: only for endpoints that the configuration lists.</summary>
    Inner,
    /// <summary>Link-local, metadata services, "this network", multicast, and IPv6 forms that hide an IPv4 address: never.</summary>
    Forbidden,
}

/// <summary>Sorts addresses. Forms that carry another address inside are refused as a whole: their meaning depends on the network they meet.</summary>
public static class AddressRules
{
    private static readonly (IPNetwork Network, AddressClass Class)[] Rules =
    [
        .. Of(AddressClass.Forbidden,
            "0.0.0.0/8", "169.254.0.0/16", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
            // Metadata and platform services of clouds that are not link-local.
            "100.100.100.200/32", "168.63.129.16/32", "fd00:ec2::254/128", "fd20:ce::254/128",
            "::/128", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/32", "2001:db8::/32", "2002::/16", "fe80::/10", "ff00::/8"),
        .. Of(AddressClass.Inner, "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "198.18.0.0/15", "::1/128", "fc00::/7", "fec0::/10"),
        // The rest of ::/96, IPv4-compatible addresses.
        .. Of(AddressClass.Forbidden, "::/96"),
    ];

    /// <summary>The class of an address as it is, mapped forms included.</summary>
    public static AddressClass Classify(IPAddress address)
    {
        if (address.AddressFamily is not (AddressFamily.InterNetwork or AddressFamily.InterNetworkV6)) return AddressClass.Forbidden;
        // IPNetwork looks through this form.
        if (address.IsIPv4MappedToIPv6) return AddressClass.Forbidden;
        foreach (var (network, kind) in Rules)
        {
            if (network.BaseAddress.AddressFamily == address.AddressFamily && network.Contains(address)) return kind;
        }

        return AddressClass.Public;
    }

    private static IEnumerable<(IPNetwork Network, AddressClass Class)> Of(AddressClass kind, params string[] networks) =>
        networks.Select(network => (IPNetwork.Parse(network), kind));
}
