namespace JobHub.Api.Http.Access;

/// <summary>Who may call a route.</summary>
public enum RoutePolicy
{
    /// <summary>Anybody who reaches the port: probes and the API's description.</summary>
    Public,
    /// <summary>An admin; in development anybody on this machine.</summary>
    Family,
    /// <summary>A worker or an admin, in development too.</summary>
    Agents,
    /// <summary>Workers that speak by forms and have no token: in development as a family's route, elsewhere by <see cref="FormWorkerRule"/>.</summary>
    FarmWorkers,
    /// <summary>Viewers, members and admins: always with a token, in development too. What they may do there is each project's matter.</summary>
    Projects,
}

/// <summary>The one table of routes and who may call them. A route that no line covers keeps the host from starting.</summary>
public static class RoutePolicies
{
    /// <summary>First segments of a route's pattern, and its policy. The longest line that fits holds.</summary>
    public static IReadOnlyList<(string Prefix, RoutePolicy Policy)> Table { get; } =
    [
        ("/health", RoutePolicy.Public),
        ("/alive", RoutePolicy.Public),
        ("/openapi", RoutePolicy.Public),
        ("/api/v1", RoutePolicy.Family),
        ("/jobs", RoutePolicy.Family),
        ("/submission", RoutePolicy.Family),
        ("/status", RoutePolicy.Family),
        ("/files", RoutePolicy.Family),
        ("/api/jobs", RoutePolicy.Family),
        ("/api/resetjobs", RoutePolicy.Family),
        ("/api/reseterrorjobs", RoutePolicy.Family),
        ("/api/startjobs", RoutePolicy.Family),
        ("/api/pausejobs", RoutePolicy.Family),
        ("/api/workers", RoutePolicy.Family),
        ("/api/stopworkers", RoutePolicy.Family),
        ("/api/startworkers", RoutePolicy.Family),
        ("/api/terminateworkers", RoutePolicy.Family),
        ("/api/events", RoutePolicy.Family),
        ("/api/affinities", RoutePolicy.Family),
        ("/json", RoutePolicy.Family),
        ("/xmlrpc", RoutePolicy.Family),
        ("/workers", RoutePolicy.FarmWorkers),
        ("/projects", RoutePolicy.Projects),
        ("/hub/v1", RoutePolicy.Family),
        ("/agent/v1", RoutePolicy.Agents),
    ];

    /// <summary>The policy of a route's pattern, or null when no line covers it.</summary>
    public static RoutePolicy? Of(string? pattern)
    {
        var path = "/" + (pattern ?? "").Trim('/');
        RoutePolicy? policy = null;
        var longest = -1;
        foreach (var (prefix, candidate) in Table)
        {
            var covers = path.StartsWith(prefix, StringComparison.OrdinalIgnoreCase) && (path.Length == prefix.Length || path[prefix.Length] == '/');
            if (covers && prefix.Length > longest) (policy, longest) = (candidate, prefix.Length);
        }

        return policy;
    }

    /// <summary>Whether a role may pass.</summary>
    public static bool Allows(RoutePolicy policy, CallerRole role) => (policy, role) switch
    {
        (RoutePolicy.Public, _) => true,
        (_, CallerRole.Admin) => true,
        (RoutePolicy.Family or RoutePolicy.FarmWorkers, CallerRole.Developer) => true,
        (RoutePolicy.Agents, CallerRole.Worker) => true,
        (RoutePolicy.Projects, CallerRole.Viewer or CallerRole.Member) => true,
        _ => false,
    };

    /// <summary>Every route has a policy, or the host does not start.</summary>
    public static void Check(IEnumerable<EndpointDataSource> sources)
    {
        ArgumentNullException.ThrowIfNull(sources);
        foreach (var endpoint in sources.SelectMany(static source => source.Endpoints).OfType<RouteEndpoint>())
        {
            if (Of(endpoint.RoutePattern.RawText) is null) throw new StartRefusedException($"The route {endpoint.RoutePattern.RawText} has no line in RoutePolicies.");
        }
    }
}
