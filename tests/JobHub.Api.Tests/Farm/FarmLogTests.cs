using System.Net;
using System.Text;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using JobHub.Engine.Attempts;
using JobHub.Engine.Protocol;
using JobHub.Testing;

namespace JobHub.Api.Tests.Farm;

/// <summary>GET /api/jobs/{id}/log: every run between its frames, as a JSON string.</summary>
public sealed partial class FarmLogTests(HubFixture fixture) : IClassFixture<HubFixture>
{
    private HttpClient Client => fixture.Hub.Client;

    [Fact]
    public async Task Log_OfRunsOneAfterAnother_FramesEachAndAppends()
    {
        var id = await Client.PutJobAsync("""{"command":"echo one\necho two","retry":3}""");
        Assert.Equal("", await LogAsync(id));
        await using var worker = await WorkerDouble.OpenAsync(fixture.Hub);
        var attempt = await ClaimAsync(worker, id);
        Assert.Equal(Frame(id, 1, worker, "echo one\necho two"), Undated(await LogAsync(id)));
        await worker.PrintAsync(attempt, 0, "half a li"u8.ToArray());
        Assert.Equal(Frame(id, 1, worker, "echo one\necho two") + "half a li", Undated(await LogAsync(id)));

        await worker.CompleteAsync(attempt, AttemptOutcome.Failed, exitCode: 3, error: new("exit-code", "The program ended with exit code 3."), log: "half a line");
        var first = Frame(id, 1, worker, "echo one\necho two") + "half a line\n* EXIT : 3\n* END run 1, DATE\n";
        Assert.Equal(first, Undated(await LogAsync(id)));

        await worker.CompleteAsync(await ClaimAsync(worker, id), AttemptOutcome.Failed, exitCode: null, signal: 9, error: new("signal", "Signal 9."), log: "a whole line\n");
        var second = Frame(id, 2, worker, "echo one\necho two") + "a whole line\n* SIGNAL : 9\n* EXIT : 137\n* END run 2, DATE\n";
        Assert.Equal(first + second, Undated(await LogAsync(id)));

        await worker.CompleteAsync(await ClaimAsync(worker, id), AttemptOutcome.TimedOut, exitCode: null, signal: 15, error: new("timeout", "It ran longer\nthan 5 s."), log: "");
        var third = Frame(id, 3, worker, "echo one\necho two") + "* TIMEOUT : It ran longer than 5 s.\n* SIGNAL : 15\n* EXIT : 143\n* END run 3, DATE\n";
        Assert.Equal(first + second + third, Undated(await LogAsync(id)));

        await worker.CompleteAsync(await ClaimAsync(worker, id), AttemptOutcome.Succeeded, log: "done\n");
        var fourth = Frame(id, 4, worker, "echo one\necho two") + "done\n* EXIT : 0\n* END run 4, DATE\n";
        Assert.Equal(first + second + third + fourth, Undated(await LogAsync(id)));
        Assert.Equal(("FINISHED", 4), ((string?)(await Client.JobAsync(id))["state"], (int)(await Client.JobAsync(id))["run_done"]!));
    }

    [Fact]
    public async Task Log_OfARunThatIsStoppedOrFailsToStart_SaysSo()
    {
        var id = await Client.PutJobAsync("""{"command":"x","retry":5}""");
        await using var worker = await WorkerDouble.OpenAsync(fixture.Hub);
        await worker.CompleteAsync(await ClaimAsync(worker, id), AttemptOutcome.Interrupted, exitCode: null, error: new("worker-stopping", "The worker stops."));
        await worker.CompleteAsync(await ClaimAsync(worker, id), AttemptOutcome.Failed, exitCode: null, error: new("dir-not-found", "There is no folder /x."));
        var log = Undated(await LogAsync(id));
        Assert.Contains("* STOPPED : The worker stops.\n* END run 1, DATE\n* START run 2", log);
        Assert.Contains("* ERROR : There is no folder /x.\n* END run 2, DATE\n", log);
        Assert.DoesNotContain("* EXIT", log);
    }

    [Fact]
    public async Task Log_AfterAReset_BeginsAnew()
    {
        var id = await Client.PutJobAsync("""{"command":"x"}""");
        await using var worker = await WorkerDouble.OpenAsync(fixture.Hub);
        await worker.CompleteAsync(await ClaimAsync(worker, id), AttemptOutcome.Succeeded, log: "before\n");
        await Client.IsOneAsync("POST", "/api/resetjobs", $"[{id}]");
        await Eventually.TrueAsync(async () => await Client.StateAsync(id) == "WAITING", "the job is reset");
        Assert.Equal("", await LogAsync(id));
        var job = await Client.JobAsync(id);
        Assert.Equal((0, 0L, 0L, "", null), ((int)job["run_done"]!, (long)job["start_time"]!, (long)job["duration"]!, (string?)job["worker"], job["progress"]));
        await worker.CompleteAsync(await ClaimAsync(worker, id), AttemptOutcome.Succeeded, log: "after\n");
        Assert.Equal(Frame(id, 1, worker, "x") + "after\n* EXIT : 0\n* END run 1, DATE\n", Undated(await LogAsync(id)));
    }

