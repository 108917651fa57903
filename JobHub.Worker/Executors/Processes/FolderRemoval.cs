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
            Unlink(above, name, folder: false);
            return;
        }

        var moved = 0;
        using (var top = OpenUnlocked(above, name)) Empty(top, top, 0, ref moved);
        Unlink(above, name, folder: true);
    }

    private static void Empty(FolderHandle folder, FolderHandle top, int depth, ref int moved)
    {
        // What was moved up appears in the top folder while it is emptied.
        for (var names = folder.Names(); names.Count > 0; names = depth == 0 ? folder.Names() : [])
        {
            foreach (var name in names)
            {
                if (folder.Unlink(name, folder: false)) continue;
                if (folder.Look(name) is not { } facts) continue;
                if (!facts.IsFolder) throw Libc.Failed("unlink in a scratch folder");
                if (folder.Unlink(name, folder: true)) continue;
                if (depth >= MostDepth)
                {
                    if (Libc.geteuid() != 0) folder.Unlock(name);
                    var flat = Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $".moved-{moved++}-{Guid.NewGuid():N}"));
                    if (!folder.Rename(name, top, flat)) throw Libc.Failed("rename in a scratch folder");
                    continue;
                }

                using (var inner = OpenUnlocked(folder, name)) Empty(inner, top, depth + 1, ref moved);
                Unlink(folder, name, folder: true);
            }
        }
    }

    private static FolderHandle OpenUnlocked(FolderHandle parent, byte[] name)
    {
        // Root needs no permission; anyone else can give it back to himself: these are folders of his own.
        if (Libc.geteuid() != 0) parent.Unlock(name);
        return parent.TryOpen(name, out var error) ?? throw Libc.Failed("open in a scratch folder", error);
    }

    private static void Unlink(FolderHandle parent, byte[] name, bool folder)
    {
        if (!parent.Unlink(name, folder) && parent.Look(name) is not null) throw Libc.Failed("unlink in a scratch folder");
    }
}
