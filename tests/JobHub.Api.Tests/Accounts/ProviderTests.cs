using System.Net;
using System.Text.Json.Nodes;
using JobHub.Engine.Accounts;
using Microsoft.Extensions.DependencyInjection;

namespace JobHub.Api.Tests.Accounts;

[Collection(HubCollection.Name)]
public sealed class ProviderTests(HubFixture fixture) : IAsyncLifetime
{
    private const string Token = "ya29.some-access-token-of-the-provider";

    private readonly string folder = Directory.CreateTempSubdirectory("jobhub-provider-").FullName;
    private ProviderDouble provider = null!;
    private HubHost hub = null!;

    public async Task InitializeAsync()
    {
        provider = await ProviderDouble.StartAsync();
        hub = await HubHost.StartAsync(fixture.Postgres, "Production", provider.Settings(folder));
    }

    public async Task DisposeAsync()
    {
        await hub.DisposeAsync();
        await provider.DisposeAsync();
        Directory.Delete(folder, recursive: true);
    }

    [Fact]
    public async Task Token_OfAProvider_MakesItsAccountAtFirstSightAndIsAskedAboutOnce()
    {
        provider.Tokens[Token] = new() { ["sub"] = "42", ["preferred_username"] = "Ada Lovelace" };
        for (var time = 0; time < 3; time++) Assert.Equal(HttpStatusCode.OK, await StatusAsync("/projects?provider=google"));
        Assert.Equal(1, provider.Asked);

        var account = await Accounts.GetAsync("ada.lovelace", CancellationToken.None);
        Assert.Equal((AccountRole.Member, "google", false), (account!.Role, account.Provider, account.HasPassword));

        // What the provider has said holds for a while; what the hub says of its account holds at once.
        await Accounts.ChangeAsync(account.Name, new(Disabled: true), CancellationToken.None);
        Assert.Equal(HttpStatusCode.Unauthorized, await StatusAsync("/projects?provider=google"));
        Assert.Equal(1, provider.Asked);
    }

    [Fact]
    public async Task Token_OfAProvider_NeverTakesOverAnAccountByItsName()
    {
        var mine = await Accounts.CreateAsync("grace", AccountRole.Admin, null, CancellationToken.None);
        foreach (var (token, subject, name) in ((string, string, string)[])[("token-of-one", "1", "grace"), ("token-of-two", "2", "GRACE"), ("token-of-three", "3", "admin")])
        {
            provider.Tokens[token] = new() { ["sub"] = subject, ["preferred_username"] = name };
            Assert.Equal(HttpStatusCode.OK, await StatusAsync("/projects?provider=google", token));
        }

        var names = await Accounts.ListAsync(null, 100, CancellationToken.None).Select(static a => (a.Name, a.Provider)).ToArrayAsync();
        Assert.Equal([("grace", null), ("grace-2", "google"), ("grace-3", "google"), ("user.admin", "google")], names);
        Assert.Equal(mine, await Accounts.GetAsync("grace", CancellationToken.None));
    }

    [Fact]
    public async Task Token_ByIntrospection_MustBeActiveAndOfAProgramThatIsTaken()
    {
        provider.Tokens["active-of-dashboard"] = new() { ["active"] = true, ["sub"] = "7", ["username"] = "mia", ["client_id"] = "dashboard" };
        provider.Tokens["active-of-another"] = new() { ["active"] = true, ["sub"] = "8", ["username"] = "eve", ["client_id"] = "game" };
        provider.Tokens["expired"] = new() { ["active"] = true, ["sub"] = "9", ["client_id"] = "dashboard", ["exp"] = 1000 };

        Assert.Equal(HttpStatusCode.OK, await StatusAsync("/projects?provider=lab", "active-of-dashboard"));
        foreach (var token in (string[])["active-of-another", "expired", "never-given-out"]) Assert.Equal(HttpStatusCode.Unauthorized, await StatusAsync("/projects?provider=lab", token));
        Assert.Null(await Accounts.GetAsync("eve", CancellationToken.None));
    }

