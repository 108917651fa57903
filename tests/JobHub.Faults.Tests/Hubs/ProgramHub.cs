using JobHub.Testing;

namespace JobHub.Faults.Tests.Hubs;

/// <summary>One hub for all tests of programs; its grace is short.</summary>
public sealed class ProgramHub : IAsyncLifetime
{
    public FaultHub Hub { get; private set; } = null!;

    public async Task InitializeAsync()
    {
        Hub = await FaultHub.StartAsync(new HubOptions { Slots = 2, Environment = new Dictionary<string, string?> { ["JobHub__Worker__Grace"] = "00:00:01" } });
        await Hub.UploadAsync("cat.sh", "#!/bin/sh\nexec cat\n");
    }

    public async Task DisposeAsync() => await Hub.DisposeAsync();
}
