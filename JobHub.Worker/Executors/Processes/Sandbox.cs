using System.Globalization;
using System.Text;

namespace JobHub.Worker.Executors.Processes;

/// <summary>
/// Namespaces that are held open by one small process, so that starting a program in them costs one start and no mounts. Made for an attempt at its first program with
/// these folders and kept until the attempt's end. Ending the namespaces' first process ends everything in them, whatever it did to hide; when the worker dies, the
/// holder's stdin ends and so does it.
/// </summary>
internal sealed class Sandbox
{
    // Reads until the worker closes the pipe or dies.
    private const string Hold = "echo ready; read -r _";

    // Binds are staged below /mnt, because the folders they come from are about to be hidden. $1 = what becomes /tmp; then hidden folders, --, and what stays visible.
    private const string UnshareScript = """
        set -e
        read -r pid _ < /proc/self/stat
        tmp=$1; shift
        hidden=
        mount -t tmpfs -o mode=755 jobhub /mnt
        mkdir /mnt/tmp; mount --bind "$tmp" /mnt/tmp
        n=0; split=0
        for path in "$@"; do
          if [ "$path" = -- ]; then split=1; continue; fi
          [ $split = 1 ] || continue
          n=$((n + 1))
          if [ -d "$path" ]; then mkdir /mnt/$n; else : > /mnt/$n; fi
          mount --bind "$path" /mnt/$n
        done
        mount --bind /mnt/tmp /tmp
        n=0; split=0
        for path in "$@"; do
          if [ "$path" = -- ]; then split=1; continue; fi
          if [ $split = 0 ]; then mkdir -p "$path"; mount -t tmpfs -o mode=755,size=1m jobhub "$path"; continue; fi
          n=$((n + 1))
          if [ -d /mnt/$n ]; then mkdir -p "$path"; else mkdir -p "${path%/*}"; [ -e "$path" ] || : > "$path"; fi
          mount --bind /mnt/$n "$path"
        done
        umount -l /mnt
        mount -t proc proc /proc
        echo "$pid"
        """ + "\n" + Hold;

    private readonly LaunchedProgram holder;
    private readonly int first;
    private readonly int firstPidfd;
    private readonly string? ownTmp;
    // The host's network cannot be entered by a plain user, and need not be.
    private readonly bool network;
    private int closed;

    private Sandbox(LaunchedProgram holder, int first, int firstPidfd, int[]? namespaces, bool network, string? ownTmp)
    {
        (this.holder, this.first, this.firstPidfd, this.network, this.ownTmp) = (holder, first, firstPidfd, network, ownTmp);
        NamespaceFds = namespaces;
    }

    /// <summary>The first process of its pid namespace, which gets its orphans.</summary>
    public int First => first;

    /// <summary>For a thread to join; null when the worker is not root, for only a process with one thread can join a user namespace.</summary>
    public int[]? NamespaceFds { get; }

    /// <summary>What a plain user puts in front of a program: nsenter, and a shell to go to the working folder inside.</summary>
    public IReadOnlyList<string> Enter(string folder) =>
    [
        "nsenter", "-t", first.ToString(CultureInfo.InvariantCulture), "-U", "-m", "-p", "-i", "-u", .. network ? Array.Empty<string>() : ["-n"], "--preserve-credentials", "--",
        "/bin/sh", "-c", "cd \"$0\" && exec \"$@\"", folder,
    ];

    /// <summary>Opens one; blocks for some milliseconds.</summary>
    /// <param name="start">Starts the holder: file, arguments, pipes for stdin, stdout+stderr and (bubblewrap) descriptor 3.</param>
    public static Sandbox Open(IsolationLevel level, SandboxFolders folders, bool network, bool root, Func<string, IReadOnlyList<string>, LaunchedProgram> start, string? ownTmp) =>
        Open(
            level == IsolationLevel.Bubblewrap
                ? start("bwrap", [.. Bubblewrap(folders, network, root), "--info-fd", "2", "--", "/bin/sh", "-c", Hold])
                : start("unshare", [.. Unshare(network, root), "--", "/bin/sh", "-c", UnshareScript, "sandbox", folders.Tmp, .. folders.Hidden, "--", .. folders.Writable, .. folders.Readable]),
            root, network, ownTmp);

    /// <summary>One whose programs see a tree of their own as the root.</summary>
    public static Sandbox Open(IsolationLevel level, TreeRoot tree, bool network, bool root, Func<string, IReadOnlyList<string>, LaunchedProgram> start)
    {
        // bubblewrap starts the holder inside the new root: as root it must not run what a job brought with it. The script's shell stays outside.
        var holder = level == IsolationLevel.Bubblewrap && !(root && tree.IsComposed)
            ? start("bwrap", [.. TreeView.Bubblewrap(tree), .. network ? Array.Empty<string>() : ["--unshare-net"], "--info-fd", "2", "--", "/bin/sh", "-c", Hold])
            : start("unshare", [.. Unshare(network, root), "--", "/bin/sh", "-c", TreeView.Script + Hold, "sandbox", .. TreeView.Arguments(tree)]);
        return Open(holder, root, network, null);
    }

