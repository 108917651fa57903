using System.Text;
using JobHub.Engine.Attempts;
using JobHub.Engine.Protocol;
using JobHub.Worker.Tests.Agent;
using Xunit;

namespace JobHub.Worker.Tests.Trees;

/// <summary>Commands with files of their own, on every step of the ladder.</summary>
public sealed class CommandTreeTests
{
    private static readonly string[] Steps = ["bubblewrap", "unshare", "plain"];

    public static TheoryData<string> AllSteps => [.. Steps];
    public static TheoryData<string> Sandboxes => ["bubblewrap", "unshare"];

    [Theory]
    [MemberData(nameof(AllSteps))]
    public async Task Command_WithFiles_ReadsThemAndKeepsWhatItMadeOrChanged(string step)
    {
        await using var run = await TreeRun.StartAsync(step);
        var spec = await run.DoWithAsync(
            """
            cd "$JOBHUB_ROOT"; cat ./job/in.txt ./data/deep/x.txt; ./tmp/tool; pwd; echo $HOME
            echo changed >> ./data/deep/x.txt; echo new > ./job/out.txt; mkdir -p ./job/a/b; printf 1 > ./job/a/b/c; chmod +x ./job/a/b/c; echo tmp > ./tmp/result.csv
            """,
            null, new("/job/in.txt", new("in\n"u8.ToArray(), false)), new("/data/deep/x.txt", new("x\n"u8.ToArray(), false)), new("/tmp/tool", new("#!/bin/sh\necho tool\n"u8.ToArray(), true)));

        var log = run.Hub.LogOf(spec);
        Assert.Equal(AttemptOutcome.Succeeded, run.ResultOf(spec).Outcome);
        Assert.Contains("in\nx\ntool\n", log, StringComparison.Ordinal);
        Assert.Equal(step == "plain", log.StartsWith("jobhub: this command runs without a sandbox", StringComparison.Ordinal));
        if (step != "plain") Assert.EndsWith("/\n/job\n", log, StringComparison.Ordinal);
        Assert.Equal(new() { ["/data/deep/x.txt"] = "x\nchanged\n", ["/job/a/b/c"] = "1", ["/job/out.txt"] = "new\n", ["/tmp/result.csv"] = "tmp\n" }, run.Hub.KeptOf(spec));
        Assert.True(run.Hub.Kept[(spec.Token, "/job/a/b/c")].Executable);
        Assert.False(run.Hub.Kept[(spec.Token, "/job/out.txt")].Executable);
        Assert.Equal(4, run.ResultOf(spec).Files);
    }

    [Theory]
    [MemberData(nameof(Sandboxes))]
    public async Task Destinations_AmongTheHostsFolders_AreReallyThereBesideItsOwn(string step)
    {
        await using var run = await TreeRun.StartAsync(step);
        var spec = await run.DoAsync(
            """
            set -e
            cat /etc/jobhub-x.conf /usr/local/share/jobhub-x.txt /home/me/x /bin/jobhub-x-tool /usr/local/share/jobhub/new/y
            test -s /etc/passwd; test -s /usr/bin/env; ls /usr/local/share >/dev/null; jobhub-x-tool >/dev/null
            echo more >> /etc/jobhub-x.conf; echo made > /usr/local/share/made; ! (echo no > /usr/local/no) 2>/dev/null; ! (echo no >> /etc/passwd) 2>/dev/null
            """,
            null, ("/etc/jobhub-x.conf", "conf\n"), ("/usr/local/share/jobhub-x.txt", "share\n"), ("/home/me/x", "home\n"), ("/usr/local/share/jobhub/new/y", "y\n"));

        // A destination below a link of the host is at the folder it means.
        Assert.Equal((AttemptOutcome.Failed, true), (run.ResultOf(spec).Outcome, run.Hub.LogOf(spec).Contains("jobhub-x-tool", StringComparison.Ordinal)));
        spec = await run.DoAsync(
            """
            set -e
            cat /etc/jobhub-x.conf /usr/local/share/jobhub-x.txt /home/me/x /usr/local/share/jobhub/new/y
            test -s /etc/passwd; test -s /usr/bin/env; ls /usr/local/share >/dev/null
            echo more >> /etc/jobhub-x.conf; echo made > /usr/local/share/made; ! (echo no > /usr/local/no) 2>/dev/null; ! (echo no >> /etc/passwd) 2>/dev/null
            """,
            null, ("/etc/jobhub-x.conf", "conf\n"), ("/usr/local/share/jobhub-x.txt", "share\n"), ("/home/me/x", "home\n"), ("/usr/local/share/jobhub/new/y", "y\n"));
        Assert.Equal("conf\nshare\nhome\ny\n", run.Hub.LogOf(spec));
        Assert.Equal(AttemptOutcome.Succeeded, run.ResultOf(spec).Outcome);
        Assert.Equal(new() { ["/etc/jobhub-x.conf"] = "conf\nmore\n", ["/usr/local/share/made"] = "made\n" }, run.Hub.KeptOf(spec));
        Assert.False(File.Exists("/etc/jobhub-x.conf") || File.Exists("/usr/local/share/made"));
    }

