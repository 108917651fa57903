using JobHub.Api.Http.Access;

namespace JobHub.Api.Http;

/// <summary><c>?project=</c> of a submission.</summary>
public static class Project
{
    public const string Default = JobHub.Engine.Accounts.ProjectRights.Default;

    /// <summary>The project a submission goes to: the query's, else that of the caller's token, else <c>default</c>. 1–64 lower-case letters, digits, <c>-</c>, <c>_</c>, <c>.</c>, beginning with a letter or digit.</summary>
    public static string Of(HttpRequest request)
    {
        ArgumentNullException.ThrowIfNull(request);
        return request.QueryText("project") is { } name ? Check(name) : request.HttpContext.Features.Get<Caller>()?.Project ?? Default;
    }

    /// <summary>A project's name from any field called <c>project</c>.</summary>
    public static string Check(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        var valid = name.Length is > 0 and <= 64 && char.IsAsciiLetterOrDigit(name[0]) && name.All(static c => char.IsAsciiLetterLower(c) || char.IsAsciiDigit(c) || c is '-' or '_' or '.');
        return valid ? name : throw Problems.InvalidField("project", "'project' has 1 to 64 lower-case letters, digits, '-', '_' or '.', beginning with a letter or digit.");
    }
}
