using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Net.Http.Json;
using System.Text.Json.Nodes;
using JobHub.Testing;

namespace JobHub.AppHost.Tests.Farm;

/// <summary>A studio's afternoon: groups of frames with priorities, affinities and a dependency, agents of three kinds and two of the original workers.</summary>
public sealed class StudioTests
{
    private const int Frames = 1000;
    private static readonly (string Affinity, int Priority)[] Groups =
        [("LINUX", 50), ("LINUX", 90), ("LINUX", 10), ("GPU", 20), ("GPU", 70), ("", 30), ("", 60), ("", 5), ("", 80), ("LINUX,GPU", 40)];

    [Fact]
    public async Task Studio_OfTenGroupsAndFiveWorkers_RendersEachFrameOnceInOrder()
    {
        await using var hub = await HubProcess.StartAsync(new HubOptions { Slots = 2 });
        using var http = hub.CreateClient();
        http.Timeout = TimeSpan.FromMinutes(2);
        var own = (await WorkersAsync(http)).Single();
        await SendAsync(http, HttpMethod.Post, "/api/stopworkers", new JsonArray(own));
        var ledger = Path.Combine(hub.DataFolder, "frames");
        await File.WriteAllTextAsync(ledger, "");
        File.SetUnixFileMode(ledger, (UnixFileMode)0x1b6);

        var root = await MakeAsync(http, new JsonObject { ["title"] = "film" });
        var groups = new List<long>();
        foreach (var (affinity, priority) in Groups)
            groups.Add(await MakeAsync(http, new JsonObject { ["parent"] = root, ["title"] = $"shot {groups.Count}", ["affinity"] = affinity, ["priority"] = priority }));
        // The ninth group composes what the seventh has rendered.
        await SendAsync(http, HttpMethod.Post, $"/api/jobs/{groups[8]}/dependencies", new JsonArray(groups[6]));
        var frames = new Dictionary<long, int>();
        for (var g = 0; g < groups.Count; g++)
        {
            var group = groups[g];
            var ids = await SendAsync(http, HttpMethod.Put, "/api/jobs", new JsonArray([.. Enumerable.Range(0, Frames).Select(i => (JsonNode)new JsonObject
            {
                ["parent"] = group, ["title"] = $"frame {i}", ["command"] = $"echo {group}.{i} >> $(LEDGER)", ["environment"] = $"LEDGER={ledger}",
            })]));
            foreach (var id in ids.AsArray()) frames[(long)id!] = g;
        }

        await using var linux = await SpareWorker.StartAsync(hub, "linux", 2, "LINUX");
        await using var gpu = await SpareWorker.StartAsync(hub, "gpu", 2, "LINUX,GPU", "GPU");
        using var over = new CancellationTokenSource();
        var byForms = new ConcurrentBag<long>();
        var watching = WatchAsync(http, root, over.Token);
        await SendAsync(http, HttpMethod.Post, "/api/startworkers", new JsonArray(own));
        var original = Enumerable.Range(0, 2).Select(i => OriginalWorkerAsync(hub.Api, $"original-{i}", byForms, over.Token)).ToArray();

        await Eventually.TrueAsync(async () => (string?)(await http.GetFromJsonAsync<JsonNode>($"/api/jobs/{root}"))!["state"] == "FINISHED", "the film is rendered", TimeSpan.FromMinutes(5));
        await over.CancelAsync();
        await Task.WhenAll(original);
        Assert.True(await watching > 3);

        var printed = await File.ReadAllLinesAsync(ledger);
        Assert.Equal(printed.Length, printed.Distinct().Count());
        Assert.Equal(byForms.Count, byForms.Distinct().Count());
        Assert.NotEmpty(byForms);
        Assert.Equal(Groups.Length * Frames, printed.Length + byForms.Count);
        var runs = (await http.GetFromJsonAsync<JsonArray>("/api/events"))!;
        // A run that a worker lost on the way is told as well, and as what it was.
        Assert.Equal(frames.Keys.Order(), runs.Where(e => (string?)e!["state"] == "FINISHED").Select(e => (long)e!["job_id"]!).Order());
        Assert.All(runs, e => Assert.Contains((string?)e!["state"], new[] { "FINISHED", "WAITING" }));
        Assert.Equal(5, runs.Select(e => (string?)e!["worker"]).Distinct().Count());
        // Runs are numbered as they were given out.
        var order = runs.GroupBy(e => frames[(long)e!["job_id"]!]).ToDictionary(g => g.Key, g => g.Select(e => (long)e!["id"]!).Order().ToArray());
        Assert.True(order[8][0] > order[6][^1], "the dependent group began after its dependency was done");
        foreach (var affinity in Groups.Select(g => g.Affinity).Distinct())
        {
            int[] ranked = [.. Enumerable.Range(0, Groups.Length).Where(g => Groups[g].Affinity == affinity && g != 8).OrderByDescending(g => Groups[g].Priority)];
            // Workers take ahead of them what they run in a moment, so neighbours overlap by less than half.
            foreach (var (first, second) in ranked.Zip(ranked.Skip(1))) Assert.True(order[second][0] > order[first][Frames / 2], $"group {first} goes before group {second}");
        }

        foreach (var (group, node) in groups.Zip((await http.GetFromJsonAsync<JsonArray>($"/api/jobs/{root}/children"))!))
            Assert.Equal((group, Frames, Frames, 0, 0), ((long)node!["id"]!, (int)node["total"]!, (int)node["total_finished"]!, (int)node["total_errors"]!, (int)node["total_working"]!));
    }

