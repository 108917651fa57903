using System.Security.Claims;
using JobHub.Web.SignIn;
using Microsoft.AspNetCore.Components.Authorization;
using Microsoft.Extensions.Options;

namespace JobHub.Web.Client;

/// <summary>On whose behalf this scope asks the Api: the visitor of a request, or of a page that stays open.</summary>
public sealed class Visitor(IHttpContextAccessor requests, AuthenticationStateProvider pages, IHostEnvironment environment, IOptions<WebSettings> settings)
{
    /// <summary>His token; in development, when nobody is signed in, the dashboard's own. Null when there is none.</summary>
    public async ValueTask<string?> TokenAsync(CancellationToken cancellationToken)
    {
        if ((await WhoAsync()).Identity is ClaimsIdentity { IsAuthenticated: true, BootstrapContext: string { Length: > 0 } token }) return token;
        return environment.IsDevelopment() && settings.Value.TokenFile is { Length: > 0 } file && File.Exists(file)
            ? (await File.ReadAllTextAsync(file, cancellationToken)).Trim()
            : null;
    }

    // A page's own connection outlives the request that opened it.
    private async ValueTask<ClaimsPrincipal> WhoAsync() => requests.HttpContext is { } request && !request.Request.Path.StartsWithSegments(CircuitRules.Path, StringComparison.OrdinalIgnoreCase)
        ? request.User
        : (await pages.GetAuthenticationStateAsync()).User;
}
