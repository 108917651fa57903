using System.Net.Http.Json;
using System.Text;
using System.Text.Json.Nodes;
using JobHub.Testing;
using Microsoft.Playwright;

namespace JobHub.Web.Tests.Pages;

[Collection(PageCollection.Name)]
public sealed class FilesPageTests(Dashboard dashboard) : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("jobhub-page-").FullName;
    private readonly string place = "/f" + Guid.NewGuid().ToString("N")[..8];

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Fact]
    public async Task Files_ChosenOnThePage_AreBrowsedPreviewedDownloadedAndDeleted()
    {
        await using var open = await dashboard.OpenAsync($"/files?path={place}");
        await open.SeeAsync("Nothing is at");
        await File.WriteAllTextAsync(Path.Combine(folder, "plain notes.txt"), "first line\n\u001b[31mred\u001b[0m <b>not bold</b>\n");
        await File.WriteAllTextAsync(Path.Combine(folder, "table.csv"), "name,count\n\"a, \"\"b\"\"\",1\n<script>alert(1)</script>,2\n");
        await open.Page.Locator(".drop[data-ready] input[type=file]").SetInputFilesAsync([Path.Combine(folder, "plain notes.txt"), Path.Combine(folder, "table.csv")]);
        await Assertions.Expect(open.Page.Locator("tr[data-row]")).ToHaveCountAsync(3);

        await open.Page.GetByRole(AriaRole.Link, new() { Name = "table.csv" }).ClickAsync();
        await Assertions.Expect(open.Page.Locator(".peek tbody tr")).ToHaveCountAsync(2);
        await Assertions.Expect(open.Page.Locator(".peek tbody td").First).ToHaveTextAsync("a, \"b\"");
        await Assertions.Expect(open.Page.Locator(".peek tbody td").Nth(2)).ToHaveTextAsync("<script>alert(1)</script>");
        await open.ShootAsync("files-light");
        await open.Page.GetByRole(AriaRole.Link, new() { Name = "plain notes.txt" }).ClickAsync();
        await Assertions.Expect(open.Page.Locator("pre.peek")).ToContainTextAsync("␛[31mred");
        Assert.Equal(0, await open.Page.Locator("pre.peek b").CountAsync());
        var download = await open.Page.RunAndWaitForDownloadAsync(() => open.Page.GetByRole(AriaRole.Link, new() { Name = "Download" }).ClickAsync());
        Assert.Equal("plain notes.txt", download.SuggestedFilename);

        await open.Page.GetByRole(AriaRole.Button, new() { Name = "Delete …", Exact = true }).ClickAsync();
        await open.Page.GetByRole(AriaRole.Button, new() { Name = "Delete the file" }).ClickAsync();
        await Assertions.Expect(open.Page.GetByRole(AriaRole.Link, new() { Name = "plain notes.txt" })).ToHaveCountAsync(0);
        open.AssertQuiet();
    }

    [Fact]
    public async Task Picture_IsShownAsOne_AndMarkupIsNot()
    {
        // One pixel.
        await PutAsync("dot.png", Convert.FromBase64String("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="));
        await PutAsync("bad.svg", "<svg xmlns=\"http://www.w3.org/2000/svg\"><script>alert(1)</script></svg>"u8.ToArray());
        await PutAsync("page.html", "<script>alert(1)</script>"u8.ToArray());
        await using var open = await dashboard.OpenAsync($"/files?path={place}&open=dot.png");
        await open.Page.WaitForFunctionAsync("() => document.querySelector('.peek img')?.naturalWidth === 1");
        foreach (var name in (string[])["bad.svg", "page.html"])
        {
            await open.GoAsync($"/files?path={place}&open={name}");
            await Assertions.Expect(open.Page.Locator("pre.peek")).ToContainTextAsync("alert(1)");
            Assert.Equal(0, await open.Page.Locator(".peek img, .peek script, .peek iframe").CountAsync());
        }

        var answer = await open.Page.APIRequest.GetAsync(new Uri(dashboard.Hub.Dashboard, $"/transfer/files/content?path={place}/page.html").ToString());
        Assert.Equal("nosniff", answer.Headers["x-content-type-options"]);
        Assert.StartsWith("attachment", answer.Headers["content-disposition"], StringComparison.Ordinal);
        Assert.StartsWith("sandbox; default-src 'none'", answer.Headers["content-security-policy"], StringComparison.Ordinal);
        open.AssertQuiet();
    }

    [Fact]
    public async Task File_ThatACommandMade_LeadsToItsJob()
    {
        using var answer = await dashboard.Api.PostAsJsonAsync("/jobs", new JsonObject { ["command"] = $"mkdir -p \"$JOBHUB_ROOT{place}\" && echo made > \"$JOBHUB_ROOT{place}/out.txt\"" });
        Assert.True(answer.IsSuccessStatusCode, await answer.Content.ReadAsStringAsync());
        var id = (string)JsonNode.Parse(await answer.Content.ReadAsStringAsync())!["job_id"]!;
        await Eventually.TrueAsync(async () => (await dashboard.Api.GetAsync($"/hub/v1/files/content?path={place}/out.txt")).IsSuccessStatusCode, "the file is there");
        await using var open = await dashboard.OpenAsync($"/files?path={place}");
        await Assertions.Expect(open.Page.Locator($"tr[data-row] a[href='/jobs/{id}']")).ToBeVisibleAsync();
        open.AssertQuiet();
    }

    [Fact]
    public async Task Folder_ByKeysAlone_IsWalked()
    {
        await PutAsync("deep/er/x.txt", "x"u8.ToArray());
        await PutAsync("a.txt", "a"u8.ToArray());
        await using var open = await dashboard.OpenAsync($"/files?path={place}");
        await open.Page.Locator("tr[data-row]").Nth(2).WaitForAsync();
        foreach (var key in (string[])["j", "j", "j", "Enter"]) await open.Page.Keyboard.PressAsync(key);
        await open.Page.WaitForURLAsync($"**/files?path={Uri.EscapeDataString(place + "/deep")}");
        await Assertions.Expect(open.Page.Locator("tr[data-row] bdi")).ToHaveTextAsync(["er"]);
        open.AssertQuiet();
    }

    [Fact]
    public async Task Upload_ThatIsRefused_SaysWhyAndCanBeSentAgain()
    {
        await PutAsync("taken/x", "x"u8.ToArray());
        await using var open = await dashboard.OpenAsync($"/files?path={place}");
        await File.WriteAllTextAsync(Path.Combine(folder, "taken"), "a file where a folder is");
        await open.Page.Locator(".drop[data-ready] input[type=file]").SetInputFilesAsync(Path.Combine(folder, "taken"));
        await Assertions.Expect(open.Page.Locator(".up")).ToContainTextAsync("is a folder");
        using var removed = await dashboard.Api.DeleteAsync($"/hub/v1/files?path={place}/taken/&recursive=true");
        removed.EnsureSuccessStatusCode();
        await open.Page.GetByRole(AriaRole.Button, new() { Name = "Again: taken" }).ClickAsync();
        await Assertions.Expect(open.Page.Locator(".up")).ToContainTextAsync("Stored");
    }

    [Theory]
    [InlineData(false, true)]
    [InlineData(true, false)]
    public async Task Page_DarkAndOnAPhone_Fits(bool phone, bool dark)
    {
        await PutAsync($"{new string('x', 200)}.txt", Encoding.UTF8.GetBytes(new string('y', 10_000)));
        await using var open = await dashboard.OpenAsync($"/files?path={place}&open={new string('x', 200)}.txt", phone, dark);
        await open.Page.Locator("pre.peek").WaitForAsync();
        await open.ShootAsync($"files{(phone ? "-phone" : "-dark")}");
        await open.AssertFitsAsync();
        open.AssertQuiet();
    }

    private async Task PutAsync(string name, byte[] bytes)
    {
        using var answer = await dashboard.Api.PutAsync($"/hub/v1/files?path={Uri.EscapeDataString($"{place}/{name}")}", new ByteArrayContent(bytes));
        answer.EnsureSuccessStatusCode();
    }
}