    [Theory]
    [InlineData("/usr/bin/x")]
    [InlineData("/bin/x")]
    [InlineData("/usr")]
    [InlineData("/etc/ssl")]
    [InlineData("/proc/self/x")]
    [InlineData("/dev/shm/x")]
    [InlineData("/job/../etc/x")]
    [InlineData("/job//x")]
    [InlineData("relative")]
    [InlineData("/")]
    public async Task Destination_ThatNoTreeCanHold_FailsTheStartAndSaysWhy(string path)
    {
        await using var run = await TreeRun.StartAsync("bubblewrap");
        var spec = await run.DoAsync("true", null, (path, "x"));
        Assert.Equal((AttemptOutcome.Failed, "start-failed"), (run.ResultOf(spec).Outcome, run.ResultOf(spec).Error!.Type));
        Assert.Contains("placed", run.ResultOf(spec).Error!.Message, StringComparison.Ordinal);
    }

    [Theory]
    [MemberData(nameof(AllSteps))]
    public async Task Files_OfACommandThatFailsOrIsStopped_AreKept(string step)
    {
        await using var run = await TreeRun.StartAsync(step);
        var failed = await run.DoAsync("echo a > a; exit 3", null);
        var late = await run.DoAsync("echo b > b; sleep 1000", spec => spec with { TimeoutSeconds = 0.7 });
        var killed = await run.DoAsync("echo c > c; kill -9 $$", null);
        Assert.Equal((AttemptOutcome.Failed, 3, 1), (run.ResultOf(failed).Outcome, run.ResultOf(failed).ExitCode, run.ResultOf(failed).Files));
        Assert.Equal((AttemptOutcome.TimedOut, 1), (run.ResultOf(late).Outcome, run.ResultOf(late).Files));
        Assert.Equal((9, 1), (run.ResultOf(killed).Signal, run.ResultOf(killed).Files));
        Assert.Equal("b\n", run.Hub.KeptOf(late)["/job/b"]);
    }

    [Fact]
    public async Task Files_OfACanceledCommand_AreKept()
    {
        await using var run = await TreeRun.StartAsync("bubblewrap");
        var spec = run.Hub.AddTree("echo x > x; echo ready; sleep 1000");
        await Eventually.TrueAsync(() => run.Hub.Live.ContainsKey(spec.Token));
        run.Hub.Orders.Enqueue(new StopOrder(spec.Token, StopReason.CancelRequested));
        await Eventually.TrueAsync(() => run.Hub.Results.ContainsKey(spec.Token));
        Assert.Equal((AttemptOutcome.Canceled, 1), (run.ResultOf(spec).Outcome, run.ResultOf(spec).Files));
    }

    [Theory]
    [MemberData(nameof(AllSteps))]
    public async Task Command_OverItsMemory_IsToldApartAndItsFilesAreKept(string step)
    {
        await using var run = await TreeRun.StartAsync(step);
        var over = await run.DoAsync("echo x > x; perl -e 'my $x = \"a\" x (1 << 28); sleep 1000'; exit 0", s => s with { MemoryLimitBytes = 64 << 20 });
        var crash = await run.DoAsync("kill -9 $$", s => s with { MemoryLimitBytes = 64 << 20 });
        Assert.Equal((AttemptOutcome.OutOfMemory, "out-of-memory", 1), (run.ResultOf(over).Outcome, run.ResultOf(over).Error!.Type, run.ResultOf(over).Files));
        Assert.True(run.ResultOf(over).PeakMemoryBytes >= 64 << 20);
        Assert.Equal((AttemptOutcome.Failed, "signal"), (run.ResultOf(crash).Outcome, run.ResultOf(crash).Error!.Type));
    }

