using System.Net.Http.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using JobHub.Testing;
using Microsoft.Playwright;

namespace JobHub.Web.Tests.Pages;

[Collection(PageCollection.Name)]
public class OverviewPageTests(Dashboard dashboard)
{
    private static readonly LocatorAssertionsToContainTextOptions Patiently = new() { Timeout = 60_000 };

    [Fact]
    public async Task Overview_OfWhatRanAndFailed_ShowsNumbersThatLeadToTheirLists()
    {
        await using var crowd = await WorkerCrowd.OpenAsync(dashboard, ("rn-01", ["LINUX"], 8, 0, 0.9), ("rn-02", ["LINUX"], 8, 0, 0.4), ("gpu-01", ["GPU"], 4, 4, 0.7));
        for (var i = 0; i < 7; i++) await RunAsync(i % 2 == 0 ? "exit 7" : "true");
        await using var open = await dashboard.OpenAsync("/");
        await Assertions.Expect(open.Page.Locator(".hb", new() { HasText = "Exit code 7" })).ToBeVisibleAsync(new() { Timeout = 60_000 });
        await Assertions.Expect(open.Page.Locator(".measured svg[role=img]").First).ToBeVisibleAsync();
        await Assertions.Expect(open.Page.Locator(".capacity")).ToContainTextAsync("GPU");
        await open.AssertFitsAsync();
        await open.ShootAsync("overview-light");

        await open.Page.GetByRole(AriaRole.Link, new() { Name = "24 h", Exact = true }).ClickAsync();
        await open.Page.WaitForURLAsync("**/?window=24h");
        await Assertions.Expect(open.Page.GetByRole(AriaRole.Link, new() { Name = "24 h", Exact = true })).ToHaveAttributeAsync("aria-current", "true");
        await open.Page.GetByRole(AriaRole.Link, new() { Name = "Open as list" }).ClickAsync();
        await Assertions.Expect(open.Page.Locator("table.cnt thead").First).ToContainTextAsync("Succeeded");
        await open.Page.GoBackAsync();
        await Assertions.Expect(open.Page.GetByRole(AriaRole.Link, new() { Name = "Open as list" })).ToBeVisibleAsync();

        await open.Page.Locator(".hb", new() { HasText = "Exit code 7" }).ClickAsync();
        await open.Page.WaitForURLAsync(new Regex("/jobs\\?state=Failed&cause=exit-code&exitCode=7&endedAfter="));
        await Assertions.Expect(open.Page.Locator("#matches")).ToHaveTextAsync(new Regex("^[0-9]+ match"));
        var rows = open.Page.Locator("[data-row]");
        Assert.Equal(await rows.CountAsync(), await rows.Filter(new() { HasText = "exit code 7" }).CountAsync());
        Assert.NotEqual(0, await rows.CountAsync());
        open.AssertQuiet();
    }

    [Fact]
    public async Task Number_OfJobsInGroups_LeadsToThem()
    {
        var title = $"in a group {Guid.NewGuid():N}";
        var group = await PutAsync(new { title = "group of " + title, paused = true });
        await PutAsync(new { parent = group, title, command = "true", paused = true });
        await using var open = await dashboard.OpenAsync("/");
        await open.Page.Locator(".nums a", new() { HasText = "Paused" }).ClickAsync();
        await open.Page.WaitForURLAsync("**/jobs?state=Paused&flat=true");
        await open.SeeAsync(title);
        open.AssertQuiet();
    }

    [Theory]
    [InlineData(false, true)]
    [InlineData(true, false)]
    [InlineData(true, true)]
    public async Task Overview_OnAPhoneAndInTheDark_Fits(bool phone, bool dark)
    {
        await RunAsync("exit 3");
        await using var open = await dashboard.OpenAsync("/", phone, dark);
        await Assertions.Expect(open.Page.Locator(".hb", new() { HasText = "Exit code 3" })).ToBeVisibleAsync(new() { Timeout = 60_000 });
        await Assertions.Expect(open.Page.Locator(".measured svg[role=img]").First).ToBeVisibleAsync();
        await open.AssertFitsAsync();
        await open.ShootAsync($"overview{(phone ? "-phone" : "")}{(dark ? "-dark" : "-light")}");
        open.AssertQuiet();
    }

