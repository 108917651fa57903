using System.Net.Http.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Microsoft.Playwright;
using Npgsql;

namespace JobHub.Web.Tests.Pages;

/// <summary>The page of one job, in a real browser over a whole hub.</summary>
[Collection(PageCollection.Name)]
public sealed class JobPageTests(Dashboard dashboard) : IDisposable
{
    private static readonly LocatorAssertionsToHaveTextOptions Patiently = new() { Timeout = 120_000 };

    private readonly string folder = Directory.CreateTempSubdirectory("job-page-").FullName;
    private readonly string name = "j" + Guid.NewGuid().ToString("N")[..10];

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Fact]
    public async Task MapReduceJob_WatchedToItsEnd_ShowsTasksTimelineCountersAndItsResult()
    {
        var id = await MapReduceAsync("#!/bin/sh\nsleep 0.4\ncat\n", lines: 24);
        await using var open = await dashboard.OpenAsync($"/jobs/{id}");
        var page = open.Page;
        await Assertions.Expect(page.Locator("#state")).ToHaveTextAsync("Running", Patiently);
        await Assertions.Expect(page.Locator("canvas[data-drawn='26']")).ToBeVisibleAsync();
        await open.ShootAsync("job-running-light");
        await Assertions.Expect(page.Locator("#state")).ToHaveTextAsync("Succeeded", Patiently);
        await Assertions.Expect(page.Locator(".ph").First).ToContainTextAsync("24/24");
        await Assertions.Expect(page.Locator(".legend").First).ToContainTextAsync("Succeeded 26");
        await Assertions.Expect(page.Locator(".task-grid canvas[role=img]")).ToHaveAttributeAsync("aria-label", new Regex("^26 tasks: 26 succeeded"));
        await Assertions.Expect(page.Locator(".timeline svg a.run").First).ToBeVisibleAsync();
        await Assertions.Expect(page.Locator("table.cnt tbody tr").First).ToBeVisibleAsync();
        await open.ShootAsync("job-light");

        await page.Locator(".task-grid canvas[role=img]").HoverAsync(new() { Position = new() { X = 20, Y = 24 } });
        await Assertions.Expect(page.Locator(".task-grid .tip")).ToHaveTextAsync("m-1 Succeeded");
        await page.Locator(".task-grid canvas[role=img]").ClickAsync(new() { Position = new() { X = 20, Y = 24 } });
        await Assertions.Expect(page).ToHaveURLAsync(new Regex("tab=tasks&task=m-1$"), new() { Timeout = 60_000 });
        await Assertions.Expect(page.Locator(".attempt")).ToContainTextAsync("attempt 1");
        await Assertions.Expect(page.Locator("tr.sel")).ToContainTextAsync("m-1");
        await open.ShootAsync("job-tasks-light");

        await page.GetByRole(AriaRole.Link, new() { Name = "Inputs and outputs" }).ClickAsync();
        await Assertions.Expect(page.Locator(".io-t").Last.Locator("tbody tr")).ToHaveCountAsync(2);
        var download = await page.RunAndWaitForDownloadAsync(() => page.Locator("a[download]").First.ClickAsync());
        Assert.Equal("part-00000", download.SuggestedFilename);
        await page.Locator(".io-t").Last.GetByRole(AriaRole.Link, new() { Name = "part-00001", Exact = true }).ClickAsync();
        await Assertions.Expect(page.Locator("pre.peek")).ToContainTextAsync("key00");
        await open.ShootAsync("job-data-light");
        await page.GetByRole(AriaRole.Link, new() { Name = "Programs" }).ClickAsync();
        await Assertions.Expect(page.GetByText($"{name}.sh").First).ToBeVisibleAsync();
        open.AssertQuiet();
    }

    [Theory]
    [InlineData(false, true)]
    [InlineData(true, false)]
    public async Task Job_WithAHostileTitle_IsTextAndFits(bool phone, bool dark)
    {
        const string Hostile = "<img src=x onerror=document.title='owned'> \u202Egnp.exe ";
        var id = await MapReduceAsync("#!/bin/sh\ncat\n", lines: 300, Hostile + new string('w', 120));
        await using var open = await dashboard.OpenAsync($"/jobs/{id}", phone, dark);
        await Assertions.Expect(open.Page.Locator("h1")).ToContainTextAsync("<img src=x");
        await Assertions.Expect(open.Page.Locator("canvas[data-drawn='302']")).ToBeVisibleAsync();
        Assert.DoesNotContain("owned", await open.Page.EvaluateAsync<string>("() => document.title.slice(0, 5)"), StringComparison.Ordinal);
        Assert.Equal(0, await open.Page.Locator("img[src=x]").CountAsync());
        await open.ShootAsync($"job{(phone ? "-phone" : "")}{(dark ? "-dark" : "-light")}");
        await open.AssertFitsAsync();
        foreach (var tab in (string[])["tasks", "io", "programs"])
        {
            await open.GoAsync($"/jobs/{id}?tab={tab}");
            await Assertions.Expect(open.Page.Locator(".tabs a[aria-current]")).ToBeVisibleAsync();
            await Assertions.Expect(open.Page.Locator("table").First).ToBeVisibleAsync();
            await open.AssertFitsAsync();
        }

        open.AssertQuiet();
        await dashboard.Api.PostAsync($"/hub/v1/jobs/{id}/cancel", null);
    }

    [Fact]
    public async Task FailedJob_SaysWhyAndRunsAgain()
    {
        var id = await CommandAsync("echo out of luck >&2; exit 3");
        await using var open = await dashboard.OpenAsync($"/jobs/{id}");
        var page = open.Page;
        await Assertions.Expect(page.Locator("#state")).ToHaveTextAsync("Failed", Patiently);
        await Assertions.Expect(page.Locator(".why.failed")).ToContainTextAsync("3");
        await open.ShootAsync("job-failed-light");
        await page.Locator(".why.failed").GetByRole(AriaRole.Link, new() { Name = "c-0" }).ClickAsync();
        await Assertions.Expect(page.Locator(".attempt")).ToContainTextAsync("Exit code");
        await Assertions.Expect(page.Locator(".attempt").GetByRole(AriaRole.Link)).ToHaveAttributeAsync("href", $"/jobs/{id}?tab=log&task=c-0&attempt=1");
        await page.GetByRole(AriaRole.Button, new() { Name = "Run again" }).ClickAsync();
        await Assertions.Expect(page).ToHaveURLAsync(new Regex($"/jobs/(?!{id})[0-9a-f-]{{36}}$"), new() { Timeout = 60_000 });
        await Assertions.Expect(page.Locator("#state")).ToHaveTextAsync("Failed", Patiently);
        open.AssertQuiet();
    }

    [Fact]
    public async Task Job_WhenCanceled_AsksAndEnds()
    {
        var id = await CommandAsync("sleep 300");
        await using var open = await dashboard.OpenAsync($"/jobs/{id}");
        var page = open.Page;
        await Assertions.Expect(page.Locator("#state")).ToHaveTextAsync("Running", Patiently);
        await page.GetByRole(AriaRole.Button, new() { Name = "Cancel job" }).ClickAsync();
        await page.GetByRole(AriaRole.Button, new() { Name = "Keep it" }).ClickAsync();
        await page.GetByRole(AriaRole.Button, new() { Name = "Cancel job" }).ClickAsync();
        await page.GetByRole(AriaRole.Button, new() { Name = "Yes, cancel" }).ClickAsync();
        await Assertions.Expect(page.Locator("#state")).ToHaveTextAsync("Canceled", Patiently);
        open.AssertQuiet();
    }

    [Fact]
    public async Task WaitingJob_SaysWhyAndIsPausedMovedAndResumed()
    {
        var id = await CommandAsync("true", gpus: 900);
        await using var open = await dashboard.OpenAsync($"/jobs/{id}");
        var page = open.Page;
        await Assertions.Expect(page.Locator(".why[role=status]")).ToContainTextAsync("gpu", new() { IgnoreCase = true });
        await page.GetByRole(AriaRole.Button, new() { Name = "Pause" }).ClickAsync();
        await Assertions.Expect(page.Locator("#state")).ToHaveTextAsync("Paused", Patiently);
        await page.GetByRole(AriaRole.Button, new() { Name = "Resume" }).ClickAsync();
        await Assertions.Expect(page.Locator("#state")).ToHaveTextAsync("Queued", Patiently);
        await page.GetByRole(AriaRole.Button, new() { Name = "Priority 255" }).ClickAsync();
        await page.GetByLabel("Priority, 0 to 255").FillAsync("7");
        await page.GetByRole(AriaRole.Button, new() { Name = "Set", Exact = true }).ClickAsync();
        await Assertions.Expect(page.GetByRole(AriaRole.Button, new() { Name = "Priority 7" })).ToBeVisibleAsync();
        await open.ShootAsync("job-waiting-light");
        open.AssertQuiet();
        await dashboard.Api.PostAsync($"/hub/v1/jobs/{id}/cancel", null);
    }

    [Fact]
    public async Task Job_OfAHundredThousandTasks_IsDrawnOnOneCanvas()
    {
        var id = await CommandAsync("true", gpus: 900);
        await using (var database = NpgsqlDataSource.Create(dashboard.Hub.ConnectionString))
        await using (var command = database.CreateCommand($"""
            UPDATE job SET commands = 100000 WHERE id = '{id}';
            INSERT INTO task (id, state, started_at, ended_at) SELECT (number << 20) + i, CASE WHEN i % 977 = 0 THEN 5 ELSE 4 END, now(), now() FROM job, generate_series(1, 99999) i WHERE id = '{id}';
            """)) await command.ExecuteNonQueryAsync();
        await using var open = await dashboard.OpenAsync($"/jobs/{id}");
        await Assertions.Expect(open.Page.Locator("canvas[data-drawn='100000']")).ToBeVisibleAsync(new() { Timeout = 60_000 });
        await Assertions.Expect(open.Page.Locator(".legend").First).ToContainTextAsync("Failed 102");
        var (x, y) = await open.Page.Locator(".task-grid canvas[role=img]").EvaluateAsync<int[]>("c => [c.clientWidth, c.clientHeight]") is [var w, var h] ? (w, h) : (0, 0);
        Assert.InRange(x, 300, 1400);
        Assert.InRange(y, 300, 4000);
        await open.ShootAsync("job-large-light");
        await open.AssertFitsAsync();
        open.AssertQuiet();
        await dashboard.Api.PostAsync($"/hub/v1/jobs/{id}/cancel", null);
    }

    [Fact]
    public async Task Job_ThatThereIsNot_IsSaidSo()
    {
        await using var open = await dashboard.OpenAsync($"/jobs/{Guid.NewGuid()}");
        await open.SeeAsync("There is no job with this id");
        open.AssertQuiet();
    }

    private async Task<string> CommandAsync(string command, int gpus = 0)
    {
        using var answer = await dashboard.Api.PostAsJsonAsync("/jobs", new { command, gpus });
        answer.EnsureSuccessStatusCode();
        return (string)JsonNode.Parse(await answer.Content.ReadAsStringAsync())!["job_id"]!;
    }

    /// <summary>A job with a map a line and two reducers.</summary>
    private async Task<string> MapReduceAsync(string mapper, int lines, string? title = null)
    {
        Upload($"{name}.sh", mapper);
        Upload("job-page-cat.sh", "#!/bin/sh\ncat\n");
        var input = Path.Combine(folder, "input.txt");
        await File.WriteAllTextAsync(input, string.Concat(Enumerable.Range(0, lines).Select(static i => $"key{i:D4}\t1\n")));
        using var answer = await dashboard.Api.PostAsJsonAsync("/api/v1/jobs", new
        {
            nReducers = 2, inputPath = $"file://{input}", inputType = "file/txt", outputPath = $"file://{folder}/out", mapperName = $"{name}.sh", reducerName = "job-page-cat.sh", splitSize = 10, title = title ?? "clickstream sessions",
            labels = new Dictionary<string, string> { ["team"] = title ?? "web" },
        });
        Assert.True(answer.IsSuccessStatusCode, await answer.Content.ReadAsStringAsync());
        return (string)JsonNode.Parse(await answer.Content.ReadAsStringAsync())!["id"]!;
    }

    private void Upload(string program, string text)
    {
        using var form = new MultipartFormDataContent { { new StringContent("streaming"), "type" }, { new ByteArrayContent(System.Text.Encoding.UTF8.GetBytes(text)), "program", program } };
        using var request = new HttpRequestMessage(HttpMethod.Put, "/api/v1/artifacts") { Content = form };
        using var answer = dashboard.Api.Send(request);
        answer.EnsureSuccessStatusCode();
    }
}
