using System.Globalization;
using JobHub.Api.Http.Access;
using JobHub.Engine.Accounts;
using JobHub.Engine.Auditing;

namespace JobHub.Api.Http.Auditing;

/// <summary>
/// Writes a row of the audit for every call that changed something, of whatever family, before the request ends. What workers say of their work is no change by somebody: jobs have
/// events for it. A row that cannot be written is lost, not the change: it has happened.
/// </summary>
public sealed class AuditMiddleware(RequestDelegate next, AuditLog log, JobProjects jobs)
{
    public async Task InvokeAsync(HttpContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        var pattern = (context.GetEndpoint() as RouteEndpoint)?.RoutePattern.RawText;
        if (pattern is null || !Covers(context.Request.Method, pattern))
        {
            await next(context);
            return;
        }

        await next(context);
        var note = context.Features.Get<AuditNote>();
        if (note is { Unchanged: true }) return;
        if (context.Response.StatusCode >= 400 && note is not { Refused: true }) return;
        await log.AppendAsync(await EntryAsync(context, pattern, note));
    }

    /// <summary>Whether calls of a route are kept.</summary>
    public static bool Covers(string method, string? pattern) =>
        RoutePolicies.Writes(method, pattern) && RoutePolicies.Of(pattern) is not (RoutePolicy.Agents or RoutePolicy.FarmWorkers);

    private async ValueTask<AuditEntry> EntryAsync(HttpContext context, string pattern, AuditNote? note)
    {
        var (caller, request) = (Caller.Of(context), context.Request);
        var (action, kind) = AuditActions.Of(request.Method, pattern);
        var details = new Dictionary<string, string>
        {
            ["method"] = request.Method, ["route"] = "/" + pattern.Trim('/'), ["status"] = context.Response.StatusCode.ToString(CultureInfo.InvariantCulture),
        };
        return new(note?.Who?.Name ?? caller.Name, note?.Who is { } who ? who.Account : caller.Account, caller.Token, note?.Action ?? action, kind, note?.Object ?? ObjectOf(context, pattern),
            note?.Project ?? await ProjectOfAsync(context, pattern), note?.Address ?? CallerAddress.Of(context), details);
    }

    /// <summary>The id that the address ends with, else the one that was made, else what the query names.</summary>
    private static string ObjectOf(HttpContext context, string pattern)
    {
        var parameters = context.GetEndpoint() is RouteEndpoint endpoint ? endpoint.RoutePattern.Parameters.Select(static p => p.Name).ToArray() : [];
        var ended = pattern.TrimEnd('/').EndsWith('}');
        if (ended && parameters.Length > 0) return RouteText.Of(context, parameters[^1]);
        var query = context.Request.Query;
        if (parameters.Length == 0 && (query["path"].FirstOrDefault() ?? query["id"].FirstOrDefault()) is { Length: > 0 } asked) return asked;
        // Of what was made below something the id is the new one's; a verb's answer leads back to the thing itself.
        if (context.Response.Headers.Location is [{ Length: > 0 } location] && (context.Response.StatusCode == StatusCodes.Status201Created || parameters.Length == 0)
            && location.Split('?')[0].TrimEnd('/').Split('/')[^1] is { Length: > 0 } made) return Uri.UnescapeDataString(made);
        return parameters.Length > 0 ? RouteText.Of(context, parameters[^1]) : "";
    }

    private async ValueTask<string?> ProjectOfAsync(HttpContext context, string pattern)
    {
        if (context.Request.RouteValues["project"] is string named) return named;
        var source = RoutePolicies.ProjectOf(pattern);
        if (source == ProjectSource.None) return null;
        try
        {
            if (context.Request.RouteValues.ContainsKey("id"))
            {
                if (source == ProjectSource.Job) return RouteText.JobOf(context) is { } id ? await jobs.OfAsync(id, CancellationToken.None) : null;
                if (source == ProjectSource.TreeJob)
                    return long.TryParse(RouteText.Of(context, "id"), NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? (await jobs.OfAsync([number], CancellationToken.None)).GetValueOrDefault(number) : null;
            }

            return Project.Of(context.Request);
        }
        catch (Npgsql.NpgsqlException)
        {
            // The row is worth more than its project.
            return null;
        }
    }
}
