using System.Collections.Concurrent;
using JobHub.AppHost.LocalHosting;

namespace JobHub.Testing;

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
    /// <param name="affinity">Its lines, the first preferred.</param>
    public static async Task<SpareWorker> StartAsync(HubProcess hub, string name, int slots, params string[] affinity)
    {
        var data = hub.DataFolder;
        var program = HubProcess.Program.Replace("JobHub.AppHost", "JobHub.Worker", StringComparison.Ordinal);
        var environment = new Dictionary<string, string?>
        {
            ["ASPNETCORE_URLS"] = "http://127.0.0.1:0", ["ASPNETCORE_ENVIRONMENT"] = "Development", ["DOTNET_ENVIRONMENT"] = "Development", ["JOBHUB_PARENT_PIPE"] = "stdin",
            ["JobHub__Worker__Api"] = hub.Api.AbsoluteUri, ["JobHub__Worker__TokenFile"] = Path.Combine(data, "worker-token"), ["JobHub__Worker__Name"] = name,
            ["JobHub__Worker__DataFolder"] = Path.Combine(data, $"worker-{Guid.NewGuid():N}"), ["JobHub__Worker__ScratchRoot"] = Path.Combine(data, "scratch"),
            ["JobHub__Worker__Roles"] = "agent", ["JobHub__Worker__Slots"] = $"{slots}",
        };
        for (var i = 0; i < affinity.Length; i++) environment[$"JobHub__Worker__Affinity__{i}"] = affinity[i];
        var output = new ConcurrentQueue<string>();
        var process = HostedProcess.Start(new ProcessPlan("dotnet", ["exec", program, "serve"]) { Environment = environment, HoldInput = true }, output.Enqueue);
        var worker = new SpareWorker(process, output);
        try
        {
            await Eventually.TrueAsync(() => output.Any(line => line.Contains(" open: lease ", StringComparison.Ordinal)), $"a session of {name}");
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
