using System.Net;
using System.Text.RegularExpressions;

namespace JobHub.Web.Tests;

public sealed partial class TokenPageTests(RealHub hub) : IClassFixture<RealHub>
{
    [Fact]
    public async Task Tokens_WithoutASignIn_LeadToIt()
    {
        foreach (var environment in new[] { "Production", "Development" })
        {
            await using var web = await WebProcess.StartAsync(hub.Address, environment);
            using var browser = new Browser(web.Http.BaseAddress!);
            foreach (var path in new[] { "/tokens", "/audit" }) Assert.Equal($"/sign-in?return={Uri.EscapeDataString(path)}", (await browser.GetAsync(path)).Location!.PathAndQuery);
        }
    }

    [Fact]
    public async Task Token_MadeOnItsPage_IsShownOnceWorksAndIsDeadWhenRevoked()
    {
        await using var web = await WebProcess.StartAsync(hub.Address, "Production", ("Logging__LogLevel__Default", "Debug"));
        using var browser = new Browser(web.Http.BaseAddress!);
        var ada = await SignInAsync(browser, "member");
        Assert.Contains("Sign-in", (await browser.GetAsync("/tokens")).Body);

        var made = await browser.SubmitAsync("/tokens", "/tokens", ("name", "pipeline <b>"), ("scope", "write"), ("project", ""), ("days", "30"));

        Assert.Equal(HttpStatusCode.OK, made.Status);
        Assert.True(made.NoStore);
        Assert.Contains("pipeline &lt;b&gt;", made.Body);
        var token = Assert.Single(Token().Matches(made.Body)).Value;
        using var program = hub.Client(token);
        Assert.Equal(HttpStatusCode.OK, (await program.GetAsync("/hub/v1/me")).StatusCode);
        var later = await browser.GetAsync("/tokens");
        Assert.DoesNotContain("jh_", later.Body + web.Output);
        Assert.Contains("aria-label=\"Revoke pipeline &lt;b&gt;\"", later.Body);
        var id = (await hub.TokensAsync(ada)).Single(t => t["kind"]!.GetValue<string>() == "token")["id"]!.GetValue<string>();

        Assert.Equal(HttpStatusCode.BadRequest, (await browser.PostAsync($"/tokens/{id}/revoke")).Status);
        Assert.Equal(HttpStatusCode.OK, (await program.GetAsync("/hub/v1/me")).StatusCode);
        Assert.Equal("/tokens", (await browser.SubmitAsync("/tokens", $"/tokens/{id}/revoke")).Location!.PathAndQuery);
        Assert.Equal(HttpStatusCode.Unauthorized, (await program.GetAsync("/hub/v1/me")).StatusCode);
        Assert.Contains("Revoked", (await browser.GetAsync("/tokens")).Body);
    }

    [Theory]
    [InlineData("", "write", "", "30", HttpStatusCode.BadRequest, "Say what the token is for")]
    [InlineData("x", "write", "", "4000", HttpStatusCode.BadRequest, "expiresInDays")]
    [InlineData("x", "admin", "", "30", HttpStatusCode.Forbidden, "may not do what")]
    [InlineData("x", "write", "no-such-project", "30", HttpStatusCode.BadRequest, "class=\"says-why\"")]
    public async Task Token_ThatMayNotBe_IsRefusedWithTheReason(string name, string scope, string project, string days, HttpStatusCode status, string says)
    {
        await using var web = await WebProcess.StartAsync(hub.Address, "Production");
        using var browser = new Browser(web.Http.BaseAddress!);
        var ada = await SignInAsync(browser, "member");
        var answer = await browser.SubmitAsync("/tokens", "/tokens", ("name", name), ("scope", scope), ("project", project), ("days", days));
        Assert.Equal(status, answer.Status);
        Assert.Contains(says, answer.Body);
        Assert.DoesNotContain("jh_", answer.Body);
        Assert.Single(await hub.TokensAsync(ada));
    }

    [Fact]
    public async Task Forms_WithoutTheirToken_MakeNothing()
    {
        await using var web = await WebProcess.StartAsync(hub.Address, "Production");
        using var browser = new Browser(web.Http.BaseAddress!);
        var ada = await SignInAsync(browser, "member");
        var bare = await browser.PostAsync("/tokens", ("_handler", "make"), ("name", "x"), ("scope", "write"), ("days", "30"));
        Assert.Equal(HttpStatusCode.BadRequest, bare.Status);
        Assert.Contains("Nothing was done", bare.Body);
        Assert.Single(await hub.TokensAsync(ada));
    }

    [Fact]
    public async Task Audit_ForAnAdmin_ShowsTheNewestFirstByCallerAndKind_AndOthersAreRefused()
    {
        await using var web = await WebProcess.StartAsync(hub.Address, "Production");
        using var browser = new Browser(web.Http.BaseAddress!);
        var ada = await SignInAsync(browser, "admin");
        await browser.SubmitAsync("/tokens", "/tokens", ("name", "first"), ("scope", "read"), ("project", ""), ("days", "1"));
        var page = await browser.GetAsync($"/audit?caller={ada}");
        Assert.Equal(HttpStatusCode.OK, page.Status);
        Assert.True(page.Body.IndexOf("token.create", StringComparison.Ordinal) is > 0 and var made && made < page.Body.IndexOf("user.sign-in", StringComparison.Ordinal), page.Body);
        Assert.DoesNotContain("user.sign-in", (await browser.GetAsync($"/audit?caller={ada}&kind=token")).Body);

        using var member = new Browser(web.Http.BaseAddress!);
        await SignInAsync(member, "member");
        var refused = await member.GetAsync("/audit");
        Assert.Equal(HttpStatusCode.Forbidden, refused.Status);
        Assert.Contains("for administrators", refused.Body);
        Assert.DoesNotContain("href=\"/audit\"", refused.Body);
    }

    private async Task<string> SignInAsync(Browser browser, string role)
    {
        var name = await hub.UserAsync(role);
        Assert.Equal(HttpStatusCode.Found, (await browser.SubmitAsync("/sign-in", "password", ("name", name), ("password", RealHub.Password))).Status);
        return name;
    }

    [GeneratedRegex("jh_[A-Za-z0-9_-]{20,}")]
    private static partial Regex Token();
}
