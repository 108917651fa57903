using System.Buffers;
using System.Text;
using JobHub.Engine.Attempts;
using JobHub.Engine.Protocol;
using JobHub.Worker.Agent;
using JobHub.Worker.Executors.Processes;
using Microsoft.Win32.SafeHandles;

namespace JobHub.Worker.Runtime.Trees;

/// <summary>Makes a command's tree: its input files, its working folder and its /tmp. Nothing is made outside the tree whatever the hub's paths say.</summary>
internal sealed class TreeBuilder(AttemptContext context, AttemptFiles files, RootPlan roots, bool sandboxed)
{
    private const int AtOnce = 4;
    private const int BlockBytes = 256 * 1024;
    private const long CopyBytes = 64 << 20;
    // Clocks of file systems are coarse: a change right after the placing must show as one.
    private static readonly TimeSpan Aged = TimeSpan.FromSeconds(2);

    /// <summary>The working folder as it is inside, links of the host followed.</summary>
    public string Resolve(string workingFolder)
    {
        if (workingFolder == "/") return workingFolder;
        if (WhyNot(workingFolder) is { } reason) throw new AttemptFailedException(AttemptOutcome.Failed, ErrorTypes.StartFailed, $"The working folder cannot be made: {reason}");
        try { return sandboxed ? Path.GetDirectoryName(roots.Place(workingFolder + "/-"))! : workingFolder; }
        catch (ProgramStartException e) { throw new AttemptFailedException(AttemptOutcome.Failed, ErrorTypes.StartFailed, e.Message); }
    }

    /// <summary>Makes it. What the root needs besides is prepared by <see cref="Root"/>.</summary>
    /// <param name="folder">A new empty folder of the program's user.</param>
    public async Task<CommandTree> BuildAsync(string folder, string workingFolder, TreeSpec spec, CancellationToken ct)
    {
        var tree = new CommandTree(folder, spec);
        // The runner's to dispose from here, also when the placing fails.
        context.Tree = tree;
        try
        {
            // Before a file's destination makes it as a plain folder.
            roots.MakeWritable(folder, "/tmp", 0x3ff);
            if (spec.Files > 0)
            {
                await Parallel.ForEachAsync(files.ListAsync(ct), new ParallelOptions { MaxDegreeOfParallelism = AtOnce, CancellationToken = ct },
                    async (file, token) => await PlaceAsync(tree, file, token));
            }
            if (!IsShown(workingFolder)) roots.MakeWritable(folder, workingFolder, 0x1ed);
        }
        catch (ProgramStartException e) { throw new AttemptFailedException(AttemptOutcome.Failed, ErrorTypes.StartFailed, e.Message); }
        catch (IOException e) when (e is not FileNotFoundException && !Faults.IsTransient(e)) { throw DiskFaults.Of(e, "Placing the files"); }
        return tree;
    }

    /// <summary>The composed root of a sandbox.</summary>
    public TreeRoot Root(CommandTree tree, string workingFolder, string ownTmp, IReadOnlyList<string> devices)
    {
        try
        {
            bool InTmp(string path) => path.StartsWith("/var/tmp/", StringComparison.Ordinal);
            var mounts = roots.Compose(tree.Folder, IsShown(workingFolder) ? tree.Paths : tree.Paths.Append(workingFolder + "/."), tree.Prepare);
            return new TreeRoot(tree.Folder, mounts, tree.Paths.Append(workingFolder + "/").Any(InTmp) ? null : ownTmp, devices, context.Spec.MemoryLimitBytes);
        }
        catch (ProgramStartException e) { throw new AttemptFailedException(AttemptOutcome.Failed, ErrorTypes.StartFailed, e.Message); }
        catch (IOException e) { throw new AttemptFailedException(AttemptOutcome.Failed, ErrorTypes.StartFailed, $"The command's root could not be put together: {e.Message}"); }
    }

    // A working folder that the worker shows is used as it is.
    private bool IsShown(string workingFolder) => workingFolder == "/" || (sandboxed && roots.Shows(workingFolder));

