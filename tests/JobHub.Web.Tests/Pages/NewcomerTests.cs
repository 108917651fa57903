using Microsoft.Playwright;

namespace JobHub.Web.Tests.Pages;

/// <summary>The way of somebody who sees the hub for the first time, from nothing to a result, by what the pages say and by nothing else. A hub of its own: it has to be empty.</summary>
public sealed class NewcomerTests(Dashboard dashboard) : IClassFixture<Dashboard>, IDisposable
{
    private const string Text = "the fox and the hen\nand the dog\n\nthe end\n";

    // Builds and other tests may keep the machine busy.
    static NewcomerTests() => Assertions.SetDefaultExpectTimeout(30_000);

    private readonly string folder = Directory.CreateTempSubdirectory("jobhub-newcomer-").FullName;

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Fact]
    public async Task FromAnEmptyHub_ToTheCountsOfItsWords_ByTheBrowserAlone()
    {
        var samples = Path.Combine(WebProcess.Source("samples"), "wordcount");
        // The sample, which also says what it read.
        var mapper = await WriteAsync("mapper.awk", await File.ReadAllTextAsync(Path.Combine(samples, "mapper.awk")) + "END { print \"lines read: \" NR > \"/dev/stderr\" }\n");
        var reducer = await WriteAsync("reducer.awk", await File.ReadAllTextAsync(Path.Combine(samples, "reducer.awk")));
        var text = await WriteAsync("fable 1.txt", Text);
        await using var open = await dashboard.OpenAsync("/");
        var page = open.Page;

        // The first page says the way.
        await Assertions.Expect(page.GetByRole(AriaRole.Heading, new() { Name = "Nothing has run here yet" })).ToBeVisibleAsync();
        await open.ShootAsync("newcomer-1-overview");
        await page.Locator("main").GetByRole(AriaRole.Link, new() { Name = "Artifacts" }).ClickAsync();

        await Assertions.Expect(page.GetByRole(AriaRole.Heading, new() { Name = "No programs yet" })).ToBeVisibleAsync();
        await page.Locator(".drop[data-ready] input[type=file]").SetInputFilesAsync([mapper, reducer]);
        foreach (var name in (string[])["mapper.awk", "reducer.awk"]) await Assertions.Expect(page.Locator("main tbody").GetByRole(AriaRole.Link, new() { Name = name })).ToBeVisibleAsync();
        await Assertions.Expect(page.Locator(".up").Filter(new() { HasText = "Stored" })).ToHaveCountAsync(2);
        await open.ShootAsync("newcomer-2-artifacts");

        await page.GetByRole(AriaRole.Navigation, new() { Name = "Main", Exact = true }).GetByRole(AriaRole.Link, new() { Name = "Files" }).ClickAsync();
        await Assertions.Expect(page.GetByRole(AriaRole.Heading, new() { Name = "No files yet" })).ToBeVisibleAsync();
        await open.ShootAsync("newcomer-3-files-empty");
        await page.Locator(".drop[data-ready] input[type=file]").SetInputFilesAsync(text);
        await page.GetByRole(AriaRole.Link, new() { Name = "fable 1.txt" }).ClickAsync();
        await Assertions.Expect(page.Locator("pre.peek")).ToContainTextAsync("the fox and the hen");
        await open.ShootAsync("newcomer-4-file");
        await page.GetByRole(AriaRole.Link, new() { Name = "Use as input" }).ClickAsync();

        // The form knows the input; its lists know the programs.
        await Assertions.Expect(page.GetByLabel("Input path")).ToHaveValueAsync("project:///fable 1.txt");
        await Assertions.Expect(page.Locator("#programs option")).ToHaveCountAsync(2);
        await page.GetByLabel("Mapper", new() { Exact = true }).FillAsync("mapper.awk");
        await page.GetByLabel("Reducer", new() { Exact = true }).FillAsync("reducer.awk");
        await page.GetByLabel("Output path").FillAsync("s3://results");
        await Assertions.Expect(page.Locator("#command")).ToContainTextAsync("project:///fable 1.txt");
        await open.ShootAsync("newcomer-5-submit");
        await page.Locator("button[form=submit]").ClickAsync();

        await page.WaitForURLAsync("**/jobs/*");
        await Assertions.Expect(page.Locator(".job-head .st")).ToHaveTextAsync("Succeeded", new() { Timeout = 120_000 });
        await Assertions.Expect(page.Locator("#job .phases")).ToBeVisibleAsync();
        await open.ShootAsync("newcomer-6-job");

        var job = page.Url;
        await page.Locator(".made").GetByRole(AriaRole.Link, new() { Name = "Log" }).ClickAsync();
        await page.Locator(".src a", new() { HasText = "m-0" }).ClickAsync();
        await Assertions.Expect(page.Locator("[role=log]")).ToContainTextAsync("lines read: 4");
        await open.ShootAsync("newcomer-7-log");

        await page.GotoAsync(job);
        await page.Locator(".made").GetByRole(AriaRole.Link, new() { Name = "Inputs and outputs" }).ClickAsync();
        await Assertions.Expect(page.Locator("main")).ToContainTextAsync("project:///fable 1.txt");
        var link = page.GetByRole(AriaRole.Link, new() { Name = "Download part-00000" });
        await link.WaitForAsync();
        await open.ShootAsync("newcomer-8-result");
        var download = await page.RunAndWaitForDownloadAsync(() => link.ClickAsync());
        var counted = (await File.ReadAllLinesAsync((await download.PathAsync())!)).ToDictionary(static line => line.Split('\t')[0], static line => int.Parse(line.Split('\t')[1]));
        Assert.Equal(Text.Split((char[])[' ', '\n'], StringSplitOptions.RemoveEmptyEntries).CountBy(static word => word).ToDictionary(), counted);
        open.AssertQuiet();
    }

    private async Task<string> WriteAsync(string name, string text)
    {
        var path = Path.Combine(folder, name);
        await File.WriteAllTextAsync(path, text);
        return path;
    }
}
