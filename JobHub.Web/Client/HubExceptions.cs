namespace JobHub.Web.Client;

/// <summary>The API cannot be asked now; the message is for the page.</summary>
public sealed class HubAwayException(string message, Exception? cause) : Exception(message, cause);

/// <summary>The Api did not do it; the message is for the page.</summary>
/// <param name="status">Its status.</param>
/// <param name="type">Its problem's type, <c>urn:jobhub:&lt;code&gt;</c>.</param>
/// <param name="field">The field of the request that is wrong.</param>
public sealed class HubRefusedException(int status, string message, string? type = null, string? field = null) : Exception(message)
{
    public int Status { get; } = status;

    public string? Type { get; } = type;

    public string? Field { get; } = field;

    /// <summary>The code of its type.</summary>
    public string? Code => Type?["urn:jobhub:".Length..];
}
