using System.Globalization;
using System.Text;

namespace JobHub.Worker.Executors.Processes;

/// <summary>
/// Removes a folder whatever programs left in it: names that are no text, folders without permissions, nesting deeper than a path can be long. By descriptor, so no link
/// is followed. What lies deep is moved up first, so that few descriptors are open at once.
/// </summary>
internal static class FolderRemoval
{
    private const int MostDepth = 40;
    // A process that nobody could tell as the attempt's may still write: once the folder is gone it cannot.
    private const int MostTries = 1000;

    /// <summary>Nothing when it is not there.</summary>
    public static void Remove(string folder)
    {
        var parent = Path.GetDirectoryName(folder) ?? throw new ArgumentException("Not a folder that can be removed.", nameof(folder));
        var name = Encoding.UTF8.GetBytes(Path.GetFileName(folder));
        if (!Directory.Exists(parent)) return;
        using var above = FolderHandle.Open(parent);
        if (above.Look(name) is not { } facts) return;
        if (!facts.IsFolder)
        {
            if (!above.Unlink(name, folder: false) && above.Look(name) is not null) throw Libc.Failed("unlink in the scratch root");
            return;
        }

        using var top = OpenUnlocked(above, name);
        for (var (moved, tries) = (0, 0); tries < MostTries; tries++)
        {
            var before = moved;
            Empty(top, top, 0, ref moved);
            if (IsGone(above, name)) return;
            // What was moved up is in it now, and is progress.
            if (moved > before) tries = 0;
        }

        throw Libc.Failed("rmdir of a scratch folder");
    }

    private static void Empty(FolderHandle folder, FolderHandle top, int depth, ref int moved)
    {
        foreach (var name in folder.Names())
        {
            if (folder.Unlink(name, folder: false)) continue;
            // Not a folder: made again just now, or it cannot be removed, which the tries find out.
            if (folder.Look(name) is not { IsFolder: true } || folder.Unlink(name, folder: true)) continue;
            if (depth >= MostDepth)
            {
                if (Libc.geteuid() != 0) folder.Unlock(name);
                var flat = Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $".moved-{moved++}-{Guid.NewGuid():N}"));
                if (!folder.Rename(name, top, flat)) throw Libc.Failed("rename in a scratch folder");
                continue;
            }

            using var inner = OpenUnlocked(folder, name);
            Empty(inner, top, depth + 1, ref moved);
            IsGone(folder, name);
        }
    }

    private static FolderHandle OpenUnlocked(FolderHandle parent, byte[] name)
    {
        // Root needs no permission; anyone else can give it back to himself: these are folders of his own.
        if (Libc.geteuid() != 0) parent.Unlock(name);
        return parent.TryOpen(name, out var error) ?? throw Libc.Failed("open in a scratch folder", error);
    }

    private static bool IsGone(FolderHandle parent, byte[] name) => parent.Unlink(name, folder: true) || parent.Look(name) is null;
}
