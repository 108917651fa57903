namespace JobHub.Web;

/// <summary>JobHub:Web.</summary>
public sealed class WebSettings
{
    /// <summary>Development only: file with the token with which the dashboard reads the hub for whoever has not signed in; read at each call, so that it can be renewed.</summary>
    public string? TokenFile { get; init; }

    /// <summary>Folder of the keys that seal the cookies; several dashboards share it. Null: keys end with the process.</summary>
    public string? KeysFolder { get; init; }

    /// <summary>What browsers call the dashboard, e.g. https://hub.example.net. Null: what they sent as Host, with https outside of development.</summary>
    public Uri? Address { get; init; }

    /// <summary>Addresses of proxies in front of the dashboard, whose X-Forwarded-For says who the visitor is. Nobody else's is believed.</summary>
    public IList<string> TrustedProxies { get; } = [];

    /// <summary>Who else may say who a visitor is, by the name that the Api knows them by.</summary>
    public Dictionary<string, ProviderSettings> Providers { get; init; } = [];
}

/// <summary>JobHub:Web:Providers:&lt;name&gt;: an OAuth 2 server (authorization code with PKCE).</summary>
public sealed class ProviderSettings
{
    public string? DisplayName { get; init; }
    public Uri? AuthorizationEndpoint { get; init; }
    public Uri? TokenEndpoint { get; init; }
    public string ClientId { get; init; } = "";
    /// <summary>Read once, at start.</summary>
    public string ClientSecretFile { get; init; } = "";
    /// <summary>Divided by spaces.</summary>
    public string Scopes { get; init; } = "";
}
