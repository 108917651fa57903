using JobHub.Api.Http;
using JobHub.Api.Http.Access;
using JobHub.Api.Http.Auditing;
using JobHub.Engine.Accounts;
using JobHub.ServiceDefaults;
using Microsoft.AspNetCore.Http.HttpResults;

namespace JobHub.Api.Features.Accounts;

/// <summary><c>/hub/v1/sign-in</c> and <c>/hub/v1/sign-out</c>: sessions, for dashboards and people.</summary>
public static class SignInEndpoints
{
    private const long BodyLimit = 32 << 10;
    private const string FailedAction = "user.sign-in-failed", NoName = "?";

    internal static void MapSignIn(this IEndpointRouteBuilder hub)
    {
        var signIn = hub.MapGroup("").WithTags("Sign-in");
        signIn.MapPost("/sign-in", ByPasswordAsync).WithBodyLimit(BodyLimit).Accepts<SignInWire>("application/json").ProducesProblem(400).ProducesProblem(401).ProducesProblem(429)
            .WithSummary("Opens a session of 12 hours by name and password.");
        signIn.MapPost("/sign-in/provider", ByProviderAsync).WithBodyLimit(BodyLimit).Accepts<ProviderSignInWire>("application/json").ProducesProblem(400).ProducesProblem(401).ProducesProblem(429).ProducesProblem(503)
            .WithSummary("Opens a session of 12 hours by an access token of a configured provider.");
        signIn.MapPost("/sign-out", SignOutAsync).WithSummary("Ends the session whose token is sent.").ProducesProblem(409);
    }

    private static async Task<Results<Ok<SessionWire>, ProblemResult>> ByPasswordAsync(HttpContext context, SignIns signIns, SignInLimit limit, CancellationToken ct)
    {
        var body = (await JsonBody.ReadAsync<SignInWire>(context.Request, ct)).Value;
        if (string.IsNullOrEmpty(body.Name)) throw Problems.InvalidField("name", "'name' is missing.");
        if (string.IsNullOrEmpty(body.Password)) throw Problems.InvalidField("password", "'password' is missing.");
        var name = body.Name.Trim().ToLowerInvariant();
        var valid = AccountNames.Objection(name) is null;
        var attempt = limit.Begin(context, valid ? name : null);
        AuditNote.Of(context).Address = limit.AddressOf(context).ToString();
        var (done, meant) = await signIns.ByPasswordAsync(valid ? name : NoName, body.Password, ct);
        // People type passwords where names belong: a name that nobody has is not written down.
        return Answer(context, done, meant?.Name ?? NoName, meant?.Number, attempt);
    }

    private static async Task<Results<Ok<SessionWire>, ProblemResult>> ByProviderAsync(HttpContext context, SignIns signIns, ProviderTokens providers, SignInLimit limit, CancellationToken ct)
    {
        var body = (await JsonBody.ReadAsync<ProviderSignInWire>(context.Request, ct)).Value;
        if (string.IsNullOrEmpty(body.Provider)) throw Problems.InvalidField("provider", "'provider' is missing: the name that the hub's settings give it.");
        if (string.IsNullOrEmpty(body.Token)) throw Problems.InvalidField("token", "'token' is missing: the provider's access token.");
        var attempt = limit.Begin(context, null);
        AuditNote.Of(context).Address = limit.AddressOf(context).ToString();
        Account? account;
        try
        {
            account = await providers.AccountAsync(body.Provider, body.Token, ct);
        }
        catch (RefusedException)
        {
            // Nobody guessed: the provider was away.
            attempt.Succeeded();
            throw;
        }

        return Answer(context, account is null ? null : await signIns.OpenAsync(account, null, ct), account?.Name ?? NoName, account?.Number, attempt);
    }

    private static Results<Ok<SessionWire>, ProblemResult> Answer(HttpContext context, SignedIn? done, string name, long? account, SignInLimit.Attempt attempt)
    {
        var note = AuditNote.Of(context);
        note.Object = name;
        AccountMapping.NotStored(context);
        if (done is null)
        {
            (note.Refused, note.Action, note.Who) = (true, FailedAction, (Caller.Anonymous.Name, account));
            return new ProblemResult(new Problem(401, "sign-in-failed", "Name and password do not fit, or this user may not sign in.")
            {
                Headers = new Dictionary<string, string> { ["WWW-Authenticate"] = "Bearer realm=\"jobhub\"" },
            });
        }

        attempt.Succeeded();
        note.Who = (done.Account.Name, done.Account.Number);
        return TypedResults.Ok(new SessionWire(done.Token, done.Session.ExpiresAt!.Value, AccountMapping.ToWire(done.Account)));
    }

    private static async Task<Results<NoContent, ProblemResult>> SignOutAsync(HttpContext context, TokenStore tokens, CancellationToken ct)
    {
        var caller = Caller.Of(context);
        if (caller.Token is not { } id || await tokens.GetAsync(id, ct) is not ({ Kind: TokenKind.Session }, _))
            return Problems.Conflict("no-session", "This token is not of a sign-in. Revoke it with DELETE /hub/v1/tokens/{id} if it is to end.");
        AuditNote.Of(context).Object = caller.Name;
        await tokens.RevokeAsync(id, caller.Account, ct);
        return TypedResults.NoContent();
    }
}
