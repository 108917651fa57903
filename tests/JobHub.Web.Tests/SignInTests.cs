using System.Net;
using System.Text.RegularExpressions;

namespace JobHub.Web.Tests;

public sealed class SignInTests : IAsyncLifetime
{
    private readonly string folder = Directory.CreateTempSubdirectory("jobhub-web-").FullName;
    private SignInServer server = null!;

    private string Keys => Path.Combine(folder, "keys");

    public async Task InitializeAsync()
    {
        server = await SignInServer.StartAsync();
        await File.WriteAllTextAsync(Path.Combine(folder, "secret"), "secret-of-lab\n");
    }

    public async Task DisposeAsync()
    {
        await server.DisposeAsync();
        Directory.Delete(folder, recursive: true);
    }

    [Fact]
    public async Task SignIn_ByPassword_GivesASealedCookieAndLeadsBack()
    {
        await using var web = await WebAsync();
        using var browser = new Browser(web.Http.BaseAddress!);
        var asked = await browser.GetAsync("/?state=Running");
        Assert.Equal((HttpStatusCode.Found, "/sign-in?return=%2F%3Fstate%3DRunning"), (asked.Status, asked.Location!.PathAndQuery));

        var signedIn = await browser.SubmitAsync(asked.Location.PathAndQuery, "password", ("name", "ada"), ("password", "right"));

        Assert.Equal((HttpStatusCode.Found, "/?state=Running"), (signedIn.Status, signedIn.Location!.PathAndQuery));
        var cookie = Assert.Single(browser.SetCookies, c => c.StartsWith("__Host-jobhub-session=", StringComparison.Ordinal));
        foreach (var flag in new[] { "httponly", "secure", "samesite=lax", "path=/" }) Assert.Contains(flag, cookie);
        var form = Assert.Single(browser.SetCookies, c => c.StartsWith("__Host-jobhub-form=", StringComparison.Ordinal));
        foreach (var flag in new[] { "httponly", "secure", "samesite=strict" }) Assert.Contains(flag, form);
        var page = await browser.GetAsync("/?state=Running");
        Assert.Equal(HttpStatusCode.OK, page.Status);
        Assert.True(page.NoStore);
        Assert.Contains("Signed in as", page.Body);
        var token = Assert.Single(server.Sessions).Key;
        Assert.DoesNotContain(token, page.Body + signedIn.Body + signedIn.Location + string.Concat(browser.SetCookies) + web.Output);
        Assert.DoesNotContain("right", web.Output);
    }

    [Theory]
    [InlineData("ada", "wrong", HttpStatusCode.Unauthorized, "Name or password is wrong")]
    [InlineData("busy", "right", HttpStatusCode.TooManyRequests, "Too many tries")]
    [InlineData(" ", "right", HttpStatusCode.BadRequest, "Fill in both fields")]
    public async Task SignIn_Refused_SaysWhatToDoAndKeepsNoPassword(string name, string password, HttpStatusCode status, string says)
    {
        await using var web = await WebAsync();
        using var browser = new Browser(web.Http.BaseAddress!);
        var answer = await browser.SubmitAsync("/sign-in", "password", ("name", name), ("password", password));
        Assert.Equal(status, answer.Status);
        Assert.Contains(says, answer.Body);
        Assert.DoesNotContain($"value=\"{password}\"", answer.Body);
        Assert.DoesNotContain(browser.Cookies.Keys, c => c.Contains("session"));
    }

    [Fact]
    public async Task Forms_WithoutTheirToken_AreRefused()
    {
        await using var web = await WebAsync();
        using var browser = new Browser(web.Http.BaseAddress!);
        var bare = await browser.PostAsync("/sign-in", ("_handler", "password"), ("name", "ada"), ("password", "right"));
        Assert.Equal(HttpStatusCode.BadRequest, bare.Status);
        Assert.Contains("Sign in again on this page", bare.Body);
        Assert.Contains("id=\"name\" name=\"name\"", bare.Body);
        Assert.Empty(server.Sessions);

        await browser.SubmitAsync("/sign-in", "password", ("name", "ada"), ("password", "right"));
        Assert.Equal(HttpStatusCode.BadRequest, (await browser.PostAsync("/sign-out")).Status);
        Assert.Single(server.Sessions);
    }

    [Fact]
    public async Task SignOut_EndsTheSessionAtTheApiAndForgetsTheCookie()
    {
        await using var web = await WebAsync();
        using var browser = new Browser(web.Http.BaseAddress!);
        await browser.SubmitAsync("/sign-in", "password", ("name", "ada"), ("password", "right"));
        var answer = await browser.FollowAsync(await browser.SubmitAsync("/", "/sign-out"));
        Assert.Contains("You have signed out", answer.Body);
        Assert.Empty(server.Sessions);
        Assert.DoesNotContain(browser.Cookies.Keys, c => c.Contains("session"));
        Assert.Equal(HttpStatusCode.Found, (await browser.GetAsync("/")).Status);
    }

