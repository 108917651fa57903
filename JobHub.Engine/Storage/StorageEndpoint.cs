namespace JobHub.Engine.Storage;

/// <summary>Where an S3 server listens, in one spelling: lower-case host (numeric forms of an address made plain), explicit port.</summary>
public sealed record StorageEndpoint(string Scheme, string Host, int Port)
{
    /// <summary>Reads <c>[scheme://]host[:port]</c>; null when it is anything more or less than that.</summary>
    public static StorageEndpoint? TryParse(string text, string defaultScheme)
    {
        var scheme = defaultScheme;
        var at = text.IndexOf("://", StringComparison.Ordinal);
        if (at >= 0)
        {
            scheme = text[..at].ToLowerInvariant();
            text = text[(at + 3)..];
        }

        if (scheme is not ("http" or "https") || text.Length is 0 or > 300) return null;
        foreach (var c in text)
        {
            // '@' would be credentials; '%' a scope or an escaped host; none belongs into an endpoint.
            if (char.IsControl(c) || char.IsWhiteSpace(c) || c is '@' or '\\' or '/' or '?' or '#' or '%') return null;
        }

        if (!Uri.TryCreate($"{scheme}://{text}/", UriKind.Absolute, out var uri) || uri.UserInfo.Length > 0 || uri.Port is < 1 or > 65535) return null;
        var host = uri.IdnHost.TrimEnd('.').ToLowerInvariant();
        return host.Length == 0 ? null : new StorageEndpoint(scheme, host, uri.Port);
    }

    /// <summary>As it stands in a URL; the scheme's own port is left out.</summary>
    public override string ToString()
    {
        var host = Host.Contains(':') ? $"[{Host}]" : Host;
        return Port == (Scheme == "https" ? 443 : 80) ? $"{Scheme}://{host}" : $"{Scheme}://{host}:{Port}";
    }
}
