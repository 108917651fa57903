using System.Net;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using JobHub.Engine.Attempts;
using JobHub.Engine.Protocol;
using JobHub.Testing;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;

namespace JobHub.Api.Tests.Hub;

/// <summary>The log of a whole job: read in both directions, searched, followed; and logs that are followed by whoever may not any more.</summary>
public sealed class MergedLogTests(HubFixture fixture) : IClassFixture<HubFixture>
{
    private readonly HubHost hub = fixture.Hub;

    [Fact]
    public async Task MergedLog_ReadFromEitherEnd_IsTheSame()
    {
        var id = await MapsAsync(5);
        await using var worker = await WorkerDouble.OpenAsync(hub, mounts: ["/"]);
        var maps = await ClaimAsync(worker, id, 5);
        await FailAsync(worker, maps[0], "zero one\nzero two\n");
        await FailAsync(worker, maps[1], "");
        var stored = await worker.StoreLogAsync(maps[2], "head\nfoot\n"u8.ToArray(), 1010, new LogGap(5, 1000));
        await worker.CompleteAsync(maps[2], AttemptOutcome.Failed, exitCode: 1, error: new("exit-code", "1"), stored: stored);
        await FailAsync(worker, maps[3], "three\n");
        await worker.PrintAsync(maps[4], 0, "four\nruns"u8.ToArray());
        string[] expected = ["m-0 0 zero one", "m-0 9 zero two", "m-2 0 head", "m-2 5 (1000)", "m-2 1005 foot", "m-3 0 three", "m-4 0 four", "m-4 5 runs"];

        foreach (var limit in (int[])[1, 12, 1 << 20])
        {
            Assert.Equal(expected, (await PagesAsync(id, "", "after", limit)).SelectMany(static page => page));
            Assert.Equal(expected, Enumerable.Reverse(await PagesAsync(id, "&tail=true", "before", limit)).SelectMany(static page => page));
        }

        Assert.Equal(expected[..2], Assert.Single(await PagesAsync(id, "&before=m-2.1.0", "before", 1000)));
        await CancelAsync(id);
    }

    [Fact]
    public async Task Search_OverTheWholeJob_FindsLinesOfAllAttempts()
    {
        var id = await MapsAsync(3);
        await using var worker = await WorkerDouble.OpenAsync(hub, mounts: ["/"]);
        var maps = await ClaimAsync(worker, id, 3);
        await FailAsync(worker, maps[0], "a needle\nhay\n");
        await FailAsync(worker, maps[1], "hay\n");
        await worker.PrintAsync(maps[2], 0, Encoding.UTF8.GetBytes("hay\n\e[31mNEE\e[0mDLE here\nnee"));

        Assert.Equal(["m-0 1 0 a needle", "m-2 1 4 NEEDLE here"], await FoundAsync("q=needle&limit=1"));
        Assert.Equal(["m-2 1 4 NEEDLE here"], await FoundAsync("q=NEEDLE&case=true"));
        Assert.Empty(await FoundAsync("q=nothing"));
        await CancelAsync(id);

        async Task<List<string>> FoundAsync(string query)
        {
            var (found, after) = (new List<string>(), "");
            for (var calls = 0; calls < 10; calls++)
            {
                var page = await hub.Client.GetFromJsonNodeAsync($"/hub/v1/jobs/{id}/log/merged/search?{query}{after}");
                found.AddRange(page["matches"]!.AsArray().Select(static m => $"{((string)m!["task"]!)[37..]} {m["attempt"]} {m["offset"]} {m["text"]}"));
                if ((bool)page["done"]!) break;
                after = $"&after={page["next"]}";
            }

            return found;
        }
    }

