using System.Net.Http.Json;
using System.Text.Json.Nodes;
using Microsoft.Playwright;

namespace JobHub.Web.Tests.Pages;

/// <summary>Jobs of trees in the list: edited together, found below their groups, chosen and summed up. Each test has trees under a name of its own.</summary>
[Collection(PageCollection.Name)]
public class JobsTreePageTests(Dashboard dashboard)
{
    private readonly string name = "tree" + Guid.NewGuid().ToString("N")[..10];

    [Fact]
    public async Task Affinity_OfManyJobs_ShowsWhatDiffersAndChangesOnlyWhatWasTurned()
    {
        var root = await PutAsync($$"""{"title":"{{name}}","paused":true}""");
        var first = await PutAsync($$"""{"parent":{{root}},"title":"one","command":"true","affinity":"{{name}}A,{{name}}B"}""");
        var second = await PutAsync($$"""{"parent":{{root}},"title":"two","command":"true","affinity":"{{name}}A"}""");
        await using var open = await EditAsync(root);
        var page = open.Page;
        ILocator Slot(string which) => page.Locator("button.slot").Filter(new() { HasText = name + which });
        await Assertions.Expect(Slot("A")).ToHaveAttributeAsync("aria-pressed", "true");
        await Assertions.Expect(Slot("B")).ToHaveAttributeAsync("aria-pressed", "mixed");
        await Assertions.Expect(Slot("B")).ToContainTextAsync("1 of 2");
        await Assertions.Expect(page.GetByRole(AriaRole.Button, new() { Name = "Save", Exact = true })).ToBeDisabledAsync();
        await page.Locator("#edit-affinity").FillAsync(name + "C");
        await page.Keyboard.PressAsync("Enter");
        await Assertions.Expect(Slot("C")).ToHaveAttributeAsync("aria-pressed", "true");
        await Slot("A").ClickAsync();
        await Assertions.Expect(Slot("A")).ToHaveAttributeAsync("aria-pressed", "false");
        await open.ShootAsync("jobs-edit-affinity");
        await page.GetByRole(AriaRole.Button, new() { Name = "Save", Exact = true }).ClickAsync();
        await Assertions.Expect(page.Locator("form.edit")).ToHaveCountAsync(0);
        Assert.Equal([name + "B", name + "C"], await AffinityAsync(first));
        Assert.Equal([name + "C"], await AffinityAsync(second));
        open.AssertQuiet();
    }

    [Theory]
    [InlineData(false), InlineData(true)]
    public async Task Dependencies_OfManyJobs_AreShownByTitleFoundAndTakenAway(bool dark)
    {
        var root = await PutAsync($$"""{"title":"{{name}}","paused":true}""");
        var light = await PutAsync($$"""{"title":"lighting of {{name}}","paused":true}""");
        var sim = await PutAsync($$"""{"title":"simulation of {{name}}","paused":true}""");
        var first = await PutAsync($$"""{"parent":{{root}},"title":"one","command":"true","dependencies":[{{light}}]}""");
        var second = await PutAsync($$"""{"parent":{{root}},"title":"two","command":"true"}""");
        await using var open = await EditAsync(root, dark);
        var page = open.Page;
        var waits = page.Locator(".waits li");
        await Assertions.Expect(waits).ToHaveCountAsync(1);
        await Assertions.Expect(waits).ToContainTextAsync($"lighting of {name}");
        await Assertions.Expect(waits).ToContainTextAsync("1 of 2");
        await page.Locator("#edit-dependencies").FillAsync("simulation");
        await page.Locator(".found button").Filter(new() { HasText = name }).WaitForAsync();
        await open.ShootAsync("jobs-edit-waits" + (dark ? "-dark" : ""));
        await page.Locator(".found button").Filter(new() { HasText = name }).ClickAsync();
        await Assertions.Expect(waits).ToHaveCountAsync(2);
        await page.GetByLabel($"Wait no longer for job {light}").ClickAsync();
        await page.GetByRole(AriaRole.Button, new() { Name = "Save", Exact = true }).ClickAsync();
        await Assertions.Expect(page.Locator("form.edit")).ToHaveCountAsync(0);
        Assert.Equal([sim], await WaitsForAsync(first));
        Assert.Equal([sim], await WaitsForAsync(second));
        open.AssertQuiet();
    }

    [Fact]
    public async Task Slots_AreNamedFromTheEditorAndStandThere()
    {
        var root = await PutAsync($$"""{"title":"{{name}}","paused":true}""");
        await PutAsync($$"""{"parent":{{root}},"title":"one","command":"true"}""");
        await using var open = await EditAsync(root);
        var page = open.Page;
        await page.GetByText("Name the slots").ClickAsync();
        await Assertions.Expect(page.Locator(".slot-names input")).ToHaveCountAsync(64);
        await page.Locator("#slot-64").FillAsync(name);
        await open.ShootAsync("jobs-slots");
        await page.GetByText("Save names").ClickAsync();
        await Assertions.Expect(page.Locator("button.slot").Filter(new() { HasText = name })).ToHaveAttributeAsync("aria-pressed", "false");
        var read = (await dashboard.Api.GetFromJsonAsync<JsonNode>("/hub/v1/trees/affinities"))!;
        Assert.Equal((64, name), ((int)read["slots"]!, (string?)read["names"]!["64"]));
        using var freed = await dashboard.Api.PostAsync("/hub/v1/trees/affinities", JsonContent.Create(new { names = new Dictionary<string, string> { ["64"] = "" } }));
        Assert.True(freed.IsSuccessStatusCode);
        open.AssertQuiet();
    }

