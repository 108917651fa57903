using System.Buffers.Binary;
using System.Globalization;
using System.Net;
using System.Runtime.InteropServices;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Http;

namespace JobHub.ServiceDefaults;

/// <summary>
/// Which user of this machine is at the other end of a loopback connection. Commands share the machine's network: without asking, what runs as a program user would be the
/// developer to whoever trusts everything that comes from 127.0.0.1.
/// </summary>
public static partial class PeerUser
{
    private const int Root = 0, FirstLogin = 1000, Nobody = 65534;
    private static readonly object Key = new();

    /// <summary>
    /// Whether the caller is whoever runs this process, root, or (where this process is root) a login user: not a system's user and not nobody, whom programs run as.
    /// False also when it cannot be found out.
    /// </summary>
    public static bool IsTrusted(HttpContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        var items = context.Features.Get<IConnectionItemsFeature>()?.Items;
        if (items is not null && items.TryGetValue(Key, out var known)) return (bool)known!;
        var trusted = Find(context.Connection) is { } user && IsTrusted(user, (int)geteuid());
        if (items is not null) items[Key] = trusted;
        return trusted;
    }

    internal static bool IsTrusted(long user, int own) => user == own || user == Root || (own == Root && user is >= FirstLogin and < Nobody);

    private static long? Find(ConnectionInfo connection)
    {
        // No address: a socket in the file system, whose own rights say who may use it.
        if (connection.RemoteIpAddress is not { } remote || connection.LocalIpAddress is not { } local) return geteuid();
        if (!OperatingSystem.IsLinux()) return null;
        return Ask(remote, connection.RemotePort, local, connection.LocalPort) ?? Search(remote, connection.RemotePort, local, connection.LocalPort);
    }

    /// <summary>One question to the kernel about exactly this connection, seen from its other end (sock_diag(7)).</summary>
    private static unsafe long? Ask(IPAddress from, int fromPort, IPAddress to, int toPort)
    {
        const int netlink = 16, raw = 3, closeOnExec = 0x80000, sockDiag = 4, byFamily = 20, request = 1, inet = 2, inet6 = 10, tcp = 6;
        var fd = socket(netlink, raw | closeOnExec, sockDiag);
        if (fd < 0) return null;
        try
        {
            Span<byte> message = stackalloc byte[72];
            Span<byte> answer = stackalloc byte[1024];
            // A client may speak IPv4 through a socket of IPv6.
            foreach (var family in from.MapToIPv6().IsIPv4MappedToIPv6 ? new[] { inet, inet6 } : [inet6])
            {
                message.Clear();
                BitConverter.TryWriteBytes(message, message.Length);
                BitConverter.TryWriteBytes(message[4..], (ushort)byFamily);
                BitConverter.TryWriteBytes(message[6..], (ushort)request);
                message[16] = (byte)family;
                message[17] = tcp;
                message[20..24].Fill(0xff);
                BinaryPrimitives.WriteUInt16BigEndian(message[24..], (ushort)fromPort);
                BinaryPrimitives.WriteUInt16BigEndian(message[26..], (ushort)toPort);
                (family == inet ? from.MapToIPv4() : from.MapToIPv6()).TryWriteBytes(message[28..], out _);
                (family == inet ? to.MapToIPv4() : to.MapToIPv6()).TryWriteBytes(message[44..], out _);
                message[64..72].Fill(0xff);
                nint got;
                fixed (byte* ask = message, take = answer) got = send(fd, ask, message.Length, 0) == message.Length ? recv(fd, take, answer.Length, 0) : -1;
                // A socket without an inode is nobody's any more, and its user reads as root.
                if (got >= 88 && BitConverter.ToUInt16(answer[4..]) == byFamily && BitConverter.ToUInt32(answer[84..]) != 0) return BitConverter.ToUInt32(answer[80..]);
            }

            return null;
        }
        finally
        {
            _ = close(fd);
        }
    }

    /// <summary>The same by reading the tables, where the kernel does not answer questions.</summary>
    private static long? Search(IPAddress from, int fromPort, IPAddress to, int toPort)
    {
        foreach (var table in (string[])["/proc/net/tcp", "/proc/net/tcp6"])
        {
            if (!File.Exists(table)) continue;
            var (source, target) = (Hex(table.EndsWith('6') ? from.MapToIPv6() : from, fromPort), Hex(table.EndsWith('6') ? to.MapToIPv6() : to, toPort));
            foreach (var line in File.ReadLines(table))
            {
                var parts = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
                if (parts.Length > 9 && parts[1] == source && parts[2] == target && parts[9] != "0" && long.TryParse(parts[7], NumberStyles.None, CultureInfo.InvariantCulture, out var user)) return user;
            }
        }

        return null;

        static string Hex(IPAddress address, int port)
        {
            var bytes = address.GetAddressBytes();
            for (var at = 0; at < bytes.Length; at += 4) bytes.AsSpan(at, 4).Reverse();
            return string.Create(CultureInfo.InvariantCulture, $"{Convert.ToHexString(bytes)}:{port:X4}");
        }
    }

    [LibraryImport("libc")] private static partial uint geteuid();

    [LibraryImport("libc")] private static partial int socket(int domain, int type, int protocol);

    [LibraryImport("libc")] private static unsafe partial nint send(int fd, byte* buffer, nint length, int flags);

    [LibraryImport("libc")] private static unsafe partial nint recv(int fd, byte* buffer, nint length, int flags);

    [LibraryImport("libc")] private static partial int close(int fd);
}