    [Fact]
    public async Task MergedLog_OfAHundredThousandTasks_IsReadAndSearchedInSomeCalls()
    {
        var id = await MapsAsync(1);
        var number = (long)(await hub.Client.GetFromJsonNodeAsync($"/hub/v1/jobs/{id}"))["number"]!;
        await ExecuteAsync($"""
            DELETE FROM live WHERE task_id >> 20 = {number};
            UPDATE job SET maps = 100000, paused = true WHERE number = {number};
            INSERT INTO attempt (task_id, number, token, outcome, reported, started_at, ended_at, log_inline, log_size)
            SELECT ({number}::bigint << 20) + i, 1, gen_random_uuid(), 0, true, now(), now(), CASE WHEN i % 2 = 0 THEN convert_to('line of ' || i || chr(10), 'UTF8') END, CASE WHEN i % 2 = 0 THEN 10 ELSE 0 END
            FROM generate_series(0, 99999) i
            """);
        Assert.Equal("m-99998 0 line of 99998", (await PageAsync(id, "tail=true&limit=1")).Lines[^1]);
        Assert.Equal("m-0 0 line of 0", (await PageAsync(id, "limit=1")).Lines[0]);
        var (calls, after) = (0, "");
        for (; ; calls++)
        {
            var page = await hub.Client.GetFromJsonNodeAsync($"/hub/v1/jobs/{id}/log/merged/search?q=of 99998{after}");
            if (page["matches"]!.AsArray() is [var match]) Assert.EndsWith("m-99998", (string)match!["task"]!);
            if ((bool)page["done"]!) break;
            after = $"&after={page["next"]}";
        }

        Assert.InRange(calls, 40, 60);
    }

    [Fact]
    public async Task Follow_OfAJob_TellsWhatAnyOfItsTasksPrintsInWholeLinesAndEndsWithIt()
    {
        var id = await MapsAsync(3);
        await using var worker = await WorkerDouble.OpenAsync(hub, mounts: ["/"]);
        var maps = await ClaimAsync(worker, id, 2);
        await worker.PrintAsync(maps[0], 0, "before it is followed\n"u8.ToArray());
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(120));
        using var stream = await FollowAsync(hub.Client, $"/hub/v1/jobs/{id}/log/merged?follow=true", limit.Token);
        Assert.Equal("", await stream.ReadLineAsync(limit.Token));

        await worker.PrintAsync(maps[1], 0, "half"u8.ToArray());
        await worker.PrintAsync(maps[0], 22, "one\n"u8.ToArray());
        Assert.Equal("m-0 22 one", await NextAsync());
        await worker.PrintAsync(maps[1], 4, " and whole\n"u8.ToArray());
        Assert.Equal("m-1 0 half and whole", await NextAsync());
        // Of one that ends the rest, and of one that is over before it is seen all of it.
        await FailAsync(worker, maps[0], "before it is followed\none\nthe rest");
        Assert.Equal("m-0 26 the rest", await NextAsync());
        var quick = Assert.Single(await ClaimAsync(worker, id, 1));
        await FailAsync(worker, quick, "quick\n");
        Assert.Equal("m-2 0 quick", await NextAsync());
        await CancelAsync(id);
        await worker.CompleteAsync(maps[1], AttemptOutcome.Canceled, log: "half and whole\nends\n");
        Assert.Equal("m-1 15 ends", await NextAsync());
        Assert.Null(await NextAsync());
        using var again = await FollowAsync(hub.Client, $"/hub/v1/jobs/{id}/log/merged?follow=true", limit.Token);
        Assert.Equal("", await again.ReadToEndAsync(limit.Token));

