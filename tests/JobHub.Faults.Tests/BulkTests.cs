using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using JobHub.Faults.Tests.Hubs;
using JobHub.Testing;
using Npgsql;
using Xunit.Abstractions;

namespace JobHub.Faults.Tests;

/// <summary>kill -9 of the Api in the middle of bulks over thousands of jobs.</summary>
public class BulkTests(ITestOutputHelper output)
{
    private const string Project = "bulk", Priorities = "SELECT number, priority::int FROM job ORDER BY number";
    private static readonly int Jobs = FaultHub.IsLong ? 10_000 : 2_500;

    [Fact]
    public async Task Bulk_WhenTheApiIsKilled_GoesOnWithTheNextOne_ReachesEachJobOnce_AndIsTakenBack()
    {
        await using var hub = await FaultHub.StartAsync(new HubOptions { Slots = 1 });
        await SubmitAsync(hub);
        var before = await hub.QueryAsync(Priorities, Pair);
        Assert.Equal(Jobs, before.Count);

        // Killed within a page: the one that somebody holds a job of.
        var priority = await KilledWithinAsync(hub, new { action = "priority", priority = 77, filter = $"project={Project}" }, before[Jobs / 2].Number);
        AssertWhole(priority, "Done");
        Assert.Equal(Jobs, await hub.CountAsync("SELECT count(*) FROM job WHERE priority = 77"));
        Assert.Equal(before, await hub.QueryAsync("SELECT job, value::int FROM bulk_former ORDER BY job", Pair));
        // Claims go by the queue, which follows.
        await RanksAsync(hub, 1);

        // Killed anywhere.
        using (var answer = await hub.Http.PostAsync($"/hub/v1/bulk/{priority.GetProperty("id").GetString()}/undo", null))
        {
            Assert.Equal(HttpStatusCode.Accepted, answer.StatusCode);
            await hub.Process.WaitRestartedAsync("api", await hub.Process.KillAsync("api"));
            AssertWhole(await EndOfAsync(hub, (await answer.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("id").GetString()!), "Done");
        }

        Assert.Equal(before, await hub.QueryAsync(Priorities, Pair));
        await RanksAsync(hub, 5);

        var cancel = await KilledWithinAsync(hub, new { action = "cancel", filter = $"project={Project}" }, before[Jobs / 3].Number);
        AssertWhole(cancel, "Done");
        await Eventually.TrueAsync(async () => await hub.CountAsync("SELECT count(*) FROM job WHERE state = 6") == Jobs, "all are canceled", TimeSpan.FromMinutes(3));
        Assert.Equal((0, Jobs, Jobs), (await hub.CountAsync("SELECT count(*) FROM live"), await hub.CountAsync("SELECT count(*) FROM ledger WHERE kind = 'job-ended'"),
            await hub.CountAsync("SELECT count(DISTINCT job) FROM ledger WHERE kind = 'job-ended'")));
        output.WriteLine($"{Jobs} jobs, three kills of the Api");
    }

    private static (long Number, int Priority) Pair(NpgsqlDataReader row) => (row.GetInt64(0), row.GetInt32(1));

    private static Task RanksAsync(FaultHub hub, int ranks) =>
        Eventually.TrueAsync(async () => await hub.CountAsync("SELECT count(DISTINCT rank) FROM live") == ranks, $"{ranks} ranks in the queue", TimeSpan.FromMinutes(2));

    private static void AssertWhole(JsonElement bulk, string state) => Assert.Equal((state, Jobs, Jobs, 0),
        (bulk.GetProperty("state").GetString(), bulk.GetProperty("total").GetInt32(), bulk.GetProperty("done").GetInt32(), bulk.GetProperty("failed").GetInt32()));

    /// <summary>Jobs that no worker takes, of five priorities.</summary>
    private static Task SubmitAsync(FaultHub hub) => Parallel.ForEachAsync(Enumerable.Range(0, Jobs), new ParallelOptions { MaxDegreeOfParallelism = 16 }, async (job, ct) =>
    {
        using var answer = await hub.Http.PostAsJsonAsync($"/jobs?project={Project}", new { command = "true", gpus = 64, priority = job % 5 }, ct);
        Assert.Equal(HttpStatusCode.Created, answer.StatusCode);
    });

    private static async Task<JsonElement> KilledWithinAsync(FaultHub hub, object bulk, long held)
    {
        await using var connection = new NpgsqlConnection(hub.Process.ConnectionString + ";Pooling=false");
        await connection.OpenAsync();
        await using var holding = await connection.BeginTransactionAsync();
        await using (var hold = new NpgsqlCommand($"SELECT FROM job WHERE number = {held} FOR UPDATE", connection)) await hold.ExecuteNonQueryAsync();
        using var answer = await hub.Http.PostAsJsonAsync("/hub/v1/bulk", bulk);
        Assert.Equal(HttpStatusCode.Accepted, answer.StatusCode);
        var id = (await answer.Content.ReadFromJsonAsync<JsonElement>()).GetProperty("id").GetString()!;
        await Eventually.TrueAsync(async () => await hub.CountAsync("SELECT count(*) FROM pg_locks WHERE NOT granted") > 0 && (await BulkAsync(hub, id)).GetProperty("done").GetInt32() > 0, "a page that waits");
        var before = await hub.Process.KillAsync("api");
        await holding.RollbackAsync();
        await hub.Process.WaitRestartedAsync("api", before);
        return await EndOfAsync(hub, id);
    }

    private static async Task<JsonElement> BulkAsync(FaultHub hub, string id) => (await hub.Http.GetFromJsonAsync<JsonElement>($"/hub/v1/bulk/{id}")).Clone();

    private static Task<JsonElement> EndOfAsync(FaultHub hub, string id) =>
        Eventually.GetAsync(() => BulkAsync(hub, id), static bulk => bulk.GetProperty("state").GetString() != "Running", "the bulk's end", TimeSpan.FromMinutes(3));
}
