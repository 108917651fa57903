using JobHub.Engine.Jobs;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Routing.Patterns;

namespace JobHub.Api.Http;

/// <summary>Route values as the caller wrote them: text, decoded once. <c>%2F</c> is a character of a value and never a separator.</summary>
public static class RouteText
{
    /// <summary>The value of a one-segment parameter.</summary>
    public static string Of(HttpContext context, string name)
    {
        ArgumentNullException.ThrowIfNull(context);
        var value = context.Request.RouteValues[name] as string ?? "";
        // The server decodes all but %2F, so that text may stand for "%2F" or for "%252F". The request line knows which.
        if (!value.Contains("%2F", StringComparison.OrdinalIgnoreCase)) return value;
        var target = context.Features.Get<IHttpRequestFeature>()?.RawTarget ?? "";
        var path = target.AsSpan();
        if (path.IndexOf('?') is >= 0 and var query) path = path[..query];
        var position = Position(context, name);
        foreach (var range in path.TrimStart('/').Split('/'))
        {
            if (position-- == 0) return Uri.UnescapeDataString(path.TrimStart('/')[range]);
        }

        return value;
    }

    /// <summary>A job's id; null when the text cannot be one (404, never an empty 400).</summary>
    public static JobId? JobOf(HttpContext context) => JobId.TryRead(Of(context, "id"));

    private static int Position(HttpContext context, string name)
    {
        if (context.GetEndpoint() is not RouteEndpoint endpoint) return -1;
        var segments = endpoint.RoutePattern.PathSegments;
        for (var index = 0; index < segments.Count; index++)
        {
            if (segments[index].Parts is [RoutePatternParameterPart part] && string.Equals(part.Name, name, StringComparison.OrdinalIgnoreCase)) return index;
        }

        return -1;
    }
}
