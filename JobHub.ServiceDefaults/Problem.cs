using System.Text.Json.Serialization;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.AspNetCore.WebUtilities;
using Microsoft.Net.Http.Headers;

namespace JobHub.ServiceDefaults;

/// <summary>A refusal or a fault as callers see it: RFC 9457 with a stable type, the field at fault and what to do.</summary>
/// <param name="Status">The HTTP status.</param>
/// <param name="Code">The stable code; the type is <c>urn:jobhub:&lt;code&gt;</c>.</param>
/// <param name="Detail">A sentence that says what is wrong and what to do. Never the text of an exception.</param>
/// <param name="Field">The field of the request at fault: a JSON member, a form part, a query value or a header.</param>
public sealed record Problem(int Status, string Code, string Detail, string? Field = null)
{
    /// <summary>The media type of every problem body.</summary>
    public const string MediaType = "application/problem+json";

    /// <summary>Headers that belong to the refusal (<c>WWW-Authenticate</c>, <c>Retry-After</c>, <c>Content-Range</c>).</summary>
    public IReadOnlyDictionary<string, string>? Headers { get; init; }

    /// <summary>The problem of a bare status, for those that the server and the router answer themselves.</summary>
    public static Problem OfStatus(int status, HttpContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        var method = context.Request.Method;
        return status switch
        {
            400 => new(status, "bad-request", "The request could not be read as HTTP for this route."),
            401 => new(status, "token-required", "Send a bearer token: Authorization: Bearer <token>."),
            403 => new(status, "forbidden", "The caller may not do this."),
            404 when context.GetEndpoint() is RouteEndpoint => new(status, "not-found", "There is nothing under this address."),
            404 => new(status, "route-not-found", "There is no such route. The routes are listed at /openapi."),
            405 => new(status, "method-not-allowed", $"{(method.Length <= 16 ? method : "This method")} is not answered here. The Allow header lists what is."),
            408 => new(status, "request-timeout", "The request's body came too slowly. Send it again."),
            411 => new(status, "length-required", "The request needs a Content-Length."),
            413 => new(status, "body-too-large", LimitSentence(context)),
            414 => new(status, "address-too-long", "The request's address is too long."),
            415 => new(status, "unsupported-media-type", MediaSentence(context), "Content-Type"),
            431 => new(status, "headers-too-large", "The request's headers are too large."),
            503 => new(status, "unavailable", "The hub cannot answer now. Try again later."),
            >= 500 => new(status, "internal-error", "The hub failed. Its log has the reason under this X-Request-Id."),
            _ => new(status, ReasonPhrases.GetReasonPhrase(status) is { Length: > 0 } reason ? reason.ToLowerInvariant().Replace(' ', '-') : "refused", "The request was refused."),
        };
    }

    /// <summary>Writes the problem as the whole answer. HEAD gets the head alone.</summary>
    public Task WriteAsync(HttpContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        var response = context.Response;
        response.StatusCode = Status;
        response.Headers.CacheControl = "no-store";
        if (Headers is not null)
        {
            foreach (var (name, value) in Headers) response.Headers[name] = value;
        }

        var body = new Body($"urn:jobhub:{Code}", ReasonPhrases.GetReasonPhrase(Status), Status, Detail, Field, context.TraceIdentifier);
        if (!HttpMethods.IsHead(context.Request.Method)) return response.WriteAsJsonAsync(body, ProblemJson.Default.Body, MediaType, context.RequestAborted);
        response.ContentType = MediaType;
        return Task.CompletedTask;
    }

    private static string LimitSentence(HttpContext context) =>
        context.Features.Get<Microsoft.AspNetCore.Http.Features.IHttpMaxRequestBodySizeFeature>()?.MaxRequestBodySize is { } limit
            ? $"The request's body is over this route's limit of {limit} bytes."
            : "The request's body is over this route's limit.";

    private static string MediaSentence(HttpContext context)
    {
        var given = context.Request.Headers[HeaderNames.ContentType].ToString();
        var accepted = context.GetEndpoint()?.Metadata.GetMetadata<Microsoft.AspNetCore.Http.Metadata.IAcceptsMetadata>()?.ContentTypes;
        return (given.Length == 0 ? "The request has no Content-Type." : "The request's Content-Type is not read here.")
            + (accepted is { Count: > 0 } ? $" Send {string.Join(" or ", accepted)}." : "");
    }

    /// <summary>The wire form of a problem.</summary>
    internal sealed record Body(string Type, string Title, int Status, string Detail, string? Field, string RequestId);
}

/// <summary>A request refused from the depth of a reader; the middleware answers its problem.</summary>
public sealed class RefusedException(Problem problem, Exception? inner = null) : Exception(problem.Detail, inner)
{
    public Problem Problem { get; } = problem;

    public RefusedException(int status, string code, string detail, string? field = null) : this(new Problem(status, code, detail, field)) { }
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(Problem.Body))]
internal sealed partial class ProblemJson : JsonSerializerContext;