    [Fact]
    public async Task SignIn_ByToken_LeavesTheTokenValidAfterSigningOut()
    {
        await using var web = await WebAsync();
        using var browser = new Browser(web.Http.BaseAddress!);
        server.Sessions["token-of-mine"] = true;
        Assert.Equal(HttpStatusCode.Unauthorized, (await browser.SubmitAsync("/sign-in", "token", ("token", "no-such"))).Status);
        Assert.Equal(HttpStatusCode.Found, (await browser.SubmitAsync("/sign-in", "token", ("token", "token-of-mine"))).Status);
        await browser.SubmitAsync("/", "/sign-out");
        Assert.True(server.Sessions.ContainsKey("token-of-mine"));
    }

    [Fact]
    public async Task Page_WhenTheSessionHasEndedAtTheApi_LeadsToSignInAndBack()
    {
        await using var web = await WebAsync();
        using var browser = new Browser(web.Http.BaseAddress!);
        await browser.SubmitAsync("/sign-in", "password", ("name", "ada"), ("password", "right"));
        server.Sessions.Clear();
        var answer = await browser.GetAsync("/?state=Failed");
        Assert.Equal("/sign-in?return=%2F%3Fstate%3DFailed&why=ended", answer.Location!.PathAndQuery);
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
        Assert.Equal("/", (await browser.SubmitAsync(address, "password", ("name", "ada"), ("password", "right"))).Location!.PathAndQuery);
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
        Assert.Equal("token-of-lab", Assert.Single(server.Provided));
        Assert.DoesNotContain("token-of-lab", page.Body + web.Output);
        Assert.DoesNotContain("secret-of-lab", web.Output);
    }

    [Fact]
    public async Task Provider_Refusing_LeadsToAPageThatSaysWhy()
    {
        await using var web = await WebAsync();
        using var browser = new Browser(web.Http.BaseAddress!);
        server.AccountsForProvider = false;
        Assert.Contains("no sign-in from this account of The Lab", (await browser.FollowAsync(await browser.GetAsync("/sign-in/lab"))).Body);
        server.Allows = false;
        Assert.Contains("The Lab was told not to let you in", (await browser.FollowAsync(await browser.GetAsync("/sign-in/lab"))).Body);
        server.Allows = server.AccountsForProvider = true;

        // An answer that this browser did not ask for, as an attacker would send it.
        using var other = new Browser(web.Http.BaseAddress!);
        var begun = await other.GetAsync("/sign-in/lab");
        var back = (await other.GetAsync(begun.Location!.ToString())).Location!;
        Assert.Contains("did not end well", (await browser.FollowAsync(await browser.GetAsync(back.ToString()))).Body);
        Assert.Contains("did not end well", (await browser.FollowAsync(await browser.GetAsync("/sign-in/lab/done?code=x&state=forged"))).Body);
        Assert.Empty(server.Sessions);
    }

    [Fact]
    public async Task Cookie_AfterARestartAndAtASecondDashboard_IsGood()
    {
        using var browser = new Browser(new Uri("http://127.0.0.1:1"));
        await using (var web = await WebAsync())
        {
            using var first = new Browser(web.Http.BaseAddress!);
            await first.SubmitAsync("/sign-in", "password", ("name", "ada"), ("password", "right"));
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
        await using var web = await WebProcess.StartAsync(server.Address, "Production");
        using var browser = new Browser(web.Http.BaseAddress!);
        foreach (var path in new[] { "/sign-in", "/health", "/alive", "/app.css", "/live.js" }) Assert.Equal(HttpStatusCode.OK, (await browser.GetAsync(path)).Status);
        foreach (var path in new[] { "/", "/jobs/1", "/no-such", "/_framework/x" }) Assert.StartsWith("/sign-in", (await browser.GetAsync(path)).Location?.PathAndQuery);
        Assert.Contains("KeysFolder is not set", web.Output);
    }

    [Fact]
    public async Task Development_WithoutACookie_ShowsPagesWithAWayToSignIn()
    {
        server.Sessions["token-of-the-dashboard"] = true;
        await File.WriteAllTextAsync(Path.Combine(folder, "token"), "token-of-the-dashboard");
        await using var web = await WebProcess.StartAsync(server.Address, "Development", ("JobHub__Web__TokenFile", Path.Combine(folder, "token")));
        using var browser = new Browser(web.Http.BaseAddress!);
        var page = await browser.GetAsync("/");
        Assert.Equal(HttpStatusCode.OK, page.Status);
        Assert.Matches(new Regex("<a [^>]*href=\"/sign-in\"", RegexOptions.None, TimeSpan.FromSeconds(5)), page.Body);
        Assert.DoesNotContain("KeysFolder", web.Output);
    }

    private Task<WebProcess> WebAsync() => WebProcess.StartAsync(server.Address, "Production",
        [("JobHub__Web__KeysFolder", Keys), ("Logging__LogLevel__Default", "Debug"), ("Logging__LogLevel__Microsoft.AspNetCore", "Debug"), .. server.Provider(Path.Combine(folder, "secret"))]);
}