    [Fact]
    public async Task Search_ThatFindsWhatIsInGroups_ShowsTheWayThere()
    {
        var root = await PutAsync($$"""{"title":"show","paused":true}""");
        var group = await PutAsync($$"""{"parent":{{root}},"title":"shot"}""");
        for (var i = 0; i < 2; i++) await PutAsync($$"""{"parent":{{group}},"title":"frame {{i}} {{name}}","command":"true"}""");
        await PutAsync($$"""{"parent":{{group}},"title":"something else","command":"true"}""");
        await PutAsync($$"""{"title":"{{name}} by itself","paused":true}""");
        await using var open = await dashboard.OpenAsync("/jobs?q=" + name);
        var rows = open.Page.Locator("tr[data-row]");
        await Assertions.Expect(rows).ToHaveCountAsync(5);
        await Assertions.Expect(open.Page.Locator("#matches")).ToHaveTextAsync("3 match");
        await Assertions.Expect(open.Page.Locator("tr.path")).ToHaveCountAsync(2);
        await Assertions.Expect(rows.Nth(0)).ToContainTextAsync("by itself");
        foreach (var (at, level, text) in new[] { (1, "1", "show"), (2, "2", "shot"), (3, "3", name), (4, "3", name) })
        {
            await Assertions.Expect(rows.Nth(at)).ToHaveAttributeAsync("aria-level", level);
            await Assertions.Expect(rows.Nth(at)).ToContainTextAsync(text);
        }

        await open.ShootAsync("jobs-paths");
        await rows.Nth(2).Locator("[data-branch=open]").ClickAsync();
        await Assertions.Expect(rows).ToHaveCountAsync(3);
        await rows.Nth(2).Locator("[data-branch=closed]").ClickAsync();
        await Assertions.Expect(rows).ToHaveCountAsync(6);
        await open.Page.GetByLabel("Select the rows that are shown").ClickAsync();
        await Assertions.Expect(open.Page.Locator("#chosen")).ToHaveTextAsync("4 jobs");
        open.AssertQuiet();
    }

    [Fact]
    public async Task Selection_OfAGroup_SumsUpWhatTheTasksBelowTook()
    {
        var root = await PutAsync($$"""{"title":"{{name}}"}""");
        for (var i = 0; i < 2; i++) await PutAsync($$"""{"parent":{{root}},"title":"frame {{i}}","command":"sleep 1"}""");
        await using var open = await dashboard.OpenAsync("/jobs?q=" + name);
        await Assertions.Expect(open.Page.Locator("tr[data-row] td.state")).ToHaveTextAsync("Succeeded", new() { Timeout = 60_000 });
        await open.Page.Locator("tr[data-row] input").ClickAsync();
        await Assertions.Expect(open.Page.Locator("#sums")).ToContainTextAsync("2 tasks · 2 done · sum ");
        await Assertions.Expect(open.Page.Locator("#sums")).ToContainTextAsync(" · average ");
        await open.ShootAsync("jobs-sums");
        open.AssertQuiet();
    }

    private async Task<OpenPage> EditAsync(long root, bool dark = false)
    {
        var open = await dashboard.OpenAsync($"/jobs?q=%23{root}", dark: dark);
        await open.Page.Locator("[data-branch=closed]").ClickAsync();
        await open.Page.Locator("tr[data-row][aria-level='2']").First.WaitForAsync();
        foreach (var leaf in await open.Page.Locator("tr[data-row][aria-level='2'] input").AllAsync()) await leaf.ClickAsync();
        await open.Page.GetByRole(AriaRole.Button, new() { Name = "Edit", Exact = true }).ClickAsync();
        await open.Page.Locator("form.edit .slots").WaitForAsync();
        return open;
    }

    private async Task<string[]> AffinityAsync(long job) => [.. ((string)(await ValuesAsync(job))["affinity"]!).Split(',').Order(StringComparer.Ordinal)];

    private async Task<long[]> WaitsForAsync(long job) => [.. (await ValuesAsync(job))["dependencies"]!.AsArray().Select(static d => (long)d!)];

    private async Task<JsonNode> ValuesAsync(long job) => (await dashboard.Api.GetFromJsonAsync<JsonNode>($"/hub/v1/trees/jobs?ids={job}"))!["items"]![0]!;

    private async Task<long> PutAsync(string body)
    {
        using var made = await dashboard.Api.PutAsync("/api/jobs", new StringContent(body, System.Text.Encoding.UTF8, "application/json"));
        var text = await made.Content.ReadAsStringAsync();
        Assert.True(made.IsSuccessStatusCode, text);
        return long.Parse(text);
    }
}
