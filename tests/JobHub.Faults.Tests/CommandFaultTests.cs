using System.Globalization;
using System.Net;
using System.Text;
using System.Text.Json;
using JobHub.Faults.Tests.Hubs;
using JobHub.Faults.Tests.Ledger;
using JobHub.Testing;
using Xunit.Abstractions;

namespace JobHub.Faults.Tests;

/// <summary>Commands with files while what carries them is killed: every accepted job ends once, with one attempt's files, whole, and nothing else is in the store.</summary>
public class CommandFaultTests(ITestOutputHelper output)
{
    private const int Jobs = 30;

    [Theory]
    [InlineData(201, "worker")]
    [InlineData(202, "api")]
    [InlineData(203, "postgres")]
    public async Task Commands_WhenAProcessIsKilled_EndOnceWithOneAttemptsFiles(int seed, string victim)
    {
        await using var hub = await FaultHub.StartAsync(new HubOptions { Slots = 3 });
        await using var spare = victim == "worker" ? await SpareWorker.StartAsync(hub.Process, "spare", 2) : null;
        var submitting = SubmitAllAsync(hub, seed);
        var random = new Random(seed);
        for (var kill = 0; kill < 4; kill++)
        {
            await Eventually.TrueAsync(async () => await hub.CountAsync("SELECT count(*) FROM live WHERE session_id IS NOT NULL") > 0 || submitting.IsCompleted, "commands to run");
            // The moment is part of the fault.
            await Task.Delay(TimeSpan.FromMilliseconds(random.Next(50, 1200)));
            await hub.Process.WaitRestartedAsync(victim, await hub.Process.KillAsync(victim));
        }

        await submitting;
        foreach (var name in Names(seed)) await EndAsync(hub, name);

        var findings = new List<string>();
        for (var i = 0; i < Jobs; i++) await CheckAsync(hub, Names(seed)[i], Content(seed, i), findings);
        await ExpectAsync(hub, findings, "L1: jobs", Jobs, "SELECT count(*) FROM job");
        await ExpectAsync(hub, findings, "L1: ends", Jobs, "SELECT count(*) FROM ledger WHERE kind = 'job-ended'");
        await ExpectAsync(hub, findings, "L2: tasks with two winners", 0, "SELECT count(*) FROM (SELECT task_id FROM attempt WHERE outcome = 0 GROUP BY task_id HAVING count(*) > 1) d");
        await ExpectAsync(hub, findings, "L2: files of trees", Jobs * 3, "SELECT count(*) FROM file WHERE job > 0");
        await NothingElseAsync(hub, findings);
        output.WriteLine($"seed {seed}, jobs {Jobs}, kills of {victim} 4, attempts {await hub.CountAsync("SELECT count(*) FROM attempt")}, fenced {hub.Refused}");
        Assert.True(findings.Count == 0, $"seed {seed}\n{string.Join('\n', findings)}");
    }

