using System.Text;
using System.Text.Json;
using JobHub.Faults.Tests.Hubs;
using JobHub.Faults.Tests.Ledger;
using JobHub.Faults.Tests.Runs;

namespace JobHub.Faults.Tests;

/// <summary>Programs that misbehave.</summary>
public class ProgramTests(ProgramHub fixture) : IClassFixture<ProgramHub>
{
    private const string Start = "#!/bin/sh\n" + ProgramLedger.Say + "say start\necho 'this is said' >&2\n";
    private readonly FaultHub hub = fixture.Hub;

    [Theory]
    [InlineData("exit 3", "exit-code", "exit code 3")]
    [InlineData("kill -SEGV $$", "signal", "signal 11")]
    [InlineData("kill -KILL $$", "signal", "signal 9")]
    [InlineData("cat; exit 3", "exit-code", "exit code 3")]
    [InlineData("exec sleep 600", "timeout", "")]
    [InlineData("trap '' TERM INT HUP; while :; do sleep 1; done", "timeout", "")]
    [InlineData("exec < /dev/null > /dev/null 2>&1; exec sleep 600", "timeout", "")]
    [InlineData("ulimit -v 400000; exec python3 -c 'x = [b\"x\" * 1000000 for _ in range(1000)]'", "exit-code", "MemoryError")]
    [InlineData("(setsid sh -c 'trap \"\" TERM; sleep 600' &) & exec sleep 600", "timeout", "")]
    [InlineData("for i in $(seq 100); do sleep 600 & done; exit 4", "exit-code", "exit code 4")]
    public async Task Mapper_ThatGoesWrong_FailsTheJobWithItsCauseAndItsLog(string script, string type, string message)
    {
        var (id, job) = await RunAsync(script + "\n", timeout: type == "timeout" ? 1 : null);

        Assert.Equal("Failed", job.GetProperty("state").GetString());
        var error = job.GetProperty("error");
        Assert.Equal(type, error.GetProperty("type").GetString());
        Assert.Contains(message, error.GetProperty("message").GetString());
        Assert.Equal($"{id}-m-0", error.GetProperty("taskId").GetString());
        Assert.StartsWith("this is said\n", Encoding.UTF8.GetString((await hub.LogAsync(id, $"{id}-m-0")).Bytes));
        await CheckAsync(id);
    }

    [Theory]
    [InlineData("(setsid sh -c 'trap \"\" TERM; sleep 600' > /dev/null 2>&1 &); echo done", "done\n")]
    [InlineData("(setsid sleep 600 &); (sleep 600 &); echo done", "done\n")]
    [InlineData("exec <&-; echo done", "done\n")]
    [InlineData("echo done; exec >&-; sleep 0.2", "done\n")]
    [InlineData("sleep 0.2; echo done", "done\n")]
    [InlineData("printf 'no newline'", "no newline\n")]
    [InlineData("head -n 1 > /dev/null; echo done", "done\n")]
    public async Task Mapper_ThatIsOddButContent_Succeeds(string script, string expected)
    {
        var (id, job) = await RunAsync(script + "\n", bytes: 5_000_000);

        Assert.Equal("Succeeded", job.GetProperty("state").GetString());
        Assert.Equal(expected, (await File.ReadAllTextAsync(Path.Combine(hub.OutputOf(id), "part-00000"))).Replace("\t", "", StringComparison.Ordinal));
        await CheckAsync(id, succeeded: true);
    }

    [Fact]
    public async Task Mapper_ThatPrintsVeryMuch_KeepsHeadAndTailOfItsLogAndAGap()
    {
        var lines = FaultHub.IsLong ? 100_000_000L : 3_000_000L;
        var (id, job) = await RunAsync($"seq -f 'line %096.0f' 1 {lines} >&2\n", timeout: 3600);

        Assert.Equal("Succeeded", job.GetProperty("state").GetString());
        var (log, size, gaps) = await hub.LogAsync(id, $"{id}-m-0");
        // "line ", 96 digits and the end of the line.
        Assert.Equal("this is said\n".Length + (lines * 102), size);
        var gap = Assert.Single(gaps.Split(',', StringSplitOptions.TrimEntries)).Split('+').Select(long.Parse).ToArray();
        Assert.Equal(size - gap[1], log.Length);
        Assert.StartsWith("this is said\nline 0", Encoding.ASCII.GetString(log, 0, 100));
        Assert.EndsWith($"{lines}\n", Encoding.ASCII.GetString(log, log.Length - 50, 50));
        // What follows the gap stands where it stood: whole lines, counted from the beginning.
        var after = gap[0] + gap[1];
        var next = (after - 13 + 101) / 102;
        var at = (int)(gap[0] + (next * 102) + 13 - after);
        Assert.Equal($"line {next + 1:D96}\n", Encoding.ASCII.GetString(log, at, 102));
        await CheckAsync(id, succeeded: true);
    }

    [Fact]
    public async Task Mapper_ThatPrintsOneLongRecordWithoutAnEnd_KeepsIt()
    {
        var (id, job) = await RunAsync("head -c 20000000 /dev/zero | tr '\\0' k\n");

        Assert.Equal("Succeeded", job.GetProperty("state").GetString());
        var part = await File.ReadAllBytesAsync(Path.Combine(hub.OutputOf(id), "part-00000"));
        Assert.Equal(20_000_000, part.Count(b => b == 'k'));
        await CheckAsync(id, succeeded: true);
    }

    private async Task<(string Id, JsonElement Job)> RunAsync(string script, double? timeout = null, int bytes = 100)
    {
        var name = $"p{Guid.NewGuid():N}.sh";
        await hub.UploadAsync(name, Start + script);
        var line = Encoding.ASCII.GetBytes(new string('x', 99) + "\n");
        var input = hub.Input(Enumerable.Repeat(line, bytes / 100).SelectMany(l => l).ToArray());
        var id = await hub.SubmitAsync(new FaultJob(name, "cat.sh", input) { Reducers = 1, MaxAttempts = 1, TimeoutSeconds = timeout });
        return (id, await hub.EndAsync(id));
    }

    private async Task CheckAsync(string id, bool succeeded = false)
    {
        var checker = new LedgerChecker(hub);
        Assert.Empty(await checker.CheckAsync(succeeded ? new Dictionary<string, WordCount?>() : new Dictionary<string, WordCount?> { [id] = null }));
    }
}
