using System.Diagnostics;
using System.Globalization;
using System.Text;

namespace JobHub.Benchmarks.Measuring;

/// <summary>One measured run: a rate (per second) or a time (ms), and the CPU it took.</summary>
internal readonly record struct Sample(double Value, double WallSeconds, double CpuSeconds)
{
    /// <summary>CPU by part, where it was measured: milliseconds for each thing done.</summary>
    public string Parts { get; private init; } = "";

    /// <summary>Measures work that does <paramref name="count"/> things.</summary>
    public static async Task<Sample> RateAsync(long count, Func<Task> work)
    {
        var before = Machine.CpuByPart();
        var start = Stopwatch.GetTimestamp();
        await work();
        var wall = Stopwatch.GetElapsedTime(start).TotalSeconds;
        var after = Machine.CpuByPart();
        return new(count / wall, wall, after.Values.Sum() - before.Values.Sum())
        {
            Parts = string.Join(", ", after.Select(p => (p.Key, Cpu: (p.Value - before.GetValueOrDefault(p.Key)) * 1000 / count)).Where(p => p.Cpu >= 0.005)
                .Select(p => string.Create(CultureInfo.InvariantCulture, $"{p.Key} {p.Cpu:F2}"))),
        };
    }
}

/// <summary>All runs of one contender.</summary>
internal sealed record Row(string Name, bool IsPeer)
{
    public List<Sample> Samples { get; } = [];
    public double Median => Of(Samples.Select(s => s.Value));
    public double MedianWall => Of(Samples.Select(s => s.WallSeconds));
    public double MedianCpu => Of(Samples.Select(s => s.CpuSeconds));

    private static double Of(IEnumerable<double> values)
    {
        var sorted = values.Order().ToArray();
        return sorted.Length == 0 ? double.NaN : sorted.Length % 2 == 1 ? sorted[sorted.Length / 2] : (sorted[(sorted.Length / 2) - 1] + sorted[sorted.Length / 2]) / 2;
    }
}

/// <summary>What a verb found.</summary>
/// <param name="Unit">"/s": more is better. "ms": less is better.</param>
/// <param name="Bar">What is to be reached, in words.</param>
internal sealed record Table(string Title, string Unit, string Bar)
{
    private readonly List<Row> _rows = [];

    public List<string> Notes { get; } = [];

    public Row Add(string name, bool peer = false)
    {
        var row = new Row(name, peer);
        _rows.Add(row);
        return row;
    }

    /// <summary>Runs the contenders in turn, so that what else the machine does meets all of them; a fault of a peer costs that peer's row only.</summary>
    public async Task InterleaveAsync(int runs, params (string Name, bool Peer, Func<Task<Sample>> Run)[] contenders)
    {
        var rows = contenders.Select(c => Add(c.Name, c.Peer)).ToArray();
        var out_ = new HashSet<int>();
        for (var run = 0; run < runs; run++)
        {
            for (var i = 0; i < contenders.Length; i++)
            {
                if (out_.Contains(i)) continue;
                try
                {
                    var sample = await contenders[i].Run();
                    rows[i].Samples.Add(sample);
                    await Console.Error.WriteLineAsync(string.Create(CultureInfo.InvariantCulture,
                        $"  {contenders[i].Name}: {sample.Value:N1} {Unit}, wall {sample.WallSeconds:F2} s, CPU {sample.CpuSeconds:F2} s; ms each: {sample.Parts}"));
                }
                catch (Exception fault) when (contenders[i].Peer)
                {
                    Notes.Add($"{contenders[i].Name} did not run: {fault.Message.Split('\n')[0]}");
                    await Console.Error.WriteLineAsync(fault.Message);
                    out_.Add(i);
                }
            }
        }
    }

    public string ToMarkdown(string verb, string loadBefore, string loadAfter)
    {
        var text = new StringBuilder();
        text.Append(CultureInfo.InvariantCulture, $"### {verb}: {Title}\n\nBar: {Bar}. Load before {loadBefore}, after {loadAfter}.\n\n");
        text.Append(CultureInfo.InvariantCulture, $"| | median {Unit} | min | max | runs | JobHub ÷ this | wall s | CPU s |\n|---|---|---|---|---|---|---|---|\n");
        var ours = _rows.FirstOrDefault(r => !r.IsPeer)?.Median ?? double.NaN;
        foreach (var row in _rows.Where(r => r.Samples.Count > 0))
        {
            // Above 1 is ours ahead, whatever the unit.
            var ratio = !row.IsPeer ? "" : (Unit == "ms" ? row.Median / ours : ours / row.Median).ToString("F2", CultureInfo.InvariantCulture);
            text.Append(CultureInfo.InvariantCulture,
                $"| {row.Name} | {Show(row.Median)} | {Show(row.Samples.Min(s => s.Value))} | {Show(row.Samples.Max(s => s.Value))} | {row.Samples.Count} | {ratio} | {row.MedianWall:F2} | {row.MedianCpu:F2} |\n");
        }

        foreach (var note in Notes.Distinct()) text.Append('\n').Append(note).Append('\n');
        return text.ToString();
    }

    private static string Show(double value) => value.ToString(value >= 100 ? "N0" : "F1", CultureInfo.InvariantCulture);
}
