using System.Globalization;

namespace JobHub.Worker.Executors.Processes;

/// <summary>A <see cref="TreeRoot"/> in the words of bubblewrap, and as mounts of our own.</summary>
internal static class TreeView
{
    private static readonly string[] PlainDevices = ["null", "zero", "full", "random", "urandom", "tty"];
    private static readonly (string Name, string Target)[] DeviceLinks =
        [("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0"), ("stdout", "/proc/self/fd/1"), ("stderr", "/proc/self/fd/2")];

    /// <summary>
    /// The new root is put together at /mnt and moved over / at the end. The shell itself keeps the old root: after the move nothing is executed any more, so nothing that a
    /// job placed among the host's folders can run with this shell's rights. Who joins the namespace gets the topmost root. Everything that is not meant to be written is
    /// remounted in one pass, also what was mounted on the host below a shown folder; what cannot be made read-only is covered.
    /// $1 tree, $2 /var/tmp or "", $3 mount options of /dev/shm; then KIND SOURCE PATH: s shown, w writable, h hidden, d device.
    /// </summary>
    public const string Script = """
        set -e
        read -r pid _ < /proc/self/stat
        n=/mnt
        mount -n --bind -o nosuid,nodev "$1" $n
        mount -n -t tmpfs -o mode=755,size=64k,nosuid jobhub $n/dev
        for d in null zero full random urandom tty; do : > $n/dev/$d; mount -n --bind /dev/$d $n/dev/$d; done
        for l in "fd " "stdin /0" "stdout /1" "stderr /2"; do ln -s "/proc/self/fd${l#* }" "$n/dev/${l%% *}"; done
        mkdir $n/dev/shm; mount -n -t tmpfs -o "$3" jobhub $n/dev/shm
        rw="|$n|$n/dev/shm|$n/proc|"
        if [ "$2" ]; then mount -n --bind -o nosuid,nodev "$2" $n/var/tmp; rw="$rw$n/var/tmp|"; fi
        shift 3
        while [ $# -gt 0 ]; do
          case $1 in
            s) mount -n --rbind "$2" "$n$3" ;;
            w) mount -n --bind -o nosuid,nodev "$2" "$n$3"; rw="$rw$n$3|" ;;
            d) mkdir -p "$n${3%/*}"; : > "$n$3"; mount -n --bind "$2" "$n$3" ;;
            h) if [ -d "$n$3" ]; then mount -n -t tmpfs -o ro,mode=755,size=4k jobhub "$n$3"; else mount -n --bind /dev/null "$n$3"; fi ;;
          esac
          shift 3
        done
        while read -r _ _ _ _ point options _; do
          case $point in $n|$n/*) ;; *) continue ;; esac
          point=$(printf %b "$point")
          case $rw in *"|$point|"*) continue ;; esac
          case $point in $n/dev/*) continue ;; esac
          case $options in ro|ro,*) continue ;; esac
          mount -n -o remount,bind,ro "$point" 2>/dev/null && continue
          if [ -d "$point" ]; then mount -n -t tmpfs -o ro,size=4k jobhub "$point"; else mount -n --bind /dev/null "$point"; fi
        done < /proc/self/mountinfo
        mount -n -t proc -o nosuid,nodev,noexec proc $n/proc
        cd /
        mount -n --move $n /
        echo "$pid"
        """ + "\n";

    public static IEnumerable<string> Arguments(TreeRoot tree)
    {
        yield return tree.Folder;
        yield return tree.OwnTmp ?? "";
        yield return "mode=1777,nosuid,nodev" + (tree.SharedMemoryBytes > 0 ? string.Create(CultureInfo.InvariantCulture, $",size={tree.SharedMemoryBytes}") : "");
        foreach (var mount in tree.Mounts)
        {
            yield return mount.Kind switch { TreeMountKind.Shown => "s", TreeMountKind.Writable => "w", _ => "h" };
            yield return mount.Source;
            yield return mount.Path;
        }

        foreach (var device in tree.Devices)
        {
            yield return "d";
            yield return device;
            yield return device;
        }
    }

    public static IEnumerable<string> Bubblewrap(TreeRoot tree)
    {
        List<string> arguments = ["--bind", tree.Folder, "/"];
        foreach (var mount in tree.Mounts)
        {
            arguments.AddRange(mount.Kind switch
            {
                TreeMountKind.Shown => ["--ro-bind", mount.Source, mount.Path],
                TreeMountKind.Writable => ["--bind", mount.Source, mount.Path],
                _ when Directory.Exists(mount.Source) => ["--tmpfs", mount.Path, "--remount-ro", mount.Path],
                _ => ["--ro-bind", "/dev/null", mount.Path],
            });
        }

        // Not --dev: as a plain user bubblewrap nests a second user namespace for it, and from that one the others cannot be entered.
        arguments.AddRange(["--proc", "/proc", "--perms", "0755", "--size", "65536", "--tmpfs", "/dev"]);
        foreach (var device in PlainDevices) arguments.AddRange(["--dev-bind", $"/dev/{device}", $"/dev/{device}"]);
        foreach (var device in tree.Devices) arguments.AddRange(["--dev-bind", device, device]);
        foreach (var (name, target) in DeviceLinks) arguments.AddRange(["--symlink", target, $"/dev/{name}"]);
        arguments.AddRange(["--perms", "1777"]);
        if (tree.SharedMemoryBytes > 0) arguments.AddRange(["--size", tree.SharedMemoryBytes.ToString(CultureInfo.InvariantCulture)]);
        arguments.AddRange(["--tmpfs", "/dev/shm", "--remount-ro", "/dev"]);
        if (tree.OwnTmp is { } tmp) arguments.AddRange(["--bind", tmp, "/var/tmp"]);
        arguments.AddRange(["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--die-with-parent"]);
        if (Libc.geteuid() != 0) arguments.Add("--unshare-user");
        return arguments;
    }
}
