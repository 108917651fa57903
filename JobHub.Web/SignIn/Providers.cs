using System.Text.RegularExpressions;
using JobHub.Web.Client;
using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.Authentication.OAuth;

namespace JobHub.Web.SignIn;

/// <summary>Sign-in at other servers: OAuth 2, authorization code with PKCE, a scheme a provider. Their token is given to the Api at once and kept nowhere.</summary>
internal static partial class Providers
{
    public static void AddProviders(this AuthenticationBuilder authentication, WebSettings settings, CookieSecurePolicy secure)
    {
        foreach (var (name, provider) in settings.Providers) authentication.AddOAuth(SchemeOf(name), provider.DisplayName ?? name, options => Fill(options, name, provider, Checked(name, provider), secure));
        // At start, not at the first visitor.
        foreach (var (name, provider) in settings.Providers) Checked(name, provider);
    }

    public static string SchemeOf(string name) => $"provider:{name}";

    /// <summary>The client's secret, when all else is as it must be.</summary>
    private static string Checked(string name, ProviderSettings provider)
    {
        var setting = $"JobHub:Web:Providers:{name}";
        if (!Name().IsMatch(name)) throw new WebStartException($"{setting}: a provider's name is of a-z, 0-9 and -, at most 32 characters.");
        CheckAddress(provider.AuthorizationEndpoint, $"{setting}:AuthorizationEndpoint");
        CheckAddress(provider.TokenEndpoint, $"{setting}:TokenEndpoint");
        if (provider.ClientId.Length == 0) throw new WebStartException($"{setting}:ClientId is missing.");
        try
        {
            return File.ReadAllText(provider.ClientSecretFile).Trim() is { Length: > 0 } secret ? secret : throw new WebStartException($"{setting}:ClientSecretFile is empty.");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException)
        {
            throw new WebStartException($"{setting}:ClientSecretFile cannot be read: {e.Message}");
        }
    }

    private static void CheckAddress(Uri? address, string setting)
    {
        if (address is not { IsAbsoluteUri: true } || !(address.Scheme == "https" || (address.Scheme == "http" && address.IsLoopback)))
            throw new WebStartException($"{setting} must be an https address (http on this machine only).");
    }

    private static void Fill(OAuthOptions options, string name, ProviderSettings provider, string secret, CookieSecurePolicy secure)
    {
        options.AuthorizationEndpoint = provider.AuthorizationEndpoint!.AbsoluteUri;
        options.TokenEndpoint = provider.TokenEndpoint!.AbsoluteUri;
        options.ClientId = provider.ClientId;
        options.ClientSecret = secret;
        foreach (var scope in provider.Scopes.Split(' ', StringSplitOptions.RemoveEmptyEntries)) options.Scope.Add(scope);
        options.CallbackPath = $"/sign-in/{name}/done";
        options.UsePkce = true;
        options.SaveTokens = false;
        options.SignInScheme = SessionTicket.Scheme;
        options.RemoteAuthenticationTimeout = TimeSpan.FromMinutes(10);
        // The way back is a plain navigation, which Lax lets through.
        options.CorrelationCookie.SameSite = SameSiteMode.Lax;
        options.CorrelationCookie.SecurePolicy = secure;
        options.BackchannelTimeout = TimeSpan.FromSeconds(10);
        options.BackchannelHttpHandler = new SocketsHttpHandler { UseProxy = false, AllowAutoRedirect = false, UseCookies = false, ConnectTimeout = TimeSpan.FromSeconds(5) };
        options.Events.OnCreatingTicket = async context =>
        {
            var accounts = context.HttpContext.RequestServices.GetRequiredService<HubAccounts>();
            var session = await accounts.SignInByProviderAsync(name, context.AccessToken ?? "", context.HttpContext.RequestAborted);
            context.Principal = SessionTicket.Principal(session.User);
            SessionTicket.Fill(context.Properties, session, own: false, context.HttpContext.RequestServices.GetRequiredService<TimeProvider>());
        };
        options.Events.OnAccessDenied = context =>
        {
            context.Response.Redirect(ReturnPath.SignIn(context.Properties?.RedirectUri, SignInWords.ProviderDenied, name));
            context.HandleResponse();
            return Task.CompletedTask;
        };
        options.Events.OnRemoteFailure = context =>
        {
            var why = context.Failure is SignInRefusedException refused ? refused.Why : SignInWords.ProviderFailed;
            context.HttpContext.RequestServices.GetRequiredService<ILogger<OAuthOptions>>().ProviderSignInFailed(name, why, context.Failure?.GetType().Name);
            context.Response.Redirect(ReturnPath.SignIn(context.Properties?.RedirectUri, why, name));
            context.HandleResponse();
            return Task.CompletedTask;
        };
    }

    [GeneratedRegex("^[a-z0-9][a-z0-9-]{0,31}$", RegexOptions.None, 1000)]
    private static partial Regex Name();

    [LoggerMessage(1202, LogLevel.Warning, "A sign-in by {Provider} failed: {Why} ({Fault})")]
    private static partial void ProviderSignInFailed(this ILogger logger, string provider, string why, string? fault);
}
