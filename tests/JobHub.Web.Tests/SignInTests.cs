using System.Net;
using System.Net.Http.Json;
using System.Text.RegularExpressions;

namespace JobHub.Web.Tests;

public sealed class SignInTests(RealHub hub) : IClassFixture<RealHub>, IAsyncLifetime
{
    private readonly string folder = Directory.CreateTempSubdirectory("jobhub-web-").FullName;
    private string ada = "";

    private string Keys => Path.Combine(folder, "keys");

    public async Task InitializeAsync()
    {
        ada = await hub.UserAsync();
        (hub.Provider.Allows, hub.Provider.Knows) = (true, true);
        await File.WriteAllTextAsync(Path.Combine(folder, "secret"), ProviderServer.Secret + "\n");
    }

    public Task DisposeAsync()
    {
        Directory.Delete(folder, recursive: true);
        return Task.CompletedTask;
    }

    [Fact]
    public async Task SignIn_ByPassword_GivesASealedCookieAndLeadsBack()
    {
        await using var web = await WebAsync();
        using var browser = new Browser(web.Http.BaseAddress!);
        var asked = await browser.GetAsync("/?state=Running");
        Assert.Equal((HttpStatusCode.Found, "/sign-in?return=%2F%3Fstate%3DRunning"), (asked.Status, asked.Location!.PathAndQuery));

        var signedIn = await browser.SubmitAsync(asked.Location.PathAndQuery, "password", ("name", ada), ("password", RealHub.Password));

        Assert.Equal((HttpStatusCode.Found, "/?state=Running"), (signedIn.Status, signedIn.Location!.PathAndQuery));
        var cookie = Assert.Single(browser.SetCookies, c => c.StartsWith("__Host-jobhub-session=", StringComparison.Ordinal));
        foreach (var flag in new[] { "httponly", "secure", "samesite=lax", "path=/" }) Assert.Contains(flag, cookie);
        var form = Assert.Single(browser.SetCookies, c => c.StartsWith("__Host-jobhub-form=", StringComparison.Ordinal));
        foreach (var flag in new[] { "httponly", "secure", "samesite=strict" }) Assert.Contains(flag, form);
        var page = await browser.GetAsync("/?state=Running");
        Assert.Equal(HttpStatusCode.OK, page.Status);
        Assert.True(page.NoStore);
        Assert.Contains("Signed in as", page.Body);
        Assert.Equal("session", Assert.Single(await hub.TokensAsync(ada))["kind"]!.GetValue<string>());
        Assert.DoesNotContain("jh_", page.Body + signedIn.Body + signedIn.Location + string.Concat(browser.SetCookies) + web.Output);
        Assert.DoesNotContain(RealHub.Password, web.Output);
    }

    [Theory]
    [InlineData("wrong", HttpStatusCode.Unauthorized, "Name or password is wrong")]
    [InlineData("disabled", HttpStatusCode.Unauthorized, "the account is closed")]
    [InlineData("guessed", HttpStatusCode.TooManyRequests, "Too many tries")]
    [InlineData("empty", HttpStatusCode.BadRequest, "Fill in both fields")]
    public async Task SignIn_Refused_SaysWhatToDoAndKeepsNoPassword(string how, HttpStatusCode status, string says)
    {
        var password = how == "wrong" ? "not-the-password-of-ada" : RealHub.Password;
        if (how == "disabled") (await hub.Admin.PatchAsJsonAsync($"/hub/v1/users/{ada}", new { disabled = true })).EnsureSuccessStatusCode();
        for (var tries = 0; how == "guessed" && tries < RealHub.ByName; tries++) await FailAsync(ada, "198.51.100.1");
        await using var web = await WebAsync();
        using var browser = new Browser(web.Http.BaseAddress!);
        var answer = await browser.SubmitAsync("/sign-in", "password", ("name", how == "empty" ? " " : ada), ("password", password));
        Assert.Equal(status, answer.Status);
        Assert.Contains(says, answer.Body);
        Assert.DoesNotContain($"value=\"{password}\"", answer.Body);
        Assert.DoesNotContain(browser.Cookies.Keys, c => c.Contains("session"));
        Assert.Empty(await hub.TokensAsync(ada));
    }

