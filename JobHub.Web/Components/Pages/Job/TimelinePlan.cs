using JobHub.Web.Client;
using JobHub.Web.Components.Shared;

namespace JobHub.Web.Components.Pages.Job;

/// <summary>An attempt where it is drawn: y is the top of its lane.</summary>
/// <param name="Slow">How many times the median of its kind it took or takes, when that is much; else 0.</param>
public sealed record PlacedBar(JobBar Bar, DateTimeOffset End, int Y, double Slow);

/// <summary>A worker's lanes.</summary>
public sealed record TimelineBand(string Worker, int Y, int Height);

/// <summary>What stands in the right margin beside a lane.</summary>
public sealed record TimelineRemark(int Y, string Family, string Words, string Task);

/// <summary>Where attempts stand on a timeline: a band a worker, a lane a slot. Upright; what is on the way from left to right is the chart's.</summary>
public sealed class TimelinePlan
{
    /// <summary>Height of a bar and of its lane.</summary>
    public const int BarHeight = 7, LaneHeight = 9;

    private const int MostLanes = 400, Head = 20, Edge = 4, MostRemarks = 40, RemarkHeight = 12;
    private const double SlowTimes = 2;
    private static readonly int[] Offsets = [0, RemarkHeight, -RemarkHeight, 2 * RemarkHeight, -2 * RemarkHeight, 3 * RemarkHeight];

    private static readonly TimeSpan SlowTime = TimeSpan.FromSeconds(1);

    private readonly DateTimeOffset now;
    private readonly Dictionary<string, TimeSpan> medians;

    /// <param name="bars">At least one.</param>
    public TimelinePlan(IReadOnlyList<JobBar> bars, DateTimeOffset now)
    {
        ArgumentNullException.ThrowIfNull(bars);
        this.now = now;
        Begin = bars.Min(static bar => bar.StartedAt);
        End = bars.Max(EndOf);
        if (End - Begin < TimeSpan.FromSeconds(1)) End = Begin.AddSeconds(1);
        Runs = bars.Any(static bar => bar.EndedAt is null);
        medians = bars.Where(static bar => bar.Outcome == "Succeeded").GroupBy(static bar => bar.Kind).Where(static kind => kind.Count() >= 4)
            .ToDictionary(static kind => kind.Key, static kind => kind.Select(static bar => bar.EndedAt!.Value - bar.StartedAt).Order().ElementAt(kind.Count() / 2));
        var workers = bars.GroupBy(static bar => bar.Worker ?? "").OrderBy(static worker => worker.Key, StringComparer.Ordinal).Select(worker => (worker.Key, Lanes: LanesOf(worker))).ToList();
        Folded = workers.Sum(static worker => worker.Lanes.Count) > MostLanes;
        Hidden = Math.Max(0, workers.Count - MostLanes);
        var y = Head;
        foreach (var (worker, lanes) in workers.Take(MostLanes))
        {
            var top = y;
            y += Edge;
            foreach (var lane in lanes)
            {
                foreach (var bar in lane) Bars.Add(new(bar, EndOf(bar), y, SlowOf(bar)));
                if (!Folded) y += LaneHeight;
            }

            if (Folded) y += LaneHeight;
            y += Edge;
            Bands.Add(new(worker, top, y - top));
        }

        Height = y + 4;
        var tasks = Bars.ToLookup(static placed => (placed.Bar.Kind, placed.Bar.Index));
        foreach (var second in Bars.Where(static placed => placed.Bar.Speculative))
        {
            var beside = tasks[(second.Bar.Kind, second.Bar.Index)].Where(first => first.Bar.Attempt < second.Bar.Attempt && first.Bar.StartedAt < second.Bar.StartedAt && first.End > second.Bar.StartedAt);
            if (beside.MaxBy(static first => first.Bar.Attempt) is { } first) Ties.Add((first, second));
        }

        Remark();
    }

    public DateTimeOffset Begin { get; }

    public DateTimeOffset End { get; }

    public int Height { get; }

    /// <summary>Something of it runs: the end is now.</summary>
    public bool Runs { get; }

    /// <summary>There would be too many lanes: each worker has one, and what is more at once is denser.</summary>
    public bool Folded { get; }

    /// <summary>Workers that are not drawn.</summary>
    public int Hidden { get; }

    public List<TimelineBand> Bands { get; } = [];

    public List<PlacedBar> Bars { get; } = [];

    /// <summary>Second attempts with the first.</summary>
    public List<(PlacedBar First, PlacedBar Second)> Ties { get; } = [];