    [Fact]
    public async Task WorkingFolder_AskedFor_IsMadeAndIsHome()
    {
        await using var run = await TreeRun.StartAsync("bubblewrap");
        foreach (var folder in (string[])["/srv/data/deep", "/", "/tmp", "/usr/share", "/opt/jobhub-new", "/var/tmp/w"])
        {
            var spec = await run.DoAsync("pwd; echo $HOME; echo x 2>/dev/null > made || :", s => s with { Command = s.Command! with { WorkingFolder = folder } });
            Assert.Equal($"{folder}\n{folder}\n", run.Hub.LogOf(spec));
            Assert.Equal(folder == "/usr/share" ? [] : [$"{folder.TrimEnd('/')}/made"], run.Hub.KeptOf(spec).Keys);
        }
    }

    [Fact]
    public async Task Limits_OfBytesAndFiles_LeaveOutAndName()
    {
        await using var run = await TreeRun.StartAsync("bubblewrap");
        var spec = await run.DoAsync("head -c 600 /dev/zero > a; head -c 600 /dev/zero > b; echo c > c; for i in 1 2 3; do echo $i > d$i; done; truncate -s 10G huge",
            s => s with { Command = s.Command! with { Tree = new TreeSpec(0, 1000, 4) } });
        Assert.Equal(["/job/a", "/job/c", "/job/d1", "/job/d2"], run.Hub.KeptOf(spec).Keys);
        var log = run.Hub.LogOf(spec);
        Assert.Contains("not kept: /job/b: its 600 bytes are more than is left", log, StringComparison.Ordinal);
        Assert.Contains("not kept: /job/d3: more than 4 files", log, StringComparison.Ordinal);
        Assert.Contains("not kept: /job/huge", log, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Log_OfManyThingsLeftOut_IsBounded()
    {
        await using var run = await TreeRun.StartAsync("bubblewrap");
        var spec = await run.DoAsync("i=0; while [ $i -lt 500 ]; do ln -s x l$i; i=$((i+1)); done", null);
        var lines = run.Hub.LogOf(spec).Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal((101, "jobhub: 400 more were not kept"), (lines.Length, lines[^1]));
    }

    [Fact]
    public async Task Hub_ThatRefusesOneFile_GetsTheOthers()
    {
        await using var run = await TreeRun.StartAsync("bubblewrap");
        run.Hub.AnswerFile = path => path.EndsWith("bad", StringComparison.Ordinal) ? 400 : 0;
        var spec = await run.DoAsync("echo a > a; echo b > bad; echo c > c", null);
        Assert.Equal((AttemptOutcome.Succeeded, 2), (run.ResultOf(spec).Outcome, run.ResultOf(spec).Files));
        Assert.Contains("not kept: /job/bad: the hub does not take it: refused here", run.Hub.LogOf(spec), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Hub_ThatFailsForAWhile_GetsAllFilesInTheEnd()
    {
        await using var run = await TreeRun.StartAsync("bubblewrap");
        var left = 5;
        run.Hub.AnswerFile = _ => Interlocked.Decrement(ref left) >= 0 ? 503 : 0;
        var spec = await run.DoAsync("for i in 1 2 3; do head -c 3000000 /dev/zero > f$i; done", null);
        Assert.Equal((AttemptOutcome.Succeeded, 3), (run.ResultOf(spec).Outcome, run.ResultOf(spec).Files));
        Assert.All(run.Hub.Kept.Values, file => Assert.Equal(3_000_000, file.Size));
    }

    [Fact]
    public async Task Hub_ThatStaysAway_FailsTheAttemptAsStoreUnavailable()
    {
        await using var run = await TreeRun.StartAsync("bubblewrap", ("StorePatience", "00:00:00.3"));
        run.Hub.AnswerFile = _ => 503;
        var good = await run.DoAsync("echo a > a", null);
        var bad = await run.DoAsync("echo a > a; exit 7", null);
        Assert.Equal((AttemptOutcome.Failed, "store-unavailable"), (run.ResultOf(good).Outcome, run.ResultOf(good).Error!.Type));
        Assert.Equal((AttemptOutcome.Failed, "exit-code"), (run.ResultOf(bad).Outcome, run.ResultOf(bad).Error!.Type));
    }

    [Fact]
    public async Task Attempt_ThatIsLostWhileItsFilesAreSent_IsNotReported()
    {
        await using var run = await TreeRun.StartAsync("bubblewrap");
        var asked = 0;
        run.Hub.AnswerFile = path => path == "/job/lost" ? 404 + (0 * Interlocked.Increment(ref asked)) : 0;
        var lost = run.Hub.AddTree("echo a > lost");
        await Eventually.TrueAsync(() => Volatile.Read(ref asked) > 0);
        await run.DoAsync("true", null);
        await Eventually.TrueAsync(() => run.IsClean);
        Assert.False(run.Hub.Results.ContainsKey(lost.Token));
    }

    [Fact]
    public async Task SharedInput_ThatTheCommandChanges_StaysAsItWas()
    {
        var shared = Path.Combine("/var/tmp", $"jobhub-test-{Guid.NewGuid():N}");
        await File.WriteAllTextAsync(shared, "stored\n");
        try
        {
            await using var run = await TreeRun.StartAsync("bubblewrap");
            var spec = await run.DoWithAsync("echo changed > in; cat in", null, new KeyValuePair<string, LoopFile>("/job/in", new([], false) { Size = 7, Shared = shared }));
            Assert.Equal("changed\n", run.Hub.KeptOf(spec)["/job/in"]);
            Assert.Equal("stored\n", await File.ReadAllTextAsync(shared));
        }
        finally { File.Delete(shared); }
    }

    [Fact]
    public async Task Inputs_ManyAndUntouched_ArePlacedAllAndSentBackNone()
    {
        await using var run = await TreeRun.StartAsync("bubblewrap");
        var files = Enumerable.Range(0, 1203).Select(i => ($"/job/d{i % 7}/f{i}", $"{i}\n")).ToArray();
        var spec = await run.DoAsync("cat $(find . -type f) | sort -n | tail -1; find . -type f | wc -l", null, files);
        Assert.Equal("1202\n1203\n", run.Hub.LogOf(spec));
        Assert.Equal(0, run.ResultOf(spec).Files);
    }

    [Fact]
    public async Task Environment_OfACommand_HoldsNothingOfTheWorkers()
    {
        Environment.SetEnvironmentVariable("JOBHUB_TEST_SECRET", "s3cret");
        await using var run = await TreeRun.StartAsync("bubblewrap");
        var spec = await run.DoAsync("env | cut -d= -f1 | sort | tr '\\n' ' '", s => s with { Cpus = 3 });
        Assert.Equal("HOME JOBHUB_ATTEMPT JOBHUB_ATTEMPT_NUMBER JOBHUB_JOB_ID JOBHUB_ROOT JOBHUB_TASK_ID JOBHUB_WORKER LANG OMP_NUM_THREADS PATH PWD ", run.Hub.LogOf(spec));
    }

    [Fact]
    public async Task LargeFile_OfOneGigabyte_IsSentInBoundedMemory()
    {
        await using var run = await TreeRun.StartAsync("bubblewrap");
        var spec = await run.DoAsync("head -c 1073741824 /dev/zero > big", null);
        Assert.Equal(1 << 30, run.Hub.Kept[(spec.Token, "/job/big")].Size);
        Assert.Equal(1, run.ResultOf(spec).Files);
    }

    [Fact]
    public async Task Gpus_OfTheWorker_AreEachOneAttemptsAtATime()
    {
        await using var run = await TreeRun.StartAsync("bubblewrap", ("Gpus", "3"), ("Slots", "4"));
        AttemptSpec Add(int gpus) => run.Hub.AddTree("echo \"[$CUDA_VISIBLE_DEVICES][$NVIDIA_VISIBLE_DEVICES]\"; sleep 0.5", s => s with { Gpus = gpus });
        AttemptSpec[] specs = [Add(2), Add(1), Add(0), Add(3)];
        await Eventually.TrueAsync(() => specs.All(s => run.Hub.Results.ContainsKey(s.Token)));
        Assert.Equal("[][]\n", run.Hub.LogOf(specs[2]));
        Assert.Equal("[0,1,2][0,1,2]\n", run.Hub.LogOf(specs[3]));
        var two = run.Hub.LogOf(specs[0]).Split('[', ']')[1].Split(',');
        Assert.Equal(["0", "1", "2"], two.Append(run.Hub.LogOf(specs[1]).Split('[', ']')[1]).Order());
    }
}
