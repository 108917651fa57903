using System.Net.Http.Json;
using System.Text.Json.Nodes;
using Microsoft.Playwright;

namespace JobHub.Web.Tests.Pages;

/// <summary>The list of jobs, in a real browser over a whole hub. What a test makes is in a project of its own.</summary>
[Collection(PageCollection.Name)]
public class JobsPageTests(Dashboard dashboard)
{
    private readonly string project = "jobs" + Guid.NewGuid().ToString("N")[..10];

    [Fact]
    public async Task Words_WhenWritten_BecomeChipsInTheAddressAndNarrowTheList()
    {
        await SubmitAsync("sleep 0.1 alpha", """{"team":"red"}""");
        await SubmitAsync("sleep 0.1 beta", """{"team":"blue"}""");
        await using var open = await dashboard.OpenAsync("/jobs?project=" + project);
        var page = open.Page;
        await Assertions.Expect(Rows(page)).ToHaveCountAsync(2);
        await page.Locator("#words").FillAsync("label:team=red alpha");
        await page.Keyboard.PressAsync("Enter");
        await page.WaitForURLAsync("**/jobs?project=*&label=team%3Dred&q=alpha");
        await Assertions.Expect(Rows(page)).ToHaveCountAsync(1);
        await Assertions.Expect(page.Locator("#matches")).ToHaveTextAsync("1 match");
        await page.GetByLabel("Remove label team=red").ClickAsync();
        await Assertions.Expect(page.Locator(".chip")).ToHaveCountAsync(2);
        Assert.DoesNotContain("label", page.Url, StringComparison.Ordinal);
        await page.GoBackAsync();
        await Assertions.Expect(page.Locator(".chip")).ToHaveCountAsync(3);
        await page.ReloadAsync();
        await Assertions.Expect(page.Locator(".chip")).ToHaveCountAsync(3);
        open.AssertQuiet();
    }

    [Fact]
    public async Task Rows_WhileJobsRun_ChangeInPlaceAndNewOnesWait()
    {
        await SubmitAsync("sleep 1");
        await using var open = await dashboard.OpenAsync("/jobs?project=" + project);
        var page = open.Page;
        await Assertions.Expect(Rows(page)).ToHaveCountAsync(1);
        await Assertions.Expect(Rows(page).Locator("td.state")).ToHaveTextAsync("Succeeded", new() { Timeout = 60_000 });
        await SubmitAsync("true");
        await SubmitAsync("true");
        await Assertions.Expect(page.Locator("button.newer")).ToHaveTextAsync("2 new jobs");
        await Assertions.Expect(Rows(page)).ToHaveCountAsync(1);
        await page.Locator("button.newer").ClickAsync();
        await Assertions.Expect(Rows(page)).ToHaveCountAsync(3);
        await Assertions.Expect(page.Locator("button.newer")).ToHaveCountAsync(0);
        open.AssertQuiet();
    }

    [Fact]
    public async Task List_LongerThanItsWindow_IsReadByScrollingBothWays()
    {
        await Task.WhenAll(Enumerable.Range(0, 8).Select(async lane => { for (var i = 0; i < 65; i++) await SubmitAsync("true", image: "none"); }));
        await using var open = await dashboard.OpenAsync("/jobs?project=" + project);
        var page = open.Page;
        await Assertions.Expect(page.Locator("table[aria-label=Jobs]")).ToHaveAttributeAsync("aria-rowcount", "521");
        var last = page.Locator("tr[data-row][aria-rowindex='521']");
        for (var i = 0; i < 200 && await last.CountAsync() == 0; i++)
        {
            await page.Mouse.WheelAsync(0, 4000);
            await page.EvaluateAsync("() => new Promise(r => requestAnimationFrame(() => setTimeout(r, 100)))");
        }

        await Assertions.Expect(last).ToHaveCountAsync(1);
        Assert.InRange(await Rows(page).CountAsync(), 1, 300);
        var top = page.Locator("tr[data-row][aria-rowindex='2']");
        for (var i = 0; i < 200 && await top.CountAsync() == 0; i++)
        {
            await page.Mouse.WheelAsync(0, -4000);
            await page.EvaluateAsync("() => new Promise(r => requestAnimationFrame(() => setTimeout(r, 100)))");
        }

        await Assertions.Expect(top).ToHaveCountAsync(1);
        open.AssertQuiet();
        foreach (var id in await IdsAsync()) using (await dashboard.Api.PostAsync($"/hub/v1/jobs/{id}/cancel", null)) { }
    }

