using JobHub.Worker.Executors.Processes;
using Microsoft.Extensions.Options;

namespace JobHub.Worker.Runtime;

/// <summary>Scratch folders below one root, of the user programs run as.</summary>
public sealed class ScratchOnDisk : IScratch
{
    private readonly string _root;
    private readonly (int Uid, int Gid)? _user;

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
        if (_user is { } user && Libc.chown(folder, user.Uid, user.Gid) != 0) throw Libc.Failed("chown of a scratch folder");
        return folder;
    }

    public void Remove(string folder)
    {
        try { Directory.Delete(folder, recursive: true); }
        catch (DirectoryNotFoundException) { /* gone */ }
    }
}
