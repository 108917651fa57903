using System.Globalization;
using System.Runtime.InteropServices;

namespace JobHub.AppHost.LocalHosting;

/// <summary>The few calls of the system that .NET does not offer.</summary>
internal static partial class Unix
{
    public const int Interrupt = 2;
    public const int Quit = 3;
    public const int Kill = 9;
    public const int Terminate = 15;

    /// <summary>The longest path of a Unix socket, the final zero left out.</summary>
    public const int LongestSocketPath = 107;

    public static bool IsRoot => Environment.IsPrivilegedProcess && !OperatingSystem.IsWindows();

    /// <summary>A stopped process handles nothing but this.</summary>
    public static int Continue => OperatingSystem.IsMacOS() ? 19 : 18;

    /// <summary>Sends a signal; false when there is no such process. A negative id means the whole process group.</summary>
    public static bool Signal(int processId, int signal)
    {
        // 0 and 1 would mean our own group and every process there is.
        ArgumentOutOfRangeException.ThrowIfLessThan(Math.Abs(processId), 2, nameof(processId));
        return NativeKill(processId, signal) == 0;
    }

    /// <summary>Asks a process to end; one that was stopped is woken to hear it.</summary>
    public static void Ask(int processId, int signal)
    {
        Signal(processId, signal);
        Signal(processId, Continue);
    }

    public static void ChangeOwner(string path, UnixUser user)
    {
        if (NativeChown(path, user.UserId, user.GroupId) != 0)
            throw new IOException($"The owner of {path} cannot be changed to {user.Name}: error {Marshal.GetLastPInvokeError()}.");
    }

    [LibraryImport("libc", EntryPoint = "kill", SetLastError = true)]
    private static partial int NativeKill(int processId, int signal);

    [LibraryImport("libc", EntryPoint = "chown", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int NativeChown(string path, uint user, uint group);
}

/// <summary>A user of this machine.</summary>
internal sealed record UnixUser(string Name, uint UserId, uint GroupId)
{
    public static UnixUser? Find(string name)
    {
        if (!File.Exists("/etc/passwd")) return null;
        foreach (var line in File.ReadLines("/etc/passwd"))
        {
            var fields = line.Split(':');
            if (fields.Length > 3 && fields[0] == name && uint.TryParse(fields[2], out var user) && uint.TryParse(fields[3], out var group))
                return new UnixUser(name, user, group);
        }
        return null;
    }
}

/// <summary>A process that cannot be mistaken for a later one with the same id.</summary>
/// <param name="ProcessId">Its id.</param>
/// <param name="Started">Boot and start in clock ticks; opaque, only compared.</param>
internal sealed record ProcessIdentity(int ProcessId, string Started)
{
    /// <summary>Null when there is no such process, or when it has ended and waits to be collected.</summary>
    public static ProcessIdentity? Of(int processId)
    {
        if (ProcessStat.Read(processId) is { } stat) return stat.State is 'Z' or 'X' ? null : new ProcessIdentity(processId, $"{Boot}/{stat.StartTicks}");
        if (OperatingSystem.IsLinux()) return null;
        try
        {
            using var process = System.Diagnostics.Process.GetProcessById(processId);
            return new ProcessIdentity(processId, process.StartTime.ToString("O", CultureInfo.InvariantCulture));
        }
        catch (Exception e) when (e is ArgumentException or InvalidOperationException)
        {
            return null;
        }
    }

    public bool IsAlive => Of(ProcessId) == this;

    private static string Boot { get; } = File.Exists("/proc/sys/kernel/random/boot_id") ? File.ReadAllText("/proc/sys/kernel/random/boot_id").Trim() : "";
}

/// <summary>What /proc says of a process.</summary>
internal readonly record struct ProcessStat(int ProcessId, char State, int Parent, int Group, int Session, long StartTicks)
{
    public static ProcessStat? Read(int processId)
    {
        string text;
        try
        {
            text = File.ReadAllText($"/proc/{processId}/stat");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
        // The name stands in brackets and may hold blanks and brackets itself.
        var end = text.LastIndexOf(')');
        var fields = end < 0 ? [] : text[(end + 1)..].Split(' ', StringSplitOptions.RemoveEmptyEntries);
        return fields.Length < 20
            ? null
            : new ProcessStat(processId, fields[0][0], int.Parse(fields[1]), int.Parse(fields[2]), int.Parse(fields[3]), long.Parse(fields[19]));
    }

    /// <summary>Every process there is; empty where there is no /proc.</summary>
    public static IEnumerable<ProcessStat> All()
    {
        if (!Directory.Exists("/proc")) yield break;
        foreach (var folder in Directory.EnumerateDirectories("/proc"))
            if (int.TryParse(Path.GetFileName(folder), out var id) && Read(id) is { } stat) yield return stat;
    }
}