    [Theory, InlineData("/projects?provider=nobody"), InlineData("/projects"), InlineData("/projects?provider=google&provider=google"), InlineData("/hub/v1/jobs?provider=google"), InlineData("/hub/v1/me?provider=google")]
    public async Task Token_OfAProvider_IsUnknownEverywhereElse(string path)
    {
        provider.Tokens[Token] = new() { ["sub"] = "42" };
        using var client = hub.NewClient(Token);
        await (await client.GetAsync(path)).IsProblemAsync(HttpStatusCode.Unauthorized, "token-unknown");
        Assert.Equal(0, provider.Asked);
    }

    [Fact]
    public async Task Token_WhileTheProviderIsAway_IsNotCalledInvalid()
    {
        foreach (var status in (HttpStatusCode[])[HttpStatusCode.InternalServerError, HttpStatusCode.TooManyRequests, HttpStatusCode.Redirect])
        {
            provider.Broken = status;
            using var client = hub.NewClient(Token);
            foreach (var name in (string[])["google", "lab"])
            {
                using var answer = await client.GetAsync($"/projects?provider={name}");
                await answer.IsProblemAsync(HttpStatusCode.ServiceUnavailable, "provider-unavailable");
                Assert.Equal("5", answer.Headers.GetValues("Retry-After").Single());
            }

            await (await hub.Client.PostAsync("/hub/v1/sign-in/provider", new JsonObject { ["provider"] = "google", ["token"] = Token })).IsProblemAsync(HttpStatusCode.ServiceUnavailable, "provider-unavailable");
        }
    }

    [Fact]
    public async Task Token_OfTheHub_NeedsNoProvider()
    {
        using var client = await hub.ClientAsync(AccountRole.Member);
        Assert.Equal(HttpStatusCode.OK, (await client.GetAsync("/projects?provider=google")).StatusCode);
        Assert.Equal(HttpStatusCode.OK, (await client.GetAsync("/projects?provider=nobody")).StatusCode);
        Assert.Equal(0, provider.Asked);
    }

    [Fact]
    public async Task SignIn_ByAProvider_IsASession()
    {
        provider.Tokens[Token] = new() { ["sub"] = "42", ["preferred_username"] = "ada" };
        using var answer = await hub.Client.PostAsync("/hub/v1/sign-in/provider", new JsonObject { ["provider"] = "google", ["token"] = Token });
        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        using var client = hub.NewClient((string)(await answer.JsonAsync())["token"]!);
        Assert.Equal("ada", (string?)(await (await client.GetAsync("/hub/v1/me")).JsonAsync())["name"]);

        foreach (var (name, token) in ((string, string)[])[("google", "never-given-out"), ("nobody", Token)])
            await (await hub.Client.PostAsync("/hub/v1/sign-in/provider", new JsonObject { ["provider"] = name, ["token"] = token })).IsProblemAsync(HttpStatusCode.Unauthorized, "sign-in-failed");
    }

    [Fact]
    public async Task Provider_AtAPrivateAddressThatIsNotListed_IsNotAsked()
    {
        await using var other = await HubHost.StartAsync(fixture.Postgres, "Production", $"--JobHub:Auth:Providers:google:UserInfo={provider.Address}userinfo");
        using var client = other.NewClient(Token);
        await (await client.GetAsync("/projects?provider=google")).IsProblemAsync(HttpStatusCode.ServiceUnavailable, "provider-unavailable");
        Assert.Equal(0, provider.Asked);
    }

    private AccountStore Accounts => hub.Services.GetRequiredService<AccountStore>();

    private async Task<HttpStatusCode> StatusAsync(string path, string token = Token)
    {
        using var client = hub.NewClient(token);
        using var answer = await client.GetAsync(path);
        return answer.StatusCode;
    }
}
