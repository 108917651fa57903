using System.Diagnostics;
using System.Net;
using System.Text;
using System.Text.Json.Nodes;
using JobHub.Testing;

namespace JobHub.AppHost.Tests.Commands;

/// <summary>Commands from the submission to their results, over whole hubs.</summary>
[Collection(CommandHubsCollection.Name)]
public sealed class CommandRunTests(CommandHubs hubs)
{
    private readonly string project = CommandHub.NewProject();

    public static TheoryData<string> Everywhere => [CommandHubs.Sandbox, CommandHubs.Unshare, CommandHubs.Plain, CommandHubs.S3];

    [Fact]
    public async Task Seed_ExampleByCurl_IsCreatedRunAndServed()
    {
        var hub = await hubs.GetAsync();
        var folder = Directory.CreateTempSubdirectory("jobhub-curl-");
        try
        {
            await File.WriteAllBytesAsync(Path.Combine(folder.FullName, "file.png"), [0x89, 0x50, 0, 255]);
            var submitted = await CurlAsync(folder.FullName, "-s", "-w", "\n%{http_code}", "--form-string", "command=ls -al /tmp; stat -c %a /tmp; cp /tmp/file.png /tmp/copy.png", "-F", "file[]=@file.png;filename=/tmp/file.png;type=image/png",
                $"{hub.Hub.Api}submission?project={project}");
            Assert.EndsWith("\n201", submitted);
            var job = (string)JsonNode.Parse(submitted[..^4])!["job_id"]!;

            var ended = await hub.EndAsync(project, job);

            Assert.True(ended is { Word: "COMPLETE", ExitCode: 0 }, ended.ToString());
            Assert.Contains("file.png", ended.Log);
            Assert.Contains("\n1777\n", ended.Log);
            Assert.Equal(["copy.png", "file.png"], await hub.ListAsync(project, "/tmp"));
            Assert.Equal([0x89, 0x50, 0, 255], await hub.FileAsync(project, "/tmp/copy.png"));
            Assert.NotNull((string?)ended.Status["worker"]);
            Assert.NotNull((string?)ended.Status["started"]);
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    [Theory]
    [MemberData(nameof(Everywhere))]
    public async Task Command_WithFilesInAndOut_LeavesWhatItMadeAndChanged_ByteForByte(string where)
    {
        var hub = await hubs.GetAsync(where);
        byte[] input = new byte[300_000], kept = "stays"u8.ToArray();
        new Random(7).NextBytes(input);
        const string command = """
            set -e
            cat in/data.bin in/data.bin > out.bin
            mkdir -p "$JOBHUB_ROOT/results/deep/er"
            printf 'grüße\n' > "$JOBHUB_ROOT/results/deep/er/Grüße 木.txt"
            printf more >> "$JOBHUB_ROOT/data/changed.txt"
            echo tmp > "$JOBHUB_ROOT/tmp/t"
            rm "$JOBHUB_ROOT/data/removed.txt"
            ln -s /etc/passwd link
            mkfifo pipe
            ./tool.sh > tool.out
            pwd
            """;

        var ended = await hub.RunAsync(project, CommandHub.Form(command, ("in/data.bin", input), ("/data/kept.txt", kept), ("/data/changed.txt", "some "u8.ToArray()), ("/data/removed.txt", "gone"u8.ToArray()),
            ("tool.sh", "#!/bin/sh\necho tool $0\n"u8.ToArray())));

        Assert.True(ended.Word == "COMPLETE", ended.ToString());
        byte[] twice = [.. input, .. input];
        Assert.Equal(twice, await hub.FileAsync(project, "/job/out.bin"));
        Assert.Equal("grüße\n", await hub.TextAsync(project, "/results/deep/er/Grüße 木.txt", ended.Id));
        Assert.Equal("some more", await hub.TextAsync(project, "/data/changed.txt"));
        Assert.Equal("tmp\n", await hub.TextAsync(project, "/tmp/t"));
        Assert.Equal("tool ./tool.sh\n", await hub.TextAsync(project, "/job/tool.out"));
        Assert.Equal(kept, await hub.FileAsync(project, "/data/kept.txt"));
        Assert.Equal(["in", "out.bin", "tool.out", "tool.sh"], await hub.ListAsync(project, "/job", ended.Id));
        Assert.Contains("/job/link", ended.Log);
        Assert.Contains("/job/pipe", ended.Log);
        Assert.Equal(where == CommandHubs.Plain, ended.Log.Contains("without a sandbox", StringComparison.Ordinal));
        if (where != CommandHubs.Plain) Assert.Contains("/job\n", ended.Log);
    }

    [Theory]
    [InlineData(CommandHubs.Sandbox)]
    [InlineData(CommandHubs.Unshare)]
    public async Task Destination_InsideTheHostsOwnFolders_IsReallyThere(string where)
    {
        var hub = await hubs.GetAsync(where);
        const string command = """
            set -e
            cat /usr/local/share/jobhub/x.txt /etc/jobhub.conf /home/me/y /opt/z/w.txt /var/data/v
            grep -q ^root: /etc/passwd
            test -x /usr/bin/env
            echo changed > /etc/jobhub.conf
            """;

        var ended = await hub.RunAsync(project, CommandHub.Form(command, ("/usr/local/share/jobhub/x.txt", "1"u8.ToArray()), ("/etc/jobhub.conf", "2"u8.ToArray()), ("/home/me/y", "3"u8.ToArray()),
            ("/opt/z/w.txt", "4"u8.ToArray()), ("/var/data/v", "5"u8.ToArray())));

        Assert.True(ended.Word == "COMPLETE", ended.ToString());
        Assert.StartsWith("12345", ended.Log);
        Assert.Equal("changed\n", await hub.TextAsync(project, "/etc/jobhub.conf"));
        Assert.Equal(["jobhub.conf"], await hub.ListAsync(project, "/etc", ended.Id));
        Assert.False(File.Exists("/etc/jobhub.conf"));
    }

    [Fact]
    public async Task Endings_AreToldApart()
    {
        var hub = await hubs.GetAsync();
        async Task<Ended> RunAsync(string command, string more = "") => await hub.RunAsync(project, JsonNode.Parse($"{{\"command\":{JsonValue.Create(command).ToJsonString()}{more}}}")!.AsObject());

        var exit = await RunAsync("echo made > f; exit 7");
        Assert.Equal(("FAILED", 7, "exit-code"), (exit.Word, exit.ExitCode, exit.ErrorType));
        Assert.Equal("made\n", await hub.TextAsync(project, "/job/f"));
        var signal = await RunAsync("kill -SEGV $$");
        Assert.Equal(("FAILED", null, "signal", 11), (signal.Word, signal.ExitCode, signal.ErrorType, (int)signal.Status["error"]!["signal"]!));
        var time = await RunAsync("echo begun; sleep 600", ",\"timeout\":0.5");
        Assert.Equal(("FAILED", "timeout"), (time.Word, time.ErrorType));
        Assert.Equal("begun\n", time.Log);
        var memory = await RunAsync("x=$(head -c 400000000 /dev/zero | tr '\\0' x); echo ${#x}", ",\"memory\":\"64Mi\"");
        Assert.True(("FAILED", "out-of-memory") == (memory.Word, memory.ErrorType), memory.ToString());
        var missing = await RunAsync("no-such-program");
        Assert.Equal(("FAILED", 127, "exit-code"), (missing.Word, missing.ExitCode, missing.ErrorType));
    }

    [Fact]
    public async Task Stop_EndsTheCommandAndKeepsWhatItMade()
    {
        var hub = await hubs.GetAsync();
        var job = await hub.SubmitAsync(project, new JsonObject { ["command"] = "echo half > result; echo started; sleep 1000 & sleep 1000", ["unique_id"] = "to-stop" });
        Assert.Equal("to-stop", job);
        await Eventually.TrueAsync(async () => (await hub.Http.GetStringAsync($"/jobs/{job}/log?project={project}")).Contains("started", StringComparison.Ordinal), "the command to start");

        using (var answer = await hub.Http.DeleteAsync($"/jobs/{job}?project={project}")) Assert.Equal(HttpStatusCode.Accepted, answer.StatusCode);

        var ended = await hub.EndAsync(project, job);
        Assert.Equal(("FAILED", "cancelled"), (ended.Word, ended.ErrorType));
        Assert.Equal("half\n", await hub.TextAsync(project, "/job/result", job));
    }

    [Fact]
    public async Task Retries_RunAgainWithTheSameFilesAndLeaveOnlyTheLastsOwn()
    {
        var hub = await hubs.GetAsync();
        const string command = "cat in; echo $JOBHUB_ATTEMPT_NUMBER > number; echo spoilt > in; test $JOBHUB_ATTEMPT_NUMBER = 2 || { touch of-the-first; exit 1; }";
        var form = CommandHub.Form(command, ("in", "given\n"u8.ToArray()));
        form.Add(new StringContent("3"), "max_attempts");

        var ended = await hub.RunAsync(project, form);

        Assert.True(ended.Word == "COMPLETE", ended.ToString());
        Assert.Equal("given\n", ended.Log);
        Assert.Equal("2\n", await hub.TextAsync(project, "/job/number"));
        Assert.Equal(["in", "number"], await hub.ListAsync(project, "/job"));
    }

    [Theory]
    [MemberData(nameof(Everywhere))]
    public async Task Command_SeesItsOwnFilesAndTheNamedOnes_NeverEarlierJobs(string where)
    {
        var hub = await hubs.GetAsync(where);
        var first = await hub.RunAsync(project, CommandHub.Form("echo secret > \"$JOBHUB_ROOT/tmp/left\"; echo result > kept", ("in.txt", "one"u8.ToArray())));
        Assert.True(first.Word == "COMPLETE", first.ToString());

        var blind = await hub.RunAsync(project, "ls -A . \"$JOBHUB_ROOT/tmp\"; test ! -e kept && test ! -e \"$JOBHUB_ROOT/tmp/left\"");
        var named = await hub.RunAsync(project, new JsonObject { ["command"] = "cat kept in.txt", ["files"] = new JsonArray(new JsonObject { ["path"] = "/job" }) });

        Assert.True(blind.Word == "COMPLETE", blind.ToString());
        Assert.True(named.Word == "COMPLETE", named.ToString());
        Assert.Contains("result\none", named.Log);
    }

    [Fact]
    public async Task Environment_IsWhatTheJobSet_AndNothingOfTheHubs()
    {
        var hub = await hubs.GetAsync();
        var form = CommandHub.Form("env; echo; pwd");
        form.Add(new StringContent("a 'b' \"c\"\n木"), "env[GREETING]");
        form.Add(new StringContent("/place/here"), "workdir");

        var ended = await hub.RunAsync(project, form);

        Assert.Contains("GREETING=a 'b' \"c\"\n木\n", ended.Log);
        Assert.Contains("\n/place/here\n", ended.Log);
        Assert.DoesNotContain("ConnectionStrings", ended.Log, StringComparison.OrdinalIgnoreCase);
        Assert.DoesNotContain(hub.Hub.DataFolder, ended.Log, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(CommandHubs.Sandbox)]
    [InlineData(CommandHubs.Unshare)]
    public async Task Sandbox_ShowsNeitherTheHubNorItsProcesses_AndLeavesNone(string where)
    {
        var hub = await hubs.GetAsync(where);
        var mark = Guid.NewGuid().ToString("N");
        var data = hub.Hub.DataFolder;
        var command = $$"""
            for path in {{data}} /root /home /var/lib/postgresql /var/lib/jobhub /run/postgresql /var/tmp/jobhub-0 /var/tmp/jobhub-root-programs; do
              if ls -A "$path" 2>/dev/null | grep -q .; then echo "SEEN $path"; fi
            done
            cat /proc/*/comm 2>/dev/null | grep -E 'dotnet|postgres|JobHub' && echo "SEEN processes"
            cat /proc/*/environ 2>/dev/null | tr '\0' '\n' | grep -E 'ConnectionStrings|PGPASS|AdminToken' && echo "SEEN environment"
            curl -s -m 10 "http://127.0.0.1:{{hub.Hub.ApiPort}}/files?path=/" | grep -q entries && echo "SEEN the hub's files by its API"
            curl -s -m 10 -X POST -d command=true http://localhost:{{hub.Hub.ApiPort}}/jobs | grep -q job_id && echo "SEEN the hub take a job without a token"
            (setsid sh -c 'exec -a left-{{mark}} sleep 1000' >/dev/null 2>&1 &)
            (: > /etc/x) 2>/dev/null && echo "SEEN a writable /etc"
            echo done
            """;

        var ended = await hub.RunAsync(project, command);

        Assert.True(ended.Word == "COMPLETE", ended.ToString());
        Assert.EndsWith("done\n", ended.Log);
        Assert.DoesNotContain("SEEN", ended.Log, StringComparison.Ordinal);
        await Eventually.TrueAsync(() => !Running(mark), "no process to be left");
    }

    [Fact]
    public async Task Log_FollowsWhileItRuns_AndIsKeptWhole()
    {
        var hub = await hubs.GetAsync();
        var job = await hub.SubmitAsync(project, new JsonObject { ["command"] = "echo one; echo err >&2; sleep 1; printf 'two \\033[31m<b>\\377'" });

        var followed = await hub.Http.GetByteArrayAsync($"/jobs/{job}/log?follow=true&project={project}");

        byte[] printed = [.. "one\nerr\ntwo \u001b[31m<b>"u8, 0xff];
        Assert.Equal(printed, followed);
        Assert.Equal(followed[4..], await hub.Http.GetByteArrayAsync($"/jobs/{job}/log?offset=4&project={project}"));
    }

    private static bool Running(string mark) => Directory.GetDirectories("/proc").Any(process =>
    {
        try
        {
            return File.ReadAllText(Path.Combine(process, "cmdline")).Contains("left-" + mark, StringComparison.Ordinal);
        }
        catch (Exception gone) when (gone is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    });

    private static async Task<string> CurlAsync(string folder, params string[] arguments)
    {
        using var curl = Process.Start(new ProcessStartInfo("curl", arguments) { WorkingDirectory = folder, RedirectStandardOutput = true, UseShellExecute = false })!;
        var output = await curl.StandardOutput.ReadToEndAsync();
        await curl.WaitForExitAsync();
        return output;
    }
}