    private static Sandbox Open(LaunchedProgram holder, bool root, bool network, string? ownTmp)
    {
        var said = new StringBuilder();
        try
        {
            using var output = new StreamReader(new FileStream(holder.Stdout, FileAccess.Read, 1, isAsync: false));
            using var more = new StreamReader(new FileStream(holder.Stderr!, FileAccess.Read, 1, isAsync: false));
            var first = 0;
            while (output.ReadLine() is { } line)
            {
                if (line == "ready") break;
                if (int.TryParse(line, NumberStyles.None, CultureInfo.InvariantCulture, out var pid)) first = pid;
            }

            // bubblewrap writes its answer before the program starts, the closing brace last; errors of either come the same way.
            while (first == 0 && more.ReadLine() is { } line)
            {
                said.AppendLine(line);
                var at = line.IndexOf("\"child-pid\":", StringComparison.Ordinal);
                if (at >= 0) first = int.Parse(line.AsSpan(at + 12).Trim().TrimEnd(",}"), NumberStyles.None, CultureInfo.InvariantCulture);
            }

            var pidfd = first == 0 ? -1 : Libc.PidfdOpen(first);
            if (pidfd < 0) throw new ProgramStartException($"The sandbox could not be made: {said.ToString().Trim()}");
            var fds = new List<int>();
            if (root) fds.AddRange(Namespaces.Joined.Select(name => Libc.OpenRead($"/proc/{first}/ns/{name}")));
            return new Sandbox(holder, first, pidfd, root ? [.. fds] : null, network, ownTmp);
        }
        catch
        {
            holder.Signal(Libc.SigKill);
            holder.Dispose();
            throw;
        }
    }

    /// <summary>Kills everything in it and completes when the kernel has taken it down.</summary>
    public async Task CloseAsync()
    {
        if (Interlocked.Exchange(ref closed, 1) == 0)
        {
            _ = Libc.syscall(Libc.SysPidfdSendSignal, firstPidfd, Libc.SigKill, 0, 0);
            _ = Libc.close(firstPidfd);
            foreach (var fd in NamespaceFds ?? []) _ = Libc.close(fd);
            holder.Dispose();
        }

        await holder.Exit;
        if (ownTmp is not null) FolderRemoval.Remove(ownTmp);
    }

    private static IEnumerable<string> Bubblewrap(SandboxFolders folders, bool network, bool root)
    {
        List<string> arguments = ["--ro-bind", "/", "/", "--proc", "/proc", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--die-with-parent"];
        // For a /dev of its own as a plain user bubblewrap nests a second user namespace, and from that one the others cannot be entered.
        arguments.AddRange(root ? ["--dev", "/dev"] : ["--unshare-user", "--dev-bind", "/dev", "/dev", "--tmpfs", "/dev/shm"]);
        if (!network) arguments.Add("--unshare-net");
        arguments.AddRange(["--bind", folders.Tmp, "/tmp"]);
        foreach (var path in folders.Hidden) arguments.AddRange(["--tmpfs", path]);
        // bubblewrap makes missing parents for its own user only.
        foreach (var parent in folders.Readable.Concat(folders.Writable).SelectMany(Parents).Where(IsCovered).Distinct().OrderBy(path => path.Length)) arguments.AddRange(["--dir", parent]);
        foreach (var path in folders.Readable) arguments.AddRange(["--ro-bind", path, path]);
        foreach (var path in folders.Writable) arguments.AddRange(["--bind", path, path]);
        foreach (var path in folders.Hidden) arguments.AddRange(["--remount-ro", path]);
        return arguments;

        bool IsCovered(string path) => folders.Hidden.Append("/tmp").Any(hidden => path.StartsWith(hidden + "/", StringComparison.Ordinal));
    }

    private static IEnumerable<string> Parents(string path)
    {
        for (var parent = Path.GetDirectoryName(path); parent is { Length: > 1 }; parent = Path.GetDirectoryName(parent)) yield return parent;
    }

    private static IEnumerable<string> Unshare(bool network, bool root)
    {
        List<string> arguments = ["--mount", "--pid", "--fork", "--ipc", "--uts", "--kill-child=SIGKILL"];
        // The uid stays what it is: as a mapped root a program would keep the right to unmount what hides the folders.
        if (!root) arguments.AddRange(["--user", "--map-current-user", "--keep-caps"]);
        if (!network) arguments.Add("--net");
        return arguments;
    }
}

/// <summary>What a sandboxed program sees of the host, all absolute.</summary>
internal sealed record SandboxFolders(string Tmp, IReadOnlyList<string> Hidden, IReadOnlyList<string> Readable, IReadOnlyList<string> Writable);
