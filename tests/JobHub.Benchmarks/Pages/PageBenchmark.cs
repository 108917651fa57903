using System.Diagnostics;
using System.Net.Http.Json;
using JobHub.Benchmarks.Measuring;
using JobHub.Benchmarks.Queue;
using JobHub.Testing;
using Microsoft.Playwright;
using Npgsql;

namespace JobHub.Benchmarks.Pages;

/// <summary>The page of jobs in Chromium while the hub holds a million: how soon it can be used, and whether it stalls while much happens.</summary>
internal static class PageBenchmark
{
    private static readonly string[] Browser = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--enable-precise-memory-info"];

    public static async Task<Table> RunAsync(Arguments arguments)
    {
        var n = arguments.Number("n", 1_000_000);
        await using var hub = await HubProcess.StartAsync(new HubOptions { Web = true });
        await using (var database = NpgsqlDataSource.Create(hub.ConnectionString)) await ListBenchmark.FillAsync(database, n, "NOBODY");
        using var playwright = await Playwright.CreateAsync();
        await using var browser = await LaunchAsync(playwright);
        var table = new Table($"the page of jobs, {n:N0} jobs in the hub", "ms", "usable in 1 000 ms; no stall over 100 ms at 200 changes a second");
        var page = await OpenAsync(browser, hub, "/jobs", "[data-row]", table, "from the address to the first rows", arguments.Number("runs", 5));
        using var client = hub.CreateClient();
        // Every submission is a change that the page is told of.
        await StallsAsync(page, table, "jobs are submitted and run", arguments.Number("rate", 200), arguments.Number("seconds", 15), (sent, due) => Task.WhenAll(Enumerable.Range(sent, due).Select(async i =>
        {
            using var answer = await client.PostAsJsonAsync("/jobs", new { command = $"true {i}", priority = 1 });
            answer.EnsureSuccessStatusCode();
        })));
        await page.Context.DisposeAsync();
        return table;
    }

    internal static Task<IBrowser> LaunchAsync(IPlaywright playwright) => playwright.Chromium.LaunchAsync(new() { ExecutablePath = "/usr/bin/chromium", Args = Browser });

    /// <summary>Opens a page by visitors that have nothing of it cached, and leaves the last one's open.</summary>
    internal static async Task<IPage> OpenAsync(IBrowser browser, HubProcess hub, string path, string usable, Table table, string name, int runs)
    {
        var row = table.Add(name);
        IPage? last = null;
        for (var run = 0; run < runs + 1; run++)
        {
            if (last is not null) await last.Context.DisposeAsync();
            last = await (await browser.NewContextAsync(new() { ViewportSize = new() { Width = 1440, Height = 900 } })).NewPageAsync();
            var cpu = Machine.CpuSeconds();
            var start = Stopwatch.GetTimestamp();
            await last.GotoAsync(new Uri(hub.Dashboard, path).ToString(), new() { WaitUntil = WaitUntilState.Commit });
            await last.Locator(usable).First.WaitForAsync();
            var took = Stopwatch.GetElapsedTime(start);
            // The first one finds nothing warm.
            if (run > 0) row.Samples.Add(new(took.TotalMilliseconds, took.TotalSeconds, Machine.CpuSeconds() - cpu));
            else table.Notes.Add($"The first visitor after the start waited {took.TotalMilliseconds:F0} ms.");
        }

        return last!;
    }

    /// <summary>The longest task of the page's thread while so many changes a second happen.</summary>
    /// <param name="change">Makes changes: how many there were before, how many are due.</param>
    internal static async Task StallsAsync(IPage page, Table table, string what, int rate, int seconds, Func<int, int, Task> change)
    {
        await page.EvaluateAsync("() => { window.stalls = []; new PerformanceObserver(l => { for (const e of l.getEntries()) window.stalls.push(e.duration); }).observe({ type: 'longtask', buffered: false }); }");
        // What is said to see stalls does.
        await page.EvaluateAsync("() => new Promise(done => setTimeout(() => { const end = performance.now() + 120; while (performance.now() < end); setTimeout(done, 200); }))");
        if (await page.EvaluateAsync<double[]>("() => window.stalls.splice(0)") is not { Length: > 0 }) throw new InvalidOperationException("A stall was not seen.");
        var begun = Stopwatch.StartNew();
        var sent = 0;
        while (begun.Elapsed.TotalSeconds < seconds)
        {
            var due = (int)(begun.Elapsed.TotalSeconds * rate) - sent;
            if (due < 10)
            {
                await Task.Delay(10);
                continue;
            }

            await change(sent, due);
            sent += due;
        }

        var stalls = await page.EvaluateAsync<double[]>("() => window.stalls");
        var row = table.Add($"longest task of the page's thread while {sent / begun.Elapsed.TotalSeconds:F0} {what} a second");
        row.Samples.Add(new(stalls.DefaultIfEmpty(0).Max(), begun.Elapsed.TotalSeconds, 0));
        table.Notes.Add($"Tasks over 50 ms: {stalls.Length}; heap of the page's scripts {await page.EvaluateAsync<double>("() => performance.memory.usedJSHeapSize") / (1 << 20):F0} MiB.");
    }
}
