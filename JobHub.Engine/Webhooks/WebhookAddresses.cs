using JobHub.Engine.Storage;
using Microsoft.Extensions.Options;

namespace JobHub.Engine.Webhooks;

/// <summary>The rules for addresses of receivers: they are a caller's, and therefore hostile.</summary>
public sealed class WebhookAddresses : IDisposable
{
    private const string Setting = WebhookOptions.Section + ":AllowedEndpoints";
    private const int LongestUrl = 2048;

    private readonly StorageEndpoint[] listed;

    public WebhookAddresses(IOptions<WebhookOptions> options)
    {
        ArgumentNullException.ThrowIfNull(options);
        listed = [.. options.Value.AllowedEndpoints.Select(text => StorageEndpoint.TryParse(text, "http")).OfType<StorageEndpoint>()];
        Handler = GuardedHttp.Create(listed, Setting);
        // What a receiver says does not matter, only that it says yes.
        Handler.MaxResponseHeadersLength = 16;
        Handler.MaxResponseDrainSize = 1024;
    }

    /// <summary>Checks an address at each connection. Its clients follow no redirect.</summary>
    public SocketsHttpHandler Handler { get; }

    /// <summary>Whether an address may be a webhook's now. A name that is not found may be: it is resolved again at each delivery.</summary>
    /// <returns>What is wrong with it, or null.</returns>
    public async Task<string?> ObjectionAsync(string? text, CancellationToken ct)
    {
        if (string.IsNullOrWhiteSpace(text)) return "'url' is missing: where the messages are sent, http(s)://host[:port]/path.";
        if (text.Length > LongestUrl || text.Any(static c => c is <= ' ' or > '~' or '\\')) return $"'url' has at most {LongestUrl} characters, all of them ASCII (others as %XX or xn--), no blanks or backslashes.";
        if (!Uri.TryCreate(text, UriKind.Absolute, out var uri) || uri.Scheme is not ("http" or "https") || uri.Host.Length == 0) return "'url' is not an http(s) address with a host.";
        if (Authority(text).Contains('%', StringComparison.Ordinal)) return "'url' has an escaped host.";
        if (uri.UserInfo.Length > 0 || Authority(text).Contains('@', StringComparison.Ordinal)) return "'url' holds a user or a password; receivers know the hub by its signature.";
        if (uri.Fragment.Length > 0) return "'url' has a fragment ('#...'), which is never sent.";
        if (uri.Port is < 1 or > 65535) return "'url' has a port that cannot be.";
        return await GuardedHttp.ObjectionAsync(uri.IdnHost, uri.Port, listed, Setting, ct) is { } denied ? $"'url' cannot be used: {denied}" : null;
    }

    /// <inheritdoc />
    public void Dispose() => Handler.Dispose();

    private static string Authority(string text)
    {
        var start = text.IndexOf("://", StringComparison.Ordinal) + 3;
        var end = text.AsSpan(start).IndexOfAny('/', '?', '#');
        return end < 0 ? text[start..] : text.Substring(start, end);
    }
}
