using JobHub.Testing;
using Microsoft.Playwright;

namespace JobHub.Web.Tests.Pages;

/// <summary>Open pages while what they need comes, goes and comes back.</summary>
public class AwayPageTests : IAsyncLifetime
{
    private static readonly LocatorAssertionsToHaveTextOptions Patiently = new() { Timeout = 60_000 };

    private IPlaywright playwright = null!;
    private IBrowser browser = null!;

    public async Task InitializeAsync() => (playwright, browser) = await Dashboard.LaunchAsync();

    public async Task DisposeAsync()
    {
        await browser.DisposeAsync();
        playwright.Dispose();
    }

    [Fact]
    public async Task Page_WhenTheApiGoesAndComesBack_SaysSoAndGoesOnByItself()
    {
        await using var hub = await HubProcess.StartAsync();
        await using var web = await WebProcess.StartAsync(hub.Api.ToString(), settings: ("JobHub__Web__TokenFile", Path.Combine(hub.DataFolder, "admin-token")));
        await using var open = await OpenPage.OpenAsync(browser, new Uri(web.Http.BaseAddress!, "/jobs"));
        await Assertions.Expect(open.Page.Locator("#live")).ToHaveTextAsync("Live", Patiently);

        await hub.StopAsync();
        await Assertions.Expect(open.Page.Locator("#live")).ToHaveTextAsync("Away", Patiently);
        await open.SeeAsync("It goes on by itself.");
        await Assertions.Expect(open.Page.GetByRole(AriaRole.Heading, new() { Name = "Jobs", Exact = true })).ToBeVisibleAsync();
        await open.ShootAsync("away");

        await hub.StartAgainAsync();
        await Assertions.Expect(open.Page.Locator("#live")).ToHaveTextAsync("Live", Patiently);
        using (var api = hub.CreateClient())
        using (var answer = await api.PostAsync("/jobs", new StringContent("""{"command":"echo after it was back"}""", System.Text.Encoding.UTF8, "application/json"))) answer.EnsureSuccessStatusCode();
        await open.SeeAsync("echo after it was back");
    }

    [Fact]
    public async Task Form_WhenTheApiGoesAndComesBack_KeepsWhatWasTyped()
    {
        await using var hub = await HubProcess.StartAsync();
        await using var web = await WebProcess.StartAsync(hub.Api.ToString(), settings: ("JobHub__Web__TokenFile", Path.Combine(hub.DataFolder, "admin-token")));
        await using var open = await OpenPage.OpenAsync(browser, new Uri(web.Http.BaseAddress!, "/submit/command?project=of-a-link"));
        await open.Page.EvaluateAsync("() => localStorage.setItem('submit:command', JSON.stringify({ command: 'sent before' }))");
        await open.Page.ReloadAsync();
        var (command, project) = (open.Page.GetByLabel("Command", new() { Exact = true }), open.Page.Locator("#f-project"));
        await Assertions.Expect(command).ToHaveValueAsync("sent before");
        await Assertions.Expect(project).ToHaveValueAsync("of-a-link");
        await command.FillAsync("typed since");
        await project.FillAsync("");
        await Assertions.Expect(open.Page.Locator("#command")).ToContainTextAsync("typed since");

        await hub.StopAsync();
        await Assertions.Expect(open.Page.Locator("#live")).ToHaveTextAsync("Away", Patiently);
        await hub.StartAgainAsync();
        // A program that is new tells that the page has asked again.
        using (var api = hub.CreateClient())
        {
            api.DefaultRequestHeaders.Authorization = new("Bearer", hub.AdminToken);
            using var stored = await api.PostAsync("/hub/v1/artifacts?type=streaming&name=new-since.sh", new StringContent("#!/bin/sh\ncat\n"));
            Assert.True(stored.IsSuccessStatusCode, stored.ToString());
            await Assertions.Expect(open.Page.Locator("#live")).ToHaveTextAsync("Live", Patiently);
            await hub.StopAsync();
            await Assertions.Expect(open.Page.Locator("#live")).ToHaveTextAsync("Away", Patiently);
            await hub.StartAgainAsync();
        }

        await Assertions.Expect(open.Page.Locator("#programs option[value='new-since.sh']")).ToBeAttachedAsync(new() { Timeout = 60_000 });
        await Assertions.Expect(command).ToHaveValueAsync("typed since");
        await Assertions.Expect(project).ToHaveValueAsync("");
    }

