using System.ComponentModel.DataAnnotations;

namespace JobHub.Worker.Executors.Processes;

/// <summary>How much isolation is asked for. Auto takes the highest step that works here.</summary>
public enum IsolationChoice
{
    Auto, Bubblewrap, Unshare, Plain,
}

/// <summary>Settings of programs on this machine (<c>JobHub:Worker</c>).</summary>
public sealed class ProcessOptions
{
    public const string Section = "JobHub:Worker";

    /// <summary>A step that was asked for by name and does not work is an error at start; auto goes down the ladder.</summary>
    public IsolationChoice Isolation { get; init; } = IsolationChoice.Auto;

    /// <summary>The user programs run as when the worker is root: a name or a number. Empty: as root, which only a throw-away machine should do.</summary>
    public string RunAs { get; init; } = "nobody";

    /// <summary>Where scratch folders are made. Every parent must be searchable by <see cref="RunAs"/>. Default: <c>/var/tmp/jobhub-UID</c>.</summary>
    public string? ScratchRoot { get; init; }

    /// <summary>Host folders that sandboxed programs see empty, besides the scratch root: put the hub's data folder here.</summary>
    public IReadOnlyList<string> HiddenFolders { get; init; } = [];

    /// <summary>Also hide home folders and per-user sockets (<c>/root /home /run/user</c>). False when programs need an interpreter below a home folder.</summary>
    public bool HideHomes { get; init; } = true;

    /// <summary>
    /// Host folders that commands with files of their own see, read-only; everything else of the host is not there for them. Null = <see cref="DefaultShownFolders"/>. Add
    /// to it what programs need, never a folder that holds the hub's data or other people's files.
    /// </summary>
    public IReadOnlyList<string>? ShownFolders { get; init; }

    /// <summary>Programs, libraries, settings, and what fonts, TeX and the resolver keep below /var and /run.</summary>
    public static IReadOnlyList<string> DefaultShownFolders { get; } =
    [
        "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/opt", "/nix", "/sys", "/var/lib/texmf", "/var/cache/fontconfig", "/run/systemd/resolve",
    ];

    /// <summary>How often the memory of attempts with a limit is sampled. Ten times as often once one has used half of its limit.</summary>
    [Range(typeof(TimeSpan), "00:00:00.010", "00:00:10")]
    public TimeSpan MemorySample { get; init; } = TimeSpan.FromMilliseconds(250);

    /// <summary>Make control groups for attempts with a limit where the worker may; else, and beside them, memory is sampled.</summary>
    public bool Cgroups { get; init; } = true;

    /// <summary>Run the guard that ends programs and removes scratch folders when the worker itself is killed.</summary>
    public bool Guard { get; init; } = true;
}
