namespace JobHub.Worker.Executors.Processes;

/// <summary>A file tree of a program's own, which it sees as <c>/</c>, with some of the host shown in it.</summary>
/// <param name="Folder">The host folder that becomes the root; writable.</param>
/// <param name="Mounts">What is laid over it, in order.</param>
/// <param name="OwnTmp">The host folder that becomes <c>/var/tmp</c>; null when the tree has one.</param>
/// <param name="Devices">Devices besides the usual ones (<c>/dev/nvidia0</c>).</param>
/// <param name="SharedMemoryBytes">Most that <c>/dev/shm</c> takes; 0 = the kernel's usual half of the memory.</param>
public sealed record TreeRoot(string Folder, IReadOnlyList<TreeMount> Mounts, string? OwnTmp, IReadOnlyList<string> Devices, long SharedMemoryBytes)
{
    /// <summary>Files of the job stand among shown folders of the host, where programs and libraries are looked for.</summary>
    public bool IsComposed => Mounts.Any(mount => mount.Kind == TreeMountKind.Writable);
}

/// <summary>What becomes of a path below a <see cref="TreeRoot"/>.</summary>
public enum TreeMountKind
{
    /// <summary>A folder or file of the host, to read.</summary>
    Shown,
    /// <summary>A folder of the tree over one of the host.</summary>
    Writable,
    /// <summary>Empty, whatever the host has there.</summary>
    Hidden,
}

/// <summary>One step of a composed root.</summary>
/// <param name="Source">Host path.</param>
/// <param name="Path">Absolute path inside.</param>
public sealed record TreeMount(TreeMountKind Kind, string Source, string Path);
