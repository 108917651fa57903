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
    private static readonly string[] Arguments = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

    public static async Task<Table> RunAsync(Arguments arguments)
    {
        var n = arguments.Number("n", 1_000_000);
        await using var hub = await HubProcess.StartAsync(new HubOptions { Web = true });
        await using (var database = NpgsqlDataSource.Create(hub.ConnectionString)) await ListBenchmark.FillAsync(database, n, "NOBODY");
        using var playwright = await Playwright.CreateAsync();
        await using var browser = await playwright.Chromium.LaunchAsync(new() { ExecutablePath = "/usr/bin/chromium", Args = [.. Arguments, "--enable-precise-memory-info"] });
        var table = new Table($"the page of jobs, {n:N0} jobs in the hub", "ms", "usable in 1 000 ms; no stall over 100 ms at 200 changes a second");
        var open = table.Add("from the address to the first rows");
        IPage? last = null;
        for (var run = 0; run < arguments.Number("runs", 5) + 1; run++)
        {
            if (last is not null) await last.Context.DisposeAsync();
            last = await (await browser.NewContextAsync(new() { ViewportSize = new() { Width = 1440, Height = 900 } })).NewPageAsync();
            var cpu = Machine.CpuSeconds();
            var start = Stopwatch.GetTimestamp();
            await last.GotoAsync(new Uri(hub.Dashboard, "/jobs").ToString());
            await last.Locator("[data-row]").First.WaitForAsync();
            var took = Stopwatch.GetElapsedTime(start);
            // The first one finds nothing warm.
            if (run > 0) open.Samples.Add(new(took.TotalMilliseconds, took.TotalSeconds, Machine.CpuSeconds() - cpu));
            else table.Notes.Add($"The first visitor after the start waited {took.TotalMilliseconds:F0} ms.");
        }

        await StallsAsync(hub, last!, table, arguments.Number("rate", 200), arguments.Number("seconds", 15));
        return table;
    }

    /// <summary>Every submission is a change that the page is told of.</summary>
    private static async Task StallsAsync(HubProcess hub, IPage page, Table table, int rate, int seconds)
    {
        await page.EvaluateAsync("() => { window.stalls = []; new PerformanceObserver(l => { for (const e of l.getEntries()) window.stalls.push(e.duration); }).observe({ type: 'longtask', buffered: false }); }");
        using var client = hub.CreateClient();
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

            await Task.WhenAll(Enumerable.Range(sent, due).Select(async i =>
            {
                using var answer = await client.PostAsJsonAsync("/jobs", new { command = $"true {i}", priority = 1 });
                answer.EnsureSuccessStatusCode();
            }));
            sent += due;
        }

        var stalls = await page.EvaluateAsync<double[]>("() => window.stalls");
        var row = table.Add($"longest task of the page's thread while {sent / begun.Elapsed.TotalSeconds:F0} jobs a second are submitted and run");
        row.Samples.Add(new(stalls.DefaultIfEmpty(0).Max(), begun.Elapsed.TotalSeconds, 0));
        table.Notes.Add($"Tasks over 50 ms: {stalls.Length}; heap of the page's scripts {await page.EvaluateAsync<double>("() => performance.memory.usedJSHeapSize") / (1 << 20):F0} MiB.");
    }
}
