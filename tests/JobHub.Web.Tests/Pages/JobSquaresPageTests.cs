using System.Net.Http.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Microsoft.Playwright;
using Npgsql;

namespace JobHub.Web.Tests.Pages;

/// <summary>What a job's page makes of many tasks: a brushed range, groups, partitions, the timeline; and its log and events.</summary>
[Collection(PageCollection.Name)]
public sealed class JobSquaresPageTests(Dashboard dashboard)
{
    [Theory, InlineData(false), InlineData(true)]
    public async Task Squares_AreBrushedByDraggingAndByKeys(bool dark)
    {
        var id = await ManyAsync(maps: 400, reduces: 12);
        await using var open = await dashboard.OpenAsync($"/jobs/{id}", dark: dark);
        var page = open.Page;
        var canvas = page.Locator(".task-grid canvas[data-drawn='412'][data-by='order']");
        await Assertions.Expect(canvas).ToBeVisibleAsync();
        var box = (await canvas.BoundingBoxAsync())!;
        // Squares of 12 px, 14 px apart, below a line of text.
        await page.Mouse.MoveAsync(box.X + 6, box.Y + 18 + 6);
        await page.Mouse.DownAsync();
        await page.Mouse.MoveAsync(box.X + 6 + (14 * 4), box.Y + 18 + 6, new() { Steps = 4 });
        await page.Mouse.MoveAsync(box.X + 6 + (14 * 9), box.Y + 18 + 6, new() { Steps = 4 });
        await page.Mouse.UpAsync();
        await Assertions.Expect(page).ToHaveURLAsync(new Regex(@"\?brush=m-0\.\.m-9$"));
        await Assertions.Expect(page.Locator(".brushed b, .brushed .b")).ToHaveTextAsync("m-0 to m-9");
        await Assertions.Expect(page.Locator(".brushed")).ToContainTextAsync("Succeeded 9");
        await Assertions.Expect(page.Locator(".brushed")).ToContainTextAsync("Failed 1");
        await Assertions.Expect(page.Locator(".brushed")).ToContainTextAsync("Longest 8.0 s, m-7");
        await Assertions.Expect(page.Locator("canvas.over")).ToHaveAttributeAsync("data-brush", "m-0..m-9");
        await open.ShootAsync($"job-brush{(dark ? "-dark" : "-light")}");

        await page.Locator("#list").ClickAsync();
        await Assertions.Expect(page.Locator(".tasks-t tbody tr")).ToHaveCountAsync(10);
        await Assertions.Expect(page.Locator("#range")).ToContainTextAsync("m-0 to m-9");
        await page.GetByRole(AriaRole.Link, new() { Name = "Failed", Exact = true }).ClickAsync();
        await Assertions.Expect(page.Locator(".tasks-t tbody tr")).ToHaveCountAsync(1);
        await page.GoBackAsync();
        await page.GoBackAsync();
        await Assertions.Expect(page.Locator(".brushed")).ToBeVisibleAsync();
        await page.Keyboard.PressAsync("Escape");
        await Assertions.Expect(page.Locator(".brushed")).ToHaveCountAsync(0);

        await canvas.FocusAsync();
        await page.Keyboard.PressAsync("ArrowRight");
        await page.Keyboard.DownAsync("Shift");
        for (var i = 0; i < 3; i++) await page.Keyboard.PressAsync("ArrowRight");
        await page.Keyboard.UpAsync("Shift");
        await Assertions.Expect(page).ToHaveURLAsync(new Regex(@"\?brush=m-0\.\.m-3$"));
        await open.AssertFitsAsync();
        open.AssertQuiet();
    }

