namespace JobHub.Api.Http.Access;

/// <summary>Who may call a route.</summary>
public enum RoutePolicy
{
    /// <summary>Anybody who reaches the port: probes, the API's description, sign-in.</summary>
    Public,
    /// <summary>Members, within their projects; viewers may read there. In development anybody on this machine.</summary>
    Family,
    /// <summary>What the hub has once and not a project: members and viewers read it, admins change it. In development anybody on this machine.</summary>
    Shared,
    /// <summary>Admins; in development anybody on this machine.</summary>
    Operators,
    /// <summary>As <see cref="Family"/>, but in development a token is wanted too.</summary>
    Projects,
    /// <summary>Whoever shows a token of an account: about himself and his tokens. Worker tokens do not.</summary>
    Account,
    /// <summary>Admins, in development too.</summary>
    Admin,
    /// <summary>A worker or an admin, in development too.</summary>
    Agents,
    /// <summary>Workers that speak by forms and have no token: in development as a family's route, elsewhere by <see cref="FormWorkerRule"/>.</summary>
    FarmWorkers,
}

/// <summary>How a route says which project it is about: what <see cref="ProjectGate"/> looks at.</summary>
public enum ProjectSource
{
    /// <summary>It is about none, or its handler asks.</summary>
    None,
    /// <summary><c>?project=</c>, else the token's project, else <c>default</c>.</summary>
    Query,
    /// <summary>The job <c>{id}</c> of the address, by its uuid; without one as <see cref="Query"/> where it writes, and a list that shows what the caller may read where it does not.</summary>
    Job,
    /// <summary>The same by a tree's number. What a body names is looked at by the handler.</summary>
    TreeJob,
}

/// <summary>The one table of routes and who may call them. A route that no line covers keeps the host from starting.</summary>
public static class RoutePolicies
{
    /// <summary>First segments of a route's pattern, its policy and its project. The longest line that fits holds.</summary>
    public static IReadOnlyList<(string Prefix, RoutePolicy Policy, ProjectSource Project)> Table { get; } =
    [
        ("/health", RoutePolicy.Public, ProjectSource.None),
        ("/alive", RoutePolicy.Public, ProjectSource.None),
        ("/openapi", RoutePolicy.Public, ProjectSource.None),
        ("/api/v1/jobs", RoutePolicy.Family, ProjectSource.Job),
        // Programs are the hub's: every member may use one and upload one.
        ("/api/v1/artifacts", RoutePolicy.Family, ProjectSource.None),
        ("/jobs", RoutePolicy.Family, ProjectSource.Query),
        ("/submission", RoutePolicy.Family, ProjectSource.Query),
        ("/status", RoutePolicy.Family, ProjectSource.Query),
        ("/files", RoutePolicy.Family, ProjectSource.Query),
        ("/api/jobs", RoutePolicy.Family, ProjectSource.TreeJob),
        ("/api/resetjobs", RoutePolicy.Family, ProjectSource.None),
        ("/api/reseterrorjobs", RoutePolicy.Family, ProjectSource.None),
        ("/api/startjobs", RoutePolicy.Family, ProjectSource.None),
        ("/api/pausejobs", RoutePolicy.Family, ProjectSource.None),
        ("/json/getjobs", RoutePolicy.Family, ProjectSource.None),
        ("/json/clearjobs", RoutePolicy.Family, ProjectSource.None),
        ("/json/addjob", RoutePolicy.Family, ProjectSource.Query),
        ("/xmlrpc/addjob", RoutePolicy.Family, ProjectSource.Query),
        ("/api/events", RoutePolicy.Family, ProjectSource.None),
        ("/api/workers", RoutePolicy.Shared, ProjectSource.None),
        ("/api/stopworkers", RoutePolicy.Shared, ProjectSource.None),
        ("/api/startworkers", RoutePolicy.Shared, ProjectSource.None),
        ("/api/terminateworkers", RoutePolicy.Shared, ProjectSource.None),
        ("/api/affinities", RoutePolicy.Shared, ProjectSource.None),
        ("/workers", RoutePolicy.FarmWorkers, ProjectSource.None),
        ("/projects", RoutePolicy.Projects, ProjectSource.None),
        ("/hub/v1/jobs", RoutePolicy.Family, ProjectSource.Job),
        ("/hub/v1/jobs.csv", RoutePolicy.Family, ProjectSource.None),
        ("/hub/v1/waiting", RoutePolicy.Family, ProjectSource.None),
        ("/hub/v1/trees", RoutePolicy.Family, ProjectSource.None),
        ("/hub/v1/trees/affinities", RoutePolicy.Shared, ProjectSource.None),
        ("/hub/v1/bulk", RoutePolicy.Family, ProjectSource.None),
        ("/hub/v1/submit", RoutePolicy.Family, ProjectSource.Query),
        ("/hub/v1/events", RoutePolicy.Family, ProjectSource.None),
        ("/hub/v1/artifacts", RoutePolicy.Family, ProjectSource.None),
        ("/hub/v1/files", RoutePolicy.Family, ProjectSource.Query),
        ("/hub/v1/projects", RoutePolicy.Projects, ProjectSource.None),
        ("/hub/v1/settings", RoutePolicy.Shared, ProjectSource.None),
        ("/hub/v1/overview", RoutePolicy.Family, ProjectSource.None),
        ("/hub/v1/workers", RoutePolicy.Shared, ProjectSource.None),
        ("/hub/v1/webhooks", RoutePolicy.Operators, ProjectSource.None),
        ("/hub/v1/sign-in", RoutePolicy.Public, ProjectSource.None),
        ("/hub/v1/sign-out", RoutePolicy.Account, ProjectSource.None),
        ("/hub/v1/me", RoutePolicy.Account, ProjectSource.None),
        ("/hub/v1/tokens", RoutePolicy.Account, ProjectSource.None),
        ("/hub/v1/users", RoutePolicy.Admin, ProjectSource.None),
        ("/hub/v1/audit", RoutePolicy.Admin, ProjectSource.None),
        ("/agent/v1", RoutePolicy.Agents, ProjectSource.None),
    ];

