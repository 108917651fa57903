using System.Net.Http.Json;
using Microsoft.Playwright;

namespace JobHub.Web.Tests.Pages;

[Collection(PageCollection.Name)]
public class WebhooksPageTests(Dashboard dashboard)
{
    // Builds and other tests may keep the machine busy.
    static WebhooksPageTests() => Assertions.SetDefaultExpectTimeout(20_000);

    [Fact]
    public async Task Webhook_FromItsSecretToItsEnd_IsHandledInTheBrowser()
    {
        var address = $"http://receiver-{Guid.NewGuid():N}.invalid/hook";
        await using var open = await dashboard.OpenAsync("/webhooks");
        var page = open.Page;
        await page.GetByLabel("Address that is told").FillAsync(address);
        await page.GetByRole(AriaRole.Button, new() { Name = "Make a webhook" }).ClickAsync();
        await Assertions.Expect(page.Locator(".made code")).ToHaveTextAsync(new System.Text.RegularExpressions.Regex("^[0-9a-f]{64}$"));
        await page.GetByRole(AriaRole.Button, new() { Name = $"Ping {address}" }).ClickAsync();
        await Assertions.Expect(page.Locator(".sent li").First).ToContainTextAsync("ping");
        await page.Locator(".sent .link").First.ClickAsync();
        await Assertions.Expect(page.Locator(".sent pre")).ToContainTextAsync("webhook");
        await page.GetByRole(AriaRole.Button, new() { Name = "Send ping again" }).First.ClickAsync();
        await open.ShootAsync("webhooks");
        await open.AssertFitsAsync();

        var onOff = page.GetByRole(AriaRole.Switch, new() { Name = $"Tell {address}" });
        await onOff.ClickAsync();
        await Assertions.Expect(onOff).ToHaveAttributeAsync("aria-checked", "false");
        await page.GetByRole(AriaRole.Button, new() { Name = $"Delete {address}" }).ClickAsync();
        await Assertions.Expect(page.GetByRole(AriaRole.Alertdialog)).ToContainTextAsync("is told nothing more");
        await open.ShootAsync("webhooks-delete-light");
        await page.Keyboard.PressAsync("Escape");
        await Assertions.Expect(page.GetByRole(AriaRole.Alertdialog)).ToHaveCountAsync(0);
        await page.GetByRole(AriaRole.Button, new() { Name = $"Delete {address}" }).PressAsync("Space");
        await page.GetByRole(AriaRole.Button, new() { Name = "Delete it and its messages" }).ClickAsync();
        await Assertions.Expect(onOff).ToHaveCountAsync(0);
        open.AssertQuiet();
    }

    [Theory, InlineData(false, true), InlineData(true, false)]
    public async Task Webhooks_WithHostileAddresses_AreShownAsText(bool phone, bool dark)
    {
        using var made = await dashboard.Api.PostAsJsonAsync("/hub/v1/webhooks", new { url = $"http://receiver.invalid/%3Cb%3E?<script>alert(1)</script>{new string('x', 900)}" });
        made.EnsureSuccessStatusCode();
        await using var open = await dashboard.OpenAsync("/webhooks", phone, dark);
        await open.SeeAsync("<script>alert(1)</script>");
        await open.ShootAsync($"webhooks{(phone ? "-phone" : "")}{(dark ? "-dark" : "-light")}");
        await open.AssertFitsAsync();
        open.AssertQuiet();
        using var gone = await dashboard.Api.DeleteAsync(made.Headers.Location);
    }

    [Fact]
    public async Task Address_ThatMayNotBe_IsNamed()
    {
        await using var open = await dashboard.OpenAsync("/webhooks");
        await open.Page.GetByLabel("Address that is told").FillAsync("http://user@receiver.invalid/");
        await open.Page.GetByRole(AriaRole.Button, new() { Name = "Make a webhook" }).ClickAsync();
        await Assertions.Expect(open.Page.Locator("#says")).ToContainTextAsync("holds a user or a password");
        await Assertions.Expect(open.Page.Locator("#url")).ToHaveAttributeAsync("aria-invalid", "true");
        open.AssertQuiet();
    }
}