    [Fact]
    public async Task Log_FromAPlaceOrOfItsEnd_CountsTheBytesOfTheWhole()
    {
        var id = await Client.PutJobAsync("""{"command":"echo 木","retry":1}""");
        await using var worker = await WorkerDouble.OpenAsync(fixture.Hub);
        await worker.CompleteAsync(await ClaimAsync(worker, id), AttemptOutcome.Failed, exitCode: 1, error: new("exit-code", "1"), log: "first line\nsecond");
        await worker.CompleteAsync(await ClaimAsync(worker, id), AttemptOutcome.Succeeded, log: "third line\n");
        var whole = Encoding.UTF8.GetBytes(await LogAsync(id));
        for (var at = 0; at <= whole.Length + 1; at += at % 7 == 0 ? 3 : 1)
        {
            var rest = Encoding.UTF8.GetString(whole.AsSpan(Math.Min(at, whole.Length)));
            Assert.Equal(rest, await LogAsync(id, $"?offset={at}"));
            Assert.Equal(rest, await LogAsync(id, $"?tail={Math.Max(0, whole.Length - at)}"));
            Assert.Equal(rest, await LogAsync(id, $"?tail=99999999999&offset={at}"));
        }

        Assert.Equal("", await LogAsync(id, "?offset=9223372036854775807"));
        Assert.Equal("", await LogAsync(id, "?tail=0"));
        Assert.Equal(Encoding.UTF8.GetString(whole), await LogAsync(id, "?tail=9223372036854775807"));
    }

    [Fact]
    public async Task Log_OfAnyBytes_IsOneJsonString()
    {
        var id = await Client.PutJobAsync("""{"command":"x"}""");
        await using var worker = await WorkerDouble.OpenAsync(fixture.Hub);
        // Every byte, and a character of four bytes cut at its end.
        var bytes = Enumerable.Range(0, 256).Select(static b => (byte)b).Concat("\"quoted\" \\ </script> 😀\u2028"u8.ToArray()).Concat(new byte[] { 0xF0, 0x9F, 0x98 }).ToArray();
        await worker.CompleteAsync(await ClaimAsync(worker, id), AttemptOutcome.Succeeded, log: Encoding.Latin1.GetString(bytes));
        var log = await LogAsync(id);
        Assert.Contains(Encoding.UTF8.GetString(bytes), log);
        Assert.Contains("😀\u2028\ufffd\n* EXIT : 0\n", log);
        Assert.Equal(bytes, await Client.GetByteArrayAsync($"/hub/v1/jobs/{await HubIdAsync(id)}/log?task=c-0"));
    }

    [Fact]
    public async Task Log_OfManyMegabytes_IsReadFromAnyPlaceAndKeepsCharactersWhole()
    {
        var id = await Client.PutJobAsync("""{"command":"x"}""");
        await using var worker = await WorkerDouble.OpenAsync(fixture.Hub);
        var attempt = await ClaimAsync(worker, id);
        // An odd length, so that characters lie across every boundary there is.
        var line = Encoding.UTF8.GetBytes("木の下で😀 0123456789\n");
        var output = new byte[8 << 20];
        for (var at = 0; at < output.Length; at++) output[at] = line[at % line.Length];
        await worker.CompleteAsync(attempt, AttemptOutcome.Succeeded, stored: await worker.StoreLogAsync(attempt, [.. output[..(3 << 20)], .. output[(4 << 20)..]], output.Length, new LogGap(3 << 20, 1 << 20)));

        var log = await LogAsync(id);
        var head = Encoding.UTF8.GetByteCount(log[..log.IndexOf("木", StringComparison.Ordinal)]);
        var expected = Encoding.UTF8.GetString(output.AsSpan(0, 3 << 20)) + "\n* 1048576 bytes were not kept\n" + Encoding.UTF8.GetString(output.AsSpan(4 << 20));
        Assert.True(log[head..].StartsWith(expected, StringComparison.Ordinal), "The output is between its frames.");
        foreach (var at in (int[])[1, (3 << 20) - 1, 3 << 20, (3 << 20) + 5, 4 << 20, (4 << 20) + 1, (8 << 20) - 2])
        {
            var rest = await LogAsync(id, $"?offset={head + at}");
            var tail = Encoding.UTF8.GetString(output.AsSpan(Math.Max(at, 4 << 20)));
            Assert.Contains(tail, rest);
            Assert.True(rest.IndexOf(tail, StringComparison.Ordinal) == (at switch
            {
                < 3 << 20 => Encoding.UTF8.GetString(output.AsSpan(at..(3 << 20))).Length + "\n* 1048576 bytes were not kept\n".Length,
                < 4 << 20 => $"\n* {(4 << 20) - at} bytes were not kept\n".Length, _ => 0,
            }), $"from {at}");
        }
    }

    [Fact]
    public async Task Log_OfAGroup_IsEmpty() => Assert.Equal("", await LogAsync(await Client.PutJobAsync("{}")));

    private async Task<string> HubIdAsync(long number)
    {
        var page = JsonNode.Parse(await Client.GetStringAsync("/hub/v1/jobs?family=farm&limit=500"))!;
        return (string)page["items"]!.AsArray().Single(job => (long)job!["number"]! == number)!["id"]!;
    }

    private async Task<string> LogAsync(long id, string query = "")
    {
        using var answer = await Client.GetAsync($"/api/jobs/{id}/log{query}");
        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        return (string)(await answer.JsonAsync())!;
    }

    private async Task<AttemptSpec> ClaimAsync(WorkerDouble worker, long id) =>
        (await Eventually.GetAsync(async () => await worker.ClaimOfAsync(id), static attempt => attempt is not null, $"job {id} is given out"))!;

    private static string Frame(long id, int run, WorkerDouble worker, string command) => $"* START run {run} of job {id}\n* WORKER : {worker.Name}\n* DATE : DATE\n* COMMAND : {command}\n";

    private static string Undated(string log) => Date().Replace(log, "DATE");

    [GeneratedRegex(@"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC")]
    private static partial Regex Date();
}