    [Fact]
    public async Task Page_WhenTheApiHangs_SaysSo()
    {
        await using var hub = await HubProcess.StartAsync(new HubOptions { Web = true });
        await using var open = await OpenPage.OpenAsync(browser, new Uri(hub.Dashboard, "/jobs"));
        await Assertions.Expect(open.Page.Locator("#live")).ToHaveTextAsync("Live", Patiently);
        hub.Signal("api", 19);
        try
        {
            await Assertions.Expect(open.Page.Locator("#live")).ToHaveTextAsync("Away", new() { Timeout = 30_000 });
            await open.Page.GotoAsync(new Uri(hub.Dashboard, "/workers").ToString());
            await Assertions.Expect(open.Page.Locator("#live")).ToHaveTextAsync("Away", new() { Timeout = 30_000 });
        }
        finally
        {
            hub.Signal("api", 18);
        }

        await Assertions.Expect(open.Page.Locator("#live")).ToHaveTextAsync("Live", Patiently);
    }

    [Fact]
    public async Task Form_WhenTheDashboardIsKilled_StillHoldsWhatWasTyped()
    {
        await using var hub = await HubProcess.StartAsync(new HubOptions { Web = true });
        await using var open = await OpenPage.OpenAsync(browser, new Uri(hub.Dashboard, "/submit/command?project=of-a-link"));
        var (command, project) = (open.Page.GetByLabel("Command", new() { Exact = true }), open.Page.Locator("#f-project"));
        await Assertions.Expect(project).ToHaveValueAsync("of-a-link");
        await command.FillAsync("half of a command");
        await project.FillAsync("typed-since");
        await open.Page.WaitForFunctionAsync("() => Object.values(sessionStorage).some(v => v.includes('half of a command') && v.includes('typed-since'))");
        await open.Page.EvaluateAsync("() => { window.before = true; }");

        var before = await hub.KillAsync("web");
        await hub.WaitRestartedAsync("web", before);

        await open.Page.WaitForFunctionAsync("() => !window.before", null, new() { Timeout = 60_000 });
        await Assertions.Expect(command).ToHaveValueAsync("half of a command", new() { Timeout = 60_000 });
        await Assertions.Expect(project).ToHaveValueAsync("typed-since");
        await open.Page.GetByRole(AriaRole.Button, new() { Name = "Start empty" }).ClickAsync();
        await Assertions.Expect(command).ToHaveValueAsync("");
        await open.Page.ReloadAsync();
        await Assertions.Expect(project).ToHaveValueAsync("of-a-link");
        await Assertions.Expect(command).ToHaveValueAsync("");
    }

    [Fact]
    public async Task Page_WhenTheDashboardIsKilled_IsLoadedAnewWhereItWas()
    {
        await using var hub = await HubProcess.StartAsync(new HubOptions { Web = true });
        await using var open = await OpenPage.OpenAsync(browser, new Uri(hub.Dashboard, "/jobs?q=nothing-of-the-kind"));
        await open.Page.EvaluateAsync("() => { window.before = true; }");

        var before = await hub.KillAsync("web");
        await hub.WaitRestartedAsync("web", before);

        await open.Page.WaitForFunctionAsync("() => !window.before", null, new() { Timeout = 60_000 });
        await open.ReadyAsync();
        await Assertions.Expect(open.Page.Locator("#live")).ToHaveTextAsync("Live", Patiently);
        Assert.EndsWith("/jobs?q=nothing-of-the-kind", open.Page.Url, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Connection_FromAPageOfAnotherOrigin_IsRefused()
    {
        await using var web = await WebProcess.StartAsync($"http://127.0.0.1:{WebProcess.FreePort()}");
        foreach (var (origin, expected) in new[] { ("http://evil.example", 403), ("null", 403), (web.Http.BaseAddress!.ToString().TrimEnd('/'), 200) })
        {
            foreach (var path in new[] { "/_blazor", "/_BLAZOR" })
            {
                using var ask = new HttpRequestMessage(HttpMethod.Post, path + "/negotiate?negotiateVersion=1");
                ask.Headers.Add("Origin", origin);
                using var answer = await web.Http.SendAsync(ask);
                Assert.Equal(expected, (int)answer.StatusCode);
            }
        }
    }
}