    /// <summary>From the top, none over another.</summary>
    public List<TimelineRemark> Remarks { get; } = [];

    /// <summary>Five times from the beginning on.</summary>
    public IEnumerable<(DateTimeOffset At, string Words)> Ticks()
    {
        var form = (End - Begin).TotalSeconds switch { < 10 => "HH:mm:ss.f", < 300 => "HH:mm:ss", < 86_400 => "HH:mm", _ => "d MMM HH:mm" };
        for (var i = 0; i < 5; i++)
        {
            var at = Begin + ((End - Begin) * (i / 5.0));
            yield return (at, at.UtcDateTime.ToString(form));
        }
    }

    private DateTimeOffset EndOf(JobBar bar) => bar.EndedAt ?? (now > bar.StartedAt ? now : bar.StartedAt);

    /// <summary>A lane a slot: an attempt goes into the first lane that is free when it starts.</summary>
    private List<List<JobBar>> LanesOf(IEnumerable<JobBar> bars)
    {
        var lanes = new List<List<JobBar>>();
        foreach (var bar in bars.OrderBy(static bar => bar.StartedAt))
        {
            var lane = lanes.Find(lane => EndOf(lane[^1]) <= bar.StartedAt);
            if (lane is null) lanes.Add([bar]);
            else lane.Add(bar);
        }

        return lanes;
    }

    private double SlowOf(JobBar bar)
    {
        if (bar.Speculative || bar.Outcome is not (null or "Succeeded") || !medians.TryGetValue(bar.Kind, out var median) || median <= TimeSpan.Zero) return 0;
        var took = EndOf(bar) - bar.StartedAt;
        return took - median >= SlowTime && took / median >= SlowTimes ? took / median : 0;
    }

    // What matters most takes its place first.
    private void Remark()
    {
        var wanted = Bars.Select(static placed => (Placed: placed, Weight: WeightOf(placed))).Where(static one => one.Weight > 0).OrderByDescending(static one => one.Weight).ThenByDescending(static one => one.Placed.End);
        foreach (var (placed, _) in wanted)
        {
            if (Remarks.Count == MostRemarks) break;
            // Beside its lane, or as near as there is room.
            var free = Offsets.Where(offset => placed.Y + offset >= Head && placed.Y + offset < Height && !Remarks.Exists(other => Math.Abs(other.Y - placed.Y - offset) < RemarkHeight)).Select(static offset => (int?)offset).FirstOrDefault();
            if (free is not { } off) continue;
            var task = JobAttempt.ShortOf(placed.Bar.Kind, placed.Bar.Index);
            var (family, words) = placed.Bar switch
            {
                { Speculative: true } => ("ink", "second attempt"),
                { Outcome: null or "Succeeded" } => ("ink", FormattableString.Invariant($"{placed.Slow:0.#} × the median")),
                { Outcome: "Lost" or "Interrupted" or "OutputLost" } => ("lost", OutcomeWord(placed.Bar.Outcome)),
                _ => ("bad", OutcomeWord(placed.Bar.Outcome)),
            };
            if (!Remarks.Exists(other => other.Words == $"{task}, {words}")) Remarks.Add(new(placed.Y + off, family, $"{task}, {words}", task));
        }

        Remarks.Sort(static (a, b) => a.Y.CompareTo(b.Y));
    }

    private static double WeightOf(PlacedBar placed) => placed.Bar switch
    {
        { Speculative: true } => 3000, { Outcome: "Failed" or "TimedOut" or "OutOfMemory" } => 2000, { Outcome: "Lost" or "Interrupted" or "OutputLost" } => 1, _ => placed.Slow > 0 ? 1000 + placed.Slow : 0,
    };

    /// <summary>An outcome as it is said.</summary>
    public static string OutcomeWord(string? outcome) => outcome switch { null => "running", "TimedOut" => "timed out", "OutOfMemory" => "out of memory", "OutputLost" => "output lost", _ => outcome.ToLowerInvariant() };

    /// <summary>What is said of an attempt when one points at it.</summary>
    public static string Says(PlacedBar placed)
    {
        ArgumentNullException.ThrowIfNull(placed);
        var bar = placed.Bar;
        return $"{JobAttempt.ShortOf(bar.Kind, bar.Index)}.{bar.Attempt} {OutcomeWord(bar.Outcome)}, {Shown.Duration(placed.End - bar.StartedAt)}{(bar.Speculative ? ", second attempt" : "")}{(placed.Slow > 0 ? FormattableString.Invariant($", {placed.Slow:0.#} × the median") : "")}";
    }
}