    [Fact]
    public async Task Visitor_WhoseAccountIsDisabled_HasToSignInAgain()
    {
        await using var web = await WebAsync();
        using var browser = new Browser(web.Http.BaseAddress!);
        await browser.SubmitAsync("/sign-in", "password", ("name", ada), ("password", RealHub.Password));
        (await hub.Admin.PatchAsJsonAsync($"/hub/v1/users/{ada}", new { disabled = true })).EnsureSuccessStatusCode();
        Assert.Equal("/sign-in?return=%2Ftokens&why=ended", (await browser.GetAsync("/tokens")).Location!.PathAndQuery);
    }

    [Fact]
    public async Task Jobs_OfOthers_AreNotShown()
    {
        var bob = await hub.UserAsync();
        await MakeJobAsync(ada, "sequences-of-ada");
        var other = await MakeJobAsync(bob, "sequences-of-bob");
        await using var web = await WebAsync();
        using var browser = new Browser(web.Http.BaseAddress!);
        await browser.SubmitAsync("/sign-in", "password", ("name", ada), ("password", RealHub.Password));
        var foreign = await browser.GetAsync($"/jobs/{other}");
        Assert.DoesNotContain("sequences-of-bob", foreign.Body);
    }

    [Fact]
    public async Task Visitor_OfOneAddress_IsNotLockedOutByTheFailuresOfAnother()
    {
        for (var tries = 0; tries < RealHub.ByAddress; tries++) Assert.Equal(HttpStatusCode.Unauthorized, await FailAsync($"nobody-{tries}", "203.0.113.1"));
        Assert.Equal(HttpStatusCode.TooManyRequests, await FailAsync(ada, "203.0.113.1"));

        // The dashboard says what it sees, not what its visitor says of himself.
        await using (var web = await WebAsync())
        {
            using var liar = new Browser(web.Http.BaseAddress!) { ForwardedFor = "203.0.113.1" };
            Assert.Equal(HttpStatusCode.Found, (await liar.SubmitAsync("/sign-in", "password", ("name", ada), ("password", RealHub.Password))).Status);
        }

        await using var behind = await WebAsync(("JobHub__Web__TrustedProxies__0", "127.0.0.1"));
        using var locked = new Browser(behind.Http.BaseAddress!) { ForwardedFor = "203.0.113.1" };
        Assert.Equal(HttpStatusCode.TooManyRequests, (await locked.SubmitAsync("/sign-in", "password", ("name", ada), ("password", RealHub.Password))).Status);
        using var free = new Browser(behind.Http.BaseAddress!) { ForwardedFor = "203.0.113.1, 203.0.113.2" };
        Assert.Equal(HttpStatusCode.Found, (await free.SubmitAsync("/sign-in", "password", ("name", ada), ("password", RealHub.Password))).Status);
    }

    [Fact]
    public async Task Forms_WithoutTheirToken_AreRefused()
    {
        await using var web = await WebAsync();
        using var browser = new Browser(web.Http.BaseAddress!);
        var bare = await browser.PostAsync("/sign-in", ("_handler", "password"), ("name", ada), ("password", RealHub.Password));
        Assert.Equal(HttpStatusCode.BadRequest, bare.Status);
        Assert.Contains("Sign in again on this page", bare.Body);
        Assert.Contains("id=\"name\" name=\"name\"", bare.Body);
        Assert.Empty(await hub.TokensAsync(ada));

        await browser.SubmitAsync("/sign-in", "password", ("name", ada), ("password", RealHub.Password));
        Assert.Equal(HttpStatusCode.BadRequest, (await browser.PostAsync("/sign-out")).Status);
        Assert.Single(await hub.TokensAsync(ada));
    }

    [Fact]
    public async Task SignOut_EndsTheSessionAtTheApiAndForgetsTheCookie()
    {
        await using var web = await WebAsync();
        using var browser = new Browser(web.Http.BaseAddress!);
        await browser.SubmitAsync("/sign-in", "password", ("name", ada), ("password", RealHub.Password));
        var cookie = browser.Cookies.Single(c => c.Key.Contains("session"));
        var answer = await browser.FollowAsync(await browser.SubmitAsync("/", "/sign-out"));
        Assert.Contains("You have signed out", answer.Body);
        Assert.Empty(await hub.TokensAsync(ada));
        Assert.DoesNotContain(browser.Cookies.Keys, c => c.Contains("session"));
        Assert.Equal("/sign-in", (await browser.GetAsync("/")).Location!.PathAndQuery);

        // A copy of the cookie is worth nothing: the Api does not know its token any more.
        browser.Cookies[cookie.Key] = cookie.Value;
        Assert.Equal("/sign-in?return=%2Ftokens&why=ended", (await browser.GetAsync("/tokens")).Location!.PathAndQuery);
    }

