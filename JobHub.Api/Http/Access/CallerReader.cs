namespace JobHub.Api.Http.Access;

/// <summary>Whom a request's token belongs to: the files' tokens from memory, all others by their hash from the database.</summary>
public sealed class CallerReader(BearerTokens files)
{
    /// <summary>Reads the Authorization header.</summary>
    public ValueTask<(TokenCheck Check, Caller? Caller)> ReadAsync(HttpContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        return ValueTask.FromResult(files.Read(context.Request));
    }
}