    [Fact]
    public async Task Tree_OpenedByKeys_ShowsWhatIsInItsGroups()
    {
        var root = await PutAsync($$"""{"title":"tree {{project}}","paused":true}""");
        var group = await PutAsync($$"""{"parent":{{root}},"title":"inner group"}""");
        for (var i = 0; i < 3; i++) await PutAsync($$"""{"parent":{{group}},"title":"frame {{i}}","command":"true"}""");
        await using var open = await dashboard.OpenAsync($"/jobs?family=farm&q={project}");
        var page = open.Page;
        await Assertions.Expect(Rows(page)).ToHaveCountAsync(1);
        await page.Keyboard.PressAsync("j");
        await page.Keyboard.PressAsync("l");
        await Assertions.Expect(Rows(page)).ToHaveCountAsync(2);
        await page.Keyboard.PressAsync("j");
        await page.Keyboard.PressAsync("l");
        await Assertions.Expect(Rows(page)).ToHaveCountAsync(5);
        await Assertions.Expect(Rows(page).Nth(2)).ToHaveAttributeAsync("aria-level", "3");
        await open.ShootAsync("jobs-tree");
        await page.Keyboard.PressAsync("h");
        await Assertions.Expect(Rows(page)).ToHaveCountAsync(2);
        await page.Keyboard.PressAsync("Enter");
        await page.WaitForURLAsync("**/jobs/*");
        open.AssertQuiet();
    }

    [Fact]
    public async Task JobsOfTrees_AreEditedTogetherAndMovedByCutAndPaste()
    {
        var root = await PutAsync($$"""{"title":"from {{project}}","paused":true}""");
        var other = await PutAsync($$"""{"title":"into {{project}}","paused":true}""");
        for (var i = 0; i < 2; i++) await PutAsync($$"""{"parent":{{root}},"title":"leaf {{i}}","command":"true","priority":50}""");
        await using var open = await dashboard.OpenAsync($"/jobs?family=farm&q={project}");
        var page = open.Page;
        await Rows(page).Filter(new() { HasText = "from" }).Locator("[data-branch]").ClickAsync();
        await Assertions.Expect(Rows(page)).ToHaveCountAsync(4);
        foreach (var leaf in (string[])["leaf 0", "leaf 1"]) await Rows(page).Filter(new() { HasText = leaf }).Locator("input").ClickAsync();
        await page.GetByRole(AriaRole.Button, new() { Name = "Edit", Exact = true }).ClickAsync();
        await Assertions.Expect(page.Locator("#edit-title")).ToHaveAttributeAsync("placeholder", "2 different values");
        await Assertions.Expect(page.Locator("#edit-priority")).ToHaveValueAsync("50");
        await open.ShootAsync("jobs-edit");
        await page.Locator("#edit-priority").FillAsync("60");
        await page.GetByRole(AriaRole.Button, new() { Name = "Save", Exact = true }).ClickAsync();
        await Assertions.Expect(page.Locator("td.prio").Filter(new() { HasText = "60" })).ToHaveCountAsync(2);
        await page.GetByRole(AriaRole.Button, new() { Name = "Cut", Exact = true }).ClickAsync();
        await Assertions.Expect(page.Locator("#cut")).ToHaveTextAsync("2 jobs are cut");
        await Rows(page).Filter(new() { HasText = "into" }).Locator("input").ClickAsync();
        await page.GetByText($"Paste into #{other}").ClickAsync();
        await Assertions.Expect(Rows(page)).ToHaveCountAsync(2);
        await Rows(page).Filter(new() { HasText = "into" }).Locator("[data-branch]").ClickAsync();
        await Assertions.Expect(Rows(page)).ToHaveCountAsync(4);
        open.AssertQuiet();
    }

