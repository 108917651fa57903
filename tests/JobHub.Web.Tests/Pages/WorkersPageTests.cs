using System.Net.Http.Json;
using System.Text.Json.Nodes;
using JobHub.Testing;
using Microsoft.Playwright;

namespace JobHub.Web.Tests.Pages;

[Collection(PageCollection.Name)]
public class WorkersPageTests(Dashboard dashboard)
{
    private static readonly LocatorAssertionsToBeVisibleOptions Patiently = new() { Timeout = 60_000 };

    [Theory]
    [InlineData(false, false)]
    [InlineData(false, true)]
    [InlineData(true, false)]
    public async Task Workers_OfEachState_AreTilesWithMarks(bool phone, bool dark)
    {
        await using var crowd = await WorkerCrowd.OpenAsync(dashboard, [.. Enumerable.Range(1, 14).Select(i => ($"rn-{i:00}", (string[])["LINUX"], 8, 0, 0.07 * i)), ("gpu-01", ["GPU", "LINUX"], 4, 4, 0.5), ("gpu-02", ["GPU", "LINUX"], 4, 4, 0.2), ("st-09", ["STUDIO"], 6, 0, 0.3)]);
        await ChangeAsync("gpu-02", "drain");
        await ChangeAsync("st-09", "stop");
        await using var open = await dashboard.OpenAsync("/workers?worker=rn-11", phone, dark);
        await Assertions.Expect(Tile(open, "rn-14")).ToHaveClassAsync(new System.Text.RegularExpressions.Regex("h5"), new() { Timeout = 60_000 });
        await Assertions.Expect(Tile(open, "rn-01")).ToHaveClassAsync(new System.Text.RegularExpressions.Regex("h0"));
        await Assertions.Expect(Tile(open, "gpu-02")).ToContainTextAsync("Draining");
        await Assertions.Expect(Tile(open, "st-09")).ToContainTextAsync("by an operator");
        await Assertions.Expect(open.Page.GetByRole(AriaRole.Complementary)).ToContainTextAsync("rn-11");
        await open.AssertFitsAsync();
        await open.ShootAsync($"workers{(phone ? "-phone" : "")}{(dark ? "-dark" : "-light")}");

        await open.Page.GetByRole(AriaRole.Link, new() { Name = "State", Exact = true }).ClickAsync();
        await Assertions.Expect(open.Page.GetByRole(AriaRole.Heading, new() { Name = "Draining", Exact = true })).ToBeVisibleAsync();
        open.AssertQuiet();
    }

    [Fact]
    public async Task Worker_ByItsPanel_IsDrainedStartedAndGivenTags()
    {
        await using var crowd = await WorkerCrowd.OpenAsync(dashboard, ("panel-01", ["OWN"], 3, 0, 0.5));
        await using var open = await dashboard.OpenAsync("/workers");
        await Tile(open, "panel-01").ClickAsync();
        await open.Page.WaitForURLAsync("**/workers?worker=panel-01");
        var panel = open.Page.GetByRole(AriaRole.Complementary);
        await panel.GetByRole(AriaRole.Button, new() { Name = "Drain" }).ClickAsync();
        await panel.GetByRole(AriaRole.Button, new() { Name = "Keep" }).ClickAsync();
        await panel.GetByRole(AriaRole.Button, new() { Name = "Drain" }).ClickAsync();
        await Assertions.Expect(panel).ToContainTextAsync("takes nothing new");
        await panel.GetByRole(AriaRole.Button, new() { Name = "Drain" }).ClickAsync();
        await Assertions.Expect(Tile(open, "panel-01")).ToContainTextAsync("Draining");
        await panel.GetByRole(AriaRole.Button, new() { Name = "Start" }).ClickAsync();
        await Assertions.Expect(panel.GetByRole(AriaRole.Button, new() { Name = "Terminate" })).ToBeVisibleAsync();

        await panel.GetByRole(AriaRole.Button, new() { Name = "Edit" }).ClickAsync();
        await panel.GetByLabel("Line 1", new() { Exact = true }).FillAsync("GPU, HOUDINI");
        await panel.GetByRole(AriaRole.Button, new() { Name = "Add a line" }).ClickAsync();
        await panel.GetByLabel("Line 2", new() { Exact = true }).FillAsync("LINUX");
        await open.ShootAsync("workers-affinity");
        await panel.GetByRole(AriaRole.Button, new() { Name = "Save lines" }).ClickAsync();
        await Assertions.Expect(panel.Locator("ol.lines")).ToContainTextAsync("HOUDINI");
        await Assertions.Expect(open.Page.GetByRole(AriaRole.Heading, new() { Name = "GPU, HOUDINI" })).ToBeVisibleAsync();
        Assert.Equal("""[["GPU","HOUDINI"],["LINUX"]]""", (await GetAsync("/hub/v1/workers/panel-01"))["worker"]!["affinity"]!.ToJsonString());
        await panel.GetByRole(AriaRole.Link, new() { Name = "Close" }).ClickAsync();
        await Assertions.Expect(panel).ToHaveCountAsync(0);
        open.AssertQuiet();
    }