    [Fact]
    public async Task SignIn_ByToken_LeavesTheTokenValidAfterSigningOut()
    {
        await using var web = await WebAsync();
        using var browser = new Browser(web.Http.BaseAddress!);
        using var session = await hub.SessionAsync(ada);
        using var made = await session.PostAsJsonAsync("/hub/v1/tokens", new { name = "mine" });
        var token = (await RealHub.ReadAsync(made))["token"]!.GetValue<string>();
        Assert.Equal(HttpStatusCode.Unauthorized, (await browser.SubmitAsync("/sign-in", "token", ("token", "no-such"))).Status);
        Assert.Equal(HttpStatusCode.Found, (await browser.SubmitAsync("/sign-in", "token", ("token", token))).Status);
        await browser.SubmitAsync("/", "/sign-out");
        using var still = hub.Client(token);
        Assert.Equal(HttpStatusCode.OK, (await still.GetAsync("/hub/v1/me")).StatusCode);
    }

    [Fact]
    public async Task Page_WhenTheSessionHasEndedAtTheApi_LeadsToSignInAndBack()
    {
        await using var web = await WebAsync();
        using var browser = new Browser(web.Http.BaseAddress!);
        await browser.SubmitAsync("/sign-in", "password", ("name", ada), ("password", RealHub.Password));
        (await hub.Admin.DeleteAsync($"/hub/v1/tokens/{Assert.Single(await hub.TokensAsync(ada))["id"]}")).EnsureSuccessStatusCode();
        var answer = await browser.GetAsync("/tokens?after=x");
        Assert.Equal("/sign-in?return=%2Ftokens%3Fafter%3Dx&why=ended", answer.Location!.PathAndQuery);
        Assert.DoesNotContain(browser.Cookies.Keys, c => c.Contains("session"));
        Assert.Contains("Your session has ended", (await browser.FollowAsync(answer)).Body);
    }

    [Theory]
    [InlineData("//evil.example")]
    [InlineData("/\\evil.example")]
    [InlineData("https://evil.example/")]
    [InlineData("/\t/evil.example")]
    [InlineData("/sign-in?return=/")]
    [InlineData("evil")]
    public async Task Return_ThatIsNoPathOfOurs_LeadsHome(string path)
    {
        Assert.Equal("/", SignIn.ReturnPath.Of(path));
        await using var web = await WebAsync();
        using var browser = new Browser(web.Http.BaseAddress!);
        var address = $"/sign-in?return={Uri.EscapeDataString(path)}";
        Assert.Equal("/", (await browser.SubmitAsync(address, "password", ("name", ada), ("password", RealHub.Password))).Location!.PathAndQuery);
    }

    [Fact]
    public async Task Provider_ByCodeAndProof_SignsInAndItsTokenIsKeptNowhere()
    {
        await using var web = await WebAsync();
        using var browser = new Browser(web.Http.BaseAddress!);
        Assert.Contains("The Lab", (await browser.GetAsync("/sign-in")).Body);
        var page = await browser.FollowAsync(await browser.GetAsync("/sign-in/lab?return=%2F%3Fstate%3DQueued"));
        Assert.Equal(HttpStatusCode.OK, page.Status);
        Assert.Contains("Signed in as", page.Body);
        Assert.Contains("grace", page.Body);
        Assert.NotEmpty(hub.Provider.Shown);
        Assert.All(hub.Provider.Shown, shown => Assert.StartsWith(ProviderServer.Token, shown));
        Assert.DoesNotContain(ProviderServer.Token, page.Body + web.Output);
        Assert.DoesNotContain(ProviderServer.Secret, web.Output);
        await browser.SubmitAsync("/", "/sign-out");
        Assert.Equal("/sign-in", (await browser.GetAsync("/")).Location!.PathAndQuery);
    }

