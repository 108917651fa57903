using System.Security.Claims;
using JobHub.Web.Client;
using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.Authentication.Cookies;

namespace JobHub.Web.SignIn;

/// <summary>What the cookie holds, sealed: who it is, and the hub's token. The token is among the ticket's properties, not its claims, which pages may show.</summary>
public static class SessionTicket
{
    public const string Scheme = CookieAuthenticationDefaults.AuthenticationScheme;
    private const string Token = "hub", Own = ".own";
    private static readonly TimeSpan Longest = TimeSpan.FromHours(12);

    public static ClaimsPrincipal Principal(HubUser user)
    {
        ArgumentNullException.ThrowIfNull(user);
        return new(new ClaimsIdentity([new Claim(ClaimTypes.NameIdentifier, user.Name), new Claim(ClaimTypes.Name, user.Name), new Claim(ClaimTypes.Role, user.Role ?? "")], Scheme, ClaimTypes.Name, ClaimTypes.Role));
    }

    /// <summary>Puts a session into a ticket's properties.</summary>
    /// <param name="own">The visitor brought this token: signing out forgets it and does not end it.</param>
    public static void Fill(AuthenticationProperties properties, HubSession session, bool own, TimeProvider clock)
    {
        ArgumentNullException.ThrowIfNull(properties);
        ArgumentNullException.ThrowIfNull(session);
        ArgumentNullException.ThrowIfNull(clock);
        properties.StoreTokens([new AuthenticationToken { Name = Token, Value = session.Token }]);
        if (own) properties.Items[Own] = "1";
        properties.IssuedUtc = clock.GetUtcNow();
        properties.ExpiresUtc = session.ExpiresAt ?? clock.GetUtcNow() + Longest;
        // The browser forgets it when it is closed; the hub's end counts in any case.
        properties.IsPersistent = false;
        properties.AllowRefresh = false;
    }

    public static async Task SignInAsync(HttpContext context, HubSession session, bool own)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(session);
        var properties = new AuthenticationProperties();
        Fill(properties, session, own, context.RequestServices.GetRequiredService<TimeProvider>());
        await context.SignInAsync(Scheme, Principal(session.User), properties);
    }

    /// <summary>The token that a ticket holds.</summary>
    public static string? TokenOf(AuthenticationProperties properties) => properties.GetTokenValue(Token);

    /// <summary>The visitor's token, and whether he brought it; null when nobody is signed in.</summary>
    public static async Task<(string Token, bool Own)?> ReadAsync(HttpContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        var ticket = await context.AuthenticateAsync(Scheme);
        return ticket.Succeeded && ticket.Properties.GetTokenValue(Token) is { Length: > 0 } token ? (token, ticket.Properties.Items.ContainsKey(Own)) : null;
    }
}
