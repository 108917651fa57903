using System.Net;
using System.Text.Json.Nodes;
using JobHub.Engine.Accounts;
using Microsoft.Extensions.DependencyInjection;

namespace JobHub.Api.Tests.Accounts;

[Collection(HubCollection.Name)]
public sealed class SignInTests(HubFixture fixture)
{
    private const string Password = "correct horse battery";

    [Fact]
    public async Task SignIn_WithThePassword_IsASessionUntilSignOut()
    {
        var account = await UserAsync(fixture.Hub, AccountRole.Member);
        using var answer = await SignInAsync(fixture.Hub, account.Name.ToUpperInvariant(), Password);
        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        Assert.Equal("no-store", answer.Headers.CacheControl?.ToString());
        var body = await answer.JsonAsync();
        Assert.Equal(account.Name, (string?)body["user"]!["name"]);
        using var client = fixture.Hub.NewClient((string)body["token"]!);
        var me = await (await client.GetAsync("/hub/v1/me")).JsonAsync();
        Assert.Equal(("member", "session"), ((string?)me["role"], (string?)me["token"]!["kind"]));

        Assert.Equal(HttpStatusCode.NoContent, (await client.PostAsync("/hub/v1/sign-out", null)).StatusCode);
        await (await client.GetAsync("/hub/v1/me")).IsProblemAsync(HttpStatusCode.Unauthorized, "token-unknown");
    }

    [Fact]
    public async Task SignIn_ThatFails_IsAnsweredAlikeWhyever()
    {
        await using var hub = await HubHost.StartAsync(fixture.Postgres, "Production");
        var known = await UserAsync(hub, AccountRole.Member);
        var disabled = await UserAsync(hub, AccountRole.Member);
        await hub.Services.GetRequiredService<AccountStore>().ChangeAsync(disabled.Name, new(Disabled: true), CancellationToken.None);
        var without = await hub.AccountAsync(AccountRole.Member);
        var bodies = new List<string>();
        foreach (var (name, password) in ((string, string)[])
            [(known.Name, "wrong password"), (known.Name, Password + new string('x', 300)), ("nobody-of-this-name", Password), (disabled.Name, Password), (without.Name, Password), ("admin", Password), ("not a name", Password)])
        {
            using var answer = await SignInAsync(hub, name, password);
            var problem = await answer.IsProblemAsync(HttpStatusCode.Unauthorized, "sign-in-failed");
            problem.AsObject().Remove("requestId");
            bodies.Add(problem.ToJsonString());
        }

        Assert.Single(bodies.Distinct());
    }

    [Fact]
    public async Task SignIn_GuessedOften_IsHeldBackForThatNameOnly()
    {
        await using var hub = await HubHost.StartAsync(fixture.Postgres, "Production", "--JobHub:Auth:SignIn:FailuresByName=3", "--JobHub:Auth:SignIn:FailuresByAddress=1000");
        var (victim, other) = (await UserAsync(hub, AccountRole.Member), await UserAsync(hub, AccountRole.Member));
        // All at once: counting after the answer would let all of them through.
        var answers = await Task.WhenAll(Enumerable.Range(0, 12).Select(_ => SignInAsync(hub, victim.Name, "a guess of a password")));
        Assert.Equal(3, answers.Count(static a => a.StatusCode == HttpStatusCode.Unauthorized));
        Assert.Equal(9, answers.Count(static a => a.StatusCode == HttpStatusCode.TooManyRequests));

        using var held = await SignInAsync(hub, victim.Name, Password);
        await held.IsProblemAsync(HttpStatusCode.TooManyRequests, "too-many-sign-ins");
        Assert.InRange(int.Parse(held.Headers.GetValues("Retry-After").Single()), 1, 300);
        // More good ones than failures are allowed.
        for (var time = 0; time < 5; time++) Assert.Equal(HttpStatusCode.OK, (await SignInAsync(hub, other.Name, Password)).StatusCode);
    }

    [Fact]
    public async Task SignIn_GuessedOverManyNames_IsHeldBackForThatAddressOnly()
    {
        await using var hub = await HubHost.StartAsync(fixture.Postgres, "Production", "--JobHub:Auth:SignIn:FailuresByAddress=3");
        var user = await UserAsync(hub, AccountRole.Member);
        for (var guess = 0; guess < 3; guess++) Assert.Equal(HttpStatusCode.Unauthorized, (await SignInAsync(hub, $"name-{guess}", Password, "198.51.100.7")).StatusCode);

        await (await SignInAsync(hub, user.Name, Password, "198.51.100.7")).IsProblemAsync(HttpStatusCode.TooManyRequests, "too-many-sign-ins");
        Assert.Equal(HttpStatusCode.OK, (await SignInAsync(hub, user.Name, Password, "198.51.100.8")).StatusCode);
        Assert.Equal(HttpStatusCode.OK, (await SignInAsync(hub, user.Name, Password)).StatusCode);
    }

    [Fact]
    public async Task SignOut_WithATokenOfAnotherKind_IsToldSo()
    {
        using var client = await fixture.Hub.ClientAsync(AccountRole.Member);
        await (await client.PostAsync("/hub/v1/sign-out", null)).IsProblemAsync(HttpStatusCode.Conflict, "no-session");
    }

    private static async Task<Account> UserAsync(HubHost hub, AccountRole role)
    {
        var hash = await hub.Services.GetRequiredService<Passwords>().HashAsync(Password, CancellationToken.None);
        return (await hub.Services.GetRequiredService<AccountStore>().CreateAsync($"s-{Guid.NewGuid():N}", role, hash, CancellationToken.None))!;
    }

    private static Task<HttpResponseMessage> SignInAsync(HubHost hub, string name, string password, string? address = null)
    {
        var request = new HttpRequestMessage(HttpMethod.Post, "/hub/v1/sign-in") { Content = new JsonObject { ["name"] = name, ["password"] = password }.ToJsonString().AsJson() };
        if (address is not null) request.Headers.Add("X-Forwarded-For", address);
        return hub.Client.SendAsync(request);
    }
}
