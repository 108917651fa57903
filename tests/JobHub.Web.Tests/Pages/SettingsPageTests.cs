using System.Net;
using System.Net.Http.Json;
using Microsoft.Playwright;

namespace JobHub.Web.Tests.Pages;

[Collection(PageCollection.Name)]
public sealed class SettingsPageTests(Dashboard dashboard)
{
    private const string Password = "a-password-for-pages";
    private readonly string user = "s" + Guid.NewGuid().ToString("N")[..8];

    [Theory]
    [InlineData(false, false)]
    [InlineData(false, true)]
    [InlineData(true, false)]
    public async Task Settings_ShowPartsAndLimits_AndNoSecret(bool phone, bool dark)
    {
        await using var open = await dashboard.OpenAsync("/settings", phone, dark);
        await open.SeeAsync("Postgres answers.");
        await open.SeeAsync("Ended jobs with their logs");
        await open.ShootAsync($"settings{(phone ? "-phone" : dark ? "-dark" : "-light")}");
        Assert.DoesNotContain(dashboard.Hub.AdminToken, await open.Page.ContentAsync(), StringComparison.Ordinal);
        await open.AssertFitsAsync();
        open.AssertQuiet();
    }

    [Fact]
    public async Task Users_MadeChangedAndDisabledByAnAdmin_AreSoAtTheHub()
    {
        var admin = await UserAsync("admin");
        await using var open = await SignInAsync(admin, "/settings/users");
        var page = open.Page;
        await page.GetByLabel("Name", new() { Exact = true }).FillAsync(user);
        await page.GetByLabel("Password, 12 characters or more").FillAsync("short");
        await page.GetByRole(AriaRole.Button, new() { Name = "Make the user" }).ClickAsync();
        await open.SeeAsync("'password' cannot be used");
        await page.GetByLabel("Password, 12 characters or more").FillAsync(Password);
        await page.GetByRole(AriaRole.Button, new() { Name = "Make the user" }).ClickAsync();
        await open.SeeAsync($"{user} is made.");
        await open.ShootAsync("users-light");
        Assert.Equal(HttpStatusCode.OK, await SignInAtTheHubAsync(user, Password));

        await page.GetByRole(AriaRole.Button, new() { Name = $"New password for {user}" }).ClickAsync();
        await page.GetByLabel($"New password of {user}").FillAsync(Password + "-2");
        await page.GetByRole(AriaRole.Button, new() { Name = "Set it" }).ClickAsync();
        await open.SeeAsync($"{user} has a new password");
        Assert.Equal((HttpStatusCode.Unauthorized, HttpStatusCode.OK), (await SignInAtTheHubAsync(user, Password), await SignInAtTheHubAsync(user, Password + "-2")));
        await page.GetByRole(AriaRole.Button, new() { Name = $"Disable {user}" }).ClickAsync();
        await Assertions.Expect(page.GetByRole(AriaRole.Button, new() { Name = $"Enable {user}" })).ToBeVisibleAsync();
        Assert.Equal(HttpStatusCode.Unauthorized, await SignInAtTheHubAsync(user, Password + "-2"));
        open.AssertQuiet();
    }

    [Fact]
    public async Task Users_ForAMember_AreRefused()
    {
        await using var open = await SignInAsync(await UserAsync("member"), "/settings/users");
        await open.SeeAsync("Users are for administrators.");
        Assert.Equal(0, await open.Page.Locator(".tabs a[href='/settings/users']").CountAsync());
    }

    private async Task<HttpStatusCode> SignInAtTheHubAsync(string name, string password)
    {
        using var client = new HttpClient(new SocketsHttpHandler { UseProxy = false }) { BaseAddress = dashboard.Hub.Api };
        using var answer = await client.PostAsJsonAsync("/hub/v1/sign-in", new { name, password });
        return answer.StatusCode;
    }

    private async Task<string> UserAsync(string role)
    {
        var name = $"{role}-{Guid.NewGuid().ToString("N")[..8]}";
        (await dashboard.Api.PostAsJsonAsync("/hub/v1/users", new { name, role, password = Password })).EnsureSuccessStatusCode();
        return name;
    }

    private async Task<OpenPage> SignInAsync(string name, string path)
    {
        var open = await dashboard.OpenAsync("/settings");
        await open.Page.GotoAsync(new Uri(dashboard.Hub.Dashboard, $"/sign-in?return={Uri.EscapeDataString(path)}").ToString());
        await open.Page.Locator("input[name=name]").FillAsync(name);
        await open.Page.Locator("input[name=password]").FillAsync(Password);
        await open.Page.Locator("input[name=password]").PressAsync("Enter");
        await open.Page.WaitForURLAsync($"**{path}");
        await open.ReadyAsync();
        return open;
    }
}
