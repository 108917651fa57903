using JobHub.ServiceDefaults;
using Microsoft.Net.Http.Headers;

namespace JobHub.Api.Http.Access;

/// <summary>Lets a request in or refuses it, by <see cref="RoutePolicies"/>. Runs after routing and before anything reads the body.</summary>
public sealed class AccessMiddleware(RequestDelegate next, BearerTokens tokens, DevelopmentRule development, FormWorkerRule formWorkers)
{
    private static readonly Problem TokenRequired = new(401, "token-required", "Send a bearer token: Authorization: Bearer <token>.", HeaderNames.Authorization)
    {
        Headers = new Dictionary<string, string> { [HeaderNames.WWWAuthenticate] = "Bearer realm=\"jobhub\"" },
    };

    private static readonly Problem TokenUnknown = new(401, "token-unknown", "The bearer token is not valid here, or not any more.", HeaderNames.Authorization)
    {
        Headers = new Dictionary<string, string> { [HeaderNames.WWWAuthenticate] = "Bearer realm=\"jobhub\", error=\"invalid_token\"" },
    };

    private static readonly Problem RoleRefused = new(403, "role-not-allowed", "This token's role may not call this route.", HeaderNames.Authorization);

    public Task InvokeAsync(HttpContext context)
    {
        // Paths without a route, and wrong methods, are told apart by the router; they reach nothing.
        var policy = context.GetEndpoint() is RouteEndpoint endpoint ? RoutePolicies.Of(endpoint.RoutePattern.RawText) : RoutePolicy.Public;
        var (check, caller) = tokens.Read(context.Request);
        if (policy is RoutePolicy.Public) return PassAsync(context, caller ?? Caller.Anonymous);
        if (check == TokenCheck.Unknown) return TokenUnknown.WriteAsync(context);
        if (caller is null)
        {
            if (policy is RoutePolicy.FarmWorkers && !development.Open)
            {
                return formWorkers.Objection(context) is { } refusal ? refusal.WriteAsync(context) : PassAsync(context, Caller.Anonymous);
            }

            if (policy is not (RoutePolicy.Family or RoutePolicy.FarmWorkers) || !development.Open) return TokenRequired.WriteAsync(context);
            if (development.Objection(context) is { } objection)
            {
                return new Problem(403, "cross-site-request", $"A request without a token is taken from this machine's own programs only: {objection}.").WriteAsync(context);
            }

            caller = Caller.Anonymous;
        }

        return policy is { } known && RoutePolicies.Allows(known, caller.Role) ? PassAsync(context, caller) : RoleRefused.WriteAsync(context);
    }

    private Task PassAsync(HttpContext context, Caller caller)
    {
        context.Features.Set(caller);
        return next(context);
    }
}
