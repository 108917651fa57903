using Microsoft.Playwright;

namespace JobHub.Web.Tests.Pages;

[Collection(PageCollection.Name)]
public class ShellPageTests(Dashboard dashboard)
{
    [Theory]
    [InlineData(false, false)]
    [InlineData(false, true)]
    [InlineData(true, false)]
    public async Task Frame_Always_OpensWithoutAComplaintAndFits(bool phone, bool dark)
    {
        await using var open = await dashboard.OpenAsync("/more", phone, dark);
        await Assertions.Expect(open.Page.Locator("button#live")).ToHaveTextAsync("Live");
        await open.ShootAsync($"more{(phone ? "-phone" : "")}{(dark ? "-dark" : "-light")}");
        await open.AssertFitsAsync();
        open.AssertQuiet();
    }

    [Fact]
    public async Task Theme_WhenSwitched_StaysSwitchedFromTheFirstByteOn()
    {
        await using var open = await dashboard.OpenAsync("/more");
        await open.Page.Locator("[data-theme-switch]").ClickAsync();
        await Assertions.Expect(open.Page.Locator("html")).ToHaveAttributeAsync("data-theme", "dark");
        var first = await (await open.Page.APIRequest.GetAsync(open.Page.Url)).TextAsync();
        Assert.Contains("data-theme=\"dark\"", first, StringComparison.Ordinal);
        open.AssertQuiet();
    }

    [Fact]
    public async Task Keys_ByThemselves_LeadEverywhere()
    {
        await using var open = await dashboard.OpenAsync("/more");
        await open.Page.Keyboard.PressAsync("?");
        await Assertions.Expect(open.Page.Locator("dialog#keys")).ToBeVisibleAsync();
        await open.Page.Keyboard.PressAsync("Escape");
        await Assertions.Expect(open.Page.Locator("dialog#keys")).ToBeHiddenAsync();
        await open.Page.Keyboard.PressAsync("/");
        await Assertions.Expect(open.Page.Locator("#find")).ToBeFocusedAsync();
        await open.Page.Keyboard.PressAsync("Escape");
        await open.Page.Keyboard.PressAsync("g");
        await open.Page.Keyboard.PressAsync("j");
        await open.Page.WaitForURLAsync("**/jobs");
        open.AssertQuiet();
    }
}