    [Fact]
    public async Task Selection_ByKeysAndRows_IsSummedUpInTheDock()
    {
        for (var i = 0; i < 3; i++) await SubmitAsync($"true {i}", image: "none");
        await using var open = await dashboard.OpenAsync("/jobs?state=queued&project=" + project);
        var page = open.Page;
        await Assertions.Expect(Rows(page)).ToHaveCountAsync(3);
        await page.Keyboard.PressAsync("j");
        await page.Keyboard.PressAsync("x");
        await Assertions.Expect(page.Locator("#chosen")).ToHaveTextAsync("1 job");
        await page.Keyboard.PressAsync("Shift+J");
        await Assertions.Expect(page.Locator("#chosen")).ToHaveTextAsync("2 jobs");
        await page.GetByText("Select all 3 that match").ClickAsync();
        await Assertions.Expect(page.Locator("#chosen")).ToHaveTextAsync("All 3 that match");
        await page.Keyboard.PressAsync("Escape");
        await Assertions.Expect(page.Locator("#chosen")).ToHaveCountAsync(0);
        open.AssertQuiet();
    }

    [Fact]
    public async Task Bulk_ThatCanBeTakenBack_IsDoneAtOnceAndUndone()
    {
        for (var i = 0; i < 2; i++) await SubmitAsync($"true {i}", image: "none");
        await using var open = await dashboard.OpenAsync("/jobs?project=" + project);
        var page = open.Page;
        await Assertions.Expect(Rows(page)).ToHaveCountAsync(2);
        await page.GetByLabel("Select the rows that are shown").ClickAsync();
        await Assertions.Expect(page.Locator("#chosen")).ToHaveTextAsync("2 jobs");
        await open.ShootAsync("jobs-dock");
        await page.GetByRole(AriaRole.Button, new() { Name = "Pause" }).ClickAsync();
        await Assertions.Expect(page.Locator("#bulk-done")).ToHaveTextAsync("2 of 2", Patient);
        await Assertions.Expect(page.Locator("td.state").Filter(new() { HasText = "Paused" })).ToHaveCountAsync(2, new() { Timeout = 20_000 });
        await page.Keyboard.PressAsync("z");
        await Assertions.Expect(page.Locator("td.state").Filter(new() { HasText = "Queued" })).ToHaveCountAsync(2, new() { Timeout = 20_000 });
        open.AssertQuiet();
    }

    [Fact]
    public async Task Bulk_ThatCannotBeTakenBack_ShowsWhatItTouchesFirst()
    {
        for (var i = 0; i < 2; i++) await SubmitAsync($"true {i}", image: "none");
        await using var open = await dashboard.OpenAsync("/jobs?state=queued&project=" + project);
        var page = open.Page;
        await page.GetByLabel("Select the rows that are shown").ClickAsync();
        await page.GetByRole(AriaRole.Button, new() { Name = "Cancel 2" }).ClickAsync();
        await Assertions.Expect(page.GetByRole(AriaRole.Alertdialog)).ToContainTextAsync("2 queued");
        await page.Keyboard.PressAsync("Escape");
        await Assertions.Expect(page.Locator("#chosen")).ToHaveTextAsync("2 jobs");
        await page.GetByRole(AriaRole.Button, new() { Name = "Cancel 2" }).ClickAsync();
        await open.ShootAsync("jobs-ask");
        await page.GetByRole(AriaRole.Alertdialog).GetByRole(AriaRole.Button, new() { Name = "Cancel 2" }).ClickAsync();
        await Assertions.Expect(page.Locator("tr.gone td.state").Filter(new() { HasText = "Canceled" })).ToHaveCountAsync(2, new() { Timeout = 20_000 });
        open.AssertQuiet();
    }

