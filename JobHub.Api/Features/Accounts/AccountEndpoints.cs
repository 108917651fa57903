using System.Globalization;
using JobHub.Api.Http;
using JobHub.Engine.Auditing;
using Microsoft.AspNetCore.Http.HttpResults;

namespace JobHub.Api.Features.Accounts;

/// <summary>/hub/v1: users, tokens, sign-in, and the audit.</summary>
public static class AccountEndpoints
{
    private const int DefaultPage = 50, LargestPage = 500;

    public static void MapAccounts(this IEndpointRouteBuilder routes)
    {
        var hub = routes.MapGroup("/hub/v1").WithGroupName("hub");
        hub.MapUsers();
        hub.MapTokens();
        hub.MapSignIn();
        hub.MapGet("/audit", AuditAsync).WithTags("Audit").ProducesProblem(400)
            .WithQuery("caller", "Who did it.").WithQuery("action", "What was done, such as job.submit.").WithQuery("kind", "What it was done to: job, project, user, token, ...")
            .WithQuery("object", "Its id.").WithQuery("project", "Its project.").WithQuery("after", "The last page's next.").WithQuery("limit", "To 500 (50).")
            .WithSummary("Who did what to which object, when and from where; newest first. For admins.");
    }

    private static async Task<Ok<AuditPage>> AuditAsync(HttpContext context, AuditLog audit, CancellationToken ct)
    {
        var request = context.Request;
        var filter = new AuditFilter(request.QueryText("caller"), request.QueryText("kind"), request.QueryText("object"), request.QueryText("project"), request.QueryText("action"));
        var (rows, next) = await audit.ReadAsync(filter, request.QueryNumber("after", 1, long.MaxValue), Paging.LimitOf(request, LargestPage) ?? DefaultPage, ct);
        return TypedResults.Ok(new AuditPage([.. rows.Select(ToWire)], next?.ToString(CultureInfo.InvariantCulture)));
    }

    private static AuditWire ToWire(AuditRow row)
    {
        var e = row.Entry;
        return new(row.Id, row.At, e.Caller, e.Token?.ToString("D"), e.Action, e.Kind, e.Object, e.Project, string.IsNullOrEmpty(e.Address) ? null : e.Address, e.Details);
    }
}
