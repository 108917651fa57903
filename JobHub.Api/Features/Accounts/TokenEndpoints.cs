using JobHub.Api.Http;
using JobHub.Api.Http.Access;
using JobHub.Api.Http.Auditing;
using JobHub.Engine.Accounts;
using JobHub.ServiceDefaults;
using Microsoft.AspNetCore.Http.HttpResults;

namespace JobHub.Api.Features.Accounts;

/// <summary><c>/hub/v1/tokens</c>: what programs show instead of a password. No token makes, sees or ends one that may more than itself.</summary>
public static class TokenEndpoints
{
    private const int DefaultPage = 50, LargestPage = 500, LongestName = 100;
    private const int DefaultDays = 90, MostDays = 366, MostWorkerDays = 3660;

    internal static void MapTokens(this IEndpointRouteBuilder hub)
    {
        var tokens = hub.MapGroup("/tokens").WithTags("Tokens");
        tokens.MapPost("", CreateAsync).Accepts<CreateToken>("application/json").ProducesProblem(400).ProducesProblem(403).ProducesProblem(404)
            .WithSummary("A new token. The answer holds it, and it is not shown again.");
        tokens.MapGet("", ListAsync).WithQuery("user", "Whose: for admins.").ProducesProblem(400).ProducesProblem(404)
            .WithSummary("One's own tokens and sessions, newest first. ?limit= to 500 (50); ?after= is the last page's next.");
        tokens.MapDelete("/{id}", RevokeAsync).WithSummary("Revokes a token: it is refused from the next request on.").ProducesProblem(404);
    }

    private static async Task<Results<Created<TokenWire>, ProblemResult>> CreateAsync(
        HttpContext context, AccountStore accounts, TokenStore tokens, ProjectAccess access, TimeProvider clock, CancellationToken ct)
    {
        var caller = Caller.Of(context);
        var body = (await JsonBody.ReadAsync<CreateToken>(context.Request, ct)).Value;
        if (body.Name is not { Length: > 0 and <= LongestName } name || name.Any(char.IsControl)) throw Problems.InvalidField("name", $"'name' says what the token is for, in 1 to {LongestName} characters.");
        var scopes = ScopesOf(body);
        if (body.User is not null && caller.Role != CallerRole.Admin && body.User != caller.Name) return Problems.Of(403, "role-not-allowed", "Only an admin makes tokens for others.", "user");
        var owner = body.User is { } user ? AccountNames.Objection(user) is null ? await accounts.GetAsync(user, ct) : null : caller.Account is { } number ? await accounts.GetAsync(number, ct) : null;
        if (owner is null) return body.User is null ? throw Problems.InvalidField("user", "This token has no account: say in 'user' whose the new one will be.") : AccountMapping.UnknownUser();
        if (owner.DisabledAt is not null) return Problems.Conflict("user-disabled", "This user is disabled; enable him first.", "user");
        if (scopes.FirstOrDefault(scope => !Reach(caller).Contains(scope)) is { } beyond) return Problems.Of(403, "scope-not-allowed", $"Your own token may not do what '{beyond}' stands for, so it cannot make one that may.", "scopes");
        if (scopes.FirstOrDefault(scope => !MayHave(owner.Role, scope)) is { } wasted)
            throw Problems.InvalidField("scopes", $"'{wasted}' is beyond the role of {owner.Name}, {owner.Role.ToString().ToLowerInvariant()}.");
        var project = body.Project is { } named ? Project.Check(named) : caller.Project;
        if (caller.Project is { } only && project != only) return Problems.Of(403, "project-not-allowed", "Your own token is for one project, so it makes tokens for that one only.", "project");
        if (project is not null && (scopes.Contains(TokenScopes.Admin) || scopes.Contains(TokenScopes.Worker)))
            throw Problems.InvalidField("project", "A token with the scope admin or worker is for the whole hub, not for one project.");
        if (project is not null && await access.OfAsync(caller, project, made: true, ct) == ProjectRight.None) throw new RefusedException(ProjectProblems.NotFound);
        var lifetime = LifetimeOf(body, scopes, clock, await EndOfAsync(caller, tokens, ct));
        if (await tokens.CreateAsync(new(owner.Number, TokenKind.Made, name, scopes, project, lifetime), ct) is not (var token, var known)) return AccountMapping.UnknownUser();
        AccountMapping.NotStored(context);
        AuditNote.Of(context).Object = known.Id.ToString("D");
        AuditNote.Of(context).Project = project;
        return TypedResults.Created($"/hub/v1/tokens/{known.Id:D}", AccountMapping.ToWire(known) with { Token = token });
    }

