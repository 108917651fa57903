using System.Globalization;
using System.Runtime.InteropServices;

namespace JobHub.Benchmarks.Measuring;

/// <summary>What this machine is and what it is doing.</summary>
internal static class Machine
{
    private static readonly double Tick = 1.0 / 100;

    /// <summary>The load average of the last minute, the last five and the last fifteen.</summary>
    public static string Load() => string.Join(' ', File.ReadAllText("/proc/loadavg").Split(' ')[..3]);

    public static string Describe() => string.Create(CultureInfo.InvariantCulture,
        $"{DateTimeOffset.UtcNow:yyyy-MM-dd HH:mm} UTC, {Cpu()}, {Environment.ProcessorCount} cores, {GC.GetGCMemoryInfo().TotalAvailableMemoryBytes >> 30} GiB, {RuntimeInformation.OSDescription}, .NET {Environment.Version}.");

    /// <summary>CPU seconds so far of this process and everything it started that still lives or was waited for: Postgres, peers, hub processes.</summary>
    /// <remarks>Whatever is measured runs below this process, so that both sides of a comparison are counted alike.</remarks>
    public static double CpuSeconds()
    {
        var all = new Dictionary<int, (int Parent, long Own)>();
        foreach (var folder in Directory.EnumerateDirectories("/proc"))
        {
            if (!int.TryParse(Path.GetFileName(folder), CultureInfo.InvariantCulture, out var pid)) continue;
            try
            {
                var stat = File.ReadAllText(folder + "/stat");
                var f = stat[(stat.LastIndexOf(')') + 2)..].Split(' ');
                // After the name: state, parent, ... 11 utime, 12 stime, 13 and 14 those of children waited for.
                all[pid] = (int.Parse(f[1], CultureInfo.InvariantCulture),
                    long.Parse(f[11], CultureInfo.InvariantCulture) + long.Parse(f[12], CultureInfo.InvariantCulture)
                    + long.Parse(f[13], CultureInfo.InvariantCulture) + long.Parse(f[14], CultureInfo.InvariantCulture));
            }
            catch (IOException)
            {
                // It ended between the listing and the look.
            }
        }

        var self = Environment.ProcessId;
        var total = 0L;
        foreach (var (pid, (_, own)) in all)
        {
            var at = pid;
            for (var depth = 0; depth < 64 && at != self && all.TryGetValue(at, out var p); depth++) at = p.Parent;
            if (at == self) total += own;
        }

        return total * Tick;
    }

    private static string Cpu() =>
        File.ReadLines("/proc/cpuinfo").FirstOrDefault(l => l.StartsWith("model name", StringComparison.Ordinal))?.Split(':')[1].Trim() ?? "unknown processor";
}
