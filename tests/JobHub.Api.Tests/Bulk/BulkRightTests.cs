using System.Net;
using System.Text.Json.Nodes;
using JobHub.Testing;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;

namespace JobHub.Api.Tests.Bulk;

/// <summary>Whose bulks are reached, what they may change while they run, and that one does not hold up the others.</summary>
[Collection(BulkCollection.Name)]
public sealed class BulkRightTests(HubFixture fixture)
{
    private readonly HubHost hub = fixture.Hub;
    private readonly BulkHub calls = new(fixture.Hub);

    private NpgsqlDataSource Database => hub.Services.GetRequiredService<NpgsqlDataSource>();

    [Fact]
    public async Task TokenOfOneProject_ReachesOnlyTheBulksOfThatOne()
    {
        var callers = new Callers(hub);
        var account = await callers.AccountAsync(Callers.Member);
        var (one, other) = (await callers.ProjectAsync(members: account), await callers.ProjectAsync(members: account));
        using var ofOne = hub.NewClient(await callers.TokenAsync(account, project: one));
        using var ofOther = hub.NewClient(await callers.TokenAsync(account, project: other));
        using var ofAll = hub.NewClient(await callers.TokenAsync(account));
        var mine = await PauseAsync(one, ofOne);
        var foreign = new List<string> { await PauseAsync(other, ofOther), await PauseAsync(other, ofAll) };

        Assert.Equal([mine], JsonNode.Parse(await ofOne.GetStringAsync("/hub/v1/bulk"))!["items"]!.AsArray().Select(static b => (string)b!["id"]!));
        foreach (var id in foreign)
        {
            using (var get = await ofOne.GetAsync($"/hub/v1/bulk/{id}")) await get.IsProblemAsync(HttpStatusCode.NotFound, "bulk-not-found");
            foreach (var verb in (string[])["cancel", "undo"])
            {
                using var answer = await ofOne.PostAsync($"/hub/v1/bulk/{id}/{verb}", null);
                await answer.IsProblemAsync(HttpStatusCode.NotFound, "bulk-not-found");
            }
        }

        using var undo = await ofOne.PostAsync($"/hub/v1/bulk/{mine}/undo", null);
        Assert.Equal(HttpStatusCode.Accepted, undo.StatusCode);
        Assert.Equal(4, JsonNode.Parse(await ofAll.GetStringAsync("/hub/v1/bulk"))!["items"]!.AsArray().Count);
    }

    [Fact]
    public async Task Undo_AfterTheRightIsLost_IsRefused()
    {
        var callers = new Callers(hub);
        var account = await callers.AccountAsync(Callers.Member);
        var project = await callers.ProjectAsync(members: account);
        using var member = hub.NewClient(await callers.TokenAsync(account));
        var bulk = await PauseAsync(project, member);
        await ExecuteAsync("DELETE FROM project_member WHERE account = $1", account);
        using var undo = await member.PostAsync($"/hub/v1/bulk/{bulk}/undo", null);
        await undo.IsProblemAsync(HttpStatusCode.Conflict, "cannot-undo");
    }

    [Fact]
    public async Task Bulk_UnderWay_LeavesWhatItsCallerMayNotChangeAnyMore()
    {
        var callers = new Callers(hub);
        var account = await callers.AccountAsync(Callers.Member);
        var project = await callers.ProjectAsync(members: account);
        using var member = hub.NewClient(await callers.TokenAsync(account));
        using var admin = hub.NewClient(HubHost.AdminToken);
        var job = await calls.CommandAsync(project: project, client: admin);
        var number = (long)JsonNode.Parse(await admin.GetStringAsync($"/hub/v1/jobs/{job}"))!["number"]!;
        var name = (string)JsonNode.Parse(await admin.GetStringAsync($"/hub/v1/bulk/{await PauseAsync(project, member)}"))!["user"]!;
        await ExecuteAsync("DELETE FROM project_member WHERE account = $1", account);
        var bulk = await StoreAsync(name, account, [number]);
        var done = await calls.EndOfAsync(bulk, admin);
        Assert.Equal((0, 1, "project-read-only"), ((int)done["done"]!, (int)done["failed"]!, (string?)Assert.Single(done["left"]!.AsArray())!["reason"]));
        Assert.False((bool)JsonNode.Parse(await admin.GetStringAsync($"/hub/v1/jobs/{job}"))!["paused"]!);
    }

