using JobHub.Worker.Executors.Processes;

namespace JobHub.Worker.Runtime;

/// <summary>Scratch folders of attempts: named by token, below this worker process' own folder, so that a dead worker's can be told and removed.</summary>
public sealed class ScratchOnDisk(ScratchFolders folders) : IScratch
{
    public string Create(Guid token) => folders.Create(token.ToString("N"));

<<<<<<< Updated upstream
    public void Remove(string folder) => folders.Remove(folder);
=======
    public ScratchOnDisk(IOptions<ProcessOptions> options)
    {
        _root = options.Value.ScratchRoot ?? $"/var/tmp/jobhub-{Libc.geteuid()}";
        _user = ProgramUser.Resolve(options.Value.RunAs);
        Directory.CreateDirectory(_root);
        File.SetUnixFileMode(_root, (UnixFileMode)0b111_001_001);
    }

    public string Create(Guid token)
    {
        var folder = Path.Combine(_root, token.ToString("N"));
        Directory.CreateDirectory(folder, (UnixFileMode)0b111_000_000);
        if (_user is { } user && Libc.lchown(folder, user.Uid, user.Gid) != 0) throw Libc.Failed("chown of a scratch folder");
        return folder;
    }

    public void Remove(string folder)
    {
        try { Directory.Delete(folder, recursive: true); }
        catch (DirectoryNotFoundException) { /* gone */ }
    }
>>>>>>> Stashed changes
}
