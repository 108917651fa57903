using System.Diagnostics;
using System.Text.Json.Nodes;
using JobHub.Testing;

namespace JobHub.Api.Tests.Farm;

/// <summary>The worker of samples/, as it is given to people.</summary>
public sealed class FarmWorkerSampleTests(FarmWorkerHub farm) : IClassFixture<FarmWorkerHub>, IAsyncLifetime
{
    public Task InitializeAsync() => farm.ClearAsync();

    public Task DisposeAsync() => Task.CompletedTask;

    [Fact]
    public async Task Sample_GivenJobs_RunsThemAndReportsWhatTheyPrintAndHowTheyEnd()
    {
        var folder = Directory.CreateTempSubdirectory("jobhub-sample-").FullName;
        using var worker = Start("sample");
        try
        {
            var good = await farm.MakeAsync(new JsonObject
            {
                ["command"] = "echo $(WHO) \"$WHO\" 'é'; echo PROGRESS:40%; pwd; printf '\\377\\000'; echo $(echo shell)", ["dir"] = folder, ["environment"] = "WHO=it is\\nB=2", ["user"] = "",
            });
            var bad = await farm.MakeAsync("echo before; exit 3");
            var nowhere = await farm.MakeAsync(new JsonObject { ["command"] = "true", ["dir"] = "/not/there" });
            await farm.UntilAsync(good, "FINISHED");
            await farm.UntilAsync(bad, "ERROR");
            await farm.UntilAsync(nowhere, "ERROR");
            Assert.Contains($"it is it is é\nPROGRESS:40%\n{folder}\n\ufffd\0shell\n* EXIT : 0\n", await LogAsync(good), StringComparison.Ordinal);
            Assert.Contains("before\n* EXIT : 3\n", await LogAsync(bad), StringComparison.Ordinal);
            Assert.Contains("cannot start", await LogAsync(nowhere), StringComparison.Ordinal);
            Assert.Equal("sample", (string)(await farm.JobAsync(good))["worker"]!);
        }
        finally
        {
            await EndAsync(worker);
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public async Task Sample_ToldThatTheJobIsPaused_KillsItWithItsChildren()
    {
        using var worker = Start("killer");
        var mark = "m" + Guid.NewGuid().ToString("N");
        try
        {
            var id = await farm.MakeAsync($"echo ready; sh -c 'sleep 1000 # {mark}' & sleep 1000 # {mark}");
            await Eventually.TrueAsync(async () => (await LogAsync(id)).Contains("ready\n", StringComparison.Ordinal), "it runs and its output is there");
            Assert.True(Running(mark));
            await farm.CallAsync(HttpMethod.Post, "/api/pausejobs", new JsonArray(id));
            await Eventually.TrueAsync(() => !Running(mark), "nothing of it runs any more");
            Assert.Equal("PAUSED", (string)(await farm.JobAsync(id))["state"]!);
        }
        finally
        {
            await EndAsync(worker);
        }
    }

    private async Task<string> LogAsync(long id) => (string)(await farm.GetAsync($"/api/jobs/{id}/log"))!;

    private static bool Running(string mark) => Directory.EnumerateDirectories("/proc").Where(p => int.TryParse(Path.GetFileName(p), out _)).Any(p =>
    {
        try { return File.ReadAllText(p + "/cmdline").Contains(mark, StringComparison.Ordinal); }
        catch (IOException) { return false; }
    });

    private Process Start(string name)
    {
        var folder = new DirectoryInfo(AppContext.BaseDirectory);
        while (!File.Exists(Path.Combine(folder.FullName, "JobHub.sln"))) folder = folder.Parent!;
        return Process.Start(new ProcessStartInfo("python3", [Path.Combine(folder.FullName, "samples", "farm-worker.py"), "--name", name, "--sleep", "0.1", farm.Hub.Address.ToString()]) { UseShellExecute = false })!;
    }

    private static async Task EndAsync(Process worker)
    {
        worker.Kill(entireProcessTree: true);
        await worker.WaitForExitAsync();
    }
}
