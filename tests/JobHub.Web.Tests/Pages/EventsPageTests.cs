using System.Net.Http.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Microsoft.Playwright;

namespace JobHub.Web.Tests.Pages;

/// <summary>The page of events.</summary>
[Collection(PageCollection.Name)]
public class EventsPageTests(Dashboard dashboard)
{
    static EventsPageTests() => Assertions.SetDefaultExpectTimeout(30_000);

    [Theory, InlineData(false, false), InlineData(false, true), InlineData(true, false)]
    public async Task Events_OfAJob_AreShownAndMoveOnlyWhenAsked(bool phone, bool dark)
    {
        var id = await SubmitAsync("<script>document.title='owned'</script> title");
        await using var open = await dashboard.OpenAsync("/events?kind=job-submitted", phone, dark);
        var page = open.Page;
        await open.SeeAsync("<script>document.title='owned'</script>");
        await Assertions.Expect(page.Locator(".happened tbody tr").First).ToContainTextAsync("job-submitted");
        await Assertions.Expect(page.Locator(".happened tbody tr").Filter(new() { HasText = "job-ended" })).ToHaveCountAsync(0);
        var first = await page.Locator(".happened tbody tr").First.InnerTextAsync();
        await SubmitAsync("another one");
        await Assertions.Expect(page.Locator("#news")).ToBeVisibleAsync();
        Assert.Equal(first.Split('\n')[^1], (await page.Locator(".happened tbody tr").First.InnerTextAsync()).Split('\n')[^1]);
        await open.ShootAsync($"events{(phone ? "-phone" : "")}{(dark ? "-dark" : "-light")}");
        await page.Locator("#news").ClickAsync();
        await open.SeeAsync("another one");
        await Assertions.Expect(page.Locator("#news")).ToHaveCountAsync(0);

        await open.GoAsync($"/events?job={id}");
        await page.Locator(".happened summary").First.ClickAsync();
        await Assertions.Expect(page.Locator(".happened pre").First).ToBeVisibleAsync();
        await page.Locator("#kind").SelectOptionAsync("job-ended");
        await Assertions.Expect(page).ToHaveURLAsync(new Regex($"/events\\?job={id}&kind=job-ended$"));
        Assert.DoesNotContain("owned", await page.TitleAsync(), StringComparison.Ordinal);
        await open.AssertFitsAsync();
        open.AssertQuiet();
    }

    [Fact]
    public async Task Events_OfTheChosenProject_AreItsAlone()
    {
        var project = "events-" + Guid.NewGuid().ToString("N")[..8];
        await SubmitAsync("elsewhere");
        await SubmitAsync("within " + project, project);
        await using var open = await dashboard.OpenAsync($"/events?kind=job-submitted&project={project}");
        var page = open.Page;
        await open.SeeAsync("within " + project);
        await Assertions.Expect(page.Locator(".happened tbody tr")).ToHaveCountAsync(1);
        await SubmitAsync("elsewhere again");
        await SubmitAsync("another " + project, project);
        await Assertions.Expect(page.Locator("#news")).ToHaveTextAsync("1 new");
        await page.Locator("#news").ClickAsync();
        await open.SeeAsync("another " + project);
        await Assertions.Expect(page.Locator(".happened tbody tr")).ToHaveCountAsync(2);
        await page.Locator("#kind").SelectOptionAsync("job-ended");
        await Assertions.Expect(page).ToHaveURLAsync(new Regex($"project={project}"));
        open.AssertQuiet();
    }

    [Fact]
    public async Task OlderEvents_AskedForTwiceAtOnce_AreAddedOnce()
    {
        var project = "older-" + Guid.NewGuid().ToString("N")[..8];
        using (var answer = await dashboard.Api.PutAsJsonAsync($"/api/jobs?project={project}", Enumerable.Range(0, 250).Select(static i => new { command = "true", title = $"older {i}", paused = true }))) answer.EnsureSuccessStatusCode();
        await using var open = await dashboard.OpenAsync($"/events?kind=job-submitted&project={project}");
        var rows = open.Page.Locator(".happened tbody tr");
        await Assertions.Expect(rows).ToHaveCountAsync(100);
        // Both presses are on their way before the first is answered.
        await open.Page.EvaluateAsync("() => { const older = [...document.querySelectorAll('.more button')].at(-1); older.click(); older.click(); }");
        await Assertions.Expect(rows).ToHaveCountAsync(200);
        await open.Page.GetByText("Older events").ClickAsync();
        await Assertions.Expect(rows).ToHaveCountAsync(250);
        var places = await rows.Locator("td:last-child").AllInnerTextsAsync();
        Assert.Equal(places.Distinct(), places);
        open.AssertQuiet();
    }

    private async Task<string> SubmitAsync(string title, string? project = null)
    {
        using var answer = await dashboard.Api.PutAsJsonAsync("/api/jobs" + (project is null ? "" : $"?project={project}"), new { command = "true", title });
        answer.EnsureSuccessStatusCode();
        var found = await dashboard.Api.GetFromJsonAsync<JsonNode>($"/hub/v1/jobs?ids={await answer.Content.ReadAsStringAsync()}");
        return (string)found!["items"]![0]!["id"]!;
    }
}
