using JobHub.Api.Http;
using JobHub.Api.Http.Access;
using JobHub.Api.Http.Auditing;
using JobHub.Engine.Accounts;
using JobHub.ServiceDefaults;
using Microsoft.AspNetCore.Http.HttpResults;

namespace JobHub.Api.Features.Accounts;

/// <summary><c>/hub/v1/users</c> for admins, <c>/hub/v1/me</c> for everybody with an account.</summary>
public static class UserEndpoints
{
    private const int DefaultPage = 50, LargestPage = 500;

    internal static void MapUsers(this IEndpointRouteBuilder hub)
    {
        var users = hub.MapGroup("/users").WithTags("Users");
        users.MapPost("", CreateAsync).Accepts<CreateUser>("application/json").ProducesProblem(400).ProducesProblem(409).WithSummary("A new user.");
        users.MapGet("", ListAsync).WithSummary("All users, by name. ?limit= to 500 (50); ?after= is the last page's next.").ProducesProblem(400);
        users.MapGet("/{name}", GetAsync).WithSummary("One user.").ProducesProblem(404);
        users.MapPatch("/{name}", ChangeAsync).Accepts<ChangeUser>("application/json").ProducesProblem(400).ProducesProblem(404)
            .WithSummary("Changes a user's role or password, disables or enables him; it holds from the next request on.");
        users.MapDelete("/{name}", DeleteAsync).WithSummary("Removes a user with his tokens and memberships.").ProducesProblem(404);
        hub.MapGet("/me", MeAsync).WithTags("Users").WithSummary("Who calls, and what his token may do.");
        hub.MapPost("/me/password", PasswordAsync).WithTags("Users").Accepts<ChangePassword>("application/json").ProducesProblem(400).ProducesProblem(403).ProducesProblem(429)
            .WithSummary("Changes one's own password and ends one's other sessions.");
    }

    private static async Task<Results<Created<UserWire>, ProblemResult>> CreateAsync(HttpContext context, AccountStore accounts, Passwords passwords, CancellationToken ct)
    {
        var body = (await JsonBody.ReadAsync<CreateUser>(context.Request, ct)).Value;
        if (string.IsNullOrEmpty(body.Name)) throw Problems.InvalidField("name", "'name' is missing.");
        if (AccountNames.Objection(body.Name) is { } objection) throw Problems.InvalidField("name", $"'name' cannot be used: {objection}.");
        var role = AccountMapping.RoleOf(body.Role ?? "member");
        if (role == AccountRole.Worker && body.Password is not null) throw Problems.InvalidField("password", "Workers do not sign in: make a token for this one.");
        var hash = await HashAsync(passwords, body.Password, ct);
        if (await accounts.CreateAsync(body.Name, role, hash, ct) is not { } account) return Problems.Conflict("user-exists", "There is a user of this name already.", "name");
        return TypedResults.Created($"/hub/v1/users/{Uri.EscapeDataString(account.Name)}", AccountMapping.ToWire(account));
    }

    private static async Task<Ok<UserPage>> ListAsync(HttpContext context, AccountStore accounts, CancellationToken ct)
    {
        var limit = Paging.LimitOf(context.Request, LargestPage) ?? DefaultPage;
        var (items, more) = await Paging.TakeAsync(accounts.ListAsync(context.Request.QueryText("after"), limit + 1, ct), limit, ct);
        return TypedResults.Ok(new UserPage([.. items.Select(AccountMapping.ToWire)], more ? items[^1].Name : null));
    }

    private static async Task<Results<Ok<UserWire>, ProblemResult>> GetAsync(HttpContext context, AccountStore accounts, CancellationToken ct) =>
        NameOf(context) is { } name && await accounts.GetAsync(name, ct) is { } account ? TypedResults.Ok(AccountMapping.ToWire(account)) : AccountMapping.UnknownUser();

    private static async Task<Results<Ok<UserWire>, ProblemResult>> ChangeAsync(HttpContext context, AccountStore accounts, Passwords passwords, CancellationToken ct)
    {
        var body = (await JsonBody.ReadAsync<ChangeUser>(context.Request, ct)).Value;
        if (body is { Role: null, Disabled: null, Password: null }) throw Problems.InvalidField("body", "Say what is to change: role, disabled or password.");
        var role = body.Role is null ? (AccountRole?)null : AccountMapping.RoleOf(body.Role);
        var change = new AccountChange(role, body.Disabled, await HashAsync(passwords, body.Password, ct));
        return NameOf(context) is { } name && await accounts.ChangeAsync(name, change, ct) is { } account ? TypedResults.Ok(AccountMapping.ToWire(account)) : AccountMapping.UnknownUser();
    }

    private static async Task<Results<NoContent, ProblemResult>> DeleteAsync(HttpContext context, AccountStore accounts, CancellationToken ct) =>
        NameOf(context) is { } name && await accounts.DeleteAsync(name, ct) ? TypedResults.NoContent() : AccountMapping.UnknownUser();

    private static async Task<Ok<MeWire>> MeAsync(HttpContext context, AccountStore accounts, TokenStore tokens, CancellationToken ct)
    {
        var caller = Caller.Of(context);
        var account = caller.Account is { } number ? await accounts.GetAsync(number, ct) : null;
        var token = caller.Token is { } id ? (await tokens.GetAsync(id, ct))?.Token : null;
        return TypedResults.Ok(new MeWire(
            caller.Name, caller.Role.ToString().ToLowerInvariant(), caller.Project, account is null ? null : AccountMapping.ToWire(account), token is null ? null : AccountMapping.ToWire(token)));
    }

    private static async Task<Results<NoContent, ProblemResult>> PasswordAsync(HttpContext context, SignIns signIns, SignInLimit limit, CancellationToken ct)
    {
        var caller = Caller.Of(context);
        var body = (await JsonBody.ReadAsync<ChangePassword>(context.Request, ct)).Value;
        if (body.Old is not { } old) throw Problems.InvalidField("old", "'old' is missing: the password until now.");
        if (body.New is not { } wanted) throw Problems.InvalidField("new", "'new' is missing.");
        if (Passwords.Objection(wanted) is { } objection) throw Problems.InvalidField("new", $"'new' cannot be used: {objection}.");
        if (caller.Account is not { } account) return Problems.Conflict("no-account", "This token stands in a file and has no account; there is no password to change.");
        AuditNote.Of(context).Object = caller.Name;
        // Whoever holds a token guesses no password with it.
        var attempt = limit.Begin(context, caller.Name);
        if (!await signIns.ChangePasswordAsync(account, old, wanted, caller.Token, ct)) return Problems.Of(403, "password-wrong", "'old' is not your password.", "old");
        attempt.Succeeded();
        return TypedResults.NoContent();
    }

    private static async Task<string?> HashAsync(Passwords passwords, string? password, CancellationToken ct)
    {
        if (password is null) return null;
        if (Passwords.Objection(password) is { } objection) throw Problems.InvalidField("password", $"'password' cannot be used: {objection}.");
        return await passwords.HashAsync(password, ct);
    }

    private static string? NameOf(HttpContext context) => RouteText.Of(context, "name") is { Length: > 0 } name && AccountNames.Objection(name) is null ? name : null;
}
