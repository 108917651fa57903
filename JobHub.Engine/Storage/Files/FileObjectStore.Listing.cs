using System.Runtime.CompilerServices;
using System.Text;
using Microsoft.Win32.SafeHandles;
using static JobHub.Engine.Storage.Files.NativeFiles;

namespace JobHub.Engine.Storage.Files;

public sealed partial class FileObjectStore
{
    private static readonly UTF8Encoding StrictUtf8 = new(false, throwOnInvalidBytes: true);

    /// <summary>
    /// Ascending by UTF-8 bytes, holding the names of one folder (and of those above it) at a time. Links to regular files inside the bounds count as files
    /// (<c>file:///</c> only); linked folders are not walked, so that a loop of links cannot hold a submit. Missing folders and buckets list nothing.
    /// </summary>
    public async IAsyncEnumerable<ObjectStat> ListAsync(ObjectPath prefix, [EnumeratorCancellation] CancellationToken ct)
    {
        var slash = prefix.Key.LastIndexOf('/') + 1;
        CheckKey(new ObjectPath(prefix.Bucket, prefix.Key[..slash]), allowFolder: true);
        var top = prefix.Key[..slash];
        var parts = (root is null ? top : $"{prefix.Bucket}/{top}").Split('/', StringSplitOptions.RemoveEmptyEntries);
        var start = tree.OpenFolder(parts, create: false, prefix.ToString());
        if (start is null) yield break;
        var stack = new Stack<Frame>();
        try
        {
            stack.Push(Frame.Read(start, top, Encoding.UTF8.GetBytes(prefix.Key[slash..]), prefix));
            while (stack.TryPeek(out var frame))
            {
                ct.ThrowIfCancellationRequested();
                if (!frame.MoveNext())
                {
                    stack.Pop().Dispose();
                    continue;
                }

                var (name, isFolder) = frame.Current;
                if (root is null && name.StartsWith(TemporaryPrefix, StringComparison.Ordinal)) continue;
                if (isFolder)
                {
                    // Gone or replaced since its name was read: not there any more.
                    var folder = OpenAt(frame.Folder, name, ReadOnly | Folder | NoFollow, 0, out var error);
                    if (folder is not null) stack.Push(Frame.Read(folder, $"{frame.Key}{name}/", [], prefix));
                    else if (error is not (NoEntry or NotFolder or TooManyLinks)) throw Fault(error, prefix with { Key = frame.Key + name });
                    continue;
                }

                if (StatEntry(frame.Folder, name, prefix.Bucket, frame.Key) is { } found) yield return found;
            }
        }
        finally
        {
            foreach (var frame in stack) frame.Dispose();
        }

        await Task.CompletedTask;
    }

    private ObjectStat? StatEntry(SafeFileHandle folder, string name, string bucket, string top)
    {
        var error = StatAt(folder, name, out var status);
        if (error == NoEntry) return null;
        if (error != 0) throw Fault(error, new ObjectPath(bucket, top + name));
        if (status.IsLink)
        {
            if (root is not null) return null;
            try
            {
                using var file = tree.OpenFile(folder, name, read: false, top + name, out status);
                if (file is null) return null;
            }
            catch (StoreException e) when (e.Fault is StoreFault.EndpointNotAllowed or StoreFault.InvalidPath)
            {
                // A link out of the bounds, to a device or in a circle: not an object.
                return null;
            }
        }

        return status.IsFile ? Describe(top + name, status) : null;
    }

    /// <summary>One open folder and its names still to come, in the order of whole keys.</summary>
    private sealed class Frame(SafeFileHandle folder, string key, List<(byte[] Name, byte Kind)> entries) : IDisposable
    {
        private const byte KindFolder = 4, KindUnknown = 0;

        private int next = -1;

        public SafeFileHandle Folder => folder;
        /// <summary>The key of the folder, with a slash at its end, or empty.</summary>
        public string Key => key;
        public (string Name, bool IsFolder) Current => (StrictUtf8.GetString(entries[next].Name), entries[next].Kind == KindFolder);

        public static Frame Read(SafeFileHandle folder, string key, byte[] begins, ObjectPath shown)
        {
            try
            {
                var entries = ReadFolder(folder);
                entries.RemoveAll(entry => !entry.Name.AsSpan().StartsWith(begins));
                for (var i = 0; i < entries.Count; i++)
                {
                    var (name, kind) = entries[i];
                    // Leaving it out would lose its lines without a word.
                    if (!System.Text.Unicode.Utf8.IsValid(name)) throw ObjectKey.Invalid($"A name in {(shown with { Key = key }).ToString()} is not UTF-8.");
                    if (kind != KindUnknown) continue;
                    _ = StatAt(folder, StrictUtf8.GetString(name), out var status);
                    if (status.IsFolder) entries[i] = (name, KindFolder);
                }

                entries.Sort(ByWholeKey);
                return new Frame(folder, key, entries);
            }
            catch (System.ComponentModel.Win32Exception e)
            {
                folder.Dispose();
                throw Fault(e.NativeErrorCode, shown with { Key = key });
            }
            catch (StoreException)
            {
                folder.Dispose();
                throw;
            }
        }

        public bool MoveNext() => ++next < entries.Count;

        public void Dispose() => folder.Dispose();

        /// <summary>A folder's name continues with a slash in every key below it, so <c>a.txt</c> comes before <c>a/b</c>.</summary>
        private static int ByWholeKey((byte[] Name, byte Kind) x, (byte[] Name, byte Kind) y)
        {
            var shared = Math.Min(x.Name.Length, y.Name.Length);
            var order = x.Name.AsSpan(0, shared).SequenceCompareTo(y.Name.AsSpan(0, shared));
            return order != 0 ? order : At(x, shared).CompareTo(At(y, shared));

            static int At((byte[] Name, byte Kind) entry, int index) => index < entry.Name.Length ? entry.Name[index] : entry.Kind == KindFolder ? '/' : -1;
        }
    }
}