    private async Task PlaceAsync(CommandTree tree, TreeFile file, CancellationToken ct)
    {
        if (WhyNot(file.Path) is { } reason) throw new AttemptFailedException(AttemptOutcome.Failed, ErrorTypes.StartFailed, $"A file cannot be placed: {reason}");
        var path = sandboxed ? roots.Place(file.Path) : file.Path;
        var name = path[(path.LastIndexOf('/') + 1)..];
        SafeFileHandle handle;
        try
        {
            using var parent = RootPlan.Walk(tree.Root, path[..^(name.Length + 1)], roots.Give);
            handle = parent.CreateFile(name);
        }
        catch (IOException e) when (!Faults.IsDiskFull(e))
        {
            throw new AttemptFailedException(AttemptOutcome.Failed, ErrorTypes.StartFailed, $"The file {file.Path} cannot be placed: {e.Message}.");
        }
        using (handle)
        {
            var size = file.Source.Path is { } source ? await Task.Run(() => Copy(source, handle, ct), ct) : await ReceiveAsync(file, handle, ct);
            if (size != file.Size) throw new AttemptFailedException(AttemptOutcome.Failed, ErrorTypes.InputChanged, $"The file {file.Path} has {size} bytes instead of {file.Size}.");
            File.SetLastWriteTimeUtc(handle, (context.Clock.GetUtcNow() - Aged).UtcDateTime);
            roots.Give(handle, file.Executable ? 0x1ed : 0x1a4);
            tree.Place(path, FolderHandle.FactsOf(handle) ?? throw new IOException("A file that was placed cannot be looked at."));
        }
    }

    private async Task<long> ReceiveAsync(TreeFile file, SafeFileHandle into, CancellationToken ct)
    {
        var buffer = ArrayPool<byte>.Shared.Rent(BlockBytes);
        try
        {
            await using var source = await files.OpenAsync(file, ct);
            var at = 0L;
            int n;
            while ((n = await source.ReadAsync(buffer, ct)) > 0)
            {
                RandomAccess.Write(into, buffer.AsSpan(0, n), at);
                at += n;
            }
            return at;
        }
        finally { ArrayPool<byte>.Shared.Return(buffer); }
    }

    /// <summary>A copy and never a link: the command may change what it is given, and the stored object must not change.</summary>
    private static unsafe long Copy(string source, SafeFileHandle into, CancellationToken ct)
    {
        using var from = OpenSource(source);
        var size = RandomAccess.GetLength(from);
        long at = 0, to = 0;
        bool held = false, kept = false;
        try
        {
            from.DangerousAddRef(ref held);
            into.DangerousAddRef(ref kept);
            while (at < size)
            {
                ct.ThrowIfCancellationRequested();
                if (Libc.copy_file_range((int)from.DangerousGetHandle(), &at, (int)into.DangerousGetHandle(), &to, (nint)Math.Min(CopyBytes, size - at), 0) <= 0) break;
            }
        }
        finally
        {
            if (held) from.DangerousRelease();
            if (kept) into.DangerousRelease();
        }
        // Between file systems that cannot do it for us, the rest goes through a buffer; so does telling why a write failed.
        var buffer = ArrayPool<byte>.Shared.Rent(BlockBytes);
        try
        {
            int n;
            while ((n = RandomAccess.Read(from, buffer, at)) > 0)
            {
                ct.ThrowIfCancellationRequested();
                RandomAccess.Write(into, buffer.AsSpan(0, n), at);
                at += n;
            }
        }
        finally { ArrayPool<byte>.Shared.Return(buffer); }
        return at;
    }

    private static SafeFileHandle OpenSource(string path)
    {
        try { return File.OpenHandle(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete, FileOptions.SequentialScan); }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new AttemptFailedException(AttemptOutcome.Failed, ErrorTypes.InputMissing, "A file of the job is not in the store.");
        }
        catch (UnauthorizedAccessException e)
        {
            throw new AttemptFailedException(AttemptOutcome.Failed, ErrorTypes.StoreRefused, $"A file of the job cannot be read: {e.Message}");
        }
    }

    private static string? WhyNot(string path)
    {
        if (path.Length < 2 || path[0] != '/' || path.Contains('\0')) return "its path is not absolute.";
        if (Encoding.UTF8.GetByteCount(path) > CommandTree.MostPathBytes) return "its path is too long.";
        return path[1..].Split('/').Any(part => part is "" or "." or ".." || Encoding.UTF8.GetByteCount(part) > CommandTree.MostNameBytes) ? $"the path '{path}' is not normalized." : null;
    }

}