    /// <summary>Reads the counters as fast as it can; returns how often.</summary>
    private static async Task<int> WatchAsync(HttpClient http, long root, CancellationToken over)
    {
        var (finished, reads) = (0, 0);
        while (!over.IsCancellationRequested)
        {
            var film = (await http.GetFromJsonAsync<JsonArray>("/api/jobs", CancellationToken.None))!.Single(j => (long)j!["id"]! == root)!;
            var (total, now, errors, working) = ((int)film["total"]!, (int)film["total_finished"]!, (int)film["total_errors"]!, (int)film["total_working"]!);
            Assert.Equal(0, total);
            Assert.Equal(0, errors);
            Assert.True(now >= finished && working >= 0 && now + working <= Groups.Length * Frames, $"{finished} then {now} finished, {working} working");
            var sum = (await http.GetFromJsonAsync<JsonArray>($"/api/jobs/{root}/children", CancellationToken.None))!.Sum(j => (int)j!["total_finished"]!);
            Assert.True(sum >= now && sum <= Groups.Length * Frames);
            (finished, reads) = (now, reads + 1);
        }

        return reads;
    }

    private static async Task OriginalWorkerAsync(Uri api, string name, ConcurrentBag<long> done, CancellationToken over)
    {
        using var http = new HttpClient { BaseAddress = api };
        while (!over.IsCancellationRequested)
        {
            var picked = await FormAsync(http, "pickjob", ("hostname", name), ("load", "[43]"), ("free_memory", "100"), ("total_memory", "1000"));
            var id = long.Parse(picked[1..picked.IndexOf(',', StringComparison.Ordinal)], CultureInfo.InvariantCulture);
            if (id < 0)
            {
                await Task.Delay(50, CancellationToken.None);
                continue;
            }

            var text = id.ToString(CultureInfo.InvariantCulture);
            Assert.Equal("true", await FormAsync(http, "heartbeat", ("hostname", name), ("jobId", text), ("log", Convert.ToBase64String("rendered\n"u8)), ("load", "[43]"), ("free_memory", "100"), ("total_memory", "1000")));
            Assert.Equal("1", await FormAsync(http, "endjob", ("hostname", name), ("jobId", text), ("errorCode", "0")));
            done.Add(id);
        }
    }

    private static async Task<string> FormAsync(HttpClient http, string call, params (string Name, string Value)[] fields)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, $"/workers/{call}") { Content = new FormUrlEncodedContent(fields.Select(f => KeyValuePair.Create(f.Name, f.Value))) };
        request.Headers.ConnectionClose = true;
        using var answer = await http.SendAsync(request);
        var text = await answer.Content.ReadAsStringAsync();
        Assert.True(answer.StatusCode == HttpStatusCode.OK, text);
        return text;
    }

    private static async Task<string[]> WorkersAsync(HttpClient http) =>
        await Eventually.GetAsync(async () => (await http.GetFromJsonAsync<JsonArray>("/api/workers"))!.Select(w => (string)w!["name"]!).ToArray(), names => names.Length == 1, "the hub's own worker is listed");

    private static async Task<long> MakeAsync(HttpClient http, JsonObject job) => (long)await SendAsync(http, HttpMethod.Put, "/api/jobs", job);

    private static async Task<JsonNode> SendAsync(HttpClient http, HttpMethod method, string path, JsonNode body)
    {
        using var request = new HttpRequestMessage(method, path) { Content = JsonContent.Create(body) };
        using var answer = await http.SendAsync(request);
        var text = await answer.Content.ReadAsStringAsync();
        Assert.True(answer.StatusCode == HttpStatusCode.OK, text);
        return JsonNode.Parse(text)!;
    }
}
