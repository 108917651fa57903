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
    public static double CpuSeconds() => CpuByPart().Values.Sum();

    /// <summary>The same by part: postgres, api, worker, programs (all that runs below the worker), and this process with what else it started.</summary>
    public static SortedDictionary<string, double> CpuByPart()
    {
        var all = new Dictionary<int, Entry>();
        foreach (var folder in Directory.EnumerateDirectories("/proc"))
        {
            if (!int.TryParse(Path.GetFileName(folder), CultureInfo.InvariantCulture, out var pid)) continue;
            try
            {
                var stat = File.ReadAllText(folder + "/stat");
                var end = stat.LastIndexOf(')');
                var f = stat[(end + 2)..].Split(' ');
                // After the name: state, parent, ... 11 utime, 12 stime, 13 and 14 those of children waited for.
                all[pid] = new(int.Parse(f[1], CultureInfo.InvariantCulture), stat[(stat.IndexOf('(', StringComparison.Ordinal) + 1)..end],
                    long.Parse(f[11], CultureInfo.InvariantCulture) + long.Parse(f[12], CultureInfo.InvariantCulture),
                    long.Parse(f[13], CultureInfo.InvariantCulture) + long.Parse(f[14], CultureInfo.InvariantCulture), File.ReadAllText(folder + "/cmdline"));
            }
            catch (IOException)
            {
                // It ended between the listing and the look.
            }
        }

        var self = Environment.ProcessId;
        var parts = new SortedDictionary<string, double>(StringComparer.Ordinal);
        foreach (var (pid, entry) in all)
        {
            var at = pid;
            var below = false;
            for (var depth = 0; depth < 64 && at != self && all.TryGetValue(at, out var p); depth++)
            {
                at = p.Parent;
                below |= all.TryGetValue(at, out var parent) && PartOf(parent) == "worker";
            }

            if (at != self) continue;
            var part = pid == self ? "benchmark" : below ? "programs" : PartOf(entry);
            parts[part] = parts.GetValueOrDefault(part) + entry.Own * Tick;
            var waited = part == "worker" ? "programs" : part;
            parts[waited] = parts.GetValueOrDefault(waited) + entry.Waited * Tick;
        }

        return parts;
    }

    private static string PartOf(Entry entry) => entry.Name.StartsWith("postgres", StringComparison.Ordinal) ? "postgres"
        : entry.CommandLine.Contains("JobHub.Api", StringComparison.Ordinal) ? "api"
        : entry.CommandLine.Contains("JobHub.Worker", StringComparison.Ordinal) ? "worker" : "benchmark";

    private static string Cpu() =>
        File.ReadLines("/proc/cpuinfo").FirstOrDefault(l => l.StartsWith("model name", StringComparison.Ordinal))?.Split(':')[1].Trim() ?? "unknown processor";

    private readonly record struct Entry(int Parent, string Name, long Own, long Waited, string CommandLine);
}
