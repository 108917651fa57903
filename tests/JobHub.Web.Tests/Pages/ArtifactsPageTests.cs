using System.Net.Http.Json;
using System.Text.Json.Nodes;
using Microsoft.Playwright;

namespace JobHub.Web.Tests.Pages;

[Collection(PageCollection.Name)]
public sealed class ArtifactsPageTests(Dashboard dashboard) : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("jobhub-page-").FullName;
    private readonly string prefix = "a" + Guid.NewGuid().ToString("N")[..8];

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Fact]
    public async Task Program_ChosenOnThePage_IsStoredShownAndDownloaded()
    {
        await using var open = await dashboard.OpenAsync("/artifacts");
        await ChooseAsync(open, $"{prefix}-map.sh", "#!/bin/sh\ncat\n");
        await Assertions.Expect(open.Page.Locator(".up")).ToContainTextAsync("Stored");
        await open.Page.GetByRole(AriaRole.Link, new() { Name = $"{prefix}-map.sh" }).ClickAsync();
        await open.Page.WaitForURLAsync($"**/artifacts?name={prefix}-map.sh");
        await open.SeeAsync("streaming, version 1");
        await ChooseAsync(open, $"{prefix}-map.sh", "#!/bin/sh\ncat -\n");
        await open.SeeAsync("streaming, version 2");
        await open.ShootAsync("artifacts-light");

        var download = await open.Page.RunAndWaitForDownloadAsync(() => open.Page.GetByLabel("Download version 1").ClickAsync());
        Assert.Equal($"{prefix}-map.sh", download.SuggestedFilename);
        Assert.Equal("#!/bin/sh\ncat\n", await File.ReadAllTextAsync((await download.PathAsync())!));
        open.AssertQuiet();
    }

    [Fact]
    public async Task Program_DroppedOnThePage_IsStored()
    {
        await using var open = await dashboard.OpenAsync("/artifacts");
        var dropped = await open.Page.EvaluateHandleAsync("name => { const data = new DataTransfer(); data.items.add(new File(['#!/bin/sh\\n'], name)); return data; }", $"{prefix}-dropped.sh");
        await open.Page.Locator(".drop[data-ready]").DispatchEventAsync("drop", new { dataTransfer = dropped });
        await Assertions.Expect(open.Page.GetByRole(AriaRole.Link, new() { Name = $"{prefix}-dropped.sh" })).ToBeVisibleAsync();
        open.AssertQuiet();
    }

    [Fact]
    public async Task Program_OfManyMegabytes_PassesTheDashboardAsAStream()
    {
        var path = Path.Combine(folder, $"{prefix}-large.bin");
        await using (var file = File.Create(path)) file.SetLength(200L << 20);
        await using var open = await dashboard.OpenAsync("/artifacts");
        await open.Page.Locator(".drop[data-ready] input[type=file]").SetInputFilesAsync(path);
        await Assertions.Expect(open.Page.Locator(".up")).ToContainTextAsync("Stored, 200 MiB", new() { Timeout = 120_000 });
        var stored = await dashboard.Api.GetFromJsonAsync<JsonObject>($"/hub/v1/artifacts/{prefix}-large.bin");
        Assert.Equal(200L << 20, (long)stored!["size"]!);
        open.AssertQuiet();
    }

    [Fact]
    public async Task Program_InUse_NamesItsJobs_AndItsNameIsDeletedOnlyWhenAskedTwice()
    {
        foreach (var name in (string[])["map.sh", "reduce.sh"]) await PutAsync($"{prefix}-{name}", "#!/bin/sh\ncat\n");
        var input = Path.Combine(folder, "in.txt");
        await File.WriteAllTextAsync(input, "a\n");
        using var answer = await dashboard.Api.PostAsJsonAsync("/api/v1/jobs", new JsonObject
        {
            ["nReducers"] = 1, ["inputPath"] = $"file://{input}", ["inputType"] = "file/txt", ["outputPath"] = $"file://{folder}/out", ["mapperName"] = $"{prefix}-map.sh", ["reducerName"] = $"{prefix}-reduce.sh",
        });
        Assert.True(answer.IsSuccessStatusCode, await answer.Content.ReadAsStringAsync());
        await using var open = await dashboard.OpenAsync($"/artifacts?q={prefix}&name={prefix}-map.sh");
        await Assertions.Expect(open.Page.Locator(".side a[href^='/jobs/']")).ToBeVisibleAsync();
        await Assertions.Expect(open.Page.Locator(".side")).ToContainTextAsync("mapper");
        await open.Page.GetByRole(AriaRole.Button, new() { Name = "Delete …" }).ClickAsync();
        await open.Page.GetByRole(AriaRole.Button, new() { Name = "Delete the name" }).ClickAsync();
        await Assertions.Expect(open.Page.GetByRole(AriaRole.Link, new() { Name = $"{prefix}-map.sh" })).ToHaveCountAsync(0);
        await Assertions.Expect(open.Page.GetByRole(AriaRole.Link, new() { Name = $"{prefix}-reduce.sh" })).ToBeVisibleAsync();
        open.AssertQuiet();
    }

    [Fact]
    public async Task Names_WithMarkup_AreText()
    {
        var name = $"{prefix}<img src=x onerror=alert(1)>\u202egnp.exe";
        await PutAsync(name, "x");
        await using var open = await dashboard.OpenAsync($"/artifacts?q={prefix}&name={Uri.EscapeDataString(name)}");
        await open.SeeAsync("version 1");
        Assert.Equal(0, await open.Page.Locator("main img").CountAsync());
        await Assertions.Expect(open.Page.Locator("main tbody bdi").First).ToHaveTextAsync(name.Replace('\u202e', '␛'));
        open.AssertQuiet();
    }

    [Theory]
    [InlineData(false, true)]
    [InlineData(true, false)]
    public async Task Page_DarkAndOnAPhone_Fits(bool phone, bool dark)
    {
        await PutAsync($"{prefix}-seen.sh", "x");
        await using var open = await dashboard.OpenAsync($"/artifacts?name={prefix}-seen.sh", phone, dark);
        await open.SeeAsync("Used by");
        await open.ShootAsync($"artifacts{(phone ? "-phone" : "-dark")}");
        await open.AssertFitsAsync();
        open.AssertQuiet();
    }

    private async Task ChooseAsync(OpenPage open, string name, string text)
    {
        var path = Path.Combine(folder, name);
        await File.WriteAllTextAsync(path, text);
        await open.Page.Locator(".drop[data-ready] input[type=file]").SetInputFilesAsync(path);
    }

    private async Task PutAsync(string name, string text)
    {
        using var answer = await dashboard.Api.PostAsync($"/hub/v1/artifacts?name={Uri.EscapeDataString(name)}&type=streaming", new StringContent(text));
        answer.EnsureSuccessStatusCode();
    }
}
