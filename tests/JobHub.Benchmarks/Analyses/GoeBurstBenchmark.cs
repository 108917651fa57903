using System.Diagnostics;
using System.Globalization;
using JobHub.Benchmarks.Measuring;
using JobHub.Engine.Analyses;

namespace JobHub.Benchmarks.Analyses;

/// <summary>goeBURST of a made-up typing scheme of clonal complexes, by how many profiles and levels; in this process, without reading or storing anything.</summary>
internal static class GoeBurstBenchmark
{
    public static async Task<Table> RunAsync(Arguments arguments)
    {
        var loci = arguments.Number("loci", 7);
        var table = new Table($"goeBURST of {loci} loci on {Environment.ProcessorCount} cores", "ms", "100,000 profiles, lvs 3: 60 s and 2 GB; 5,000: 2 s");
        var contenders = new List<(string, bool, Func<Task<Sample>>)>();
        var peaks = new SortedDictionary<int, long>();
        int[] sizes = arguments.Text("n") is null ? [1_000, 5_000, 20_000, 100_000, 200_000] : [arguments.Number("n", 0)];
        // The first run of a process is its slowest; it is not what is asked for.
        new GoeBurst().Run(new(Scheme(2_000, loci), null, [3]), new Dropped(), new Progress<double>(), CancellationToken.None);
        foreach (var n in sizes)
        {
            var profiles = Scheme(n, loci);
            foreach (var lvs in arguments.Text("lvs") is null ? (int[])[1, 2, 3] : [arguments.Number("lvs", 3)])
                contenders.Add(($"{n:N0} profiles, lvs {lvs}", false, () => Task.FromResult(Measure(profiles, lvs, peaks))));
        }

        await table.InterleaveAsync(arguments.Number("runs", 3), [.. contenders]);
        table.Notes.Add($"Peak of resident memory, with all datasets held: {string.Join(", ", peaks.Select(p => $"{p.Key:N0} profiles {p.Value:N0} MB"))}.");
        return table;
    }

    private static Sample Measure(ProfileTable profiles, int lvs, SortedDictionary<int, long> peaks)
    {
        GC.Collect();
        // 5 sets the peak back to what is resident now.
        File.WriteAllText("/proc/self/clear_refs", "5");
        var (cpu, start, output) = (Cpu(), Stopwatch.GetTimestamp(), new Dropped());
        new GoeBurst().Run(new(profiles, null, [lvs]), output, new Progress<double>(), CancellationToken.None);
        var wall = Stopwatch.GetElapsedTime(start);
        var peak = File.ReadLines("/proc/self/status").First(l => l.StartsWith("VmHWM:", StringComparison.Ordinal)).Split(' ', StringSplitOptions.RemoveEmptyEntries)[1];
        peaks[profiles.Count] = Math.Max(peaks.GetValueOrDefault(profiles.Count), long.Parse(peak, CultureInfo.InvariantCulture) / 1024);
        return new(wall.TotalMilliseconds, wall.TotalSeconds, Cpu() - cpu);
    }

    private static double Cpu()
    {
        using var process = Process.GetCurrentProcess();
        return process.TotalProcessorTime.TotalSeconds;
    }

    /// <summary>Complexes grown from founders by changes of one or two loci, the large ones growing more.</summary>
    private static ProfileTable Scheme(int profiles, int loci)
    {
        var random = new Random(7);
        var alleles = new int[profiles * loci];
        for (var i = 0; i < profiles; i++)
        {
            var parent = i == 0 || random.NextDouble() < 0.15 ? -1 : (int)(i * Math.Pow(random.NextDouble(), 2));
            for (var l = 0; l < loci; l++) alleles[(i * loci) + l] = parent < 0 ? Allele() : alleles[(parent * loci) + l];
            if (parent < 0) continue;
            for (var changes = 1 + random.Next(2); changes > 0; changes--) alleles[(i * loci) + random.Next(loci)] = Allele();
        }

        return new([.. Enumerable.Range(1, loci).Select(l => "locus" + l)], [.. Enumerable.Range(1, profiles).Select(i => i.ToString(CultureInfo.InvariantCulture))],
            [.. Enumerable.Range(0, profiles).Select(_ => random.Next(1, 6))], alleles);

        int Allele() => (int)(900 * Math.Pow(random.NextDouble(), 2));
    }

    /// <summary>Takes edges and keeps none.</summary>
    private sealed class Dropped : AnalysisOutput
    {
        public override void Edge(string from, string to, double distance)
        {
        }

        public override void Point(string profile, int component, double x, double y)
        {
        }
    }
}
