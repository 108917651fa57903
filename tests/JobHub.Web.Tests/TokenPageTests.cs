using System.Net;
using System.Net.Http.Json;
using JobHub.Web.Tests.Pages;
using Microsoft.Playwright;

namespace JobHub.Web.Tests;

/// <summary>Tokens and the audit, in Chromium against an Api in Production.</summary>
public sealed class TokenPageTests(RealHub hub) : IClassFixture<RealHub>, IAsyncLifetime
{
    private IPlaywright playwright = null!;
    private IBrowser chromium = null!;
    private WebProcess web = null!;

    public async Task InitializeAsync()
    {
        (playwright, chromium) = await Dashboard.LaunchAsync();
        web = await WebProcess.StartAsync(hub.Address, "Development", ("Logging__LogLevel__Default", "Debug"));
    }

    public async Task DisposeAsync()
    {
        await web.DisposeAsync();
        await chromium.DisposeAsync();
        playwright.Dispose();
    }

    [Fact]
    public async Task Pages_WithoutASignIn_LeadToIt()
    {
        foreach (var environment in new[] { "Production", "Development" })
        {
            await using var other = await WebProcess.StartAsync(hub.Address, environment);
            using var browser = new Browser(other.Http.BaseAddress!);
            foreach (var path in new[] { "/tokens", "/audit", "/settings/users" }) Assert.Equal($"/sign-in?return={Uri.EscapeDataString(path)}", (await browser.GetAsync(path)).Location!.PathAndQuery);
        }
    }

    [Fact]
    public async Task Pages_FromALinkWithoutASignIn_LeadToIt()
    {
        await using var open = await OpenPage.OpenAsync(chromium, new Uri(web.Http.BaseAddress!, "/more"));
        await open.Page.Locator("main a[href='/audit']").ClickAsync();
        await open.Page.WaitForURLAsync("**/sign-in?return=*");
    }

    [Fact]
    public async Task Token_MadeOnItsPage_IsShownOnceWorksAndIsDeadWhenRevoked()
    {
        var (open, ada) = await SignInAsync("member", "/tokens");
        await using var _ = open;
        var page = open.Page;
        await page.GetByLabel("What it is for").FillAsync("pipeline <b>");
        await page.GetByLabel("It may").SelectOptionAsync("write");
        await page.GetByLabel("Days it is good for").FillAsync("30");
        await page.GetByRole(AriaRole.Button, new() { Name = "Make a token" }).ClickAsync();
        var token = await page.Locator(".made code").InnerTextAsync();
        Assert.StartsWith("jh_", token, StringComparison.Ordinal);
        using var program = hub.Client(token);
        Assert.Equal(HttpStatusCode.OK, (await program.GetAsync("/hub/v1/me")).StatusCode);
        await Assertions.Expect(page.Locator("tbody bdi").First).ToHaveTextAsync("pipeline <b>");
        await open.ShootAsync("tokens-light");

        await open.GoAsync("/tokens");
        await open.SeeAsync("pipeline <b>");
        Assert.DoesNotContain("jh_", await page.ContentAsync() + web.Output, StringComparison.Ordinal);
        Assert.Equal(2, (await hub.TokensAsync(ada)).Count());
        await page.GetByRole(AriaRole.Button, new() { Name = "Revoke pipeline <b>" }).ClickAsync();
        await Assertions.Expect(page.Locator("tbody")).ToContainTextAsync("Revoked");
        Assert.Equal(HttpStatusCode.Unauthorized, (await program.GetAsync("/hub/v1/me")).StatusCode);
        open.AssertQuiet();
    }

