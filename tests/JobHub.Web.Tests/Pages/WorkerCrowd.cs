using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text.Json.Nodes;

namespace JobHub.Web.Tests.Pages;

/// <summary>Workers that say how loaded they are and take nothing: enough to fill a page.</summary>
internal sealed class WorkerCrowd : IAsyncDisposable
{
    private readonly HttpClient client;
    private readonly List<(long Session, double Load, long Free)> open = [];
    private readonly CancellationTokenSource gone = new();
    private Task renewing = Task.CompletedTask;

    private WorkerCrowd(HttpClient client) => this.client = client;

    public static async Task<WorkerCrowd> OpenAsync(Dashboard dashboard, params (string Name, string[] Tags, int Slots, int Gpus, double Load)[] workers)
    {
        var client = new HttpClient(new SocketsHttpHandler { UseProxy = false }) { BaseAddress = dashboard.Hub.Api };
        client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", (await File.ReadAllTextAsync(Path.Combine(dashboard.Hub.DataFolder, "worker-token"))).Trim());
        var crowd = new WorkerCrowd(client);
        foreach (var (name, tags, slots, gpus, load) in workers)
        {
            using var answer = await client.PostAsJsonAsync("/agent/v1/sessions", new
            {
                worker = name, host = "crowd", slots, cpus = 8, memoryBytes = 32L << 30, gpus, affinity = tags.Length == 0 ? Array.Empty<string[]>() : [tags], mounts = Array.Empty<string>(), isolation = "bubblewrap", version = "1.0",
            });
            Assert.True(answer.IsSuccessStatusCode, await answer.Content.ReadAsStringAsync());
            crowd.open.Add(((long)JsonNode.Parse(await answer.Content.ReadAsStringAsync())!["session"]!, load * 8, (long)((1 - (load * 0.8)) * (32L << 30))));
        }

        await crowd.RenewAsync();
        crowd.renewing = crowd.GoOnAsync();
        return crowd;
    }

    public async ValueTask DisposeAsync()
    {
        await gone.CancelAsync();
        await renewing;
        foreach (var (session, _, _) in open) using (await client.DeleteAsync($"/agent/v1/sessions/{session}")) { }
        client.Dispose();
        gone.Dispose();
    }

    private async Task GoOnAsync()
    {
        using var timer = new PeriodicTimer(TimeSpan.FromSeconds(1));
        try
        {
            while (await timer.WaitForNextTickAsync(gone.Token)) await RenewAsync();
        }
        catch (OperationCanceledException)
        {
            // The test is over.
        }
    }

    private async Task RenewAsync()
    {
        foreach (var (session, load, free) in open)
        {
            using var answer = await client.PostAsJsonAsync($"/agent/v1/sessions/{session}/renew", new { tokens = Array.Empty<Guid>(), started = Array.Empty<Guid>(), progress = Array.Empty<object>(), load, freeMemoryBytes = free });
        }
    }
}