    [Fact]
    public async Task Squares_AreGroupedByStateWorkerAndAttempts()
    {
        var id = await ManyAsync(maps: 5000, reduces: 12);
        await using var open = await dashboard.OpenAsync($"/jobs/{id}");
        var page = open.Page;
        await Assertions.Expect(page.Locator(".task-grid canvas[data-drawn='5012'][data-groups='2']")).ToBeVisibleAsync();
        var by = page.GetByRole(AriaRole.Group, new() { Name = "Squares by" });
        await by.GetByText("State").ClickAsync();
        await Assertions.Expect(page).ToHaveURLAsync(new Regex(@"\?group=state$"));
        await Assertions.Expect(page.Locator(".task-grid canvas[data-by='state'][data-groups='3']")).ToBeVisibleAsync();
        await by.GetByText("Worker").ClickAsync();
        await Assertions.Expect(page.Locator(".task-grid canvas[data-by='worker'][data-groups='4']")).ToBeVisibleAsync();
        await open.ShootAsync("job-by-worker-light");
        // The first square under the first worker's name is its first task.
        await page.Locator(".task-grid canvas[role=img]").HoverAsync(new() { Position = new() { X = 3, Y = 20 } });
        await Assertions.Expect(page.Locator(".task-grid .tip")).ToHaveTextAsync(new Regex("^m-2 "));
        await by.GetByText("Attempts").ClickAsync();
        await Assertions.Expect(page.Locator(".task-grid canvas[data-by='attempts'][data-groups='3']")).ToBeVisibleAsync();
        await by.GetByText("Order").ClickAsync();
        await Assertions.Expect(page.Locator(".task-grid canvas[data-by='order']")).ToBeVisibleAsync();
        await ExecuteAsync($"UPDATE task SET state = 5 WHERE id = (SELECT number << 20 FROM job WHERE id = '{id}') + 2");
        await open.GoAsync($"/jobs/{id}?group=nonsense&brush=m-5..m-2");
        await Assertions.Expect(page.Locator(".task-grid canvas[data-by='order']")).ToBeVisibleAsync();
        await Assertions.Expect(page.Locator(".brushed")).ToHaveCountAsync(0);
        open.AssertQuiet();
    }

    [Theory, InlineData(false), InlineData(true)]
    public async Task Summary_NamesLargePartitionsStragglersAndSecondAttempts(bool dark)
    {
        var id = await ManyAsync(maps: 60, reduces: 12);
        await using var open = await dashboard.OpenAsync($"/jobs/{id}", dark: dark);
        var page = open.Page;
        await Assertions.Expect(page.Locator(".partitions svg .part")).ToHaveCountAsync(12);
        await Assertions.Expect(page.Locator(".partitions svg .part.large")).ToHaveCountAsync(1);
        await Assertions.Expect(page.Locator(".partitions li")).ToContainTextAsync("Partition 5 5 × the median");
        await page.Locator(".partitions summary").ClickAsync();
        await Assertions.Expect(page.Locator(".partitions tbody tr")).ToHaveCountAsync(12);
        await Assertions.Expect(page.Locator(".partitions tbody tr").First).ToContainTextAsync("5.00 MiB");
        await page.Locator(".partitions summary").ClickAsync();
        await Assertions.Expect(page.Locator(".timeline .run.second")).ToHaveCountAsync(1);
        await Assertions.Expect(page.Locator(".timeline line.tie")).ToHaveCountAsync(1);
        await Assertions.Expect(page.Locator(".timeline .run.slow")).ToHaveCountAsync(1);
        await Assertions.Expect(page.Locator(".timeline .remark").Filter(new() { HasText = "m-11, second attempt" })).ToHaveCountAsync(1);
        await Assertions.Expect(page.Locator(".timeline .remark").Filter(new() { HasText = "× the median" })).ToHaveCountAsync(1);
        await open.ShootAsync($"job-summary{(dark ? "-dark" : "-light")}");
        await page.Locator(".timeline").ScrollIntoViewIfNeededAsync();
        await page.Locator(".timeline").ScreenshotAsync(new() { Path = Path.Combine(Dashboard.Screenshots, $"job-timeline{(dark ? "-dark" : "-light")}.png") });
        await open.AssertFitsAsync();
        open.AssertQuiet();
    }

    [Fact]
    public async Task LogAndEvents_AreTabsOfTheJob()
    {
        using var answer = await dashboard.Api.PostAsJsonAsync("/jobs", new { command = "echo printed by the job" });
        var id = (string)JsonNode.Parse(await answer.Content.ReadAsStringAsync())!["job_id"]!;
        await using var open = await dashboard.OpenAsync($"/jobs/{id}");
        var page = open.Page;
        await Assertions.Expect(page.Locator("#state")).ToHaveTextAsync("Succeeded", new() { Timeout = 120_000 });
        await page.Locator(".tabs").GetByText("Log").ClickAsync();
        await Assertions.Expect(page).ToHaveURLAsync(new Regex(@"\?tab=log$"));
        await Assertions.Expect(page.Locator(".log")).ToContainTextAsync("printed by the job");
        await open.ShootAsync("job-log-tab-light");
        await page.Locator(".tabs").GetByText("Events").ClickAsync();
        await Assertions.Expect(page.Locator(".happened tbody tr").Filter(new() { HasText = "job-submitted" })).ToHaveCountAsync(1);
        await Assertions.Expect(page.Locator(".happened tbody tr").First).ToContainTextAsync("job-ended");
        await open.ShootAsync("job-events-tab-light");
        await open.AssertFitsAsync();
        open.AssertQuiet();
    }

