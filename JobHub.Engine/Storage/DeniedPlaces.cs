using System.Runtime.InteropServices;

namespace JobHub.Engine.Storage;

/// <summary>What <c>file:///</c> may not reach although the hub's user could: the hub's own tokens, keys, database and store. Links are followed before the comparison.</summary>
internal sealed partial class DeniedPlaces(IEnumerable<string> roots, IEnumerable<string> exceptions)
{
    private readonly string[] roots = [.. roots.Where(r => !string.IsNullOrWhiteSpace(r)).Select(Path.GetFullPath)];
    private readonly string[] exceptions = [.. exceptions.Select(Path.GetFullPath)];

    /// <summary>Whether a path, which need not exist, is one of these places or below one.</summary>
    public bool Covers(string path)
    {
        if (roots.Length == 0) return false;
        var real = Resolve(path);
        foreach (var root in roots)
        {
            var place = Resolve(root);
            if (IsBelow(real, place) && !exceptions.Any(e => Resolve(e) is var open && IsBelow(open, place) && IsBelow(real, open))) return true;
        }

        return false;
    }

    private static bool IsBelow(string path, string folder) => path == folder || path.StartsWith(folder.TrimEnd('/') + "/", StringComparison.Ordinal);

    /// <summary>The path without links; what does not exist yet is kept as text below the last part that does.</summary>
    private static string Resolve(string path)
    {
        path = Path.GetFullPath(path).TrimEnd('/');
        var rest = "";
        while (path.Length > 1)
        {
            if (RealPath(path, IntPtr.Zero) is var found && found != IntPtr.Zero)
            {
                var real = Marshal.PtrToStringUTF8(found)!;
                Free(found);
                return real.TrimEnd('/') + rest;
            }

            rest = "/" + Path.GetFileName(path) + rest;
            path = Path.GetDirectoryName(path) ?? "/";
        }

        return rest.Length == 0 ? "/" : rest;
    }

    [LibraryImport("libc", EntryPoint = "realpath", StringMarshalling = StringMarshalling.Utf8)]
    private static partial IntPtr RealPath(string path, IntPtr buffer);

    [LibraryImport("libc", EntryPoint = "free")]
    private static partial void Free(IntPtr pointer);
}