    // What the older command line calls changes things by GET.
    private static readonly string[] WritingGets = ["/json/addjob", "/json/clearjobs", "/xmlrpc/addjob"];

    /// <summary>The policy of a route's pattern, or null when no line covers it.</summary>
    public static RoutePolicy? Of(string? pattern) => LineOf(pattern)?.Policy;

    /// <summary>How a route says which project it is about.</summary>
    public static ProjectSource ProjectOf(string? pattern) => LineOf(pattern)?.Project ?? ProjectSource.None;

    /// <summary>Whether a call changes something: what a viewer may not do, and what the audit keeps.</summary>
    public static bool Writes(string method, string? pattern) =>
        !(HttpMethods.IsGet(method) || HttpMethods.IsHead(method) || HttpMethods.IsOptions(method)) || WritingGets.Contains(PathOf(pattern), StringComparer.OrdinalIgnoreCase);

    /// <summary>Whether a role may pass.</summary>
    public static bool Allows(RoutePolicy policy, CallerRole role, bool writes) => (policy, role) switch
    {
        (RoutePolicy.Public, _) or (_, CallerRole.Admin) => true,
        (RoutePolicy.Family or RoutePolicy.Shared or RoutePolicy.Operators or RoutePolicy.FarmWorkers, CallerRole.Developer) => true,
        // What a viewer may do in a project its own routes say: one that he may not see is none for him.
        (RoutePolicy.Projects, CallerRole.Member or CallerRole.Viewer) or (RoutePolicy.Family, CallerRole.Member) => true,
        (RoutePolicy.Family, CallerRole.Viewer) => !writes,
        (RoutePolicy.Shared, CallerRole.Member or CallerRole.Viewer) => !writes,
        (RoutePolicy.Account, CallerRole.Member or CallerRole.Viewer) => true,
        (RoutePolicy.Agents, CallerRole.Worker) => true,
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

    private static (string Prefix, RoutePolicy Policy, ProjectSource Project)? LineOf(string? pattern)
    {
        var path = PathOf(pattern);
        (string Prefix, RoutePolicy Policy, ProjectSource Project)? found = null;
        foreach (var line in Table)
        {
            var covers = path.StartsWith(line.Prefix, StringComparison.OrdinalIgnoreCase) && (path.Length == line.Prefix.Length || path[line.Prefix.Length] == '/');
            if (covers && line.Prefix.Length > (found?.Prefix.Length ?? -1)) found = line;
        }

        return found;
    }

    private static string PathOf(string? pattern) => "/" + (pattern ?? "").Trim('/');
}