        async Task<string?> NextAsync()
        {
            while (await stream.ReadLineAsync(limit.Token) is { } line)
            {
                if (line.Length > 0) return LineOf(JsonNode.Parse(line)!);
            }

            return null;
        }
    }

    [Theory, InlineData("log/merged?follow=true", true), InlineData("log/merged?follow=true", false), InlineData("log?task=m-0&follow=true", true), InlineData("log?task=m-0&follow=true", false)]
    public async Task Follow_ByOneWhoMayNotAnyMore_Ends(string path, bool revoked)
    {
        var callers = new Callers(hub);
        var account = await callers.AccountAsync(Callers.Member);
        var token = await callers.TokenAsync(account);
        var id = await MapsAsync(1, await callers.ProjectAsync(members: account));
        using var member = hub.NewClient(token);
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(120));
        using var stream = await FollowAsync(member, $"/hub/v1/jobs/{id}/{path}", limit.Token);
        if (revoked) await ExecuteAsync("UPDATE access_token SET revoked_at = now() WHERE hash = $1", SHA256.HashData(Encoding.UTF8.GetBytes(token)));
        else await ExecuteAsync("DELETE FROM project_member WHERE account = $1", account);
        Assert.Equal("", (await stream.ReadToEndAsync(limit.Token)).Trim());
        using var admin = hub.NewClient(HubHost.AdminToken);
        using var cancel = await admin.PostAsync($"/hub/v1/jobs/{id}/cancel", null);
        Assert.Equal(HttpStatusCode.Accepted, cancel.StatusCode);
    }

    [Theory, InlineData("before=x", "before"), InlineData("after=m-9999.1.0", "after"), InlineData("before=m-0.1", "before")]
    public async Task BadPlace_IsNamed(string query, string field)
    {
        var id = await MapsAsync(1);
        using var answer = await hub.Client.GetAsync($"/hub/v1/jobs/{id}/log/merged?{query}");
        await answer.IsProblemAsync(HttpStatusCode.BadRequest, "invalid-field", field);
        await CancelAsync(id);
    }

    private static async Task<StreamReader> FollowAsync(HttpClient client, string path, CancellationToken ct)
    {
        var answer = await client.GetAsync(path, HttpCompletionOption.ResponseHeadersRead, ct);
        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        return new(await answer.Content.ReadAsStreamAsync(ct));
    }

    private async Task<List<string[]>> PagesAsync(string id, string query, string direction, int limit)
    {
        var pages = new List<string[]>();
        for (var calls = 0; calls < 30; calls++)
        {
            var (lines, next, done) = await PageAsync(id, $"limit={limit}{query}");
            if (lines.Length > 0) pages.Add(lines);
            if (done) return pages;
            query = $"&{direction}={next}";
        }

        return pages;
    }

    private async Task<(string[] Lines, string Next, bool Done)> PageAsync(string id, string query)
    {
        var page = await hub.Client.GetFromJsonNodeAsync($"/hub/v1/jobs/{id}/log/merged?{query}");
        return ([.. page["lines"]!.AsArray().Select(static line => LineOf(line!))], (string)page["next"]!, (bool)page["done"]!);
    }

    private static string LineOf(JsonNode line) => $"{((string)line["task"]!)[37..]} {line["offset"]} {(line["gap"] is { } gap ? $"({gap})" : (string)line["text"]!)}";

    private static Task<CompletionAnswer> FailAsync(WorkerDouble worker, AttemptSpec attempt, string log) =>
        worker.CompleteAsync(attempt, AttemptOutcome.Failed, exitCode: 1, error: new("exit-code", "1"), log: log);

    /// <summary>So many maps of a job, in their order.</summary>
    private async Task<AttemptSpec[]> ClaimAsync(WorkerDouble worker, string id, int count)
    {
        var number = (long)(await hub.Client.GetFromJsonNodeAsync($"/hub/v1/jobs/{id}"))["number"]!;
        var claimed = new List<AttemptSpec>();
        await Eventually.TrueAsync(async () =>
        {
            claimed.AddRange((await worker.ClaimAsync(count - claimed.Count)).Where(attempt => attempt.TaskId >> 20 == number));
            return claimed.Count == count;
        }, $"{count} maps are given out");
        return [.. claimed.OrderBy(static attempt => attempt.TaskId)];
    }

    /// <summary>A job of so many maps, none of which has run.</summary>
    private async Task<string> MapsAsync(int maps, string? project = null)
    {
        var submission = hub.Submission(hub.WriteInput($"{Guid.NewGuid():N}.txt", string.Concat(Enumerable.Repeat("text\n", maps))));
        submission["splitSize"] = 5;
        using var admin = hub.NewClient(HubHost.AdminToken);
        using var answer = await (project is null ? hub.Client : admin).PostAsync("/api/v1/jobs" + (project is null ? "" : $"?project={project}"), submission);
        Assert.Equal(HttpStatusCode.Created, answer.StatusCode);
        return (string)(await answer.JsonAsync())["id"]!;
    }


    private async Task CancelAsync(string id)
    {
        using var cancel = await hub.Client.PostAsync($"/hub/v1/jobs/{id}/cancel", null);
        Assert.Equal(HttpStatusCode.Accepted, cancel.StatusCode);
    }

    private async Task ExecuteAsync(string sql, params object[] values)
    {
        await using var command = hub.Services.GetRequiredService<NpgsqlDataSource>().CreateCommand(sql);
        foreach (var value in values) command.Parameters.AddWithValue(value);
        await command.ExecuteNonQueryAsync();
    }
}
