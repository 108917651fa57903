using System.Collections.Concurrent;
using System.Globalization;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using JobHub.Faults.Tests.Hubs;
using JobHub.Faults.Tests.Ledger;
using JobHub.Testing;

namespace JobHub.Faults.Tests;

/// <summary>A tree of jobs as a farm's clients make it, and what is read of it all the time that faults happen.</summary>
public sealed class FarmTree
{
    private readonly FaultHub hub;
    private readonly Dictionary<long, bool> leaves = [];

    private FarmTree(FaultHub hub) => this.hub = hub;

    public long Root { get; private set; }

    public List<long> Groups { get; } = [];

    public List<long> Subgroups { get; } = [];

    /// <summary>Leaves, and whether each fails.</summary>
    public IReadOnlyDictionary<long, bool> Leaves => leaves;

    /// <summary>A root, groups in it, subgroups in these, and leaves in every one of the last; a tenth of the leaves fails.</summary>
    public static async Task<FarmTree> MakeAsync(FaultHub hub, int seed, int groups, int subgroups, int leaves, double work = 0.05)
    {
        var tree = new FarmTree(hub);
        var random = new Random(seed);
        tree.Root = (await tree.CreateAsync([new Dictionary<string, object> { ["title"] = $"root {seed}" }]))[0];
        tree.Groups.AddRange(await tree.CreateAsync(Enumerable.Range(0, groups).Select(g => new Dictionary<string, object> { ["parent"] = tree.Root, ["title"] = $"group {g}" })));
        tree.Subgroups.AddRange(await tree.CreateAsync(tree.Groups.SelectMany(g => Enumerable.Range(0, subgroups).Select(s => new Dictionary<string, object> { ["parent"] = g, ["title"] = $"subgroup {s}" }))));
        var fails = tree.Subgroups.SelectMany(_ => Enumerable.Range(0, leaves)).Select(_ => random.Next(10) == 0).ToArray();
        var seconds = work.ToString(CultureInfo.InvariantCulture);
        var ids = await tree.CreateAsync(tree.Subgroups.SelectMany(s => Enumerable.Range(0, leaves).Select(_ => s)).Select((s, i) => new Dictionary<string, object>
        {
            ["parent"] = s, ["title"] = $"leaf {i}", ["environment"] = $"LEDGER={hub.Ledger.Pipe}",
            ["command"] = $"{ProgramLedger.Say}say start\nsleep {seconds}\n{(fails[i] ? "exit 3" : "say commit")}",
        }));
        for (var i = 0; i < ids.Count; i++) tree.leaves[ids[i]] = fails[i];
        return tree;
    }

    /// <summary>A call on subtrees, asked again until it is answered; false when one of them is not there.</summary>
    public async Task<bool> CallAsync(string call, params long[] ids)
    {
        var done = false;
        await Eventually.TrueAsync(async () =>
        {
            using var request = call == "delete"
                ? new HttpRequestMessage(HttpMethod.Delete, "/api/jobs") { Content = JsonContent.Create(ids) }
                : new HttpRequestMessage(HttpMethod.Post, $"/api/{call}") { Content = JsonContent.Create(ids) };
            using var answer = await hub.Http.SendAsync(request);
            done = answer.IsSuccessStatusCode;
            if (done) Assert.Equal("1", await answer.Content.ReadAsStringAsync());
            return done || (int)answer.StatusCode == 404;
        }, $"an answer to {call}", TimeSpan.FromMinutes(2));
        return done;
    }

    public async Task<JsonElement> JobAsync(long id) => await ReadAsync($"/api/jobs/{id}");

    public async Task<JsonElement[]> ChildrenAsync(long id) => [.. (await ReadAsync($"/api/jobs/{id}/children")).EnumerateArray()];

    /// <summary>Waits until every leaf has ended and no change of the tree is under way.</summary>
    public Task EndAsync(int count, TimeSpan limit) => Eventually.TrueAsync(async () =>
    {
        if (await hub.CountAsync("SELECT count(*) FROM tree_change") > 0) return false;
        var root = await JobAsync(Root);
        return Number(root, "total_finished") + Number(root, "total_errors") == count && root.GetProperty("state").GetString() is "FINISHED" or "ERROR";
    }, "the end of the tree", limit);

