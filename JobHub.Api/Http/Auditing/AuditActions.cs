namespace JobHub.Api.Http.Auditing;

/// <summary>The words of the audit, read off a route's method and pattern, so that a new route has one without being listed.</summary>
public static class AuditActions
{
    // Where the general rule has not the best word.
    private static readonly Dictionary<string, (string Action, string Kind)> Named = new(StringComparer.OrdinalIgnoreCase)
    {
        ["POST /api/v1/jobs"] = ("job.submit", "job"), ["DELETE /api/v1/jobs/{id}"] = ("job.cancel", "job"),
        ["POST /jobs"] = ("job.submit", "job"), ["POST /submission"] = ("job.submit", "job"), ["DELETE /jobs/{id}"] = ("job.cancel", "job"),
        ["POST /projects/{project}/jobs"] = ("job.submit", "job"), ["DELETE /projects/{project}/jobs/{job}"] = ("job.cancel", "job"),
        ["PUT /projects/{project}/datasets/{dataset}/profiles/files"] = ("dataset.change", "dataset"), ["POST /projects/{project}/datasets/{dataset}/profiles/files"] = ("dataset.change", "dataset"),
        ["PUT /projects/{project}/datasets/{dataset}/isolates/files"] = ("dataset.change", "dataset"), ["POST /projects/{project}/datasets/{dataset}/isolates/files"] = ("dataset.change", "dataset"),
        ["PUT /projects/{project}/users/{name}"] = ("member.add", "user"), ["DELETE /projects/{project}/users/{name}"] = ("member.remove", "user"),
        ["PUT /api/jobs"] = ("job.submit", "job"), ["POST /api/jobs"] = ("job.change", "job"), ["POST /api/jobs/{id}/dependencies"] = ("job.change", "job"),
        ["POST /api/resetjobs"] = ("job.reset", "job"), ["POST /api/reseterrorjobs"] = ("job.reset", "job"), ["POST /api/startjobs"] = ("job.resume", "job"), ["POST /api/pausejobs"] = ("job.pause", "job"),
        ["GET /json/addjob"] = ("job.submit", "job"), ["GET /xmlrpc/addjob"] = ("job.submit", "job"), ["GET /json/clearjobs"] = ("job.delete", "job"),
        ["POST /api/workers"] = ("worker.change", "worker"), ["POST /api/stopworkers"] = ("worker.stop", "worker"), ["POST /api/startworkers"] = ("worker.start", "worker"),
        ["POST /api/terminateworkers"] = ("worker.terminate", "worker"), ["POST /api/affinities"] = ("affinity.change", "affinity"),
        ["POST /hub/v1/trees/jobs"] = ("job.change", "job"),
        ["POST /hub/v1/bulk"] = ("job.bulk", "bulk"), ["POST /hub/v1/bulk/{id}/cancel"] = ("bulk.cancel", "bulk"), ["POST /hub/v1/bulk/{id}/undo"] = ("bulk.undo", "bulk"),
        ["DELETE /hub/v1/tokens/{id}"] = ("token.revoke", "token"), ["POST /hub/v1/me/password"] = ("user.password", "user"),
        ["POST /hub/v1/sign-in"] = ("user.sign-in", "user"), ["POST /hub/v1/sign-in/provider"] = ("user.sign-in", "user"), ["POST /hub/v1/sign-out"] = ("user.sign-out", "user"),
        ["PUT /hub/v1/workers/{name}/affinity"] = ("worker.change", "worker"),
        ["POST /hub/v1/webhooks/{id}/deliveries/{delivery}/redeliver"] = ("webhook.redeliver", "webhook"),
    };

    /// <summary>What a successful call of a route has done, to which kind of object.</summary>
    public static (string Action, string Kind) Of(string method, string? pattern)
    {
        var path = "/" + (pattern ?? "").Trim('/');
        // The same routes at a second address.
        if (path.StartsWith("/hub/v1/projects", StringComparison.OrdinalIgnoreCase)) path = path["/hub/v1".Length..];
        if (Named.TryGetValue($"{method} {path}", out var named)) return named;
        var segments = path.Split('/', StringSplitOptions.RemoveEmptyEntries);
        var last = segments.LastOrDefault() ?? "root";
        var plural = Array.FindLastIndex(segments, static segment => segment[0] != '{' && segment[^1] == 's');
        var kind = plural < 0 ? last.Trim('{', '}', '*') : segments[plural][..^1];
        // A word after an id is a verb: /webhooks/{id}/ping.
        var verb = plural >= 0 && plural < segments.Length - 2 && segments[^1][0] != '{' && segments[^2][0] == '{' ? last : null;
        var onOne = last[0] == '{';
        return ($"{kind}.{verb ?? method.ToUpperInvariant() switch
        {
            "POST" when !onOne => "create", "DELETE" => "delete", _ => "change",
        }}", kind);
    }
}
