using System.Diagnostics;
using JobHub.Benchmarks.Measuring;
using JobHub.Engine.Jobs;
using Npgsql;

namespace JobHub.Benchmarks.Queue;

/// <summary>Pages of the job list and its counts while the table holds a million jobs, through the Api's own route.</summary>
internal static class ListBenchmark
{
    private const string Active = "?state=queued,running,paused,canceling";

    public static async Task<Table> RunAsync(Arguments arguments)
    {
        var n = arguments.Number("n", 1_000_000);
        var reads = arguments.Number("reads", 200);
        await using var server = await BenchServer.StartAsync();
        await using var hub = await BenchHub.StartAsync(server);
        await FillAsync(hub.Engine.Database, n);
        var table = new Table($"a page of 50 of {n:N0} jobs over HTTP, p95 of {reads} reads", "ms", "p95 at most 100 ms");
        using var http = new HttpClient { BaseAddress = hub.Address };
        http.DefaultRequestHeaders.Authorization = new("Bearer", BenchHub.AdminToken);
        foreach (var (name, query) in new[]
        {
            ("newest", ""), ("300 newest", "?limit=300"), ("oldest", "?sort=number"), ("of one project", "?project=p7"), ("of one project without jobs", "?project=none"), ("?state=Failed", "?state=Failed"),
            ("?state=Running", "?state=Running"), ("?state=Queued", "?state=Queued"), ("?state=Canceling, none there", "?state=Canceling"), ("?family=Commands&state=Succeeded", "?family=Commands&state=Succeeded"),
            ("what has not ended, by priority", Active + "&sort=-priority"), ("300 of what has not ended, by priority", Active + "&sort=-priority&limit=300"), ("what has ended, by its end", "?state=succeeded,failed,canceled&sort=-ended"),
            ("failed since an hour", $"?state=failed&endedAfter={DateTime.UtcNow.AddHours(-1):yyyy-MM-ddTHH:mm:ssZ}"), ("made in one minute", $"?createdAfter={DateTime.UtcNow.AddDays(-9):yyyy-MM-ddTHH:mm:ssZ}&createdBefore={DateTime.UtcNow.AddDays(-9).AddMinutes(1):yyyy-MM-ddTHH:mm:ssZ}"),
            ("?cause= found often", "?cause=user-error"), ("?cause= found nowhere", "?cause=none"), ("?user= found everywhere", "?user=bench"), ("?user= found nowhere", "?user=nobody"), ("?label= found everywhere", "?label=team=a"),
            ("?label= found nowhere", "?label=team=b"), ("?worker=", "?worker=none"), ("?q= found often", "?q=job%201"), ("?q= of one job", "?q=job%20765432"), ("?q= found nowhere", "?q=nowhere"), ("?q=#number", "?q=%2377777"),
            ("?maxPriority= found nowhere", "?maxPriority=3"),
        })
        {
            var row = table.Add(name);
            for (var run = 0; run < arguments.Number("runs", 1); run++) row.Samples.Add(await ReadAsync(http, "hub/v1/jobs" + query, reads));
            await Console.Error.WriteLineAsync($"  {name}: {row.Median:F1} ms");
        }

        foreach (var (name, query) in new[]
        {
            ("all", ""), ("one project", "?project=p7"), ("one family, failed", "?family=Commands&state=failed"), ("what has not ended", Active), ("label found everywhere", "?label=team=a"), ("label found nowhere", "?label=team=b"),
            ("title found often", "?q=job%201"), ("title found nowhere", "?q=nowhere"), ("failed since an hour", $"?state=failed&endedAfter={DateTime.UtcNow.AddHours(-1):yyyy-MM-ddTHH:mm:ssZ}"), ("priority found nowhere", "?maxPriority=3"),
                })
        {
            var row = table.Add("counts: " + name);
            for (var run = 0; run < arguments.Number("runs", 1); run++) row.Samples.Add(await ReadAsync(http, "hub/v1/jobs/counts" + query, reads));
            await Console.Error.WriteLineAsync($"  counts, {name}: {row.Median:F1} ms");
        }

        // The command family's list tells how many match, too: counted when it is asked.
        foreach (var status in new[] { "", "&status=QUEUED", "&status=COMPLETE", "&status=FAILED", "&status=all" })
        {
            var row = table.Add($"/jobs?limit=50&project=p7{status}");
            for (var run = 0; run < arguments.Number("runs", 1); run++) row.Samples.Add(await ReadAsync(http, $"jobs?limit=50&project=p7{status}", reads));
            await Console.Error.WriteLineAsync($"  {status}: {row.Median:F1} ms");
        }

        return table;
    }

