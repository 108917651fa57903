using System.Diagnostics;
using JobHub.Engine.Protocol;
using JobHub.Worker.Tests.Agent;
using Xunit;

namespace JobHub.Worker.Tests.Trees;

/// <summary>A hub's side of the protocol and a worker with a step of isolation, both in this process.</summary>
internal sealed class TreeRun : IAsyncDisposable
{
    private LoopWorker _worker = null!;

    public required LoopHub Hub { get; init; }
    public string Scratch => _worker.Scratch;

    /// <summary>No attempt has left anything in the worker's folder.</summary>
    public bool IsClean => Directory.GetFileSystemEntries(Scratch).Length == 0;

    public static async Task<TreeRun> StartAsync(string step, params (string Name, string Value)[] settings)
    {
        var run = new TreeRun { Hub = await LoopHub.StartAsync() };
        run._worker = await new LoopWorker(run.Hub.Address, grace: TimeSpan.FromSeconds(2), settings: [("Isolation", step), .. settings]).StartAsync();
        return run;
    }

    public Task<AttemptSpec> DoAsync(string command, Func<AttemptSpec, AttemptSpec>? shape, params (string Path, string Text)[] files) => EndAsync(Hub.AddTree(command, shape, files));

    public Task<AttemptSpec> DoWithAsync(string command, Func<AttemptSpec, AttemptSpec>? shape, params KeyValuePair<string, LoopFile>[] files) =>
        EndAsync(Hub.AddTree(command, shape, files));

    /// <summary>Beside others that still run.</summary>
    public async Task<AttemptSpec> DoOneAsync(string command, params (string Path, string Text)[] files)
    {
        var spec = Hub.AddTree(command, null, files);
        await Eventually.TrueAsync(() => Hub.Results.ContainsKey(spec.Token));
        return spec;
    }

    public AttemptResult ResultOf(AttemptSpec spec) => Hub.Results[spec.Token];

    public async ValueTask DisposeAsync()
    {
        await _worker.DisposeAsync();
        await Hub.DisposeAsync();
    }

    private async Task<AttemptSpec> EndAsync(AttemptSpec spec)
    {
        await Eventually.TrueAsync(() => Hub.Results.ContainsKey(spec.Token));
        Assert.True(IsClean, string.Join(' ', Directory.GetFileSystemEntries(Scratch)));
        return spec;
    }
}
