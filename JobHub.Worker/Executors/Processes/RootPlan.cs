using System.Text;

namespace JobHub.Worker.Executors.Processes;

/// <summary>
/// Decides what a tree's program sees: the tree as its root, and of the host an allow-list of folders to read. A file of the tree inside a shown folder makes that folder,
/// and no other, one of the tree, with the host's other entries laid back one by one. Everything else of the host is not there.
/// </summary>
public sealed class RootPlan
{
    /// <summary>Most entries of the host that composed folders take together; each is a mount.</summary>
    public const int MostComposed = 600;
    private static readonly string[] Kernel = ["/proc", "/dev", "/sys"];

    private readonly string[] shown;
    private readonly string[] hidden;
    private readonly (int Uid, int Gid)? programUser;

    /// <param name="shown">Host folders to show; absolute.</param>
    /// <param name="hidden">Paths that must not be seen although a shown folder holds them, and shown folders below which nothing is shown.</param>
    /// <param name="programUser">The owner of folders that programs write, when it is not the worker itself.</param>
    public RootPlan(IEnumerable<string> shown, IEnumerable<string> hidden, (int Uid, int Gid)? programUser)
    {
        this.programUser = programUser;
        this.hidden = [.. hidden.Select(path => path.TrimEnd('/')).Where(path => path.Length > 0).Distinct()];
        this.shown = [.. shown.Select(path => path.TrimEnd('/')).Where(path => path.Length > 0 && (Directory.Exists(path) || File.Exists(path)) && !this.hidden.Any(h => IsAtOrBelow(path, h)))
            .Distinct().OrderBy(path => path.Length).ThenBy(path => path, StringComparer.Ordinal)];
    }

    /// <summary>Where a destination really is once folders of the host that are links (<c>/bin</c>) are followed. Throws <see cref="ProgramStartException"/> for one that no tree can hold.</summary>
    public string Place(string path)
    {
        if (Kernel.FirstOrDefault(folder => IsAtOrBelow(path, folder)) is { } kernel) throw new ProgramStartException($"A file cannot be placed at {path}: {kernel} is the kernel's.");
        var parts = path[1..].Split('/');
        var at = "";
        for (var i = 0; i < parts.Length - 1; i++)
        {
            at = $"{at}/{parts[i]}";
            if (!shown.Any(folder => IsAtOrBelow(at, folder)) || new DirectoryInfo(at) is not { Exists: true, LinkTarget: not null } link) continue;
            at = link.ResolveLinkTarget(returnFinalTarget: true)!.FullName.TrimEnd('/');
        }

        var placed = $"{at}/{parts[^1]}";
        if (IsShown(placed) && Directory.Exists(placed)) throw new ProgramStartException($"A file cannot be placed at {path}: it is a folder of the worker.");
        if (shown.Any(folder => IsAtOrBelow(folder, placed))) throw new ProgramStartException($"A file cannot be placed at {path}: folders of the worker are shown there.");
        if (hidden.Any(folder => IsAtOrBelow(placed, folder)) && IsShown(placed)) throw new ProgramStartException($"A file cannot be placed at {path}: nothing is shown there.");
        return placed;
    }

    /// <summary>Prepares the tree (folders and files to mount over, links) and says what to mount.</summary>
    /// <param name="files">Where files were placed, as <see cref="Place"/> answers.</param>
    /// <param name="prepared">Told the inode of everything that was made and is not the job's.</param>
    public List<TreeMount> Compose(string tree, IEnumerable<string> files, Action<ulong> prepared)
    {
        using var root = FolderHandle.Open(tree);
        var mounts = new List<TreeMount>();
        foreach (var folder in shown)
        {
            if (shown.Any(other => other != folder && IsAtOrBelow(folder, other))) continue;
            var link = new FileInfo(folder).LinkTarget;
            Prepare(root, folder, link, !Directory.Exists(folder), prepared);
            if (link is null) mounts.Add(new TreeMount(TreeMountKind.Shown, folder, folder));
        }

        foreach (var folder in (ReadOnlySpan<string>)["/proc", "/dev", "/var/tmp"]) Prepare(root, folder, null, isFile: false, prepared);
        var done = new HashSet<string>();
        var composed = 0;
        foreach (var folder in files.Where(IsShown).Select(HostParent).Where(IsShown).Distinct().OrderBy(path => path.Length)) Compose(root, tree, folder, mounts, done, prepared, ref composed);
        foreach (var path in hidden.Where(path => IsShown(path) && (Directory.Exists(path) || File.Exists(path)))) mounts.Add(new TreeMount(TreeMountKind.Hidden, path, path));
        return mounts;
    }

