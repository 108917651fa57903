using System.Collections.Concurrent;
using System.Security.Cryptography;
using System.Text;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.WebUtilities;
using Microsoft.Extensions.Logging;

namespace JobHub.Web.Tests;

/// <summary>The sign-in part of the hub API, as its wire has it, and an OAuth 2 server: each with what was asked of it. The user is ada, her password `right`.</summary>
internal sealed class SignInServer : IAsyncDisposable
{
    private readonly WebApplication app;

    private SignInServer(WebApplication app) => this.app = app;

    public ConcurrentDictionary<string, bool> Sessions { get; } = [];

    public ConcurrentDictionary<string, string> Codes { get; } = [];

    /// <summary>Tokens that were shown to it as a provider's.</summary>
    public ConcurrentQueue<string> Provided { get; } = [];

    public bool AccountsForProvider { get; set; } = true;

    public bool Allows { get; set; } = true;

    public string Address => app.Urls.First();

    public static async Task<SignInServer> StartAsync()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        builder.Logging.ClearProviders();
        var app = builder.Build();
        var server = new SignInServer(app);
        app.MapPost("/hub/v1/sign-in", (Named body) => body is { Name: "ada", Password: "right" } ? server.Open() : body.Name == "busy" ? Results.StatusCode(429) : Results.StatusCode(401));
        app.MapPost("/hub/v1/sign-in/provider", (Shown body) =>
        {
            server.Provided.Enqueue(body.Token);
            return server.AccountsForProvider && body.Provider == "lab" ? server.Open() : Results.StatusCode(401);
        });
        app.MapPost("/hub/v1/sign-out", (HttpContext context) => server.Sessions.TryRemove(Token(context), out _) ? Results.NoContent() : Results.StatusCode(401));
        app.MapGet("/hub/v1/me", (HttpContext context) => server.Sessions.ContainsKey(Token(context)) ? Results.Json(new { name = "ada", role = "member" }) : Results.StatusCode(401));
        app.MapGet("/hub/v1/jobs", (HttpContext context) => server.Sessions.ContainsKey(Token(context)) ? Results.Json(new { items = Array.Empty<string>() }) : Results.StatusCode(401));
        app.MapGet("/authorize", (Delegate)server.Authorize);
        app.MapPost("/token", (Delegate)server.ExchangeAsync);
        await app.StartAsync();
        return server;
    }

    /// <summary>What the dashboard is told of the provider.</summary>
    public (string Name, string Value)[] Provider(string secretFile) =>
    [
        ("JobHub__Web__Providers__lab__DisplayName", "The Lab"), ("JobHub__Web__Providers__lab__AuthorizationEndpoint", $"{Address}/authorize"),
        ("JobHub__Web__Providers__lab__TokenEndpoint", $"{Address}/token"), ("JobHub__Web__Providers__lab__ClientId", "jobhub"),
        ("JobHub__Web__Providers__lab__ClientSecretFile", secretFile), ("JobHub__Web__Providers__lab__Scopes", "who mail"),
    ];

    public async ValueTask DisposeAsync()
    {
        await app.StopAsync();
        await app.DisposeAsync();
    }

    private IResult Open()
    {
        var token = Convert.ToHexString(RandomNumberGenerator.GetBytes(32));
        Sessions[token] = true;
        return Results.Json(new { token, expiresAt = TimeProvider.System.GetUtcNow().AddHours(1), user = new { name = "ada", role = "member" } });
    }

    private IResult Authorize(HttpContext context)
    {
        var query = context.Request.Query;
        var back = query["redirect_uri"].ToString();
        if (!Allows) return Results.Redirect(QueryHelpers.AddQueryString(back, new Dictionary<string, string?> { ["error"] = "access_denied", ["state"] = query["state"] }));
        if (query["code_challenge_method"] != "S256" || query["client_id"] != "jobhub" || query["scope"] != "who mail") return Results.BadRequest();
        var code = Guid.NewGuid().ToString("N");
        Codes[code] = query["code_challenge"].ToString();
        return Results.Redirect(QueryHelpers.AddQueryString(back, new Dictionary<string, string?> { ["code"] = code, ["state"] = query["state"] }));
    }

    private async Task<IResult> ExchangeAsync(HttpContext context)
    {
        var form = await context.Request.ReadFormAsync();
        var proof = WebEncoders.Base64UrlEncode(SHA256.HashData(Encoding.ASCII.GetBytes(form["code_verifier"].ToString())));
        return form["client_secret"] == "secret-of-lab" && Codes.TryRemove(form["code"].ToString(), out var challenge) && challenge == proof
            ? Results.Json(new { access_token = "token-of-lab", token_type = "Bearer", expires_in = 60 })
            : Results.Json(new { error = "invalid_grant" }, statusCode: 400);
    }

    private static string Token(HttpContext context) => context.Request.Headers.Authorization.ToString().Replace("Bearer ", "", StringComparison.Ordinal);

    private sealed record Named(string Name, string Password);

    private sealed record Shown(string Provider, string Token);
}
