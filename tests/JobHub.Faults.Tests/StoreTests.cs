using JobHub.Faults.Tests.Hubs;
using JobHub.Faults.Tests.Ledger;
using JobHub.Faults.Tests.Runs;
using JobHub.Testing;
using Xunit.Abstractions;

namespace JobHub.Faults.Tests;

/// <summary>Faults of the hub's own store of files.</summary>
public class StoreTests(ITestOutputHelper output)
{
    [Theory]
    [InlineData("deleted")]
    [InlineData("damaged")]
    [InlineData("cut")]
    public async Task Job_WhenAMapsOutputIsLost_MapsAgainAndEndsRight(string how)
    {
        await using var hub = await FaultHub.StartAsync(new HubOptions { Slots = 2 });
        await WordCount.UploadAsync(hub);
        await using var watch = new HubWatch(hub) { OutputsMayBeLost = true };
        var text = new WordCount(401, 60_000);
        var id = await hub.SubmitAsync(text.Job(hub, maps: 6, work: 0.2));
        watch.Add(id, text.Lines);
        // The reducers wait for the other maps: nobody has read it yet.
        string[] Outputs() => [.. Directory.EnumerateFiles(hub.Store, "*", SearchOption.AllDirectories).Where(f => f.Contains($"/shuffle/{id}/", StringComparison.Ordinal))];
        await Eventually.TrueAsync(() => Outputs().Length > 0, "a map's output");
        var lost = Outputs()[0];
        switch (how)
        {
            case "deleted": File.Delete(lost); break;
            case "damaged": Damage(lost); break;
            default: using (var file = File.OpenWrite(lost)) file.SetLength(file.Length / 2); break;
        }

        await hub.EndAsync(id);

        var checker = new LedgerChecker(hub);
        var findings = await checker.CheckAsync(new Dictionary<string, WordCount?> { [id] = text }, watch);
        output.WriteLine($"seed 401, jobs 1, faults {how}=1, lost {checker.Lost}, doubled {checker.Doubled}, duplicate starts {checker.DuplicateStarts}, fenced {hub.Refused}");
        Assert.True(findings.Count == 0, string.Join('\n', findings));
        Assert.Equal(1, await hub.CountAsync("SELECT count(DISTINCT task_id) FROM attempt a JOIN job j ON j.number = a.task_id >> 20 WHERE outcome = 7 AND (task_id & 1048575) < j.maps"));
    }

    [Fact]
    public async Task Job_WhenTheStoreIsReadOnlyForAWhile_EndsWithTheRightResult()
    {
        var folder = HubProcess.NewFolder();
        try
        {
            await using var disk = await SmallDisk.BoundAsync(Path.Combine(folder, "store"));
            await using var hub = await FaultHub.StartAsync(new HubOptions { Slots = 2, DataFolder = folder });
            await WordCount.UploadAsync(hub);
            await using var watch = new HubWatch(hub);
            var text = new WordCount(402, 60_000);
            var id = await hub.SubmitAsync(text.Job(hub, maps: 8, work: 0.1));
            watch.Add(id, text.Lines);
            await hub.Ledger.WaitAsync(l => l.Word == "commit", "a program that is done");
            await Eventually.TrueAsync(async () =>
            {
                await disk.SetReadOnlyAsync(true);
                return true;
            }, "a moment without a writer");
            var maps = hub.Ledger.Lines.Count(l => l.Word == "commit");
            await hub.Ledger.WaitAsync(_ => hub.Ledger.Lines.Count(l => l.Word == "commit") >= maps + 2, "programs whose output has nowhere to go");
            await disk.SetReadOnlyAsync(false);
            await hub.EndAsync(id);

            var findings = await new LedgerChecker(hub).CheckAsync(new Dictionary<string, WordCount?> { [id] = text }, watch);
            Assert.True(findings.Count == 0, string.Join('\n', findings));
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static void Damage(string file)
    {
        var bytes = File.ReadAllBytes(file);
        bytes[bytes.Length / 2] ^= 0x55;
        File.WriteAllBytes(file, bytes);
    }
}
