using System.Diagnostics;
using JobHub.AppHost.LocalHosting;
using JobHub.Testing;

namespace JobHub.AppHost.Tests.MapReduce;

/// <summary>Who runs when, and where.</summary>
[Collection(HubsCollection.Name)]
public sealed class SchedulingTests(HubsFixture hubs) : IAsyncLifetime
{
    private HubClient hub = null!;

    public async Task InitializeAsync() => hub = await hubs.FilesAsync();

    public Task DisposeAsync() => Task.CompletedTask;

    [Fact]
    public async Task Jobs_OfHigherPriority_StartFirst()
    {
        var gate = new Gate(hub);
        var holder = await hub.SubmitAsync(await gate.JobAsync(2));
        await gate.RunningAsync(holder, 2);
        // Both slots are held: what waits is taken by priority, not by age.
        var ids = new List<string>();
        foreach (var priority in new[] { 0, 7, 200 })
        {
            var waiting = hub.WordCount(hub.Write($"{gate.Mark}-{priority}.txt", "a\nb\nc\nd\n"), 1);
            (waiting["priority"], waiting["splitSize"]) = (priority, 2);
            ids.Add(await hub.SubmitAsync(waiting));
        }
        gate.Open();
        foreach (var id in ids) await hub.CompletedAsync(id);

        var starts = new List<(long First, long Last)>();
        foreach (var id in ids)
        {
            var maps = (await hub.TasksAsync(id)).Where(static task => (string?)task!["type"] == "mapper").Select(static task => (long)task!["startTime"]!).ToArray();
            starts.Add((maps.Min(), maps.Max()));
        }
        Assert.True(starts[2].Last <= starts[1].First, $"The job of priority 200 waited for that of 7: {starts[2]}, {starts[1]}");
        Assert.True(starts[1].Last <= starts[0].First, $"The job of priority 7 waited for that of 0: {starts[1]}, {starts[0]}");
    }

    [Fact]
    public async Task Workers_MoreThanOne_ShareAJobAndNameThemselves()
    {
        var folder = HubProcess.NewFolder();
        using var second = StartWorker(folder);
        try
        {
            var gate = new Gate(hub);
            var id = await hub.SubmitAsync(await gate.JobAsync(4));
            var tasks = await gate.RunningAsync(id, 4);
            var names = tasks.Where(static task => (string?)task!["type"] == "mapper").GroupBy(static task => (string)task!["podName"]!).ToDictionary(static group => group.Key, static group => group.Count());
            Assert.Equal(2, names["second"]);
            Assert.Equal(2, names.Count);
            gate.Open();
            await hub.CompletedAsync(id);
            Assert.Equal("line 000\nline 001\nline 002\nline 003\n", System.Text.Encoding.ASCII.GetString(hub.Parts(id, 1)[0]).Replace("\t", "", StringComparison.Ordinal));
        }
        finally
        {
            Unix.Signal(second.Id, Unix.Interrupt);
            await second.WaitForExitAsync();
            Directory.Delete(folder, recursive: true);
        }
        Assert.Equal(0, second.ExitCode);
    }

    private Process StartWorker(string folder)
    {
        var program = Path.Combine(Path.GetDirectoryName(HubProcess.Program.Replace("JobHub.AppHost", "JobHub.Worker", StringComparison.Ordinal))!, "JobHub.Worker.dll");
        var start = new ProcessStartInfo("dotnet", ["exec", program, "serve"]) { WorkingDirectory = folder };
        foreach (var (name, value) in new Dictionary<string, string>
        {
            ["ASPNETCORE_URLS"] = "http://127.0.0.1:0", ["Logging__LogLevel__Default"] = "Warning", ["JobHub__Worker__Name"] = "second", ["JobHub__Worker__Slots"] = "2",
            ["JobHub__Worker__Api"] = hub.Hub.Api.ToString(), ["JobHub__Worker__TokenFile"] = Path.Combine(hub.Hub.DataFolder, "worker-token"), ["JobHub__Worker__Roles"] = "agent",
            ["JobHub__Worker__DataFolder"] = Path.Combine(folder, "worker"), ["JobHub__Worker__ProgramFolder"] = Path.Combine(hub.Folder, "second-programs"),
            ["JobHub__Worker__ScratchRoot"] = Path.Combine(hub.Folder, "second-scratch"),
        }) start.Environment[name] = value;
        return Process.Start(start)!;
    }
}
