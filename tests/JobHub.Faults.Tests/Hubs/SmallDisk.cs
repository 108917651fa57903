using JobHub.AppHost.LocalHosting;

namespace JobHub.Faults.Tests.Hubs;

/// <summary>File systems of a test's own: a small one, or one that can be made read-only. Only root may mount; the tests of disks need root.</summary>
public sealed class SmallDisk : IAsyncDisposable
{
    private SmallDisk(string folder) => Folder = folder;

    public string Folder { get; }

    /// <summary>A disk of this many MiB at a folder that is made.</summary>
    public static async Task<SmallDisk> OfAsync(string folder, int megabytes)
    {
        Directory.CreateDirectory(folder);
        await RunAsync("mount", "-t", "tmpfs", "-o", $"size={megabytes}m,mode=711", "jobhub-test", folder);
        return new SmallDisk(folder);
    }

    /// <summary>The folder as a mount of its own, so that it alone can be made read-only.</summary>
    public static async Task<SmallDisk> BoundAsync(string folder)
    {
        Directory.CreateDirectory(folder, (UnixFileMode)0b111_000_000);
        await RunAsync("mount", "--bind", folder, folder);
        return new SmallDisk(folder);
    }

    /// <summary>Fails while a file is open for writing.</summary>
    public Task SetReadOnlyAsync(bool isReadOnly) => RunAsync("mount", "-o", $"remount,bind,{(isReadOnly ? "ro" : "rw")}", Folder);

    public async ValueTask DisposeAsync() => await RunAsync("umount", "-l", Folder);

    private static async Task RunAsync(string program, params string[] arguments)
    {
        var (code, said) = await HostedProcess.RunAsync(new ProcessPlan(program, arguments), CancellationToken.None);
        if (code != 0) throw new IOException($"{program} {string.Join(' ', arguments)}: {said}");
    }
}
