using JobHub.ServiceDefaults;
using Microsoft.Net.Http.Headers;

namespace JobHub.Api.Http.Access;

/// <summary>Lets a request in or refuses it, by <see cref="RoutePolicies"/>. Runs after routing and before anything reads the body.</summary>
public sealed class AccessMiddleware(RequestDelegate next, CallerReader callers, DevelopmentRule development, FormWorkerRule formWorkers)
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

    public async Task InvokeAsync(HttpContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        var (problem, caller) = await DecideAsync(context);
        if (problem is not null)
        {
            await problem.WriteAsync(context);
            return;
        }

        context.Features.Set(caller);
        await next(context);
    }

    private async ValueTask<(Problem? Problem, Caller Caller)> DecideAsync(HttpContext context)
    {
        // Paths without a route, and wrong methods, are told apart by the router; they reach nothing.
        var pattern = (context.GetEndpoint() as RouteEndpoint)?.RoutePattern.RawText;
        var policy = context.GetEndpoint() is RouteEndpoint ? RoutePolicies.Of(pattern) : RoutePolicy.Public;
        // Whoever calls: no database is asked, so that a probe is answered without one.
        if (policy is RoutePolicy.Public) return (null, Caller.Anonymous);
        var (check, caller) = await callers.ReadAsync(context);
        if (check == TokenCheck.Unknown) return (TokenUnknown, Caller.Anonymous);
        if (caller is not null) return (policy is { } known && RoutePolicies.Allows(known, caller.Role, RoutePolicies.Writes(context.Request.Method, pattern)) ? null : RoleRefused, caller);
        if (policy is RoutePolicy.FarmWorkers && !development.Open) return (formWorkers.Objection(context), Caller.Anonymous);
        if (policy is not (RoutePolicy.Family or RoutePolicy.Shared or RoutePolicy.Operators or RoutePolicy.FarmWorkers) || !development.Open) return (TokenRequired, Caller.Anonymous);
        return (development.Objection(context) is { } objection
            ? new Problem(403, "cross-site-request", $"A request without a token is taken from this machine's own programs only: {objection}.") : null, Caller.Anonymous);
    }
}