    [Fact]
    public async Task List_WithoutAMatch_OffersTheNearestThatHas()
    {
        await SubmitAsync("true");
        await using var open = await dashboard.OpenAsync($"/jobs?project={project}&q=nowhere");
        await open.SeeAsync("Nothing matches project");
        await open.SeeAsync("there is one job");
        await open.ShootAsync("jobs-none");
        await open.Page.GetByText("Leave it out").ClickAsync();
        await Assertions.Expect(Rows(open.Page)).ToHaveCountAsync(1);
        open.AssertQuiet();
    }

    [Fact]
    public async Task List_WhoseMatchesAreInGroups_OffersThemFlat()
    {
        var root = await PutAsync("""{"title":"a tree","paused":true}""");
        await PutAsync($$"""{"parent":{{root}},"title":"frame","user":"{{project}}","command":"true"}""");
        await using var open = await dashboard.OpenAsync($"/jobs?user={project}");
        await open.Page.GetByText("Show them flat").ClickAsync();
        await Assertions.Expect(Rows(open.Page)).ToHaveCountAsync(1);
        open.AssertQuiet();
    }

    [Fact]
    public async Task Csv_OfTheList_IsWhatTheListShows()
    {
        await SubmitAsync("true one");
        await using var open = await dashboard.OpenAsync($"/jobs?project={project}");
        var download = await open.Page.RunAndWaitForDownloadAsync(() => open.Page.GetByText("CSV").ClickAsync());
        Assert.Equal("jobs.csv", download.SuggestedFilename);
        Assert.Contains(",true one,", await File.ReadAllTextAsync((await download.PathAsync())!), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(false, false), InlineData(false, true), InlineData(true, false), InlineData(true, true)]
    public async Task Page_WithHostileNames_FitsAndStaysQuiet(bool phone, bool dark)
    {
        await SubmitAsync("<img src=x onerror=alert(1)> " + new string('w', 150), """{"<b>k</b>":"<script>alert(1)</script>","rtl":"\u202Eevil"}""");
        await SubmitAsync("sleep 0.5");
        await SubmitAsync("exit 7");
        await SubmitAsync("true", image: "none");
        var root = await PutAsync($$"""{"title":"sq040_sh0120 {{project}}","paused":true}""");
        await PutAsync($$"""{"parent":{{root}},"title":"beauty","command":"true"}""");
        await using var open = await dashboard.OpenAsync($"/jobs", phone, dark);
        await Assertions.Expect(Rows(open.Page).First).ToBeVisibleAsync();
        await open.ShootAsync($"jobs{(phone ? "-phone" : "")}{(dark ? "-dark" : "-light")}");
        await open.AssertFitsAsync();
        open.AssertQuiet();
    }

    private static LocatorAssertionsToHaveTextOptions Patient => new() { Timeout = 20_000 };

    private static ILocator Rows(IPage page) => page.Locator("tr[data-row]");

    private async Task<string> SubmitAsync(string command, string labels = "{}", string? image = null)
    {
        var body = new JsonObject { ["command"] = command, ["labels"] = JsonNode.Parse(labels) };
        if (image is not null) body["image"] = image;
        using var made = await dashboard.Api.PostAsJsonAsync($"/jobs?project={project}", body);
        Assert.True(made.IsSuccessStatusCode, await made.Content.ReadAsStringAsync());
        return (string)(await made.Content.ReadFromJsonAsync<JsonNode>())!["job_id"]!;
    }

    private async Task<long> PutAsync(string body)
    {
        using var made = await dashboard.Api.PutAsync("/api/jobs", new StringContent(body, System.Text.Encoding.UTF8, "application/json"));
        var text = await made.Content.ReadAsStringAsync();
        Assert.True(made.IsSuccessStatusCode, text);
        return long.Parse(text);
    }

    private async Task<List<string>> IdsAsync()
    {
        var ids = new List<string>();
        for (string? after = null; ;)
        {
            var page = (await dashboard.Api.GetFromJsonAsync<JsonNode>($"/hub/v1/jobs?project={project}&limit=500{(after is null ? "" : "&after=" + after)}"))!;
            ids.AddRange(page["items"]!.AsArray().Select(static j => (string)j!["id"]!));
            if ((after = (string?)page["next"]) is null) return ids;
        }
    }
}
