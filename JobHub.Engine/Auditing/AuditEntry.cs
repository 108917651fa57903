namespace JobHub.Engine.Auditing;

/// <summary>Who did what to which object, from where. Holds no secret and no body.</summary>
/// <param name="Caller">The caller's stable name.</param>
/// <param name="Token">The access token he showed, when it is one of the hub's.</param>
/// <param name="Action">A word for what was done, such as <c>job.submit</c> or <c>token.revoke</c>.</param>
/// <param name="Kind">What the object is: job, project, dataset, inference, visualization, user, token, webhook, worker, affinity, artifact, file.</param>
/// <param name="Object">Its id.</param>
/// <param name="Address">The network address the request came from.</param>
public sealed record AuditEntry(string Caller, long? Account, Guid? Token, string Action, string Kind, string Object, string? Project, string? Address, IReadOnlyDictionary<string, string>? Details = null);
