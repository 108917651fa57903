using System.Collections.Concurrent;
using System.Security.Cryptography;
using System.Text;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.WebUtilities;
using Microsoft.Extensions.Logging;

namespace JobHub.Web.Tests;

/// <summary>An OAuth 2 server whose only user is grace, with what was asked of it.</summary>
internal sealed class ProviderServer : IAsyncDisposable
{
    /// <summary>How its access tokens begin, and the dashboard's secret at it.</summary>
    public const string Token = "token-of-lab", Secret = "secret-of-lab";

    private readonly WebApplication app;
    private readonly ConcurrentDictionary<string, bool> given = [];

    private ProviderServer(WebApplication app) => this.app = app;

    public ConcurrentDictionary<string, string> Codes { get; } = [];

    /// <summary>Tokens that it was asked about.</summary>
    public ConcurrentQueue<string> Shown { get; } = [];

    /// <summary>It says whose its token is.</summary>
    public bool Knows { get; set; } = true;

    public bool Allows { get; set; } = true;

    public string Address => app.Urls.First();

    public static async Task<ProviderServer> StartAsync()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        builder.Logging.ClearProviders();
        var app = builder.Build();
        var server = new ProviderServer(app);
        app.MapGet("/authorize", (Delegate)server.Authorize);
        app.MapPost("/token", (Delegate)server.ExchangeAsync);
        app.MapGet("/userinfo", (HttpContext context) =>
        {
            var token = context.Request.Headers.Authorization.ToString().Replace("Bearer ", "", StringComparison.Ordinal);
            server.Shown.Enqueue(token);
            return server.Knows && server.given.ContainsKey(token) ? Results.Json(new { sub = "42", preferred_username = "grace" }) : Results.StatusCode(401);
        });
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

    /// <summary>What the Api is told of it.</summary>
    public (string Name, string Value)[] AtApi() => [("JobHub__Auth__Providers__lab__UserInfo", $"{Address}/userinfo"), ("JobHub__Auth__AllowedEndpoints__0", new Uri(Address).Authority)];

    public async ValueTask DisposeAsync()
    {
        await app.StopAsync();
        await app.DisposeAsync();
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
        if (form["client_secret"] != Secret || !Codes.TryRemove(form["code"].ToString(), out var challenge) || challenge != proof) return Results.Json(new { error = "invalid_grant" }, statusCode: 400);
        var token = $"{Token}-{Guid.NewGuid():N}";
        given[token] = true;
        return Results.Json(new { access_token = token, token_type = "Bearer", expires_in = 60 });
    }
}
