using System.Net.Http.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
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
    public async Task Navigation_CountsWhatRuns_AsLongAsItRuns()
    {
        // Of a project of its own: others may run something too.
        var project = $"nav-{Guid.NewGuid():N}";
        using var answer = await dashboard.Api.PostAsJsonAsync($"/jobs?project={project}", new { command = "sleep 600" });
        var id = (string)JsonNode.Parse(await answer.Content.ReadAsStringAsync())!["job_id"]!;
        await using var open = await dashboard.OpenAsync($"/more?project={project}");
        var jobs = open.Page.GetByRole(AriaRole.Navigation, new() { Name = "Main", Exact = true }).GetByRole(AriaRole.Link, new() { NameRegex = new("^Jobs") });
        await Assertions.Expect(jobs).ToHaveAccessibleNameAsync(new Regex("^Jobs ?1 runs$"), new() { Timeout = 60_000 });
        await open.ShootAsync("navigation-counts");
        (await dashboard.Api.PostAsync($"/hub/v1/jobs/{id}/cancel", null)).EnsureSuccessStatusCode();
        await Assertions.Expect(jobs).ToHaveAccessibleNameAsync("Jobs", new() { Timeout = 60_000 });
        open.AssertQuiet();
    }

    [Theory]
    [InlineData("/", "measure.js"), InlineData("/jobs", "jobs.js"), InlineData("/submit", "data.js"), InlineData("/jobs/{id}", "job.js")]
    public async Task Page_LeftBeforeItsScriptHasCome_LeavesNothingBehind(string path, string script)
    {
        using var answer = await dashboard.Api.PostAsJsonAsync("/jobs", new { command = "true" });
        var id = (string)JsonNode.Parse(await answer.Content.ReadAsStringAsync())!["job_id"]!;
        await using var open = await dashboard.OpenAsync("/more");
        var (asked, go) = (new TaskCompletionSource(), new TaskCompletionSource());
        await open.Page.RouteAsync("**/js/" + script, async route =>
        {
            asked.TrySetResult();
            await go.Task;
            await route.ContinueAsync();
        });
        await open.GoAsync(path.Replace("{id}", id, StringComparison.Ordinal));
        await asked.Task.WaitAsync(TimeSpan.FromSeconds(30));
        await open.Page.EvaluateAsync("() => { window.before = true; }");
        var menu = open.Page.GetByRole(AriaRole.Navigation, new() { Name = "Main", Exact = true });
        await menu.GetByRole(AriaRole.Link, new() { NameRegex = new("^Settings") }).ClickAsync();
        await Assertions.Expect(open.Page.GetByRole(AriaRole.Heading, new() { Name = "Settings", Exact = true })).ToBeVisibleAsync();
        var came = open.Page.WaitForResponseAsync("**/js/" + script);
        go.SetResult();
        await came;
        // It runs when it has come, and the connection goes on.
        await open.Page.EvaluateAsync("script => import(script)", "/js/" + script);
        await menu.GetByRole(AriaRole.Link, new() { NameRegex = new("^Events") }).ClickAsync();
        await Assertions.Expect(open.Page.Locator(".happened tbody tr").First).ToBeVisibleAsync();
        Assert.True(await open.Page.EvaluateAsync<bool>("() => window.before === true"));
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
