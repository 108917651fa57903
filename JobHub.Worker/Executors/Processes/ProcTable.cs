using System.Buffers.Text;
using System.Globalization;

namespace JobHub.Worker.Executors.Processes;

/// <summary>One line of the process table (/proc/PID/stat).</summary>
internal readonly record struct ProcEntry(int Pid, char State, int Parent, int Group, int Session, long StartTicks, long RssBytes);

/// <summary>Reads of /proc without allocation per process, for these run after every attempt.</summary>
internal static unsafe class ProcTable
{
    private static readonly long PageSize = Environment.SystemPageSize;

    public static ProcEntry? Read(int pid)
    {
        Span<byte> text = stackalloc byte[1024];
        var length = ReadFile(pid, "stat"u8, text);
        if (length <= 0) return null;
        text = text[..length];
        // The name may hold anything, also ") R 1": the fields start after the last parenthesis.
        var fields = text[(text.LastIndexOf((byte)')') + 2)..];
        var state = (char)fields[0];
        Span<long> values = stackalloc long[22];
        var at = 2;
        for (var i = 0; i < values.Length && at < fields.Length; i++)
        {
            Utf8Parser.TryParse(fields[at..], out values[i], out var used);
            at += used + 1;
        }

        // values[0] is field 4 (ppid); rss is field 24.
        return new ProcEntry(pid, state, (int)values[0], (int)values[1], (int)values[2], values[18], values[20] * PageSize);
    }

    /// <summary>Whether the process carries NAME=value in the environment it was started with.</summary>
    public static bool HasMark(int pid, ReadOnlySpan<byte> mark)
    {
        Span<byte> buffer = stackalloc byte[16384];
        var fd = Open(pid, "environ"u8);
        if (fd < 0) return false;
        try
        {
            var kept = 0;
            fixed (byte* start = buffer)
            {
                while (true)
                {
                    var count = (int)Libc.read(fd, start + kept, buffer.Length - kept);
                    if (count <= 0) return false;
                    var filled = buffer[..(kept + count)];
                    if (filled.IndexOf(mark) >= 0) return true;
                    // The mark may lie across two reads.
                    kept = Math.Min(mark.Length, filled.Length);
                    filled[^kept..].CopyTo(buffer);
                }
            }
        }
        finally
        {
            _ = Libc.close(fd);
        }
    }

    /// <summary>The working folder of a process, where that may be seen; one that was removed ends with <c> (deleted)</c>.</summary>
    public static string? FolderOf(int pid)
    {
        try { return File.ResolveLinkTarget($"/proc/{pid}/cwd", returnFinalTarget: false)?.FullName; }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException) { return null; }
    }

    /// <summary>The pid that was given out last in this pid namespace.</summary>
    public static int LastPid()
    {
        Span<byte> text = stackalloc byte[128];
        fixed (byte* buffer = text)
        fixed (byte* path = "/proc/loadavg\0"u8)
        {
            var fd = OpenPath(path);
            if (fd < 0) return 0;
            var length = (int)Libc.read(fd, buffer, text.Length);
            _ = Libc.close(fd);
            if (length <= 0) return 0;
            text = text[..length].TrimEnd((byte)'\n');
        }

        return Utf8Parser.TryParse(text[(text.LastIndexOf((byte)' ') + 1)..], out int pid, out _) ? pid : 0;
    }

    public static IEnumerable<int> All() =>
        Directory.EnumerateDirectories("/proc").Select(path => int.TryParse(path.AsSpan(6), NumberStyles.None, CultureInfo.InvariantCulture, out var pid) ? pid : 0).Where(pid => pid > 0);

    /// <summary>Now, in the unit and on the clock of <see cref="ProcEntry.StartTicks"/> (USER_HZ is 100 on every architecture that .NET runs on).</summary>
    public static long NowTicks()
    {
        var time = stackalloc long[2];
        _ = Libc.clock_gettime(7, time); // CLOCK_BOOTTIME
        return time[0] * 100 + time[1] / 10_000_000;
    }

    public static bool GroupExists(int group) => Libc.kill(-group, 0) == 0 || System.Runtime.InteropServices.Marshal.GetLastPInvokeError() != Libc.Esrch;

    public static bool Exists(int pid) => Libc.kill(pid, 0) == 0 || System.Runtime.InteropServices.Marshal.GetLastPInvokeError() != Libc.Esrch;

    private static int ReadFile(int pid, ReadOnlySpan<byte> name, Span<byte> into)
    {
        var fd = Open(pid, name);
        if (fd < 0) return -1;
        fixed (byte* buffer = into)
        {
            var length = (int)Libc.read(fd, buffer, into.Length);
            _ = Libc.close(fd);
            return length;
        }
    }

    private static int Open(int pid, ReadOnlySpan<byte> name)
    {
        Span<byte> path = stackalloc byte[64];
        "/proc/"u8.CopyTo(path);
        Utf8Formatter.TryFormat(pid, path[6..], out var digits);
        path[6 + digits] = (byte)'/';
        name.CopyTo(path[(7 + digits)..]);
        path[7 + digits + name.Length] = 0;
        fixed (byte* p = path) return OpenPath(p);
    }

    private static int OpenPath(byte* path) => Libc.open(path, 0x80000, 0);
}
