using System.Text;
using Microsoft.Playwright;

namespace JobHub.Web.Tests.Pages;

/// <summary>Where one is in a long list, and views that are kept.</summary>
[Collection(PageCollection.Name)]
public class JobsPlacePageTests(Dashboard dashboard)
{
    private readonly string user = "place" + Guid.NewGuid().ToString("N")[..10];

    [Fact]
    public async Task Thumb_DraggedIntoTheMiddle_ShowsTheRowsOfThatPlaceAndReadsOnBothWays()
    {
        await MakeAsync(1000);
        await using var open = await dashboard.OpenAsync("/jobs?user=" + user);
        var page = open.Page;
        var bar = page.Locator(".jobs-place");
        await Assertions.Expect(page.Locator("#jobs-rows")).ToHaveAttributeAsync("aria-rowcount", "1001");
        var (track, thumb) = ((await bar.BoundingBoxAsync())!, (await bar.Locator("i").BoundingBoxAsync())!);
        await page.Mouse.MoveAsync(thumb.X + (thumb.Width / 2), thumb.Y + (thumb.Height / 2));
        await page.Mouse.DownAsync();
        await page.Mouse.MoveAsync(thumb.X + (thumb.Width / 2), track.Y + (thumb.Height / 2) + (0.4f * (track.Height - thumb.Height)), new() { Steps = 5 });
        await Assertions.Expect(bar.Locator("span")).ToHaveTextAsync("40 %");
        await open.ShootAsync("jobs-place");
        await page.Mouse.UpAsync();
        await page.Locator("tr[data-row][aria-rowindex='410']").WaitForAsync();
        await Assertions.Expect(page.Locator("tr[data-row][aria-rowindex='410']")).ToContainTextAsync("number 592");
        Assert.InRange(await FirstSeenAsync(page), 395, 410);
        await page.Mouse.MoveAsync(600, 500);
        var earlier = page.Locator("tr[data-row][aria-rowindex='340']");
        await earlier.WaitForAsync();
        await Assertions.Expect(earlier).ToContainTextAsync("number 662");
        Assert.InRange(await FirstSeenAsync(page), 395, 410);
        for (var i = 0; i < 40 && await page.Locator("tr[data-row][aria-rowindex='700']").CountAsync() == 0; i++)
        {
            await page.Mouse.WheelAsync(0, 2000);
            await page.EvaluateAsync("() => new Promise(r => requestAnimationFrame(() => setTimeout(r, 100)))");
        }

        await Assertions.Expect(page.Locator("tr[data-row][aria-rowindex='700']")).ToContainTextAsync("number 302");
        open.AssertQuiet();
    }

    [Fact]
    public async Task HomeAndEnd_InALongList_LeadToItsEnds()
    {
        await MakeAsync(600);
        await using var open = await dashboard.OpenAsync("/jobs?user=" + user);
        var page = open.Page;
        await Assertions.Expect(page.Locator(".jobs-place")).ToHaveAttributeAsync("aria-valuetext", "About row 1 of 600");
        await page.Keyboard.PressAsync("End");
        var last = page.Locator("tr[data-row][aria-rowindex='601']");
        await Assertions.Expect(last).ToBeInViewportAsync();
        await Assertions.Expect(last).ToContainTextAsync("number 1 ");
        await Assertions.Expect(last).ToBeFocusedAsync();
        await Assertions.Expect(page.Locator(".jobs-place")).ToHaveAttributeAsync("aria-valuenow", "100");
        await page.Keyboard.PressAsync("Home");
        await Assertions.Expect(page.Locator("tr[data-row][aria-rowindex='2']")).ToContainTextAsync("number 600 ");
        await Assertions.Expect(page.Locator("tr[data-row][aria-rowindex='2']")).ToBeInViewportAsync();
        open.AssertQuiet();
    }

    [Fact]
    public async Task View_ThatIsSaved_IsThereAgainAndCanBeReplacedAndDeleted()
    {
        await MakeAsync(2);
        await using var open = await dashboard.OpenAsync($"/jobs?user={user}&state=queued");
        var page = open.Page;
        await page.GetByText("Save this view").ClickAsync();
        await page.Locator("#view-name").FillAsync("Waiting of <b>mine</b>");
        await open.ShootAsync("jobs-view-name");
        await page.Keyboard.PressAsync("Enter");
        var view = page.Locator(".jobs-views a.own");
        await Assertions.Expect(view).ToHaveTextAsync("Waiting of <b>mine</b>");
        await Assertions.Expect(view).ToHaveAttributeAsync("aria-current", "page");
        await page.GotoAsync(new Uri(new Uri(page.Url), "/jobs").ToString());
        await view.ClickAsync();
        await page.WaitForURLAsync($"**/jobs?state=queued&user={user}");
        await page.GetByLabel("Remove state queued").ClickAsync();
        await page.GetByText("Save this view").ClickAsync();
        await Assertions.Expect(page.Locator("#view-name")).ToHaveValueAsync("Waiting of <b>mine</b>");
        await page.GetByRole(AriaRole.Button, new() { Name = "Replace" }).ClickAsync();
        await Assertions.Expect(view).ToHaveAttributeAsync("href", $"/jobs?user={user}");
        await open.ShootAsync("jobs-views");
        await page.GetByText("Delete this view").ClickAsync();
        await Assertions.Expect(view).ToHaveCountAsync(0);
        await page.ReloadAsync();
        await page.GetByText("Save this view").WaitForAsync();
        await Assertions.Expect(view).ToHaveCountAsync(0);
        open.AssertQuiet();
    }

    // The row at the top of what is seen, by its place among those that match.
    private static Task<int> FirstSeenAsync(IPage page) => page.EvaluateAsync<int>(
        "() => { const top = document.querySelector('#jobs-rows thead th').getBoundingClientRect().bottom; return Number([...document.querySelectorAll('tr[data-row]')].find(r => r.getBoundingClientRect().bottom > top + 1).getAttribute('aria-rowindex')); }");

    /// <summary>Roots of trees, with numbers in a row.</summary>
    private async Task MakeAsync(int count)
    {
        var body = new StringBuilder("[");
        for (var i = 1; i <= count; i++) body.Append(i == 1 ? "" : ",").Append($$"""{"title":"number {{i}} of a long list","user":"{{user}}","paused":true}""");
        using var made = await dashboard.Api.PutAsync("/api/jobs", new StringContent(body.Append(']').ToString(), Encoding.UTF8, "application/json"));
        Assert.True(made.IsSuccessStatusCode, await made.Content.ReadAsStringAsync());
    }
}
