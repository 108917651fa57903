namespace JobHub.Web;

/// <summary>The connection over which an open page is kept up to date: only pages of ours may open one.</summary>
public static class CircuitRules
{
    public const string Path = "/_blazor";

    /// <summary>A page of another origin is answered 403; browsers always say whose page asks for a web socket.</summary>
    public static void UseOwnCircuits(this WebApplication app) => app.Use(static (context, next) =>
    {
        var request = context.Request;
        if (!request.Path.StartsWithSegments(Path, StringComparison.OrdinalIgnoreCase) || request.Headers.Origin is not [{ } origin]) return next(context);
        return Uri.TryCreate(origin, UriKind.Absolute, out var from) && from.Authority.Equals(new Uri($"{from.Scheme}://{request.Host}").Authority, StringComparison.OrdinalIgnoreCase)
            ? next(context)
            : new JobHub.ServiceDefaults.Problem(403, "cross-site-request", "Only pages of this dashboard may open this connection.").WriteAsync(context);
    });
}
