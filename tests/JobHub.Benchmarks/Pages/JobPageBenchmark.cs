using JobHub.Benchmarks.Measuring;
using JobHub.Benchmarks.Queue;
using JobHub.Testing;
using Microsoft.Playwright;
using Npgsql;

namespace JobHub.Benchmarks.Pages;

/// <summary>The page of one job with a hundred thousand tasks in Chromium: how soon it can be used, what it holds, and whether it stalls while its tasks end.</summary>
internal static class JobPageBenchmark
{
    private const int Batch = 20;
    private const string Tag = "BENCH";

    public static async Task<Table> RunAsync(Arguments arguments)
    {
        var n = arguments.Number("n", 100_000);
        await using var hub = await HubProcess.StartAsync(new HubOptions { Web = true });
        var id = await FillAsync(hub, n);
        using var playwright = await Playwright.CreateAsync();
        await using var browser = await PageBenchmark.LaunchAsync(playwright);
        var table = new Table($"the page of a job of {n:N0} tasks", "ms", "usable in 1 000 ms; no stall over 100 ms at 200 changes a second; heap under 300 MB");
        var page = await PageBenchmark.OpenAsync(browser, hub, $"/jobs/{id}", $"canvas[data-drawn='{n}']", table, "from the address to all squares", arguments.Number("runs", 5));
        using (var client = hub.CreateClient())
        {
            foreach (var (name, path) in new[] { ("the job", ""), ("why it waits", "/explain"), ("states of all tasks", "/tasks/states"), ("timeline", "/timeline?limit=300"), ("a page of tasks", "/tasks?limit=200") })
            {
                var row = table.Add($"the Api's answer: {name}, p95 of 30");
                row.Samples.Add(await ListBenchmark.ReadAsync(client, $"hub/v1/jobs/{id}{path}", 30));
            }
        }

        await using var agent = await HttpAgent.OpenAsync(hub.Api, (await File.ReadAllTextAsync(Path.Combine(hub.DataFolder, "worker-token"))).Trim(), "bench", Batch, [[Tag]]);
        await PageBenchmark.StallsAsync(page, table, "tasks of it end", arguments.Number("rate", 200), arguments.Number("seconds", 15), async (done, due) =>
        {
            for (var left = due; left > 0;)
            {
                var claimed = await agent.ClaimAsync(Math.Min(Batch, left), 1000);
                if (claimed.Length == 0) throw new InvalidOperationException($"No task was given out after {done}.");
                await agent.CompleteAsync(Array.ConvertAll(claimed, ProtocolBenchmark.Ended));
                left -= claimed.Length;
            }
        });
        await page.Context.DisposeAsync();
        return table;
    }

    /// <summary>Three in five tasks have succeeded; the rest waits.</summary>
    private static async Task<Guid> FillAsync(HubProcess hub, int n)
    {
        await using var database = NpgsqlDataSource.Create(hub.ConnectionString);
        await using var command = database.CreateCommand("""
            WITH class AS (INSERT INTO requirement_class (affinity, gpus, cpus, memory, mount) VALUES (ARRAY[$2], 0, 0, 0, '') RETURNING id),
            made AS (
                INSERT INTO job (id, family, project, caller, title, labels, priority, rank, class, max_attempts, speculative, details, commands, succeeded, state, created_at, started_at)
                SELECT gen_random_uuid(), 1, 'default', 'bench', 'a hundred thousand', '{}', 255, 127::bigint << 56, class.id, 4, false, '{"command":"true","sandbox":true}', $1, $1 * 3 / 5, 1, now(), now() FROM class
                RETURNING id, number, class, rank),
            ended AS (
                INSERT INTO task (id, state, started_at, ended_at) SELECT (made.number << 20) + i, 4, now(), now() FROM made, generate_series(0, $1 * 3 / 5 - 1) i),
            waiting AS (
                INSERT INTO live (task_id, class, rank, state, claimable) SELECT (made.number << 20) + i, made.class, made.rank, 1, true FROM made, generate_series($1 * 3 / 5, $1 - 1) i)
            SELECT id FROM made
            """);
        command.Parameters.AddWithValue(n);
        command.Parameters.AddWithValue(Tag);
        command.CommandTimeout = 120;
        var id = (Guid)(await command.ExecuteScalarAsync())!;
        await Work.SettleAsync(database);
        return id;
    }
}
