using JobHub.Engine.Protocol;
using JobHub.Worker.Executors.Processes;

namespace JobHub.Worker.Runtime.Trees;

/// <summary>The file tree of one command on this machine: a folder in its scratch folder, and what was in it before the command began.</summary>
internal sealed class CommandTree(string folder, TreeSpec limits) : IDisposable
{
    /// <summary>Bytes of UTF-8 that a path, and one part of it, may have: what the hub keeps.</summary>
    public const int MostPathBytes = 1024, MostNameBytes = 255;

    private readonly Dictionary<string, FileFacts> _placed = [];
    private readonly HashSet<ulong> _prepared = [];

    public string Folder { get; } = folder;

    /// <summary>Held from before the command began: without a sandbox it could put something else where the folder was.</summary>
    public FolderHandle Root { get; } = FolderHandle.Open(folder);
    /// <summary>The command may have begun; what it made is to be kept.</summary>
    public bool IsReady { get; set; }
    public TreeSpec Limits { get; } = limits;

    /// <summary>Where files were placed.</summary>
    public IEnumerable<string> Paths => _placed.Keys;

    public void Place(string path, FileFacts facts)
    {
        lock (_placed) _placed[path] = facts;
    }

    /// <summary>Something that is there for the root to be mounted on; no job's.</summary>
    public void Prepare(ulong inode) => _prepared.Add(inode);

    public bool IsPrepared(in FileFacts facts) => _prepared.Contains(facts.Inode);

    /// <summary>A file as it was placed. A program can set a file's time back, but not the time of that change.</summary>
    public bool IsUntouched(string path, in FileFacts facts) => _placed.TryGetValue(path, out var was) && was == facts;

    public void Dispose() => Root.Dispose();
}
