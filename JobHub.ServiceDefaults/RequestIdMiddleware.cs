using System.Buffers;
using System.Diagnostics;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace JobHub.ServiceDefaults;

/// <summary>Takes the caller's <c>X-Request-Id</c> or makes one; it is in the answer, in problem bodies and in the scope of every log line.</summary>
public sealed class RequestIdMiddleware(RequestDelegate next, ILogger<RequestIdMiddleware> logger)
{
    public const string Header = "X-Request-Id";

    // A caller's text goes into logs and headers: only what can do no harm in either.
    private static readonly SearchValues<char> Allowed =
        SearchValues.Create("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.:~+=/");

    public async Task InvokeAsync(HttpContext context)
    {
        var given = context.Request.Headers[Header].ToString();
        var id = given is { Length: > 0 and <= 128 } && !given.AsSpan().ContainsAnyExcept(Allowed) ? given : Made();
        context.TraceIdentifier = id;
        context.Response.Headers[Header] = id;
        // No browser may guess what an answer of this host is.
        context.Response.Headers.XContentTypeOptions = "nosniff";
        using (logger.BeginScope(new KeyValuePair<string, object>(Header, id)))
        {
            await next(context);
        }
    }

    private static string Made() => Activity.Current is { } activity ? activity.TraceId.ToHexString() : Guid.CreateVersion7().ToString("N");
}
