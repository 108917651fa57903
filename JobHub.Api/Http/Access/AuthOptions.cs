using System.ComponentModel.DataAnnotations;

namespace JobHub.Api.Http.Access;

/// <summary>Section <c>JobHub:Auth</c>.</summary>
public sealed class AuthOptions
{
    /// <summary>File with the bearer token of the administrator; surrounding white space is ignored. Without one nobody is admin.</summary>
    public string? AdminTokenFile { get; init; }

    /// <summary>File with the bearer token of workers. Without one no worker can open a session.</summary>
    public string? WorkerTokenFile { get; init; }

    /// <summary>Development only: callers on this machine need no token. Off: every route wants one, and any address may be listened on.</summary>
    public bool OpenInDevelopment { get; init; } = true;
}

/// <summary>Section <c>JobHub:Web</c>.</summary>
public sealed class WebOptions
{
    /// <summary>The dashboard's origin, e.g. <c>http://localhost:4751</c>; several are parted by commas.</summary>
    [RegularExpression(@"^\s*https?://[^\s/,]+\s*(,\s*https?://[^\s/,]+\s*)*$", ErrorMessage = "JobHub:Web:Origin must be origins such as http://localhost:4751, without a path, parted by commas.")]
    public string? Origin { get; init; }

    /// <summary>The origins one by one.</summary>
    public string[] Origins => Origin?.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries) ?? [];
}
