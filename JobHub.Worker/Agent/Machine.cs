using System.Globalization;

namespace JobHub.Worker.Agent;

/// <summary>What the machine has to offer just now, from /proc; zeros where that is not.</summary>
internal static class Machine
{
    public static double Load()
    {
        try { return double.Parse(File.ReadAllText("/proc/loadavg").AsSpan().Trim()[..4], CultureInfo.InvariantCulture); }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or FormatException or ArgumentOutOfRangeException) { return 0; }
    }

    public static long FreeMemoryBytes()
    {
        try
        {
            foreach (var line in File.ReadLines("/proc/meminfo"))
            {
                if (line.StartsWith("MemAvailable:", StringComparison.Ordinal)) return long.Parse(line.AsSpan(13).Trim().TrimEnd("kB").Trim(), CultureInfo.InvariantCulture) * 1024;
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or FormatException) { /* none */ }
        return 0;
    }

    public static long MemoryBytes() => GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;
}