    [Fact]
    public async Task Provider_Refusing_LeadsToAPageThatSaysWhy()
    {
        await using var web = await WebAsync();
        using var browser = new Browser(web.Http.BaseAddress!);
        hub.Provider.Knows = false;
        Assert.Contains("no sign-in from this account of The Lab", (await browser.FollowAsync(await browser.GetAsync("/sign-in/lab"))).Body);
        hub.Provider.Allows = false;
        Assert.Contains("The Lab was told not to let you in", (await browser.FollowAsync(await browser.GetAsync("/sign-in/lab"))).Body);
        hub.Provider.Allows = hub.Provider.Knows = true;

        // An answer that this browser did not ask for, as an attacker would send it.
        using var other = new Browser(web.Http.BaseAddress!);
        var begun = await other.GetAsync("/sign-in/lab");
        var back = (await other.GetAsync(begun.Location!.ToString())).Location!;
        Assert.Contains("did not end well", (await browser.FollowAsync(await browser.GetAsync(back.ToString()))).Body);
        Assert.Contains("did not end well", (await browser.FollowAsync(await browser.GetAsync("/sign-in/lab/done?code=x&state=forged"))).Body);
        Assert.DoesNotContain(browser.Cookies.Keys, c => c.Contains("session"));
    }

    [Fact]
    public async Task Cookie_AfterARestartAndAtASecondDashboard_IsGood()
    {
        using var browser = new Browser(new Uri("http://127.0.0.1:1"));
        await using (var web = await WebAsync())
        {
            using var first = new Browser(web.Http.BaseAddress!);
            await first.SubmitAsync("/sign-in", "password", ("name", ada), ("password", RealHub.Password));
            foreach (var (name, value) in first.Cookies) browser.Cookies[name] = value;
        }

        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute, File.GetUnixFileMode(Keys));
        await using var second = await WebAsync();
        using var again = new Browser(second.Http.BaseAddress!);
        foreach (var (name, value) in browser.Cookies) again.Cookies[name] = value;
        Assert.Equal(HttpStatusCode.OK, (await again.GetAsync("/")).Status);
    }

    [Fact]
    public async Task Production_WithoutACookie_ShowsSignInHealthAndFilesOnly()
    {
        await using var web = await WebProcess.StartAsync(hub.Address, "Production");
        using var browser = new Browser(web.Http.BaseAddress!);
        foreach (var path in new[] { "/sign-in", "/health", "/alive", "/app.css", "/js/shell.js" }) Assert.Equal(HttpStatusCode.OK, (await browser.GetAsync(path)).Status);
        foreach (var path in new[] { "/", "/jobs/1", "/no-such", "/_framework/x" }) Assert.StartsWith("/sign-in", (await browser.GetAsync(path)).Location?.PathAndQuery);
        Assert.Contains("KeysFolder is not set", web.Output);
    }

    [Fact]
    public async Task Development_WithoutACookie_ShowsPagesWithAWayToSignIn()
    {
        await File.WriteAllTextAsync(Path.Combine(folder, "token"), hub.AdminToken);
        await using var web = await WebProcess.StartAsync(hub.Address, "Development", ("JobHub__Web__TokenFile", Path.Combine(folder, "token")));
        using var browser = new Browser(web.Http.BaseAddress!);
        var page = await browser.GetAsync("/");
        Assert.Equal(HttpStatusCode.OK, page.Status);
        Assert.Matches(new Regex("<a [^>]*href=\"/sign-in\"", RegexOptions.None, TimeSpan.FromSeconds(5)), page.Body);
        Assert.DoesNotContain("KeysFolder", web.Output);
    }

    /// <summary>A wrong password at the Api, as its dashboard would send it for an address.</summary>
    private async Task<HttpStatusCode> FailAsync(string name, string address)
    {
        using var client = hub.Client(null);
        client.DefaultRequestHeaders.Add("X-Forwarded-For", address);
        using var answer = await client.PostAsJsonAsync("/hub/v1/sign-in", new { name, password = "not-the-password" });
        return answer.StatusCode;
    }

    private async Task<string> MakeJobAsync(string user, string title)
    {
        using var session = await hub.SessionAsync(user);
        using var project = await session.PostAsJsonAsync("/projects", new { name = title });
        var id = (await RealHub.ReadAsync(project))["id"]!.GetValue<string>();
        using var job = await session.PutAsJsonAsync($"/api/jobs?project={id}", new { title, command = "true" });
        job.EnsureSuccessStatusCode();
        using var list = await session.GetAsync("/hub/v1/jobs");
        return (await RealHub.ReadAsync(list))["items"]!.AsArray().Single()!["id"]!.GetValue<string>();
    }

    private Task<WebProcess> WebAsync(params (string Name, string Value)[] more) => WebProcess.StartAsync(hub.Address, "Production",
        [("JobHub__Web__KeysFolder", Keys), ("Logging__LogLevel__Default", "Debug"), ("Logging__LogLevel__Microsoft.AspNetCore", "Debug"), .. hub.Provider.Provider(Path.Combine(folder, "secret")), .. more]);
}
