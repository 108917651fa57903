using System.Net;
using JobHub.ServiceDefaults;
using JobHub.Web.Client;
using JobHub.Web.SignIn;
using Microsoft.AspNetCore.Antiforgery;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Http.Metadata;

namespace JobHub.Web.Transfers;

/// <summary>
/// <c>/transfer/…</c>: uploads and downloads of pages, streamed both ways between the browser and <c>/hub/v1/…</c> as the visitor. What writes shows the antiforgery token as a header, which
/// pages of other origins cannot; answers are files and never pages of the dashboard.
/// </summary>
public static class Transfers
{
    public const string Path = "/transfer";

    // Whatever is opened from here by itself runs nothing and fetches nothing.
    private const string Policy = "sandbox; default-src 'none'; style-src 'unsafe-inline'";

    private static readonly string[] Asked = ["Range", "If-Range", "If-None-Match", "Accept"];
    private static readonly string[] Answered = ["Accept-Ranges", "Cache-Control", "Content-Disposition", "Content-Length", "Content-Range", "Content-Type", "ETag", "Last-Modified", "Retry-After", "X-Request-Id", "JobHub-Log-Size", "JobHub-Log-Gaps"];

    /// <summary>Maps the routes. Who calls is the Api's to judge; without a session it says so.</summary>
    public static void MapTransfers(this WebApplication app)
    {
        app.MapGet(Path + "/token", Token).AllowAnonymous();
        app.MapMethods(Path + "/{**path}", ["GET", "HEAD", "PUT", "POST"], ForwardAsync).AllowAnonymous().WithMetadata(NoLimit.Instance);
    }

    /// <summary>The token that uploads show. Only pages of ours can read the answer.</summary>
    private static IResult Token(HttpContext context, IAntiforgery antiforgery)
    {
        if (IsForeign(context.Request)) return Results.StatusCode(StatusCodes.Status403Forbidden);
        var tokens = antiforgery.GetAndStoreTokens(context);
        context.Response.Headers.CacheControl = "no-store";
        return Results.Json(new { header = tokens.HeaderName, token = tokens.RequestToken });
    }

    private static async Task ForwardAsync(HttpContext context, HubHttp hub, IAntiforgery antiforgery)
    {
        var (request, response) = (context.Request, context.Response);
        response.Headers.ContentSecurityPolicy = Policy;
        var target = RawTarget(context);
        var query = target.IndexOf('?', StringComparison.Ordinal) is >= 0 and var at ? target[at..] : "";
        var path = target[..^query.Length][Path.Length..];
        if (!TransferRoutes.Allows(request.Method, path))
        {
            await new Problem(404, "transfer-unknown", "Nothing is sent or fetched here.").WriteAsync(context);
            return;
        }

        var reads = HttpMethods.IsGet(request.Method) || HttpMethods.IsHead(request.Method);
        if (IsForeign(request) || (!reads && (request.Headers["RequestVerificationToken"].Count != 1 || !await antiforgery.IsRequestValidAsync(context))))
        {
            await new Problem(400, "form-stale", "This page is too old to send anything, or not the dashboard's. Load it again and repeat; nothing was done.").WriteAsync(context);
            return;
        }

        using var asked = new HttpRequestMessage(new HttpMethod(request.Method), "/hub/v1" + path + query);
        foreach (var name in Asked)
        {
            if (request.Headers[name] is [{ } value]) asked.Headers.TryAddWithoutValidation(name, value);
        }

        if (!reads)
        {
            asked.Content = new StreamContent(request.Body);
            asked.Content.Headers.TryAddWithoutValidation("Content-Type", request.ContentType ?? "application/octet-stream");
            if (request.ContentLength is { } length) asked.Content.Headers.ContentLength = length;
            // What the Api refuses anyway is not sent to it first.
            asked.Headers.ExpectContinue = true;
        }

        try
        {
            using var answer = await hub.Client.SendAsync(asked, HttpCompletionOption.ResponseHeadersRead, context.RequestAborted);
            await AnswerAsync(answer, context);
        }
        catch (SessionEndedException) when (!reads)
        {
            await new Problem(401, "session-ended", "You are not signed in any more. Sign in on another tab and send it again.").WriteAsync(context);
        }
        catch (Exception fault) when (fault is HttpRequestException or IOException && !response.HasStarted && !context.RequestAborted.IsCancellationRequested)
        {
            await new Problem(503, "api-away", "The hub does not answer now. Send it again in a moment.").WriteAsync(context);
        }
        catch (Exception fault) when (fault is OperationCanceledException or HttpRequestException or IOException)
        {
            // Whoever waited has gone, or half of the answer is out: the connection's end says the rest.
            context.Abort();
        }
    }

    private static async Task AnswerAsync(HttpResponseMessage answer, HttpContext context)
    {
        var response = context.Response;
        response.StatusCode = (int)answer.StatusCode;
        foreach (var name in Answered)
        {
            if (answer.Headers.TryGetValues(name, out var values) || answer.Content.Headers.TryGetValues(name, out values)) response.Headers[name] = values.ToArray();
        }

        if (HttpMethods.IsHead(context.Request.Method) || answer.StatusCode is HttpStatusCode.NotModified or HttpStatusCode.NoContent) return;
        context.Features.Get<IHttpResponseBodyFeature>()?.DisableBuffering();
        await using var bytes = await answer.Content.ReadAsStreamAsync(context.RequestAborted);
        await bytes.CopyToAsync(response.Body, context.RequestAborted);
    }

    // Browsers say whose page asks; what says nothing is no browser, and shows no cookie by accident.
    private static bool IsForeign(HttpRequest request) => request.Headers["Sec-Fetch-Site"] is [{ } site] && site is not ("same-origin" or "none");

    /// <summary>The address as it was sent: names may hold encoded slashes, which decoding would make separators.</summary>
    private static string RawTarget(HttpContext context)
    {
        var target = context.Features.Get<IHttpRequestFeature>()?.RawTarget ?? "";
        // Dots that lead out of the list would be resolved on the way; the list has no use for them.
        return target.StartsWith(Path + "/", StringComparison.Ordinal) && !target.Contains("/.", StringComparison.Ordinal) && !target.Contains("/%2e", StringComparison.OrdinalIgnoreCase) ? target : Path + "/";
    }

    private sealed class NoLimit : IRequestSizeLimitMetadata
    {
        public static NoLimit Instance { get; } = new();

        // The Api has its own, and refuses what is over it.
        public long? MaxRequestBodySize => null;
    }
}
