namespace JobHub.Api.Http.Access;

/// <summary>What a caller may do, from least to most; it is already what the scopes of his token leave of his role.</summary>
public enum CallerRole
{
    /// <summary>Runs tasks: the agents' routes and nothing else.</summary>
    Worker,
    /// <summary>Reads what his projects and public ones hold.</summary>
    Viewer,
    /// <summary>Submits and changes in his projects.</summary>
    Member,
    /// <summary>No token, under the development rule: none of the routes and projects that always want one.</summary>
    Developer,
    Admin,
}

/// <summary>Who sent a request. <paramref name="Name"/> is stable: idempotency keys and audit lean on it.</summary>
public sealed record Caller(string Name, CallerRole Role)
{
    public static Caller Anonymous { get; } = new("anonymous", CallerRole.Developer);

    /// <summary>His account; null for the tokens of files and for the development rule.</summary>
    public long? Account { get; init; }

    /// <summary>The access token he showed, when it is one of the hub's.</summary>
    public Guid? Token { get; init; }

    /// <summary>The one project that his token is for; null = all of his.</summary>
    public string? Project { get; init; }

    /// <summary>Not held to projects: all of them are his.</summary>
    public bool SeesAll => Role is CallerRole.Admin && Project is null;

    /// <summary>Without a token, under the development rule: every project is his that nobody made, for what belongs to those that were made always wants one.</summary>
    public bool IsDeveloper => Role is CallerRole.Developer;

    /// <summary>The caller of a request that was let in.</summary>
    public static Caller Of(HttpContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        return context.Features.Get<Caller>() ?? throw new InvalidOperationException("The route was reached without passing AccessMiddleware.");
    }
}
