using System.Net;
using System.Text;
using JobHub.Api.Tests.Farm;
using JobHub.Engine.Attempts;
using JobHub.Engine.Protocol;
using JobHub.Testing;

namespace JobHub.Api.Tests.Hub;

/// <summary>Pieces of logs, searches in them and the log of a whole job, over each place that holds logs.</summary>
public sealed class LogPieceTests(HubFixture fixture) : IClassFixture<HubFixture>
{
    private readonly HubHost hub = fixture.Hub;

    [Fact]
    public async Task Tail_OfAnInlineLog_BeginsALine()
    {
        var id = await RunAsync("first line\nsecond line\nthird\n");
        Assert.Equal(("third\n", 23L, 29L), await PieceAsync(id, "tail=10"));
        Assert.Equal(("third\n", 23L, 29L), await PieceAsync(id, "tail=6"));
        Assert.Equal(("first line\nsecond line\nthird\n", 0L, 29L), await PieceAsync(id, "tail=1000"));
        Assert.Equal(("first line\nsecond line\n", 0L, 23L), await PieceAsync(id, "before=23"));
        Assert.Equal(("second line\n", 11L, 23L), await PieceAsync(id, "before=23&limit=13"));
        Assert.Equal(("first line\n", 0L, 11L), await PieceAsync(id, "offset=0&limit=15"));
        Assert.Equal(("second line\nthird\n", 11L, 29L), await PieceAsync(id, "offset=11&limit=18"));
        // A line longer than the piece is cut, and no character of it.
        Assert.Equal(("木木\n", 3L, 10L), await PieceAsync(await RunAsync("木木木\n"), "before=10&limit=8"));
    }

    [Fact]
    public async Task Pieces_OfAStoredLogWithAGap_KeepTheOffsetsOfWhatWasPrinted()
    {
        var id = await SubmitAsync();
        await using var worker = await WorkerDouble.OpenAsync(hub);
        var attempt = Assert.Single(await worker.ClaimAsync(1));
        var stored = await worker.StoreLogAsync(attempt, "head one\nhead two\ntail one\ntail TWO\n"u8.ToArray(), 1036, new LogGap(18, 1000));
        await worker.CompleteAsync(attempt, AttemptOutcome.Succeeded, stored: stored);

        Assert.Equal(("tail TWO\n", 1027L, 1036L), await PieceAsync(id, "tail=12"));
        Assert.Equal(("head two\ntail one\ntail TWO\n", 9L, 1036L), await PieceAsync(id, "tail=30"));
        Assert.Equal(("head one\n", 0L, 9L), await PieceAsync(id, "before=9"));
        Assert.Equal(("head two\ntail one\n", 9L, 1027L), await PieceAsync(id, "offset=9&limit=20"));
        Assert.Equal(("head one\nhead two\n", 0L, 1018L), await PieceAsync(id, "offset=0&limit=18"));

        var found = await hub.Client.GetFromJsonNodeAsync($"/hub/v1/jobs/{id}/log/search?q=two");
        Assert.Equal(["9 head two", "1027 tail TWO"], found["matches"]!.AsArray().Select(static m => $"{m!["offset"]} {m["text"]}"));
        Assert.True((bool)found["done"]!);
        var exact = await hub.Client.GetFromJsonNodeAsync($"/hub/v1/jobs/{id}/log/search?q=TWO&case=true");
        Assert.Equal(1027, (long)Assert.Single(exact["matches"]!.AsArray())!["offset"]!);
        var first = await hub.Client.GetFromJsonNodeAsync($"/hub/v1/jobs/{id}/log/search?q=one&limit=1");
        Assert.Equal((false, 9L), ((bool)first["done"]!, (long)first["next"]!));
        var second = await hub.Client.GetFromJsonNodeAsync($"/hub/v1/jobs/{id}/log/search?q=one&limit=1&after={first["next"]}");
        Assert.Equal(1018, (long)Assert.Single(second["matches"]!.AsArray())!["offset"]!);

        var merged = await hub.Client.GetFromJsonNodeAsync($"/hub/v1/jobs/{id}/log/merged");
        Assert.Equal(["0 head one ", "9 head two ", "18  1000", "1018 tail one ", "1027 tail TWO "], merged["lines"]!.AsArray().Select(static l => $"{l!["offset"]} {l["text"]} {l["gap"]}"));
    }

