using System.Net.Http.Json;
using System.Text.Json.Nodes;
using Microsoft.Playwright;

namespace JobHub.Web.Tests.Pages;

[Collection(PageCollection.Name)]
public sealed class ProjectsPageTests(Dashboard dashboard) : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("jobhub-page-").FullName;
    private readonly string name = "P" + Guid.NewGuid().ToString("N")[..8];

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Fact]
    public async Task Project_FromItsMakingToAPictureOfATree_IsDoneOnThePage()
    {
        await using var open = await dashboard.OpenAsync("/projects");
        var page = open.Page;
        await page.GetByRole(AriaRole.Button, new() { Name = "New project" }).ClickAsync();
        await page.GetByLabel("Name", new() { Exact = true }).FillAsync(name);
        await page.GetByLabel("What it is for").FillAsync("Typing <b>of</b> samples");
        await page.GetByRole(AriaRole.Button, new() { Name = "Make it" }).ClickAsync();
        await Assertions.Expect(page.Locator("h1")).ToHaveTextAsync(name);
        await open.SeeAsync("Typing <b>of</b> samples");

        await page.GetByLabel("What the new dataset holds").FillAsync("First samples");
        await page.GetByRole(AriaRole.Button, new() { Name = "New dataset" }).ClickAsync();
        await page.WaitForURLAsync("**?dataset=*");
        var profiles = Path.Combine(folder, "profiles.tsv");
        await File.WriteAllTextAsync(profiles, "ST\ta\tb\tc\n1\t1\t1\t1\n2\t1\t1\t2\n3\t1\t2\t2\nbad line\n4\t9\t9\t9\n");
        await page.Locator(".drop[data-ready] input[type=file]").SetInputFilesAsync(profiles);
        await open.SeeAsync("4 profiles are stored. One line is not: line 5");

        await page.GetByLabel("Levels of goeBURST").FillAsync("2");
        await page.GetByRole(AriaRole.Button, new() { Name = "Work out a tree" }).ClickAsync();
        await page.GetByRole(AriaRole.Button, new() { Name = "Draw it" }).ClickAsync();
        await page.GetByRole(AriaRole.Link, new() { Name = "radial" }).ClickAsync();
        await page.WaitForFunctionAsync("() => document.querySelector('.look img')?.naturalWidth > 0");
        await page.Locator("[data-in]").ClickAsync();
        await Assertions.Expect(page.Locator("[data-zoom]")).ToHaveTextAsync("150 %");
        await page.Locator(".look").PressAsync("0");
        await Assertions.Expect(page.Locator("[data-zoom]")).ToHaveTextAsync("100 %");
        await page.Locator(".look").ScrollIntoViewIfNeededAsync();
        await open.ShootAsync("project-light");
        var download = await page.RunAndWaitForDownloadAsync(() => page.GetByRole(AriaRole.Link, new() { Name = "Newick" }).ClickAsync());
        Assert.Equal("((3:1)2:1)1;\n4;\n", await File.ReadAllTextAsync((await download.PathAsync())!));
        open.AssertQuiet();
    }

    [Fact]
    public async Task Members_AddedAndTakenOut_AreThoseOfTheHub()
    {
        var user = "u" + Guid.NewGuid().ToString("N")[..8];
        (await dashboard.Api.PostAsJsonAsync("/hub/v1/users", new { name = user, role = "member" })).EnsureSuccessStatusCode();
        var id = await MakeAsync(name);
        await using var open = await dashboard.OpenAsync($"/projects/{id}");
        await open.Page.GetByLabel("Name of a user").FillAsync("nobody-of-this-name");
        await open.Page.GetByRole(AriaRole.Button, new() { Name = "Add" }).ClickAsync();
        await open.SeeAsync("There is no such user");
        await open.Page.GetByLabel("Name of a user").FillAsync(user);
        await open.Page.GetByRole(AriaRole.Button, new() { Name = "Add" }).ClickAsync();
        await Assertions.Expect(open.Page.Locator(".members")).ToContainTextAsync(user);
        await open.Page.GetByRole(AriaRole.Button, new() { Name = $"Take {user} out" }).ClickAsync();
        await Assertions.Expect(open.Page.Locator(".members")).Not.ToContainTextAsync(user);

        await open.Page.GetByRole(AriaRole.Button, new() { Name = "Change" }).ClickAsync();
        await open.Page.GetByLabel("Public: everybody who signs in may read it").CheckAsync();
        await open.Page.GetByRole(AriaRole.Button, new() { Name = "Change it" }).ClickAsync();
        await Assertions.Expect(open.Page.Locator(".facts")).ToContainTextAsync("public");
        open.AssertQuiet();
    }

    [Fact]
    public async Task Project_Deleted_IsGoneFromTheList()
    {
        var id = await MakeAsync(name);
        await using var open = await dashboard.OpenAsync($"/projects/{id}");
        await open.Page.GetByRole(AriaRole.Button, new() { Name = "Change" }).ClickAsync();
        await open.Page.GetByRole(AriaRole.Button, new() { Name = "Delete …" }).ClickAsync();
        await open.Page.GetByRole(AriaRole.Button, new() { Name = "Delete it with all it holds" }).ClickAsync();
        await open.Page.WaitForURLAsync("**/projects");
        await Assertions.Expect(open.Page.Locator("tr[data-row] a[href='/projects/default']")).ToBeVisibleAsync();
        await open.GoAsync($"/projects/{id}");
        await open.SeeAsync("No such project");
        open.AssertQuiet();
    }

    [Theory]
    [InlineData(false, true)]
    [InlineData(true, false)]
    public async Task Page_DarkAndOnAPhone_Fits(bool phone, bool dark)
    {
        await MakeAsync($"{name} <img src=x onerror=alert(1)> \u202e{new string('w', 140)}");
        await using var open = await dashboard.OpenAsync($"/projects?q={name}", phone, dark);
        await open.Page.Locator("tr[data-row]").First.WaitForAsync();
        await open.ShootAsync($"projects{(phone ? "-phone" : "-dark")}");
        await open.AssertFitsAsync();
        await open.Page.Locator("tr[data-row] a").First.ClickAsync();
        await open.SeeAsync("Datasets");
        await open.AssertFitsAsync();
        Assert.Equal(0, await open.Page.Locator("main img").CountAsync());
        open.AssertQuiet();
    }

    private async Task<string> MakeAsync(string title)
    {
        using var answer = await dashboard.Api.PostAsJsonAsync("/hub/v1/projects", new { name = title });
        answer.EnsureSuccessStatusCode();
        return (string)(await answer.Content.ReadFromJsonAsync<JsonObject>())!["id"]!;
    }
}
