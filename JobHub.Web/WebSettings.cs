namespace JobHub.Web;

/// <summary>JobHub:Web.</summary>
public sealed class WebSettings
{
    /// <summary>File with the token with which the dashboard reads the hub; read at each call, so that it can be renewed.</summary>
    public string? TokenFile { get; init; }
}