    /// <summary>A MapReduce job in the midst of its maps, made of rows: three workers, a failure, a straggler with its second attempt, a large partition.</summary>
    private async Task<string> ManyAsync(int maps, int reduces)
    {
        using var answer = await dashboard.Api.PostAsJsonAsync("/jobs", new { command = "true", gpus = 900 });
        var id = (string)JsonNode.Parse(await answer.Content.ReadAsStringAsync())!["job_id"]!;
        var done = maps * 9 / 10;
        await ExecuteAsync($$"""
            UPDATE job SET family = 0, paused = true, maps = {{maps}}, reduces = {{reduces}}, commands = 0, title = 'made of rows', started_at = clock_timestamp() - interval '1 minute',
                           counters = '{"map_input_bytes": 9000000, "map_input_records": 90000, "map_output_bytes": 12000000, "combine_input_records": 4000, "spills": 12, "bots.dropped": 77}',
                           details = '{"mapper":{"name":"m.sh","version":1,"type":1,"size":1,"hash":"x"},"reducer":{"name":"r.sh","version":1,"type":1,"size":1,"hash":"x"},"splitSize":1,"inputPath":"file:///in","inputType":"file/txt","outputPath":"file:///out"}'
            WHERE id = '{{id}}';
            DELETE FROM live WHERE task_id = (SELECT number << 20 FROM job WHERE id = '{{id}}');
            INSERT INTO worker_session (worker, host, slots, cpus, memory, gpus, affinity, mounts, isolation, version, lease_until, ended_at, end_reason)
            SELECT 'rn-1' || w || '-{{id[..4]}}', 'h', 1, 1, 1, 0, '[]', ARRAY[]::text[], 'plain', '1', clock_timestamp(), clock_timestamp(), 'closed' FROM generate_series(1, 3) w;
            INSERT INTO live (task_id, class, rank, state, claimable) SELECT (number << 20) + i, class, rank, CASE WHEN i < {{maps}} THEN 1 ELSE 0 END, false FROM job, generate_series({{done}}, {{maps + reduces - 1}}) i WHERE id = '{{id}}';
            INSERT INTO task (id, state, attempt, started_at, ended_at, offsets)
            SELECT (number << 20) + i, CASE WHEN i % 100 = 5 THEN 5 ELSE 4 END, CASE WHEN i = 11 OR i % 100 = 5 THEN 2 ELSE 1 END, now() - make_interval(secs => i % 8 + 1), now(),
                   CASE WHEN i = 0 THEN (SELECT string_agg(decode(lpad(to_hex(((p * 1048576 + CASE WHEN p > 5 THEN 4194304 ELSE 0 END) & 255)), 2, '0') || lpad(to_hex(((p * 1048576 + CASE WHEN p > 5 THEN 4194304 ELSE 0 END) >> 8) & 255), 2, '0')
                                                      || lpad(to_hex(((p * 1048576 + CASE WHEN p > 5 THEN 4194304 ELSE 0 END) >> 16) & 255), 2, '0') || lpad(to_hex(((p * 1048576 + CASE WHEN p > 5 THEN 4194304 ELSE 0 END) >> 24) & 255), 2, '0') || '00000000', 'hex'), ''::bytea ORDER BY p)
                                         FROM generate_series(0, {{reduces}}) p) END
            FROM job, generate_series(0, {{done - 1}}) i WHERE id = '{{id}}';
            INSERT INTO attempt (task_id, number, token, session_id, outcome, reported, started_at, ended_at)
            SELECT (j.number << 20) + i, n, gen_random_uuid(), s.first + (i + n) % 3, CASE WHEN i % 100 = 5 THEN 1 WHEN i = 11 AND n = 1 THEN 2 ELSE 0 END, true,
                   now() - make_interval(secs => 60 - (i % 50) - CASE WHEN n = 2 THEN 4 ELSE 0 END), now() - make_interval(secs => 60 - (i % 50) - CASE WHEN i = 11 THEN 9 WHEN i = 20 THEN 8 WHEN n = 2 THEN 6 ELSE 2 END)
            FROM job j, generate_series(0, {{done - 1}}) i, generate_series(1, CASE WHEN i = 11 OR i % 100 = 5 THEN 2 ELSE 1 END) n, (SELECT min(id) AS first FROM worker_session WHERE worker LIKE 'rn-1%-{{id[..4]}}') s WHERE j.id = '{{id}}';
            """);
        return id;
    }

    private async Task ExecuteAsync(string sql)
    {
        await using var database = NpgsqlDataSource.Create(dashboard.Hub.ConnectionString);
        await using var command = database.CreateCommand(sql);
        await command.ExecuteNonQueryAsync();
    }
}