    [Fact]
    public async Task SmallBulk_MadeAfterALargeOne_EndsBeforeIt()
    {
        using var admin = hub.NewClient(HubHost.AdminToken);
        var (first, second) = (await calls.CommandAsync(), await calls.CommandAsync());
        var number = (long)(await calls.JobAsync(first))["number"]!;
        await using var connection = await Database.OpenConnectionAsync();
        await using var held = await connection.BeginTransactionAsync();
        await using (var hold = new NpgsqlCommand("SELECT FROM job WHERE number = $1 FOR UPDATE", connection))
        {
            hold.Parameters.AddWithValue(number);
            await hold.ExecuteNonQueryAsync();
        }

        // The jobs after the first are none; its first page waits for the one that is held.
        var large = await StoreAsync("large", null, [number, .. Enumerable.Range(1, 2000).Select(static n => -(long)n)]);
        await Eventually.TrueAsync(async () => await CountAsync("SELECT count(*) FROM (SELECT FROM bulk WHERE id = $1 FOR UPDATE SKIP LOCKED) b", Guid.Parse(large)) == 0, "its first page is begun");
        using var answer = await admin.PostAsync("/hub/v1/bulk", new JsonObject { ["action"] = "pause", ["ids"] = new JsonArray(second) }.ToJsonString().AsJson());
        var small = (string)(await answer.JsonAsync())["id"]!;
        await held.RollbackAsync();
        var (ofSmall, ofLarge) = (await calls.EndOfAsync(small, admin), await calls.EndOfAsync(large, admin));
        Assert.Equal(2001, (int)ofLarge["done"]! + (int)ofLarge["failed"]!);
        Assert.True((DateTimeOffset)ofSmall["endedAt"]! < (DateTimeOffset)ofLarge["endedAt"]!);
    }

    [Fact]
    public async Task Bulk_WhosePageFailsAgainAndAgain_EndsAsFailedWithTheReason()
    {
        using var admin = hub.NewClient(HubHost.AdminToken);
        var broken = await StoreAsync("broken", null, null, filter: "[]");
        var done = await calls.EndOfAsync(broken, admin);
        Assert.Equal(("Failed", "bulk-failed"), ((string?)done["state"], (string?)Assert.Single(done["left"]!.AsArray())!["reason"]));
        Assert.Equal("Done", (string?)(await calls.BulkAsync(new() { ["action"] = "pause", ["ids"] = new JsonArray(await calls.CommandAsync()) }))["state"]);
    }

    [Fact]
    public async Task BulkOfADeveloper_UnderWay_LeavesWhatBelongsToAProjectByNow()
    {
        using var admin = hub.NewClient(HubHost.AdminToken);
        var (name, other) = ($"plain-{Guid.NewGuid():N}", $"plain-{Guid.NewGuid():N}");
        var (taken, free) = (await calls.CommandAsync(project: name), await calls.CommandAsync(project: other));
        var numbers = new List<long>();
        foreach (var job in (string[])[taken, free]) numbers.Add((long)(await calls.JobAsync(job))["number"]!);
        await ExecuteAsync("INSERT INTO project (id, name, visibility) VALUES ($1, 'Taken', 0)", name);
        var done = await calls.EndOfAsync(await StoreAsync("developer", null, [.. numbers], onlyUnmade: true), admin);
        Assert.Equal((1, 1, taken), ((int)done["done"]!, (int)done["failed"]!, (string?)Assert.Single(done["left"]!.AsArray())!["id"]));
        Assert.Equal((false, true), ((bool)JsonNode.Parse(await admin.GetStringAsync($"/hub/v1/jobs/{taken}"))!["paused"]!, (bool)JsonNode.Parse(await admin.GetStringAsync($"/hub/v1/jobs/{free}"))!["paused"]!));
    }

    private async Task<string> PauseAsync(string project, HttpClient client) =>
        (string)(await calls.BulkAsync(new() { ["action"] = "pause", ["ids"] = new JsonArray(await calls.CommandAsync(project: project, client: client)) }, client))["id"]!;

    /// <summary>A bulk as the hub keeps it, made by nobody's call.</summary>
    private async Task<string> StoreAsync(string caller, long? account, long[]? jobs, string? filter = null, bool onlyUnmade = false)
    {
        var id = Guid.CreateVersion7();
        await using var command = Database.CreateCommand("INSERT INTO bulk (id, caller, account, action, jobs, filter, upto, total, only_unmade) VALUES ($1, $2, $3, 2, $4, $5::text::jsonb, 9223372036854775807, 1000000, $6)");
        command.Parameters.AddWithValue(id);
        command.Parameters.AddWithValue(caller);
        command.Parameters.Add(new() { Value = (object?)account ?? DBNull.Value, NpgsqlDbType = NpgsqlTypes.NpgsqlDbType.Bigint });
        command.Parameters.Add(new() { Value = (object?)jobs ?? DBNull.Value, NpgsqlDbType = NpgsqlTypes.NpgsqlDbType.Array | NpgsqlTypes.NpgsqlDbType.Bigint });
        command.Parameters.Add(new() { Value = (object?)filter ?? DBNull.Value, NpgsqlDbType = NpgsqlTypes.NpgsqlDbType.Text });
        command.Parameters.AddWithValue(onlyUnmade);
        await command.ExecuteNonQueryAsync();
        return id.ToString("D");
    }

    private async Task ExecuteAsync(string sql, object value)
    {
        await using var command = Database.CreateCommand(sql);
        command.Parameters.AddWithValue(value);
        await command.ExecuteNonQueryAsync();
    }

    private async Task<long> CountAsync(string sql, object value)
    {
        await using var command = Database.CreateCommand(sql);
        command.Parameters.AddWithValue(value);
        return (long)(await command.ExecuteScalarAsync())!;
    }
}