    [Fact]
    public async Task Store_WithoutRoom_RefusesWholeUploads_AndFailsOnlyWhatDoesNotFit()
    {
        var folder = HubProcess.NewFolder();
        try
        {
            await using var disk = await SmallDisk.OfAsync(Path.Combine(folder, "store"), 48);
            await using var hub = await FaultHub.StartAsync(new HubOptions
            {
                DataFolder = folder, Slots = 1, Environment = new Dictionary<string, string?> { ["JobHub__Worker__StorePatience"] = "00:00:02" },
            });
            using (var form = new MultipartFormDataContent { { new StringContent("true"), "command" }, { new ByteArrayContent(new byte[1000]), "file[]", "/small" }, { new ByteArrayContent(new byte[60 << 20]), "file[]", "/big" } })
            using (var answer = await hub.Http.PostAsync("/jobs", form))
            {
                Assert.Equal(HttpStatusCode.InsufficientStorage, answer.StatusCode);
                Assert.Contains("urn:jobhub:storage-full", await answer.Content.ReadAsStringAsync());
            }

            using (var put = await hub.Http.PutAsync("/files?path=/big", new ByteArrayContent(new byte[60 << 20]))) Assert.Equal(HttpStatusCode.InsufficientStorage, put.StatusCode);
            Assert.Equal("""{"path":"/","entries":[]}""", await hub.Http.GetStringAsync("/files?path=/"));

            await SubmitAsync(hub, "too-much", "echo fits > small; head -c 60000000 /dev/zero > big", []);
            var failed = await EndAsync(hub, "too-much");
            Assert.Equal("FAILED", failed.GetProperty("status").GetString());
            Assert.Contains("store-unavailable", failed.GetProperty("error").GetProperty("message").GetString());
            await SubmitAsync(hub, "enough", "echo fits > small", []);
            Assert.Equal("COMPLETE", (await EndAsync(hub, "enough")).GetProperty("status").GetString());
            Assert.Equal("fits\n", await hub.Http.GetStringAsync("/files?path=/job/small"));
            var findings = new List<string>();
            await NothingElseAsync(hub, findings);
            Assert.Empty(findings);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static string[] Names(int seed) => [.. Enumerable.Range(0, Jobs).Select(i => string.Create(CultureInfo.InvariantCulture, $"run-{seed}-{i}"))];

    private static byte[] Content(int seed, int job)
    {
        var bytes = new byte[50_000 + (job * 1000)];
        new Random((seed * 1000) + job).NextBytes(bytes);
        return bytes;
    }

    private static Task SubmitAllAsync(FaultHub hub, int seed) => Parallel.ForAsync(0, Jobs, new ParallelOptions { MaxDegreeOfParallelism = 3 }, async (i, _) =>
        await SubmitAsync(hub, Names(seed)[i], "cat in > out; sleep 0.3; cat in >> out; echo $JOBHUB_ATTEMPT_NUMBER > number", Content(seed, i)));

    /// <summary>As a careful client does: one key, asked again until there is an answer.</summary>
    private static Task SubmitAsync(FaultHub hub, string name, string command, byte[] input) => Eventually.TrueAsync(async () =>
    {
        using var form = new MultipartFormDataContent { { new StringContent(command), "command" }, { new StringContent(name), "unique_id" }, { new ByteArrayContent(input), "file[]", "in" } };
        using var request = new HttpRequestMessage(HttpMethod.Post, "/jobs") { Content = form, Headers = { { "Idempotency-Key", name } } };
        using var answer = await hub.Http.SendAsync(request);
        if ((int)answer.StatusCode is >= 400 and < 500) throw new InvalidOperationException(await answer.Content.ReadAsStringAsync());
        return answer.StatusCode == HttpStatusCode.Created;
    }, $"the submission of {name}", TimeSpan.FromMinutes(3));

    private static Task<JsonElement> EndAsync(FaultHub hub, string name) => Eventually.GetAsync(async () =>
    {
        using var job = JsonDocument.Parse(await hub.Http.GetStringAsync($"/jobs/{name}"));
        return job.RootElement.Clone();
    }, job => job.GetProperty("status").GetString() is "COMPLETE" or "FAILED", $"the end of {name}", TimeSpan.FromMinutes(4));

    private static async Task CheckAsync(FaultHub hub, string name, byte[] input, List<string> findings)
    {
        var job = await EndAsync(hub, name);
        if (job.GetProperty("status").GetString() != "COMPLETE") findings.Add($"L1: {name} is {job}");
        foreach (var (path, expected) in new[] { ("in", input), ("out", [.. input, .. input]) })
        {
            var bytes = await hub.Http.GetByteArrayAsync($"/files?path=/job/{path}&job_id={name}");
            if (!bytes.AsSpan().SequenceEqual(expected)) findings.Add($"L2: {path} of {name} has {bytes.Length} bytes, or others than were written");
        }

        var number = Encoding.ASCII.GetString(await hub.Http.GetByteArrayAsync($"/files?path=/job/number&job_id={name}")).Trim();
        var winner = await hub.CountAsync($"SELECT t.attempt::bigint FROM task t JOIN job j ON j.number = t.id >> 20 WHERE j.name = '{name}'");
        if (number != winner.ToString(CultureInfo.InvariantCulture)) findings.Add($"L3: the files of {name} are of attempt {number}, the winner is {winner}");
    }

    /// <summary>L4 and L6: the store has what files refer to and nothing more, and nothing of ended attempts is on the machine.</summary>
    private static async Task NothingElseAsync(FaultHub hub, List<string> findings)
    {
        await hub.QueryAsync("UPDATE file_garbage SET due_at = clock_timestamp() RETURNING true", r => r.GetBoolean(0));
        string said = "";
        try
        {
            await Eventually.TrueAsync(async () =>
            {
                var referred = (await hub.QueryAsync("SELECT DISTINCT object FROM file", r => r.GetString(0))).ToHashSet();
                var stored = Directory.EnumerateFiles(hub.Store, "*", SearchOption.AllDirectories).Select(f => Path.GetRelativePath(hub.Store, f)).Where(f => f.Contains("/files/", StringComparison.Ordinal) || f.StartsWith(".tmp/", StringComparison.Ordinal))
                    .Select(f => f[(f.IndexOf('/') + 1)..]).ToHashSet();
                var captured = await hub.CountAsync("SELECT count(*) FROM captured_file");
                var scratch = Directory.EnumerateDirectories(hub.Scratch, "*", SearchOption.AllDirectories).Count(f => Guid.TryParseExact(Path.GetFileName(f), "N", out var _) && Path.GetFileName(Path.GetDirectoryName(f)) != "scratch");
                said = $"objects without a file {string.Join(", ", stored.Except(referred).Take(5))}; files without an object {string.Join(", ", referred.Except(stored).Take(5))}; captured {captured}; scratch folders {scratch}";
                return stored.SetEquals(referred) && captured == 0 && scratch == 0;
            }, "a store with what files refer to and nothing else");
        }
        catch (TimeoutException)
        {
            findings.Add("L4, L6: " + said);
        }
    }

    private static async Task ExpectAsync(FaultHub hub, List<string> findings, string what, long expected, string sql)
    {
        var found = await hub.CountAsync(sql);
        if (found != expected) findings.Add($"{what}: {found} and not {expected}");
    }
}