    [Theory]
    [InlineData("", "", "30", "Say what the token is for")]
    [InlineData("x", "", "4000", "expiresInDays")]
    [InlineData("x", "no-such-project", "30", "no project with this id")]
    public async Task Token_ThatMayNotBe_IsRefusedWithTheReason(string name, string project, string days, string says)
    {
        var (open, ada) = await SignInAsync("member", "/tokens");
        await using var _ = open;
        await open.Page.GetByLabel("What it is for").FillAsync(name);
        await open.Page.GetByLabel("In one project only").FillAsync(project);
        await open.Page.GetByLabel("Days it is good for").FillAsync(days);
        Assert.Equal(0, await open.Page.Locator("#scope option[value=admin]").CountAsync());
        // The browser's own check of the number stands aside: what is sent anyway is refused by the hub.
        await open.Page.EvaluateAsync("() => document.querySelector('main form').noValidate = true");
        await open.Page.GetByRole(AriaRole.Button, new() { Name = "Make a token" }).ClickAsync();
        await open.SeeAsync(says);
        Assert.Equal(0, await open.Page.Locator(".made").CountAsync());
        Assert.Single(await hub.TokensAsync(ada));
    }

    [Fact]
    public async Task Forms_SentToThePageFromElsewhere_MakeNothing()
    {
        using var browser = new Browser(web.Http.BaseAddress!);
        var ada = await hub.UserAsync("member");
        Assert.Equal(HttpStatusCode.Found, (await browser.SubmitAsync("/sign-in", "password", ("name", ada), ("password", RealHub.Password))).Status);
        var bare = await browser.PostAsync("/tokens", ("_handler", "make"), ("name", "x"), ("scope", "write"), ("days", "30"));
        Assert.Equal(HttpStatusCode.BadRequest, bare.Status);
        Assert.Single(await hub.TokensAsync(ada));
    }

    [Fact]
    public async Task Audit_ForAnAdmin_ShowsTheNewestFirst_ByCallerAndKind_WithEachRowsDetails()
    {
        var (open, ada) = await SignInAsync("admin", "/audit");
        await using var _ = open;
        using var session = await hub.SessionAsync(ada);
        (await session.PostAsJsonAsync("/hub/v1/tokens", new { name = "first" })).EnsureSuccessStatusCode();
        await open.GoAsync($"/audit?caller={ada}");
        await Assertions.Expect(open.Page.Locator("tr[data-row]").First).ToContainTextAsync("token.create");
        await Assertions.Expect(open.Page.Locator("tr[data-row]").Last).ToContainTextAsync("user.sign-in");
        await open.Page.GetByLabel("To a").FillAsync("token");
        await open.Page.GetByRole(AriaRole.Button, new() { Name = "Show", Exact = true }).ClickAsync();
        await open.Page.WaitForURLAsync("**kind=token*");
        await Assertions.Expect(open.Page.Locator("tr[data-row]")).ToHaveCountAsync(1);
        await open.Page.Locator("tr[data-row] a[data-open]").ClickAsync();
        await Assertions.Expect(open.Page.Locator(".side")).ToContainTextAsync("/hub/v1/tokens");
        await open.ShootAsync("audit-light");
        open.AssertQuiet();
    }

    [Fact]
    public async Task Audit_ForAMember_IsRefused()
    {
        var (open, _) = await SignInAsync("member", "/audit");
        await using var __ = open;
        await open.SeeAsync("The audit is for administrators.");
        Assert.Equal(0, await open.Page.Locator("tr[data-row]").CountAsync());
    }

    private async Task<(OpenPage Open, string Name)> SignInAsync(string role, string path)
    {
        var name = await hub.UserAsync(role);
        var open = await OpenPage.OpenAsync(chromium, new Uri(web.Http.BaseAddress!, "/more"));
        await open.Page.GotoAsync(new Uri(web.Http.BaseAddress!, $"/sign-in?return={Uri.EscapeDataString(path)}").ToString());
        await open.Page.Locator("input[name=name]").FillAsync(name);
        await open.Page.Locator("input[name=password]").FillAsync(RealHub.Password);
        await open.Page.Locator("input[name=password]").PressAsync("Enter");
        await open.Page.WaitForURLAsync($"**{path}");
        await open.ReadyAsync();
        return (open, name);
    }
}
