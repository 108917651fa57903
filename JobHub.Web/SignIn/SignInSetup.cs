using System.Net;
using JobHub.Web.Client;
using Microsoft.AspNetCore.Antiforgery;
using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.Authentication.Cookies;
using Microsoft.AspNetCore.Authorization;
using Microsoft.AspNetCore.HttpOverrides;

namespace JobHub.Web.SignIn;

/// <summary>Who is asked to sign in, where, and what the cookie is like.</summary>
internal static class SignInSetup
{
    public static void AddSignIn(this WebApplicationBuilder builder, WebSettings settings)
    {
        var development = builder.Environment.IsDevelopment();
        var secure = development ? CookieSecurePolicy.SameAsRequest : CookieSecurePolicy.Always;
        // No sibling name of the domain can set a cookie with this prefix.
        var prefix = development ? "jobhub-" : "__Host-jobhub-";
        builder.AddKeyRing(settings);
        builder.Services.AddHttpContextAccessor();
        var authentication = builder.Services.AddAuthentication(SessionTicket.Scheme).AddCookie(options =>
        {
            options.Cookie.Name = prefix + "session";
            options.Cookie.HttpOnly = true;
            // Strict would forget whoever follows a link in a mail, and the way back from a provider.
            options.Cookie.SameSite = SameSiteMode.Lax;
            options.Cookie.SecurePolicy = secure;
            options.SlidingExpiration = false;
            // In memory only: pages that stay open ask the Api on his behalf.
            options.Events.OnValidatePrincipal = static context =>
            {
                if (context.Principal?.Identity is System.Security.Claims.ClaimsIdentity identity) identity.BootstrapContext = SessionTicket.TokenOf(context.Properties);
                return Task.CompletedTask;
            };
            options.Events.OnRedirectToLogin = context =>
            {
                var request = context.Request;
                var back = HttpMethods.IsGet(request.Method) ? request.Path + request.QueryString : "/";
                context.Response.Redirect(ReturnPath.SignIn(back, request.Cookies.ContainsKey(prefix + "session") ? SignInWords.Ended : null));
                return Task.CompletedTask;
            };
        });
        authentication.AddProviders(settings, secure);
        builder.Services.AddAntiforgery(options =>
        {
            options.Cookie.Name = prefix + "form";
            options.Cookie.SameSite = SameSiteMode.Strict;
            options.Cookie.SecurePolicy = secure;
            options.Cookie.Path = "/";
        });
        // Outside of development whatever is not opened by name wants a visitor who has signed in, pages to come included.
        builder.Services.AddAuthorizationBuilder()
            .SetFallbackPolicy(development ? null : new AuthorizationPolicyBuilder().RequireAuthenticatedUser().Build());
    }

    /// <summary>Which scheme and name browsers know the dashboard by: TLS ends in front of it.</summary>
    public static void UseAddress(this WebApplication app, WebSettings settings)
    {
        var address = settings.Address;
        if (address is null && app.Environment.IsDevelopment()) return;
        app.Use((context, next) =>
        {
            context.Request.Scheme = address?.Scheme ?? "https";
            if (address is not null) context.Request.Host = address.IsDefaultPort ? new HostString(address.Host) : new HostString(address.Host, address.Port);
            return next(context);
        });
    }

    /// <summary>A call that the Api answered with 401 leads to the sign-in page, and the cookie goes.</summary>
    public static void UseSessionEnd(this WebApplication app) => app.Use(static async (context, next) =>
    {
        try
        {
            await next(context);
        }
        catch (SessionEndedException) when (!context.Response.HasStarted)
        {
            var was = context.User.Identity?.IsAuthenticated is true;
            if (was) await context.SignOutAsync(SessionTicket.Scheme);
            context.Response.Redirect(ReturnPath.SignIn(context.Request.Path + context.Request.QueryString, was ? SignInWords.Ended : null));
        }
    });

    /// <summary>A sign-in form without its token, or with one of keys that are gone: 400, and the page again.</summary>
    public static void UseFreshForms(this WebApplication app) => app.Use(static (context, next) =>
    {
        if (!Is(context, "/sign-in") || context.Features.Get<IAntiforgeryValidationFeature>() is not { IsValid: false }) return next(context);
        context.Items[typeof(SignInWords)] = SignInWords.Stale;
        // As if only the page had been asked for.
        context.Request.Method = HttpMethods.Get;
        context.Response.StatusCode = StatusCodes.Status400BadRequest;
        return next(context);
    });

    private static bool Is(HttpContext context, string path) => context.Request.Path.Equals(path, StringComparison.OrdinalIgnoreCase);

    /// <summary>Behind proxies that the settings name, the visitor is whom they say.</summary>
    public static void UseVisitorAddress(this WebApplication app, WebSettings settings)
    {
        if (settings.TrustedProxies.Count == 0) return;
        // Only the last address is the proxy's own word.
        var forwarded = new ForwardedHeadersOptions { ForwardedHeaders = ForwardedHeaders.XForwardedFor, ForwardLimit = 1 };
        // Loopback is believed by itself otherwise.
        forwarded.KnownIPNetworks.Clear();
        forwarded.KnownProxies.Clear();
        foreach (var proxy in settings.TrustedProxies)
        {
            forwarded.KnownProxies.Add(IPAddress.TryParse(proxy, out var address) ? address : throw new WebStartException($"JobHub:Web:TrustedProxies: \"{proxy}\" is not an IP address."));
        }

        app.UseForwardedHeaders(forwarded);
    }

    public static void MapSignIn(this WebApplication app, WebSettings settings)
    {
        app.MapGet("/sign-in/{provider}", (string provider, [Microsoft.AspNetCore.Mvc.FromQuery(Name = "return")] string? back) => settings.Providers.ContainsKey(provider)
            ? Results.Challenge(new AuthenticationProperties { RedirectUri = ReturnPath.Of(back) }, [Providers.SchemeOf(provider)])
            : Results.Redirect(ReturnPath.SignIn(back))).AllowAnonymous();
        app.MapPost("/sign-out", SignOutAsync).AllowAnonymous();
    }

    private static async Task<IResult> SignOutAsync(HttpContext context, IAntiforgery antiforgery, HubAccounts accounts)
    {
        if (await SessionTicket.ReadAsync(context) is not { } session) return Results.LocalRedirect(ReturnPath.SignIn(null));
        if (!await antiforgery.IsRequestValidAsync(context)) return Results.StatusCode(StatusCodes.Status400BadRequest);
        if (!session.Own) await accounts.SignOutAsync(session.Token, context.RequestAborted);
        await context.SignOutAsync(SessionTicket.Scheme);
        return Results.LocalRedirect(ReturnPath.SignIn(null, SignInWords.SignedOut));
    }
}
