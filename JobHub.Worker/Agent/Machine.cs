using System.Diagnostics;
using System.Globalization;

namespace JobHub.Worker.Agent;

/// <summary>What the machine has to offer just now, from /proc; zeros where that is not.</summary>
internal static class Machine
{
    private static readonly TimeSpan ToolTime = TimeSpan.FromSeconds(10);

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

    /// <summary>GPUs by the driver's own tool, else by their device files; asked once.</summary>
    public static int Gpus() => FoundGpus.Value;

    private static readonly Lazy<int> FoundGpus = new(static () => ByTool() ?? Directory.EnumerateFileSystemEntries("/dev", "nvidia*").Count(path => path.AsSpan(11) is { Length: > 0 } rest && !rest.ContainsAnyExceptInRange('0', '9')));

    private static int? ByTool()
    {
        try
        {
#pragma warning disable RS0030 // the driver's own tool, and no user program
            using var tool = Process.Start(new ProcessStartInfo("nvidia-smi", "-L") { UseShellExecute = false, RedirectStandardOutput = true, RedirectStandardError = true });
#pragma warning restore RS0030
            if (tool is null) return null;
            if (!tool.WaitForExit(ToolTime))
            {
                // A driver that hangs; the device files say what there is.
                tool.Kill();
                return null;
            }
            // A line a GPU fits the pipe, so it could end before it was read.
            return tool.ExitCode == 0 ? tool.StandardOutput.ReadToEnd().Split('\n').Count(line => line.StartsWith("GPU ", StringComparison.Ordinal)) : null;
        }
        catch (Exception e) when (e is System.ComponentModel.Win32Exception or InvalidOperationException) { return null; }
    }

    public static long MemoryBytes() => GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;
}