    /// <summary>Whether a sandbox shows the host's folder at this path, or below a shown folder nothing is there yet.</summary>
    public bool Shows(string path) => IsShown(path) && Directory.Exists(path);

    /// <summary>Makes a folder of a tree the programs', searchable by all.</summary>
    internal void Give(FolderHandle folder) => folder.Own(programUser?.Uid ?? -1, programUser?.Gid ?? -1, 0x1ed);

    /// <summary>The same for a file.</summary>
    internal void Give(Microsoft.Win32.SafeHandles.SafeFileHandle file, int mode) => FolderHandle.Own(file, programUser?.Uid ?? -1, programUser?.Gid ?? -1, mode);

    /// <summary>Makes <paramref name="path"/> in the tree a folder that programs may write, with its parents. False when it was there.</summary>
    public bool MakeWritable(string tree, string path, int mode)
    {
        var made = false;
        using var root = FolderHandle.Open(tree);
        using var _ = Walk(root, path, folder =>
        {
            folder.Own(programUser?.Uid ?? -1, programUser?.Gid ?? -1, mode);
            made = true;
        });
        return made;
    }

    private void Compose(FolderHandle root, string tree, string folder, List<TreeMount> mounts, HashSet<string> done, Action<ulong> prepared, ref int composed)
    {
        if (!done.Add(folder)) return;
        using var own = Walk(root, folder, null);
        mounts.Add(new TreeMount(TreeMountKind.Writable, tree + folder, folder));
        var below = new List<string>();
        foreach (var entry in new DirectoryInfo(folder).EnumerateFileSystemInfos())
        {
            // A name that is no text comes back changed and cannot be shown.
            if (entry.Name.Contains('\uFFFD')) continue;
            if (own.Look(entry.Name) is { } there)
            {
                if (there.IsFolder && entry is DirectoryInfo { LinkTarget: null }) below.Add(entry.FullName);
                continue;
            }

            if (entry.LinkTarget is { } target) own.Link(entry.Name, target);
            else if (entry is DirectoryInfo)
            {
                using var point = own.OpenOrMake(entry.Name, made => made.Own(-1, -1, 0x1ed));
            }
            else using (own.CreateFile(entry.Name)) { }
            prepared(own.Look(entry.Name)!.Value.Inode);
            if (entry.LinkTarget is not null) continue;
            if (++composed > MostComposed)
                throw new ProgramStartException($"Files cannot be placed in {folder}: it has more entries of the worker ({MostComposed}) than can be shown beside them.");
            mounts.Add(new TreeMount(TreeMountKind.Shown, entry.FullName, entry.FullName));
        }

        foreach (var inner in below) Compose(root, tree, inner, mounts, done, prepared, ref composed);
    }

    private static void Prepare(FolderHandle root, string path, string? link, bool isFile, Action<ulong> prepared)
    {
        var name = Path.GetFileName(path);
        using var parent = Walk(root, Path.GetDirectoryName(path)!, made => made.Own(-1, -1, 0x1ed));
        if (parent.Look(name) is not null) return;
        if (link is not null) parent.Link(name, link);
        else if (isFile)
        {
            using var file = parent.CreateFile(name);
        }
        else
        {
            using var folder = parent.OpenOrMake(name, made => made.Own(-1, -1, 0x1ed));
        }

        prepared(parent.Look(name)!.Value.Inode);
    }

    /// <summary>The folder at an absolute path of the tree, made as far as it is missing.</summary>
    internal static FolderHandle Walk(FolderHandle root, string path, Action<FolderHandle>? made)
    {
        FolderHandle? at = null;
        foreach (var part in path.Split('/', StringSplitOptions.RemoveEmptyEntries))
        {
            var next = (at ?? root).OpenOrMake(part, made);
            at?.Dispose();
            at = next;
        }

        return at ?? root.Again();
    }

    private static string HostParent(string path)
    {
        var parent = Path.GetDirectoryName(path)!;
        while (!Directory.Exists(parent)) parent = Path.GetDirectoryName(parent)!;
        return parent;
    }

    private bool IsShown(string path) => shown.Any(folder => IsAtOrBelow(path, folder));

    private static bool IsAtOrBelow(string path, string folder) => path.StartsWith(folder, StringComparison.Ordinal) && (path.Length == folder.Length || path[folder.Length] == '/');
}
