using System.Collections.Concurrent;
using JobHub.AppHost.LocalHosting;
using JobHub.Testing;

namespace JobHub.Faults.Tests.Hubs;

/// <summary>A second worker of a hub, as a render node or another machine would be: it knows the hub's address and a worker's token.</summary>
public sealed class SpareWorker : IAsyncDisposable
{
    private readonly HostedProcess process;
    private readonly ConcurrentQueue<string> output;

    private SpareWorker(HostedProcess process, ConcurrentQueue<string> output) => (this.process, this.output) = (process, output);

    public int ProcessId => process.ProcessId;

    /// <summary>What it printed.</summary>
    public IReadOnlyList<string> Output => [.. output];

    /// <param name="name">Its name; that of another worker is allowed.</param>
    public static async Task<SpareWorker> StartAsync(FaultHub hub, string name, int slots)
    {
        var data = hub.Process.DataFolder;
        var program = HubProcess.Program.Replace("JobHub.AppHost", "JobHub.Worker", StringComparison.Ordinal);
        var environment = new Dictionary<string, string?>
        {
            ["ASPNETCORE_URLS"] = "http://127.0.0.1:0", ["ASPNETCORE_ENVIRONMENT"] = "Development", ["DOTNET_ENVIRONMENT"] = "Development", ["JOBHUB_PARENT_PIPE"] = "stdin",
            ["JobHub__Worker__Api"] = hub.Process.Api.AbsoluteUri, ["JobHub__Worker__TokenFile"] = Path.Combine(data, "worker-token"), ["JobHub__Worker__Name"] = name,
            ["JobHub__Worker__DataFolder"] = Path.Combine(data, $"worker-{Guid.NewGuid():N}"), ["JobHub__Worker__ScratchRoot"] = hub.Scratch,
            ["JobHub__Worker__Roles"] = "agent", ["JobHub__Worker__Slots"] = $"{slots}",
        };
        var output = new ConcurrentQueue<string>();
        var process = HostedProcess.Start(new ProcessPlan("dotnet", ["exec", program, "serve"]) { Environment = environment, HoldInput = true }, output.Enqueue);
        var worker = new SpareWorker(process, output);
        try
        {
            await Eventually.TrueAsync(
                async () => await hub.CountAsync($"SELECT count(*) FROM worker_session WHERE worker = '{name}' AND slots = {slots} AND ended_at IS NULL") > 0, $"a session of {name}");
            return worker;
        }
        catch
        {
            await worker.DisposeAsync();
            throw;
        }
    }

    public async ValueTask DisposeAsync()
    {
        await process.StopAsync(Unix.Terminate, TimeSpan.FromSeconds(30), CancellationToken.None);
        process.Dispose();
    }
}
