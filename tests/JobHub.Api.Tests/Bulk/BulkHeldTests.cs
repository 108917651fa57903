using System.Text.Json.Nodes;
using JobHub.Api.Tests.Farm;
using JobHub.Testing;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;

namespace JobHub.Api.Tests.Bulk;

/// <summary>Bulks that meet a job which somebody holds: it is left, the others are changed, each once.</summary>
[Collection(BulkCollection.Name)]
public sealed class BulkHeldTests(HubFixture fixture)
{
    private const string Soon = "--JobHub:Bulk:PageLimit=00:00:03";

    [Theory, InlineData(0), InlineData(4), InlineData(11)]
    public async Task BulkWithAJobThatIsHeld_LeavesThatOneAndChangesAllOthers(int place)
    {
        await using var hub = await HubHost.StartAsync(fixture.Postgres, "Development", Soon);
        await IsLeftAsync(hub, place);
    }

    [Fact]
    public async Task BulkWithAJobThatIsHeld_WhereStatementsEndBeforeItsPage_LeavesItToo()
    {
        await using var hub = await HubHost.StartAsync(fixture.Postgres, "Development", $"--ConnectionStrings:jobhub={await fixture.Postgres.CreateDatabaseAsync()};Command Timeout=3");
        await IsLeftAsync(hub, 2);
    }

    [Fact]
    public async Task BulkOverTrees_WithAJobThatIsHeld_RunsTheTreesAgainOnce()
    {
        await using var hub = await HubHost.StartAsync(fixture.Postgres, "Development", Soon);
        var calls = new BulkHub(hub);
        var older = await TreeAsync(hub);
        var job = await calls.CommandAsync();
        var newer = await TreeAsync(hub);
        await using (await HoldAsync(hub, (long)(await calls.JobAsync(job))["number"]!))
        {
            var done = await calls.BulkAsync(new() { ["action"] = "reset", ["ids"] = new JsonArray(older, job, newer) });
            var left = Assert.Single(done["left"]!.AsArray())!;
            Assert.Equal(("Done", 2, job, "job-held"), ((string?)done["state"], (int)done["done"]!, (string?)left["id"], (string?)left["reason"]));
        }

        // Events become known in their order: after this one, all of the bulk's are.
        await calls.DoneAsync(newer, "pause");
        async Task<JsonArray> EventsAsync(string kind) => JsonNode.Parse(await hub.Client.GetStringAsync($"/hub/v1/events/list?kind={kind}"))!["items"]!.AsArray();
        await Eventually.TrueAsync(async () => (await EventsAsync("subtree-paused")).Count == 1, "the pause is known");
        Assert.Equal(new[] { older, newer }.Order(), (await EventsAsync("subtree-reset")).Select(static e => (string)e!["job"]!).Order());
    }

    [Fact]
    public async Task BulkThatDeletesTrees_WithAJobThatIsHeld_CountsWhatItDeleted()
    {
        await using var hub = await HubHost.StartAsync(fixture.Postgres, "Development", Soon);
        var calls = new BulkHub(hub);
        var older = await TreeAsync(hub);
        var job = await calls.CommandAsync();
        var newer = await TreeAsync(hub);
        await using var held = await HoldAsync(hub, (long)(await calls.JobAsync(job))["number"]!);
        var done = await calls.BulkAsync(new() { ["action"] = "delete", ["filter"] = "" });
        Assert.Equal(("Done", 3, 2, "job-held"), ((string?)done["state"], (int)done["total"]!, (int)done["done"]!, (string?)Assert.Single(done["left"]!.AsArray())!["reason"]));
    }

    /// <summary>Pauses twelve jobs, of which one, counted from the newest, is held until the bulk has ended.</summary>
    private static async Task IsLeftAsync(HubHost hub, int place)
    {
        var calls = new BulkHub(hub);
        var jobs = new List<string>();
        for (var i = 0; i < 12; i++) jobs.Insert(0, await calls.CommandAsync());
        var held = jobs[place];
        await using (await HoldAsync(hub, (long)(await calls.JobAsync(held))["number"]!))
        {
            var done = await calls.BulkAsync(new() { ["action"] = "pause", ["ids"] = new JsonArray([.. jobs.Select(static j => (JsonNode)j)]) });
            var left = Assert.Single(done["left"]!.AsArray())!;
            Assert.Equal(("Done", 12, 11, 1, held, "job-held"), ((string?)done["state"], (int)done["total"]!, (int)done["done"]!, (int)done["failed"]!, (string?)left["id"], (string?)left["reason"]));
        }

        foreach (var job in jobs) Assert.Equal(job != held, (bool)(await calls.JobAsync(job))["paused"]!);
    }

    private static async Task<string> TreeAsync(HubHost hub)
    {
        var number = await hub.Client.PutJobAsync("""{"title":"tree"}""");
        return (string)JsonNode.Parse(await hub.Client.GetStringAsync($"/hub/v1/jobs?ids={number}"))!["items"]![0]!["id"]!;
    }

    /// <summary>Somebody's transaction with a lock on a job; disposed, it lets go.</summary>
    private static async Task<NpgsqlConnection> HoldAsync(HubHost hub, long number)
    {
        var connection = await hub.Services.GetRequiredService<NpgsqlDataSource>().OpenConnectionAsync();
        await connection.BeginTransactionAsync();
        await using var hold = new NpgsqlCommand("SELECT FROM job WHERE number = $1 FOR UPDATE", connection);
        hold.Parameters.AddWithValue(number);
        await hold.ExecuteNonQueryAsync();
        return connection;
    }
}