    internal static async Task<Sample> ReadAsync(HttpClient http, string path, int reads)
    {
        var times = new List<double>();
        var cpu = Machine.CpuSeconds();
        var begun = Stopwatch.GetTimestamp();
        for (var i = -5; i < reads && Stopwatch.GetElapsedTime(begun) < TimeSpan.FromSeconds(10); i++)
        {
            var start = Stopwatch.GetTimestamp();
            using var answer = await http.GetAsync(path);
            answer.EnsureSuccessStatusCode();
            await answer.Content.ReadAsByteArrayAsync();
            if (i >= 0 || times.Count == 0) times.Add(Stopwatch.GetElapsedTime(start).TotalMilliseconds);
        }

        times.Sort();
        return new(times[(int)(times.Count * 0.95)], Stopwatch.GetElapsedTime(begun).TotalSeconds, Machine.CpuSeconds() - cpu);
    }

    /// <summary>Ended jobs of every kind, and ten thousand that wait.</summary>
    /// <param name="tag">What a worker must offer to be given one that waits.</param>
    internal static async Task FillAsync(NpgsqlDataSource database, int n, string? tag = null)
    {
        string[] affinity = tag is null ? [] : [tag];
        await using (var needs = database.CreateCommand("INSERT INTO requirement_class (affinity, gpus, cpus, memory, mount) VALUES ($1, 0, 0, 0, '') ON CONFLICT DO NOTHING"))
        {
            needs.Parameters.AddWithValue(affinity);
            await needs.ExecuteNonQueryAsync();
        }

        for (var from = 0; from < n; from += 100_000)
        {
            // Ids in the order of their numbers, as uuid v7 gives them.
            await using var fill = database.CreateCommand("""
                INSERT INTO job (id, family, project, caller, title, labels, priority, rank, class, max_attempts, speculative, details, commands, succeeded, failed, canceled, state, created_at, started_at, ended_at, error)
                SELECT (lpad(to_hex(i), 12, '0') || '7000800000' || lpad(to_hex(i), 10, '0'))::uuid, (i % 3)::smallint, 'p' || i % 50, 'bench', 'job ' || i, '{"team":"a"}', 255, 127::bigint << 56,
                       (SELECT id FROM requirement_class WHERE affinity = $3 AND gpus = 0 AND cpus = 0 AND memory = 0 AND mount = ''), 4, true, '{"command":"true","sandbox":true}',
                       1, s.w, s.f, s.c, s.state, a.made, a.made, CASE WHEN s.state >= 4 THEN a.made END, CASE WHEN s.state = 5 THEN '{"type":"user-error","message":"Exit code 1.","taskId":null}'::jsonb END
                FROM generate_series($1, $2) AS i CROSS JOIN LATERAL (SELECT clock_timestamp() - ($4 - i) * interval '1 second' AS made) a CROSS JOIN LATERAL (
                    SELECT CASE WHEN i % 1000 = 0 THEN 5 WHEN i % 777 = 0 THEN 6 WHEN i % 100 = 1 THEN 0 ELSE 4 END::smallint AS state) t
                CROSS JOIN LATERAL (SELECT (t.state = 4)::int AS w, (t.state = 5)::int AS f, (t.state = 6)::int AS c, t.state AS state) s
                """);
            fill.CommandTimeout = 120;
            fill.Parameters.AddWithValue(from + 1);
            fill.Parameters.AddWithValue(Math.Min(n, from + 100_000));
            fill.Parameters.AddWithValue(affinity);
            fill.Parameters.AddWithValue(n);
            await fill.ExecuteNonQueryAsync();
        }

        foreach (var sql in new[] { "INSERT INTO live (task_id, class, rank, state, claimable) SELECT number << 20, class, rank, 1, true FROM job WHERE state = 0", "INSERT INTO job_words SELECT number, words_of_job(title, caller, labels) FROM job ON CONFLICT DO NOTHING", "VACUUM ANALYZE job", "VACUUM ANALYZE job_words", "ANALYZE live" })
        {
            await using var command = database.CreateCommand(sql);
            command.CommandTimeout = 300;
            await command.ExecuteNonQueryAsync();
        }
    }
}