    [Fact]
    public async Task Worker_ThatHasGone_IsForgotten()
    {
        await (await WorkerCrowd.OpenAsync(dashboard, ("gone-01", ["GONE"], 1, 0, 0.5))).DisposeAsync();
        await using var open = await dashboard.OpenAsync("/workers?worker=gone-01");
        var panel = open.Page.GetByRole(AriaRole.Complementary);
        await panel.GetByRole(AriaRole.Button, new() { Name = "Forget" }).ClickAsync();
        await panel.GetByRole(AriaRole.Group, new() { Name = "Forget gone-01" }).GetByRole(AriaRole.Button, new() { Name = "Forget" }).ClickAsync();
        await Assertions.Expect(panel).ToContainTextAsync("There is no worker gone-01 any more.");
        await Assertions.Expect(Tile(open, "gone-01")).ToHaveCountAsync(0);
        open.AssertQuiet();
    }

    [Fact]
    public async Task Worker_ThatRunsSomething_ShowsItWithItsJob()
    {
        var worker = (string)(await GetAsync("/hub/v1/workers"))["items"]!.AsArray().First(w => (string)w!["host"]! != "crowd" && (string)w["state"]! == "Active")!["name"]!;
        await using var open = await dashboard.OpenAsync($"/workers?worker={Uri.EscapeDataString(worker)}");
        using var made = await dashboard.Api.PostAsJsonAsync("/jobs", new { command = "sleep 600" });
        var id = made.Headers.Location!.ToString().Split('/')[^1];
        try
        {
            var link = open.Page.Locator($".runs a[href='/jobs/{id}']");
            await Assertions.Expect(link).ToBeVisibleAsync(Patiently);
            await Assertions.Expect(open.Page.Locator(".runs")).ToContainTextAsync("c-0.1");
            await open.ShootAsync("workers-runs");
        }
        finally
        {
            using var canceled = await dashboard.Api.PostAsync($"/hub/v1/jobs/{id}/cancel", null);
        }

        open.AssertQuiet();
    }

    [Fact]
    public async Task Worker_WithAHostileName_IsTextAndMayBeOpened()
    {
        const string name = "<img src=x onerror=alert(1)>\u202Egpj.exe&\"'/%2F";
        await using var crowd = await WorkerCrowd.OpenAsync(dashboard, (name, ["<b>TAG</b>"], 2, 0, 0.5));
        await using var open = await dashboard.OpenAsync("/workers");
        await open.Page.Locator(".tile", new() { HasText = "<img src=x" }).ClickAsync();
        await Assertions.Expect(open.Page.GetByRole(AriaRole.Complementary).Locator("h2")).ToContainTextAsync("<img src=x onerror=alert(1)>", new() { Timeout = 60_000 });
        await Assertions.Expect(open.Page.Locator("main img")).ToHaveCountAsync(0);
        await open.AssertFitsAsync();
        open.AssertQuiet();
    }

    [Fact]
    public async Task History_LookedBackAt_ShowsThatMinute()
    {
        await using var crowd = await WorkerCrowd.OpenAsync(dashboard, ("past-01", ["PAST"], 3, 0, 0.5));
        var minute = await Eventually.GetAsync(async () => (await GetAsync("/hub/v1/workers/past-01/history"))["items"]!.AsArray(), m => m.Count > 0, "a minute is kept", TimeSpan.FromMinutes(2));
        var at = ((DateTimeOffset)minute[0]!["at"]!).UtcDateTime;
        await using var open = await dashboard.OpenAsync($"/workers?at={at:yyyy-MM-dd'T'HH:mm'Z'}");
        await Assertions.Expect(Tile(open, "past-01")).ToBeVisibleAsync(Patiently);
        await open.SeeAsync($"As it was at {at:HH:mm} UTC");
        await open.Page.GetByRole(AriaRole.Link, new() { Name = "Now", Exact = true }).ClickAsync();
        await open.Page.WaitForURLAsync("**/workers");
        open.AssertQuiet();
    }

    private async Task ChangeAsync(string name, string verb)
    {
        using var answer = await dashboard.Api.PostAsync($"/hub/v1/workers/{name}/{verb}", null);
        answer.EnsureSuccessStatusCode();
    }

    private static ILocator Tile(OpenPage open, string name) => open.Page.Locator($".tile[data-worker='{name}']");

    private async Task<JsonNode> GetAsync(string path) => JsonNode.Parse(await dashboard.Api.GetStringAsync(path))!;
}