    [Fact]
    public async Task Search_WhileItRuns_GoesOnWithTheLineThatWasNotWhole()
    {
        var id = await SubmitAsync();
        await using var worker = await WorkerDouble.OpenAsync(hub);
        var attempt = Assert.Single(await worker.ClaimAsync(1));
        await worker.PrintAsync(attempt, 0, Encoding.UTF8.GetBytes("noise\n\e[31mwa\e[0mrn: one\nwar"));
        Assert.Equal(("war", 25L, 28L), await PieceAsync(id, "tail=5"));
        var found = await hub.Client.GetFromJsonNodeAsync($"/hub/v1/jobs/{id}/log/search?q=warn");
        // Colours are no part of the text.
        Assert.Equal("warn: one", (string?)Assert.Single(found["matches"]!.AsArray())!["text"]);
        await worker.PrintAsync(attempt, 28, "n: two\n"u8.ToArray());
        var more = await hub.Client.GetFromJsonNodeAsync($"/hub/v1/jobs/{id}/log/search?q=warn&after={found["next"]}");
        Assert.Equal("warn: two", (string?)Assert.Single(more["matches"]!.AsArray())!["text"]);
        await worker.CompleteAsync(attempt, AttemptOutcome.Canceled);
    }

    [Fact]
    public async Task Search_InALineWithoutAnEnd_FindsWhatLiesAcrossItsStretches()
    {
        var text = new string('x', (16 << 10) - 3) + "needle" + new string('y', 50_000);
        var id = await RunAsync(text);
        var found = await hub.Client.GetFromJsonNodeAsync($"/hub/v1/jobs/{id}/log/search?q=needle");
        var match = Assert.Single(found["matches"]!.AsArray())!;
        Assert.Contains("needle", (string?)match["text"], StringComparison.Ordinal);
        Assert.True(((string)match["text"]!).Length <= 300);
    }

    [Fact]
    public async Task Search_InAVeryLongLineWithoutAnEnd_GoesOnInTheNextCallAndMissesNothing()
    {
        const int Stretch = 16 << 10, Text = 17 << 20;
        var printed = new byte[Text];
        Array.Fill(printed, (byte)'x');
        // Across the end of the stretch that a call ends with.
        "needle"u8.CopyTo(printed.AsSpan((16 << 20) + Stretch - 3));
        var id = await SubmitAsync();
        await using var worker = await WorkerDouble.OpenAsync(hub);
        var attempt = Assert.Single(await worker.ClaimAsync(1));
        await worker.CompleteAsync(attempt, AttemptOutcome.Succeeded, stored: await worker.StoreLogAsync(attempt, printed, Text));

        var first = await hub.Client.GetFromJsonNodeAsync($"/hub/v1/jobs/{id}/log/search?q=needle");
        Assert.Empty(first["matches"]!.AsArray());
        Assert.False((bool)first["done"]!);
        var second = await hub.Client.GetFromJsonNodeAsync($"/hub/v1/jobs/{id}/log/search?q=needle&after={first["next"]}");
        Assert.Single(second["matches"]!.AsArray());
        Assert.True((bool)second["done"]!);
    }

    [Fact]
    public async Task MergedLog_OfEmptyLines_HasABoundedNumberOfThem()
    {
        var id = await RunAsync(new string('\n', 12_000));
        var (after, pages) = ("", new List<int>());
        for (var i = 0; i < 5; i++)
        {
            var page = await hub.Client.GetFromJsonNodeAsync($"/hub/v1/jobs/{id}/log/merged?limit=1048576{after}");
            pages.Add(page["lines"]!.AsArray().Count);
            after = $"&after={page["next"]}";
            if ((bool)page["done"]!) break;
        }

        Assert.Equal([5000, 5000, 2000], pages);
    }

