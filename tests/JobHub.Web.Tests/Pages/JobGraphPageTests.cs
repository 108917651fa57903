using System.Net.Http.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Microsoft.Playwright;
using Npgsql;

namespace JobHub.Web.Tests.Pages;

/// <summary>The graph of a job: phases of MapReduce, jobs of a tree and what they wait for; groups have tabs of their own.</summary>
[Collection(PageCollection.Name)]
public sealed class JobGraphPageTests(Dashboard dashboard) : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("job-graph-").FullName;

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Theory, InlineData(false), InlineData(true)]
    public async Task Graph_OfAGroup_IsWalkedOpenedAndClosed(bool dark)
    {
        var group = await MakeAsync("render the film", paused: true);
        var (scene, before) = (await MakeAsync("scene 1", group), await MakeAsync("fetch the models", command: "true", paused: true));
        var first = await MakeAsync("frames 1 to 100", scene, "true");
        var last = await MakeAsync("denoise <b>", scene, "true", dependencies: [first]);
        var join = await MakeAsync("join the scenes", group, "true", dependencies: [scene, before]);
        await MakeAsync("tell the director", command: "true", dependencies: [group]);
        await using var open = await dashboard.OpenAsync($"/jobs/{await IdAsync(group)}?tab=graph", dark: dark);
        var page = open.Page;
        var canvas = page.Locator(".graph-box canvas[data-drawn='7'][data-edges='4']");
        await Assertions.Expect(canvas).ToBeVisibleAsync();
        await Assertions.Expect(page.Locator(".graph .sec")).ToContainTextAsync("5 jobs in 2 groups, 4 dependencies");
        await open.ShootAsync($"job-graph{(dark ? "-dark" : "-light")}");
        await canvas.FocusAsync();
        await Assertions.Expect(page.Locator($".graph-box canvas[data-on='{group}']")).ToBeVisibleAsync();
        await page.Keyboard.PressAsync(" ");
        await Assertions.Expect(page.Locator(".graph-box canvas[data-drawn='3'][data-edges='2']")).ToBeVisibleAsync();
        await page.Keyboard.PressAsync(" ");
        await Assertions.Expect(page.Locator(".graph-box canvas[data-drawn='7']")).ToBeVisibleAsync();
        await page.GetByRole(AriaRole.Button, new() { Name = "Close all" }).ClickAsync();
        await Assertions.Expect(page.Locator(".graph-box canvas[data-drawn='3']")).ToBeVisibleAsync();
        await page.GetByText("Open as list").ClickAsync();
        await Assertions.Expect(page.Locator(".aslist tbody tr").Filter(new() { HasText = "join the scenes" })).ToContainTextAsync($"#{scene}, #{before}");
        await Assertions.Expect(page.Locator(".aslist tbody tr").Filter(new() { HasText = "denoise <b>" })).ToContainTextAsync("scene 1");
        await open.AssertFitsAsync();
        await page.GetByRole(AriaRole.Button, new() { Name = "Open all" }).ClickAsync();
        await Assertions.Expect(page.Locator(".graph-box canvas[data-drawn='7']")).ToBeVisibleAsync();
        await page.Locator(".graph-box canvas").FocusAsync();
        await page.Keyboard.PressAsync("ArrowRight");
        await page.Keyboard.PressAsync("Enter");
        await Assertions.Expect(page).ToHaveURLAsync(new Regex($"/jobs/(?!{await IdAsync(group)})[0-9a-f-]{{36}}$"));
        await open.GoAsync($"/jobs/{await IdAsync(last)}?tab=graph");
        await Assertions.Expect(page.Locator(".graph-box canvas[data-drawn='6']")).ToBeVisibleAsync();
        open.AssertQuiet();
        Assert.True(join > last);
    }

    [Fact]
    public async Task Graph_OfTenThousandJobs_IsDrawnAndItsGroupsClose()
    {
        var group = await MakeAsync("ten thousand", paused: true);
        var inner = await MakeAsync("inner", group);
        var child = await MakeAsync("job", inner, "true");
        await ExecuteAsync($"""
            INSERT INTO job (id, parent, family, project, caller, title, priority, rank, class, max_attempts, speculative, details, commands)
            SELECT gen_random_uuid(), parent, family, project, caller, 'job ' || n, priority, rank, class, max_attempts, speculative, details, 1 FROM job, generate_series(1, 9997) n WHERE number = {child};
            INSERT INTO dependency (job, dependency) SELECT number, number - 1 FROM job WHERE parent = {inner} AND number > {child} + 1 AND (number - {child}) % 10 <> 0;
            """);
        await using var open = await dashboard.OpenAsync($"/jobs/{await IdAsync(group)}?tab=graph");
        var page = open.Page;
        await Assertions.Expect(page.Locator(".graph-box canvas[data-drawn='2']")).ToBeVisibleAsync(new() { Timeout = 60_000 });
        await page.GetByRole(AriaRole.Button, new() { Name = "Open all" }).ClickAsync();
        await Assertions.Expect(page.Locator(".graph-box canvas[data-drawn='10000']")).ToBeVisibleAsync();
        await Assertions.Expect(page.Locator(".graph .sec")).ToContainTextAsync("9,998 jobs in 2 groups");
        await open.ShootAsync("job-graph-large-light");
        await page.Locator(".graph-box canvas").FocusAsync();
        await page.Keyboard.PressAsync(" ");
        await Assertions.Expect(page.Locator(".graph-box canvas[data-drawn='1']")).ToBeVisibleAsync();
        await open.AssertFitsAsync();
        open.AssertQuiet();
        await ExecuteAsync($"DELETE FROM dependency WHERE job IN (SELECT number FROM job WHERE parent = {inner}); DELETE FROM job WHERE parent = {inner} AND number <> {child}");
    }

    [Fact]
    public async Task Graph_OfMapReduce_LeadsFromAPhaseToItsTasks()
    {
        var id = await MapReduceAsync();
        await using var open = await dashboard.OpenAsync($"/jobs/{id}?tab=graph");
        var page = open.Page;
        await Assertions.Expect(page.Locator("#state")).ToHaveTextAsync("Succeeded", new() { Timeout = 120_000 });
        await Assertions.Expect(page.Locator(".graph-box canvas[data-drawn='5'][data-edges='4']")).ToBeVisibleAsync();
        await page.GetByText("Open as list").ClickAsync();
        await Assertions.Expect(page.Locator(".aslist tbody tr").Filter(new() { HasText = "Map" }).First).ToContainTextAsync("6 of 6 tasks");
        await Assertions.Expect(page.Locator(".graph .legend")).ToContainTextAsync("Succeeded 5");
        await open.ShootAsync("job-graph-phases-light");
        await page.Locator(".aslist a").Filter(new() { HasText = "Reduce" }).ClickAsync();
        await Assertions.Expect(page).ToHaveURLAsync(new Regex("tab=tasks&brush=r-0..r-1$"));
        await Assertions.Expect(page.Locator(".tasks-t tbody tr")).ToHaveCountAsync(2);
        await Assertions.Expect(page.Locator("#range")).ToContainTextAsync("r-0 to r-1");
        await open.GoAsync($"/jobs/{id}");
        await Assertions.Expect(page.Locator(".partitions svg .part")).ToHaveCountAsync(2);
        await Assertions.Expect(page.Locator(".cnt .part").First).ToHaveTextAsync("Map");
        await open.ShootAsync("job-ended-light");
        open.AssertQuiet();
    }

    [Fact]
    public async Task Job_OnATelephone_HasNoGraph()
    {
        var (group, _) = (await MakeAsync("small", paused: true), 0);
        await MakeAsync("one", group, "true");
        await using var open = await dashboard.OpenAsync($"/jobs/{await IdAsync(group)}", phone: true);
        await Assertions.Expect(open.Page.Locator(".tabs").GetByText("Events")).ToBeVisibleAsync();
        await Assertions.Expect(open.Page.Locator(".tabs").GetByText("Graph")).ToBeHiddenAsync();
        await Assertions.Expect(open.Page.Locator("table.grid-t")).ToContainTextAsync("one");
        await open.ShootAsync("job-group-phone-light");
        await open.AssertFitsAsync();
        open.AssertQuiet();
    }

    [Fact]
    public async Task JobByItsNumber_LeadsToIt_AndAnAddressWithWhatIsNoNumberOpens()
    {
        var number = await MakeAsync("by number", command: "true", paused: true);
        var id = await IdAsync(number);
        await using var open = await dashboard.OpenAsync($"/jobs/{number}?tab=programs&at=%FF%FE");
        await Assertions.Expect(open.Page).ToHaveURLAsync(new System.Text.RegularExpressions.Regex($"/jobs/{id}\\?tab=programs"));
        await Assertions.Expect(open.Page.Locator("h1")).ToContainTextAsync("by number");
        foreach (var path in (string[])[$"/jobs/{id}/log?at=abc", $"/jobs/{id}/log?at=99999999999999999999&attempt=x", "/audit?row=x", "/artifacts?name=x&version=x"])
        {
            var answer = await open.Page.GotoAsync(new Uri(new Uri(open.Page.Url), path).ToString());
            Assert.True(answer!.Status == 200, $"{path}: {answer.Status}");
        }

    }

    [Fact]
    public async Task GroupInWhichNothingRuns_SaysWhatItsJobsWaitFor()
    {
        var group = await MakeAsync("stands still");
        await MakeAsync("held", group, "true", paused: true);
        await using var open = await dashboard.OpenAsync($"/jobs/{await IdAsync(group)}");
        await Assertions.Expect(open.Page.Locator(".why")).ToContainTextAsync("paused");
        await Assertions.Expect(open.Page.Locator(".ph")).ToContainTextAsync("1 waiting");
        await Assertions.Expect(open.Page.GetByText("Left, about")).ToHaveCountAsync(0);
        await open.ShootAsync("job-group-waits-light");
        open.AssertQuiet();
    }


    private async Task<long> MakeAsync(string title, long parent = 0, string? command = null, bool paused = false, long[]? dependencies = null)
    {
        var body = new JsonObject { ["title"] = title, ["paused"] = paused };
        if (parent != 0) body["parent"] = parent;
        if (command is not null) body["command"] = command;
        if (dependencies is not null) body["dependencies"] = new JsonArray([.. dependencies.Select(static d => (JsonNode)d)]);
        using var answer = await dashboard.Api.PutAsJsonAsync("/api/jobs", body);
        Assert.True(answer.IsSuccessStatusCode, await answer.Content.ReadAsStringAsync());
        return long.Parse(await answer.Content.ReadAsStringAsync());
    }

    private async Task<string> IdAsync(long number)
    {
        var found = await dashboard.Api.GetFromJsonAsync<JsonNode>($"/hub/v1/jobs?ids={number}");
        return (string)found!["items"]![0]!["id"]!;
    }

    private async Task<string> MapReduceAsync()
    {
        using (var form = new MultipartFormDataContent { { new StringContent("streaming"), "type" }, { new ByteArrayContent("#!/bin/sh\ncat\n"u8.ToArray()), "program", "job-graph-cat.sh" } })
        using (var uploaded = await dashboard.Api.PutAsync("/api/v1/artifacts", form)) uploaded.EnsureSuccessStatusCode();
        var input = Path.Combine(folder, "input.txt");
        await File.WriteAllTextAsync(input, string.Concat(Enumerable.Range(0, 6).Select(static i => $"key{i:D4}\t1\n")));
        using var answer = await dashboard.Api.PostAsJsonAsync("/api/v1/jobs", new
        {
            nReducers = 2, inputPath = $"file://{input}", inputType = "file/txt", outputPath = $"file://{folder}/out", mapperName = "job-graph-cat.sh", reducerName = "job-graph-cat.sh", splitSize = 10, title = "phases",
        });
        Assert.True(answer.IsSuccessStatusCode, await answer.Content.ReadAsStringAsync());
        return (string)JsonNode.Parse(await answer.Content.ReadAsStringAsync())!["id"]!;
    }

    private async Task ExecuteAsync(string sql)
    {
        await using var database = NpgsqlDataSource.Create(dashboard.Hub.ConnectionString);
        await using var command = database.CreateCommand(sql);
        await command.ExecuteNonQueryAsync();
    }
}
