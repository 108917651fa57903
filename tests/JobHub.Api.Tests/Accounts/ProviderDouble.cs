using System.Collections.Concurrent;
using System.Net;
using System.Text;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace JobHub.Api.Tests.Accounts;

/// <summary>A provider on this machine: userinfo and introspection over tokens that a test gives out.</summary>
internal sealed class ProviderDouble : IAsyncDisposable
{
    public const string ClientId = "hub", ClientSecret = "provider-client-secret-0123";

    private readonly WebApplication app;

    private ProviderDouble(WebApplication app) => this.app = app;

    /// <summary>What is known of a token; one that is not here is refused.</summary>
    public ConcurrentDictionary<string, JsonObject> Tokens { get; } = new();

    /// <summary>Answered instead of anything else.</summary>
    public HttpStatusCode? Broken { get; set; }

    public int Asked => asked;

    private int asked;

    public Uri Address => new(app.Urls.First());

    public static async Task<ProviderDouble> StartAsync()
    {
        var builder = WebApplication.CreateBuilder();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        builder.Logging.ClearProviders();
        var app = builder.Build();
        var provider = new ProviderDouble(app);
        app.MapGet("/userinfo", provider.UserInfo);
        app.MapPost("/introspect", provider.IntrospectAsync);
        await app.StartAsync();
        return provider;
    }

    public string[] Settings(string folder, params string[] more)
    {
        var secret = Path.Combine(folder, "client-secret");
        File.WriteAllText(secret, ClientSecret + "\n");
        return
        [
            $"--JobHub:Auth:Providers:google:UserInfo={Address}userinfo", $"--JobHub:Auth:Providers:lab:Introspection={Address}introspect", $"--JobHub:Auth:Providers:lab:ClientId={ClientId}",
            $"--JobHub:Auth:Providers:lab:ClientSecretFile={secret}", "--JobHub:Auth:Providers:lab:Clients:0=dashboard", $"--JobHub:Auth:AllowedEndpoints:0=127.0.0.1:{Address.Port}", .. more,
        ];
    }

    public ValueTask DisposeAsync() => app.DisposeAsync();

    private IResult UserInfo(HttpRequest request)
    {
        Interlocked.Increment(ref asked);
        if (Broken is { } status) return Results.StatusCode((int)status);
        return Tokens.TryGetValue(request.Headers.Authorization.ToString()["Bearer ".Length..], out var who) ? Results.Text(who.ToJsonString(), "application/json") : Results.StatusCode(401);
    }

    private async Task<IResult> IntrospectAsync(HttpRequest request)
    {
        Interlocked.Increment(ref asked);
        if (Broken is { } status) return Results.StatusCode((int)status);
        if (request.Headers.Authorization != "Basic " + Convert.ToBase64String(Encoding.UTF8.GetBytes($"{ClientId}:{ClientSecret}"))) return Results.StatusCode(401);
        var form = await request.ReadFormAsync();
        return Results.Text((Tokens.TryGetValue(form["token"].ToString(), out var who) ? who : new JsonObject { ["active"] = false }).ToJsonString(), "application/json");
    }
}
