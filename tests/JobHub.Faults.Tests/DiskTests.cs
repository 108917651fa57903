using JobHub.Faults.Tests.Hubs;
using JobHub.Faults.Tests.Ledger;
using JobHub.Faults.Tests.Runs;
using JobHub.Testing;

namespace JobHub.Faults.Tests;

/// <summary>Disks that are full: of scratch folders, and of the worker's own data.</summary>
public class DiskTests
{
    private const string Identity = "#!/bin/sh\nexec cat\n";

    [Fact]
    public async Task Worker_WhoseDisksAreFull_SaysSoAndGoesOn()
    {
        var folder = HubProcess.NewFolder();
        try
        {
            await using var scratch = await SmallDisk.OfAsync(Path.Combine(folder, "scratch"), 24);
            await using var data = await SmallDisk.OfAsync(Path.Combine(folder, "worker"), 16);
            await using var hub = await FaultHub.StartAsync(new HubOptions
            {
                Slots = 1, DataFolder = folder,
                Environment = new Dictionary<string, string?> { ["JobHub__Worker__SlotBufferBytes"] = $"{16 << 20}" },
            });
            await WordCount.UploadAsync(hub);
            await hub.UploadAsync("cat.sh", Identity);
            var jobs = new Dictionary<string, WordCount?>();

            // A program that fills its folder gets the error itself.
            var full = await FailAsync(hub, jobs, "fill.sh", "#!/bin/sh\ncat > /dev/null\ndd if=/dev/zero of=\"$HOME/big\" bs=1M >&2 || exit 7\n");
            Assert.Equal("exit-code", full.Error.Type);
            Assert.Contains("exit code 7", full.Error.Message);
            Assert.Contains("No space left on device", full.Log);

            // What does not fit into the buffer is spilled, and there is no room for it.
            var spilled = await FailAsync(hub, jobs, "spill.sh", "#!/bin/sh\ncat > /dev/null\nseq 1 12000000\n");
            Assert.Equal("disk-full", spilled.Error.Type);

            // A log without room is cut, and says where.
            await hub.UploadAsync("chatty.sh", "#!/bin/sh\ncat > /dev/null\necho first >&2\nhead -c 40000000 /dev/zero | tr '\\0' x >&2\necho last >&2\n");
            var chatty = await hub.SubmitAsync(new FaultJob("chatty.sh", "cat.sh", hub.Input("x\n"u8)) { Reducers = 1, Output = $"file://{Path.Combine(hub.Files, "chatty")}" });
            Assert.Equal("Succeeded", (await hub.EndAsync(chatty)).GetProperty("state").GetString());
            var (log, size, gaps) = await hub.LogAsync(chatty, $"{chatty}-m-0");
            Assert.Equal(40_000_000 + "first\nlast\n".Length, size);
            Assert.StartsWith("first\n", System.Text.Encoding.ASCII.GetString(log));
            Assert.NotEqual("", gaps);

            var text = new WordCount(501, 50_000);
            var id = await hub.SubmitAsync(text.Job(hub, maps: 3));
            await hub.EndAsync(id);
            jobs.Add(id, text);
            Assert.Empty(await new LedgerChecker(hub).CheckAsync(jobs));
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static async Task<((string Type, string Message) Error, string Log)> FailAsync(FaultHub hub, Dictionary<string, WordCount?> jobs, string name, string program)
    {
        await hub.UploadAsync(name, program);
        var id = await hub.SubmitAsync(new FaultJob(name, "cat.sh", hub.Input("x\n"u8)) { Reducers = 1, MaxAttempts = 1 });
        jobs.Add(id, null);
        var error = (await hub.EndAsync(id)).GetProperty("error");
        Assert.Equal($"{id}-m-0", error.GetProperty("taskId").GetString());
        var (log, _, _) = await hub.LogAsync(id, $"{id}-m-0");
        return ((error.GetProperty("type").GetString()!, error.GetProperty("message").GetString()!), System.Text.Encoding.UTF8.GetString(log));
    }
}