    private static async Task<Results<Ok<TokenPage>, ProblemResult>> ListAsync(HttpContext context, AccountStore accounts, TokenStore tokens, CancellationToken ct)
    {
        var (caller, request) = (Caller.Of(context), context.Request);
        var limit = Paging.LimitOf(request, LargestPage) ?? DefaultPage;
        Guid? after = null;
        if (request.QueryText("after") is { } text) after = Guid.TryParse(text, out var id) ? id : throw Problems.InvalidField("after", "'after' must be the id of a token.");
        var owner = caller.Account ?? 0;
        if (request.QueryText("user") is { } user && user != caller.Name)
        {
            if (caller.Role != CallerRole.Admin) return Problems.Of(403, "role-not-allowed", "Only an admin sees the tokens of others.", "user");
            if (AccountNames.Objection(user) is not null || await accounts.GetAsync(user, ct) is not { } account) return AccountMapping.UnknownUser();
            owner = account.Number;
        }

        var (items, more) = await Paging.TakeAsync(tokens.ListAsync(owner, after, limit + 1, ct), limit, ct);
        return TypedResults.Ok(new TokenPage([.. items.Where(token => Reaches(caller, token)).Select(AccountMapping.ToWire)], more ? items[^1].Id.ToString("D") : null));
    }

    private static async Task<Results<NoContent, ProblemResult>> RevokeAsync(HttpContext context, TokenStore tokens, CancellationToken ct)
    {
        var caller = Caller.Of(context);
        if (!Guid.TryParse(RouteText.Of(context, "id"), out var id) || await tokens.GetAsync(id, ct) is not (var token, var owner)) return Unknown();
        if (caller.Role != CallerRole.Admin && (owner != caller.Account || !Reaches(caller, token))) return Unknown();
        AuditNote.Of(context).Project = token.Project;
        return await tokens.RevokeAsync(id, null, ct) ? TypedResults.NoContent() : Unknown();
    }

    private static string[] ScopesOf(CreateToken body)
    {
        var scopes = (body.Scopes ?? [TokenScopes.Read]).Distinct(StringComparer.Ordinal).ToArray();
        if (scopes.Length == 0 || scopes.Any(static scope => !TokenScopes.All.Contains(scope, StringComparer.Ordinal))) throw Problems.InvalidField("scopes", "'scopes' are of read, write, admin, worker, at least one.");
        if (scopes.Length > 1 && scopes.Contains(TokenScopes.Worker)) throw Problems.InvalidField("scopes", "'worker' stands alone: a worker's token does nothing else.");
        return scopes;
    }

    private static TimeSpan LifetimeOf(CreateToken body, string[] scopes, TimeProvider clock, DateTimeOffset? end)
    {
        var most = scopes.Contains(TokenScopes.Worker) ? MostWorkerDays : MostDays;
        if (body is { ExpiresInDays: not null, ExpiresAt: not null }) throw Problems.InvalidField("expiresAt", "Give 'expiresAt' or 'expiresInDays', not both.");
        var now = clock.GetUtcNow();
        if (body.ExpiresInDays is { } days && (days < 1 || days > most)) throw Problems.InvalidField("expiresInDays", $"'expiresInDays' must be a whole number from 1 to {most}.");
        if (body.ExpiresAt is { } at && (at <= now || at > now.AddDays(most))) throw Problems.InvalidField("expiresAt", $"'expiresAt' must be in the future and at most {most} days ahead.");
        var wanted = body.ExpiresAt is { } until ? until - now : TimeSpan.FromDays(body.ExpiresInDays ?? DefaultDays);
        // Otherwise a token that leaks on its last day would last for ever.
        if (end is { } last && now + wanted > last)
        {
            if (body is not { ExpiresAt: null, ExpiresInDays: null }) throw Problems.InvalidField(body.ExpiresAt is null ? "expiresInDays" : "expiresAt", "A token makes none that outlives it; sign in to make longer ones.");
            wanted = last - now;
        }

        return wanted;
    }

    /// <summary>When what the caller makes has to end: with his own token, unless that is a sign-in's.</summary>
    private static async Task<DateTimeOffset?> EndOfAsync(Caller caller, TokenStore tokens, CancellationToken ct) =>
        caller.Token is { } id && await tokens.GetAsync(id, ct) is ({ Kind: TokenKind.Made } own, _) ? own.ExpiresAt : null;

    private static string[] Reach(Caller caller) => caller.Role switch
    {
        CallerRole.Admin => [.. TokenScopes.All],
        CallerRole.Member => [TokenScopes.Read, TokenScopes.Write],
        _ => [TokenScopes.Read],
    };

    private static bool Reaches(Caller caller, AccessToken token) =>
        token.Scopes.All(scope => Reach(caller).Contains(scope)) && (caller.Project is null || caller.Project == token.Project);

    private static bool MayHave(AccountRole role, string scope) =>
        TokenScopes.Of(role).Contains(scope) || (scope == TokenScopes.Worker && role is AccountRole.Admin);

    private static ProblemResult Unknown() => Problems.NotFound("token-not-found", "You have no token with this id.");
}
