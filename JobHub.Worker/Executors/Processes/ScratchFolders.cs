using Microsoft.Extensions.Options;

namespace JobHub.Worker.Executors.Processes;

/// <summary>
/// Private folders on this machine: one an attempt, 0700, of the user that programs run as. They lie in a folder of this worker process, whose lock says that it lives;
/// what a dead worker left is removed at the next start.
/// </summary>
public sealed class ScratchFolders : IDisposable
{
    private readonly FileStream held;
    private readonly (int Uid, int Gid)? runAs;

    public ScratchFolders(IOptions<ProcessOptions> options)
    {
        runAs = ProgramUser.Resolve(options.Value.RunAs);
        Root = Path.GetFullPath(options.Value.ScratchRoot ?? $"/var/tmp/jobhub-{Libc.geteuid()}");
        // Searchable, not listable: programs find their own folder by its name only.
        Directory.CreateDirectory(Root, (UnixFileMode)0b111_001_001);
        if (new DirectoryInfo(Root).LinkTarget is not null || Libc.OwnerOf(Root) != Libc.geteuid())
            throw new InvalidOperationException($"The scratch root {Root} belongs to another user. Set JobHub:Worker:ScratchRoot.");
        File.SetUnixFileMode(Root, (UnixFileMode)0b111_001_001);
        RemoveLeftovers();
        Own = Path.Combine(Root, Instance.ToString("N"));
        held = new FileStream(Own + ".lock", FileMode.CreateNew, FileAccess.ReadWrite, FileShare.None);
        Directory.CreateDirectory(Own, (UnixFileMode)0b111_001_001);
    }

    /// <summary>Of this worker process. Every program carries it as <c>JOBHUB_WORKER</c>.</summary>
    public Guid Instance { get; } = Guid.NewGuid();

    /// <summary>The folder of all workers of this user on this machine; hidden from sandboxed programs.</summary>
    public string Root { get; }

    /// <summary>This worker process' folder below it.</summary>
    public string Own { get; }

    /// <summary>The user that programs run as: their files belong to it.</summary>
    internal int ProgramUid => runAs?.Uid ?? Libc.geteuid();

    /// <summary>What files made for programs are given to; null when they are the worker's own.</summary>
    internal (int Uid, int Gid)? GivenTo => runAs;

    /// <summary>A new empty folder that only its attempt's programs (and the worker) can use.</summary>
    public string Create(string name)
    {
        var folder = Path.Combine(Own, Path.GetFileName(name));
        Directory.CreateDirectory(folder, (UnixFileMode)0b111_000_000);
        Give(folder);
        return folder;
    }

    /// <summary>Makes the user that programs run as the owner of a file, folder or socket in the scratch root: a socket that the worker made can be connected to only then.</summary>
    public void Give(string path)
    {
        if (runAs is { } user && IsScratch(path) && Libc.lchown(path, user.Uid, user.Gid) != 0) throw Libc.Failed($"chown {path}");
    }

    /// <summary>Removes a folder whatever the modes that programs left in it. After <see cref="IProgramLauncher.EndAllAsync"/>.</summary>
    public void Remove(string folder)
    {
        if (!IsScratch(folder)) throw new ArgumentException($"{folder} is not a scratch folder.", nameof(folder));
        // Most short commands leave it empty: one call.
        if (Libc.rmdir(folder) != 0) FolderRemoval.Remove(folder);
    }

    public bool IsScratch(string path) => Path.GetFullPath(path).StartsWith(Own + "/", StringComparison.Ordinal);

    /// <summary>The folder made by <see cref="Create"/> that a path lies in; null for other paths.</summary>
    internal string? FolderOf(string path)
    {
        if (!IsScratch(path)) return null;
        var full = Path.GetFullPath(path);
        var end = full.IndexOf('/', Own.Length + 1);
        return end < 0 ? full : full[..end];
    }

    public void Dispose()
    {
        FolderRemoval.Remove(Own);
        File.Delete(Own + ".lock");
        held.Dispose();
    }

    private void RemoveLeftovers()
    {
        foreach (var path in Directory.EnumerateFiles(Root, "*.lock"))
        {
            try
            {
                // The kernel drops the lock of a dead process.
                using var taken = new FileStream(path, FileMode.Open, FileAccess.ReadWrite, FileShare.None);
                if (Guid.TryParseExact(Path.GetFileNameWithoutExtension(path), "N", out var dead)) Orphans.Kill(dead);
                FolderRemoval.Remove(path[..^5]);
                File.Delete(path);
            }
            catch (IOException)
            {
                // Its worker lives.
            }
        }
    }
}