    /// <summary>What a group says of its leaves, wherever it says it: none negative, and never more than there are.</summary>
    public static IEnumerable<string> FaultsOf(JsonElement job, int most)
    {
        foreach (var prefix in (string[])["", "total_"])
        {
            var total = prefix.Length == 0 ? Number(job, "total") : most;
            var (ok, bad, working) = (Number(job, $"{prefix}finished"), Number(job, $"{prefix}errors"), Number(job, $"{prefix}working"));
            if (ok < 0 || bad < 0 || working < 0 || ok + bad + working > total || total > most || total < 0)
                yield return $"L5: job {Number(job, "id")} of at most {most} leaves says {prefix}finished {ok}, errors {bad}, working {working}, total {total}";
        }
    }

    public static long Number(JsonElement job, string name) => job.GetProperty(name).GetInt64();

    private async Task<JsonElement> ReadAsync(string path)
    {
        using var answer = await hub.Http.GetAsync(path);
        answer.EnsureSuccessStatusCode();
        return (await answer.Content.ReadFromJsonAsync<JsonElement>()).Clone();
    }

    private async Task<IReadOnlyList<long>> CreateAsync(IEnumerable<Dictionary<string, object>> jobs)
    {
        var body = JsonSerializer.Serialize(jobs);
        var key = Guid.NewGuid().ToString("N");
        return await Eventually.GetAsync(async () =>
        {
            using var request = new HttpRequestMessage(HttpMethod.Put, "/api/jobs") { Content = new StringContent(body, Encoding.UTF8, "application/json"), Headers = { { "Idempotency-Key", key } } };
            using var answer = await hub.Http.SendAsync(request);
            var text = await answer.Content.ReadAsStringAsync();
            return answer.IsSuccessStatusCode ? JsonSerializer.Deserialize<long[]>(text)! : throw new HttpRequestException($"{(int)answer.StatusCode} {text}");
        }, ids => ids.Length > 0, "new jobs", TimeSpan.FromMinutes(2));
    }
}

/// <summary>Reads the groups of a tree over and over. A hub that does not answer is no finding; a wrong answer is.</summary>
public sealed class FarmWatch : IAsyncDisposable
{
    private readonly FarmTree tree;
    private readonly bool onlyForward;
    private readonly CancellationTokenSource stop = new();
    private readonly Dictionary<long, long> ended = [];
    private readonly Task loop;

    /// <param name="onlyForward">Nothing is made to run again or removed: what has ended stays so.</param>
    public FarmWatch(FarmTree tree, bool onlyForward)
    {
        (this.tree, this.onlyForward) = (tree, onlyForward);
        loop = Task.Run(WatchAsync);
    }

    public ConcurrentQueue<string> Findings { get; } = new();

    public int Reads { get; private set; }

    public async ValueTask DisposeAsync()
    {
        await stop.CancelAsync();
        await loop;
        stop.Dispose();
    }

    private async Task WatchAsync()
    {
        while (!stop.IsCancellationRequested)
        {
            try
            {
                Check(await tree.JobAsync(tree.Root), tree.Leaves.Count);
                foreach (var group in await tree.ChildrenAsync(tree.Root)) Check(group, tree.Leaves.Count / tree.Groups.Count);
                foreach (var group in tree.Groups)
                {
                    foreach (var subgroup in await tree.ChildrenAsync(group)) Check(subgroup, tree.Leaves.Count / tree.Subgroups.Count);
                }
            }
            catch (Exception e) when (e is HttpRequestException or OperationCanceledException or IOException)
            {
                // Down just now, or deleted.
            }

            await Task.Delay(20, stop.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private void Check(JsonElement group, int most)
    {
        Reads++;
        foreach (var fault in FarmTree.FaultsOf(group, most)) Findings.Enqueue(fault);
        if (!onlyForward) return;
        var (id, now) = (FarmTree.Number(group, "id"), FarmTree.Number(group, "total_finished") + FarmTree.Number(group, "total_errors"));
        if (now < ended.GetValueOrDefault(id)) Findings.Enqueue($"L5: job {id} went back from {ended[id]} ended leaves to {now}");
        ended[id] = now;
        if (tree.Subgroups.Contains(id) && FarmTree.Number(group, "total") != most) Findings.Enqueue($"L5: job {id} has {FarmTree.Number(group, "total")} leaves and not {most}");
    }
}