    [Fact]
    public async Task MergedLog_OfAJobThatRanTwice_IsReadInPiecesAttemptAfterAttempt()
    {
        var number = await hub.Client.PutJobAsync("""{"command":"x","retry":1}""");
        var id = (string)(await hub.Client.GetFromJsonNodeAsync($"/hub/v1/jobs?ids={number}"))["items"]![0]!["id"]!;
        await using var worker = await WorkerDouble.OpenAsync(hub);
        var first = Assert.Single(await worker.ClaimAsync(1));
        await worker.CompleteAsync(first, AttemptOutcome.Failed, exitCode: 1, error: new("exit-code", "1"), log: "one\ntwo\n");
        await Eventually.TrueAsync(async () =>
        {
            if (await worker.ClaimAsync(1) is not [var second]) return false;
            await worker.PrintAsync(second, 0, "again\n"u8.ToArray());
            return true;
        }, "it runs again");
        var (after, seen) = ("", new List<string>());
        for (var i = 0; i < 20; i++)
        {
            var page = await hub.Client.GetFromJsonNodeAsync($"/hub/v1/jobs/{id}/log/merged?limit=1{after}");
            seen.AddRange(page["lines"]!.AsArray().Select(static l => $"{((string)l!["task"]!)[37..]} {l["attempt"]} {l["offset"]} {l["text"]}"));
            after = $"&after={page["next"]}";
            if ((bool)page["done"]!) break;
        }

        Assert.Equal(["c-0 1 0 one", "c-0 1 4 two", "c-0 2 0 again"], seen);
    }

    [Fact]
    public async Task Download_HasASafeName()
    {
        var id = await RunAsync("text\n");
        using var answer = await hub.Client.GetAsync($"/hub/v1/jobs/{id}/log?download=true");
        Assert.Equal($"{id}-c-0.1.log", answer.Content.Headers.ContentDisposition?.FileNameStar ?? answer.Content.Headers.ContentDisposition?.FileName);
        Assert.Equal("text\n", await answer.Content.ReadAsStringAsync());
    }

    [Theory]
    [InlineData("log?tail=9999999", "tail"), InlineData("log?tail=1&before=2", "tail"), InlineData("log?before=-1", "before"), InlineData("log/search", "q"), InlineData("log/search?q=x&limit=0", "limit")]
    [InlineData("log/merged?after=x", "after"), InlineData("log/merged?limit=9999999", "limit")]
    public async Task BadQuery_IsNamed(string path, string field)
    {
        var id = await SubmitAsync();
        using var answer = await hub.Client.GetAsync($"/hub/v1/jobs/{id}/{path}");
        await answer.IsProblemAsync(HttpStatusCode.BadRequest, "invalid-field", field);
        using var cancel = await hub.Client.PostAsync($"/hub/v1/jobs/{id}/cancel", null);
    }

    private async Task<(string Text, long Offset, long End)> PieceAsync(string id, string query)
    {
        using var answer = await hub.Client.GetAsync($"/hub/v1/jobs/{id}/log?{query}");
        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        return (await answer.Content.ReadAsStringAsync(), long.Parse(answer.Headers.GetValues("JobHub-Log-Offset").Single()), long.Parse(answer.Headers.GetValues("JobHub-Log-End").Single()));
    }

    /// <summary>A command that has printed this.</summary>
    private async Task<string> RunAsync(string printed)
    {
        var id = await SubmitAsync();
        await using var worker = await WorkerDouble.OpenAsync(hub);
        var attempt = Assert.Single(await worker.ClaimAsync(1));
        await worker.CompleteAsync(attempt, AttemptOutcome.Succeeded, stored: new(Encoding.UTF8.GetBytes(printed), null, Encoding.UTF8.GetByteCount(printed), null));
        return id;
    }

    private async Task<string> SubmitAsync()
    {
        using var answer = await hub.Client.PostAsync("/jobs", """{"command":"true"}""".AsJson());
        Assert.True(answer.IsSuccessStatusCode);
        return answer.Headers.Location!.ToString().Split('/')[^1];
    }
}
