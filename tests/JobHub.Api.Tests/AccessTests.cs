using System.Net;
using System.Text.RegularExpressions;
using JobHub.Api.Http.Access;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;

namespace JobHub.Api.Tests;

[Collection(HubCollection.Name)]
public sealed partial class AccessTests(HubFixture fixture)
{
    private const string Unknown = "some-other-token-0123456789";

    [Fact]
    public async Task EveryRoute_OutsideDevelopment_LetsInWhomItsPolicyNames()
    {
        await using var hub = await HubHost.StartAsync(fixture.Postgres, "Production");
        var routes = RoutesOf(hub).ToList();
        Assert.True(routes.Count > 20);
        foreach (var (method, path, policy) in routes)
        {
            foreach (var (token, expected) in ((string?, HttpStatusCode?)[])
            [
                (null, policy == RoutePolicy.Public ? null : HttpStatusCode.Unauthorized),
                (Unknown, policy == RoutePolicy.Public ? null : HttpStatusCode.Unauthorized),
                (HubHost.WorkerToken, policy is not (RoutePolicy.Public or RoutePolicy.Agents) ? HttpStatusCode.Forbidden : null),
                (HubHost.AdminToken, null),
            ])
            {
                await CheckAsync(hub, method, path, token, expected);
            }
        }
    }

    [Fact]
    public async Task EveryRoute_InDevelopment_IsOpenToThisMachineButForAgents()
    {
        foreach (var (method, path, policy) in RoutesOf(fixture.Hub))
        {
            await CheckAsync(fixture.Hub, method, path, null, policy is RoutePolicy.Agents or RoutePolicy.Projects or RoutePolicy.Account or RoutePolicy.Admin ? HttpStatusCode.Unauthorized : null);
            await CheckAsync(fixture.Hub, method, path, Unknown, policy == RoutePolicy.Public ? null : HttpStatusCode.Unauthorized);
        }
    }

    [Theory]
    [InlineData("Origin", "http://evil.example"), InlineData("Origin", "null"), InlineData("Origin", "http://localhost:1"), InlineData("Sec-Fetch-Site", "cross-site")]
    [InlineData("Sec-Fetch-Site", "same-site"), InlineData("Host", "evil.example"), InlineData("Host", "localhost"), InlineData("Host", "localhost:1")]
    public async Task Request_ThatAnotherSiteMayHaveSent_IsRefusedWithoutAToken(string header, string value)
    {
        foreach (var path in (string[])["/api/v1/jobs", "/hub/v1/jobs"])
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, path);
            request.Headers.TryAddWithoutValidation(header, value);
            using var answer = await fixture.Hub.Client.SendAsync(request);
            await answer.IsProblemAsync(HttpStatusCode.Forbidden, "cross-site-request");
        }

        using var known = new HttpRequestMessage(HttpMethod.Get, "/api/v1/jobs");
        known.Headers.TryAddWithoutValidation(header, value);
        using var admin = fixture.Hub.NewClient(HubHost.AdminToken);
        using var allowed = await admin.SendAsync(known);
        Assert.Equal(HttpStatusCode.OK, allowed.StatusCode);
    }

    [Theory, InlineData("Origin", HubHost.DashboardOrigin), InlineData("Sec-Fetch-Site", "same-origin"), InlineData("Sec-Fetch-Site", "none"), InlineData("Host", "localhost:PORT"), InlineData("Origin", "http://127.0.0.1:PORT")]
    public async Task Request_OfThisMachinesOwn_IsLetIn(string header, string value)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, "/api/v1/jobs");
        request.Headers.TryAddWithoutValidation(header, value.Replace("PORT", fixture.Hub.Address.Port.ToString()));
        using var answer = await fixture.Hub.Client.SendAsync(request);
        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
    }

    [Theory, InlineData("http://0.0.0.0:0"), InlineData("http://[::]:0"), InlineData("http://*:0"), InlineData("http://127.0.0.1:0;http://0.0.0.0:0")]
    public void Host_InDevelopmentOnAnotherAddress_DoesNotStart(string urls)
    {
        var refusal = Assert.Throws<StartRefusedException>(() => ApiHost.Build(
            ["--environment=Development", $"--urls={urls}", "--ConnectionStrings:jobhub=Host=127.0.0.1", "--JobHub:Storage:Root=/nowhere", "--JobHub:Secrets:File=/nowhere/key"]));
        Assert.DoesNotContain('\n', refusal.Message);
        Assert.Contains("loopback", refusal.Message);
    }

    private static async Task CheckAsync(HubHost hub, HttpMethod method, string path, string? token, HttpStatusCode? expected)
    {
        using var client = token is null ? null : hub.NewClient(token);
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        using var answer = await (client ?? hub.Client).SendAsync(new HttpRequestMessage(method, path), HttpCompletionOption.ResponseHeadersRead, limit.Token);
        var said = $"{method} {path} with {token ?? "no token"}: {(int)answer.StatusCode}";
        if (expected is { } status)
        {
            Assert.True(answer.StatusCode == status, said);
            if (status == HttpStatusCode.Unauthorized) Assert.True(answer.Headers.WwwAuthenticate.Single().Scheme == "Bearer", said);
            return;
        }

        Assert.True(answer.StatusCode is not (HttpStatusCode.Unauthorized or HttpStatusCode.Forbidden), said);
        Assert.True((int)answer.StatusCode < 500, said);
    }

    /// <summary>Every route of the host, so that a new one is checked without being listed here.</summary>
    private static IEnumerable<(HttpMethod Method, string Path, RoutePolicy Policy)> RoutesOf(HubHost hub)
    {
        foreach (var endpoint in hub.Services.GetRequiredService<EndpointDataSource>().Endpoints.OfType<RouteEndpoint>())
        {
            var pattern = endpoint.RoutePattern.RawText!;
            var policy = RoutePolicies.Of(pattern);
            Assert.True(policy is not null, pattern);
            var path = Parameter().Replace(pattern, match => match.Groups[1].Value switch
            {
                _ when match.Value.Contains(":guid") => Guid.Empty.ToString(), "documentName" => "hub", _ => "1",
            });
            foreach (var method in endpoint.Metadata.GetMetadata<IHttpMethodMetadata>()?.HttpMethods ?? ["GET"]) yield return (new HttpMethod(method), "/" + path.TrimStart('/'), policy!.Value);
        }
    }

    [GeneratedRegex(@"\{\*{0,2}([A-Za-z]+)[^}]*\}")]
    private static partial Regex Parameter();
}