    [Fact]
    public async Task Overview_WhileItIsOpen_CountsWhatHappens()
    {
        await RunAsync("true");
        await using var open = await dashboard.OpenAsync("/");
        var number = open.Page.Locator(".nums a", new() { HasText = "Succeeded" }).Locator(".n");
        await Assertions.Expect(number).ToContainTextAsync(new Regex("[1-9]"), Patiently);
        await open.Page.EvaluateAsync("() => { window.same = true; }");
        var before = await SucceededAsync();
        await RunAsync("true");
        await RunAsync("true");
        await Eventually.TrueAsync(async () => await SucceededAsync() >= before + 2, "the hub counts both");
        await Assertions.Expect(number).ToContainTextAsync($"{await SucceededAsync():N0}", Patiently);
        Assert.True(await open.Page.EvaluateAsync<bool>("() => window.same === true"));
        open.AssertQuiet();
    }

    [Fact]
    public async Task Finding_OfAWorkerThatFails_IsDealtWithByItsButton()
    {
        await using var crowd = await WorkerCrowd.OpenAsync(dashboard, ("spare-01", ["SPARE"], 1, 0, 0.1));
        for (var i = 0; i < 8; i++) await RunAsync("exit 139");
        var worker = await WorkerOfTheHubAsync();
        await using var open = await dashboard.OpenAsync("/");
        var row = open.Page.Locator(".need[data-kind=failures-on-a-worker]");
        await Assertions.Expect(row).ToContainTextAsync(worker, Patiently);
        await open.ShootAsync("overview-needs-a-look");
        await row.GetByRole(AriaRole.Button, new() { Name = "Drain" }).ClickAsync();
        await Assertions.Expect(row).ToContainTextAsync("It ends what it runs and takes nothing new.");
        await row.GetByRole(AriaRole.Button, new() { Name = "Drain", Exact = true }).ClickAsync();
        try
        {
            await Assertions.Expect(row).ToHaveCountAsync(0, new() { Timeout = 60_000 });
            Assert.Equal("Draining", await StateOfAsync(worker));
        }
        finally
        {
            using var started = await dashboard.Api.PostAsync($"/hub/v1/workers/{Uri.EscapeDataString(worker)}/start", null);
            Assert.True(started.IsSuccessStatusCode);
        }

        open.AssertQuiet();
    }

    [Fact]
    public async Task Overview_OfAProjectWithoutJobs_SaysWhatAJobIsAndGivesTheFirst()
    {
        await using var open = await dashboard.OpenAsync("/?project=nothing-ran-here");
        await Assertions.Expect(open.Page.GetByRole(AriaRole.Heading, new() { Name = "Nothing has run here yet" })).ToBeVisibleAsync(new() { Timeout = 60_000 });
        await Assertions.Expect(open.Page.Locator(".empty code")).ToContainTextAsync("curl");
        await open.ShootAsync("overview-empty");
        open.AssertQuiet();
    }

    /// <summary>Runs a command to its end, whatever that is.</summary>
    private async Task RunAsync(string command)
    {
        using var answer = await dashboard.Api.PostAsJsonAsync("/jobs", new { command });
        answer.EnsureSuccessStatusCode();
        var id = answer.Headers.Location!.ToString().Split('/')[^1];
        await Eventually.TrueAsync(async () => (string)(await GetAsync($"/hub/v1/jobs/{id}"))["state"]! is "Succeeded" or "Failed", $"{command} has ended");
    }

    private async Task<long> PutAsync(object job)
    {
        using var answer = await dashboard.Api.PutAsJsonAsync("/api/jobs", job);
        answer.EnsureSuccessStatusCode();
        return long.Parse(await answer.Content.ReadAsStringAsync(), System.Globalization.CultureInfo.InvariantCulture);
    }

    private async Task<long> SucceededAsync() => (long)(await GetAsync("/hub/v1/overview?window=1h"))["ended"]!["jobsSucceeded"]!;

    private async Task<string> StateOfAsync(string worker) => (string)(await GetAsync($"/hub/v1/workers/{Uri.EscapeDataString(worker)}"))["worker"]!["state"]!;

    private async Task<string> WorkerOfTheHubAsync() => (string)(await GetAsync("/hub/v1/workers"))["items"]!.AsArray().First(w => (string)w!["host"]! != "crowd" && (string)w["state"]! == "Active")!["name"]!;

    private async Task<JsonNode> GetAsync(string path) => JsonNode.Parse(await dashboard.Api.GetStringAsync(path))!;
}
