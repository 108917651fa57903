using System.Net;
using System.Text.Json.Nodes;

namespace JobHub.Api.Tests.Farm;

/// <summary>Runs of jobs over HTTP.</summary>
public sealed class FarmEventTests(FarmWorkerHub farm) : IClassFixture<FarmWorkerHub>, IAsyncLifetime
{
    public Task InitializeAsync() => farm.ClearAsync();

    public Task DisposeAsync() => Task.CompletedTask;

    [Fact]
    public async Task Events_ByJobWorkerAndAge_AreThoseRunsInTheirOrder()
    {
        // Of what other tests have left something may still be on its way out.
        var before = (await farm.EventsAsync()).Select(e => (long)e!["id"]!).LastOrDefault();
        using var one = farm.Worker();
        using var two = farm.Worker();
        var ids = new List<long>();
        foreach (var worker in new[] { one, two, one, two, one })
        {
            var id = await farm.MakeAsync();
            ids.Add(id);
            Assert.Equal(id, await worker.PickAsync());
            await worker.EndAsync(id, ids.Count == 2 ? 1 : 0);
        }

        var running = await farm.MakeAsync();
        Assert.Equal(running, await two.PickAsync());
        var all = await farm.EventsAsync($"?after={before}");
        Assert.Equal([.. ids, running], all.Select(e => (long)e!["job_id"]!));
        Assert.Equal(all.Select(e => (long)e!["id"]!).Order(), all.Select(e => (long)e!["id"]!));
        Assert.Equal(["FINISHED", "ERROR", "FINISHED", "FINISHED", "FINISHED", "WORKING"], all.Select(e => (string)e!["state"]!));
        Assert.Equal([ids[0], ids[2], ids[4]], (await farm.EventsAsync($"?worker={one.Host}")).Select(e => (long)e!["job_id"]!));
        Assert.Equal(ids[1], (long)Assert.Single(await farm.EventsAsync($"?job={ids[1]}&worker={two.Host}"))!["job_id"]!);
        Assert.Empty(await farm.EventsAsync($"?job={ids[1]}&worker={one.Host}"));
        Assert.Empty(await farm.EventsAsync("?worker=nobody"));
        Assert.Empty(await farm.EventsAsync("?job=9223372036854775807"));
        Assert.Equal(all.Count, (await farm.EventsAsync($"?job=&worker=&howlong=-1&after={before}")).Count);

        await farm.RunSqlAsync($"UPDATE attempt SET started_at = started_at - interval '1 hour', ended_at = ended_at - interval '1 hour' WHERE task_id <= {ids[2]}::bigint << 20");
        Assert.Equal([ids[3], ids[4], running], (await farm.EventsAsync($"?howlong=600&after={before}")).Select(e => (long)e!["job_id"]!));
        Assert.Equal([ids[4]], (await farm.EventsAsync($"?howlong=600&worker={one.Host}")).Select(e => (long)e!["job_id"]!));
        Assert.Equal(all.Count, (await farm.EventsAsync($"?howlong=7200&after={before}")).Count);
    }

    [Fact]
    public async Task Events_ByPages_AreEachOnce()
    {
        using var worker = farm.Worker();
        for (var i = 0; i < 7; i++)
        {
            var id = await farm.MakeAsync();
            Assert.Equal(id, await worker.PickAsync());
            await worker.EndAsync(id);
        }

        var seen = new List<long>();
        for (var path = $"/api/events?worker={worker.Host}&limit=3"; path is not null;)
        {
            using var answer = await farm.Hub.Client.GetAsync(path);
            var page = (await answer.JsonAsync()).AsArray();
            Assert.InRange(page.Count, 1, 3);
            seen.AddRange(page.Select(e => (long)e!["id"]!));
            path = answer.Headers.TryGetValues("Link", out var link) ? link.Single()[1..link.Single().IndexOf('>', StringComparison.Ordinal)] : null;
        }

        Assert.Equal(7, seen.Count);
        Assert.Equal((await farm.EventsAsync($"?worker={worker.Host}")).Select(e => (long)e!["id"]!), seen);
    }

    [Fact]
    public async Task Events_OverMoreThanOnePage_AreWholeWithoutALimit()
    {
        var id = await farm.MakeAsync();
        await farm.RunSqlAsync($"""
            INSERT INTO worker_session (worker, host, slots, cpus, memory, gpus, affinity, mounts, isolation, version, lease_until, ended_at)
            VALUES ('many', 'many', 1, 0, 0, 0, '[]', '{"{}"}', 'none', 'test', clock_timestamp(), clock_timestamp());
            INSERT INTO attempt (task_id, number, token, session_id, outcome, reported, started_at, ended_at, run)
            SELECT {id}::bigint << 20, i, gen_random_uuid(), (SELECT max(id) FROM worker_session WHERE worker = 'many'), 5, true, clock_timestamp(), clock_timestamp(), nextval('run_number') FROM generate_series(1, 2345) i
            """);
        Assert.Equal(2345, (await farm.EventsAsync($"?job={id}")).Count);
        Assert.Equal(2345, (await farm.EventsAsync("?worker=many")).Count);
        Assert.Equal(2345, (await farm.EventsAsync("?howlong=60&worker=many")).Count);
        Assert.All(await farm.EventsAsync("?worker=many"), e => Assert.Equal("WAITING", (string)e!["state"]!));
    }

    [Theory]
    [InlineData("?job=x", "job")]
    [InlineData("?howlong=long", "howlong")]
    [InlineData("?limit=0", "limit")]
    [InlineData("?after=-1", "after")]
    [InlineData("?job=1&job=2", "job")]
    public async Task Events_ByAFilterThatIsNone_AreAProblem(string query, string field)
    {
        using var answer = await farm.Hub.Client.GetAsync("/api/events" + query);
        await answer.IsProblemAsync(HttpStatusCode.BadRequest, "invalid-field", field);
    }
}
