namespace JobHub.Api.Http.Access;

/// <summary>What a caller may do.</summary>
public enum CallerRole
{
    /// <summary>No token, under the development rule.</summary>
    Developer,
    Worker,
    Admin,
}

/// <summary>Who sent a request. <paramref name="Name"/> is stable: idempotency keys and audit lean on it.</summary>
public sealed record Caller(string Name, CallerRole Role)
{
    public static Caller Anonymous { get; } = new("anonymous", CallerRole.Developer);

    /// <summary>The caller of a request that was let in.</summary>
    public static Caller Of(HttpContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        return context.Features.Get<Caller>() ?? throw new InvalidOperationException("The route was reached without passing AccessMiddleware.");
    }
}
