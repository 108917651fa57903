namespace JobHub.Api.Http;

/// <summary>Where a request comes from, as text.</summary>
public static class CallerAddress
{
    /// <summary>The address of the other end, an IPv4 one as such; empty where there is none.</summary>
    public static string Of(HttpContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        var address = context.Connection.RemoteIpAddress;
        return (address is { IsIPv4MappedToIPv6: true } ? address.MapToIPv4() : address)?.ToString() ?? "";
    }
}
