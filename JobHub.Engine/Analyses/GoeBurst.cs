using JobHub.Engine.Analyses.Trees;

namespace JobHub.Engine.Analyses;

/// <summary>
/// goeBURST: the forest that Kruskal's algorithm finds among the edges of 1 to <c>lvs</c> differing loci, where ties go to profiles with more neighbours.
/// The distance of two profiles is the number of loci whose alleles differ; a missing allele differs from every other and from another missing one. Profiles at distance 0 have no edge.
/// <para>
/// Edges are ordered by the smaller distance; then for each level 1 to lvs by the number of other profiles at exactly that distance, more first, of the end that has more, then of the other end; then by isolates
/// in the same way; then by the position of the end that stands first in the dataset; then by the id of the other end, shorter first, then ordinal.
/// </para>
/// <para>
/// An edge as it is found leads from the end that stands first in the dataset to the other. The first profile of a tree in dataset order into which none of them leads is the tree's root,
/// and all edges of the tree are then directed away from it, whatever their direction was. (That is the first profile of the tree: an edge as found never leads to it.) They are told in the order found.
/// </para>
/// </summary>
/// <remarks>
/// Memory is that of the profiles, never of their pairs. Few loci: <see cref="PatternGroups"/>, about C(loci, lvs) passes over the profiles. Many loci: <see cref="PairScan"/>, two vectorised passes over all pairs.
/// The order is total, hence there is one forest, which both find with any number of threads.
/// </remarks>
public sealed class GoeBurst : Algorithm
{
    private readonly int threads;
    private readonly bool? byGroups;

    public GoeBurst() : this(Environment.ProcessorCount)
    {
    }

    /// <param name="threads">How many cores to use.</param>
    /// <param name="byGroups">Which of the two ways to go; without it the cheaper one.</param>
    public GoeBurst(int threads, bool? byGroups = null)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(threads, 1);
        (this.threads, this.byGroups) = (threads, byGroups);
    }

    public override AnalysisKind Kind => AnalysisKind.Inference;

    public override string Name => "goeburst";

    public override IReadOnlyList<AlgorithmParameter> Parameters { get; } = [new DatasetParameter("dataset"), new WholeNumberParameter("lvs", 1, static loci => loci)];

    public override void Run(AnalysisInput input, AnalysisOutput output, IProgress<double> progress, CancellationToken ct)
    {
        var profiles = input.Profiles;
        var levels = Math.Min(input.Numbers[0], profiles.Loci.Length);
        ct.ThrowIfCancellationRequested();
        if (profiles.Count >= 2 && levels >= 1)
        {
            var forest = byGroups ?? GroupsAreCheaper(profiles.Count, profiles.Loci.Length, levels)
                ? ByGroups(profiles, levels, progress, ct)
                : ByPairs(profiles, levels, progress, ct);
            Tell(profiles, forest, output, ct);
        }

        progress.Report(1);
    }

    private CandidateEdge[] ByGroups(ProfileTable profiles, int levels, IProgress<double> progress, CancellationToken ct)
    {
        var groups = new PatternGroups(profiles, levels, threads, new(progress, (2 * PatternGroups.Choices(profiles.Loci.Length, levels)) + 1), ct);
        var order = new EdgeOrder(profiles, groups.CountNeighbours(), ct);
        var forest = new SpanningForest(profiles.Count, order);
        groups.Emit(order, forest);
        return forest.Edges;
    }

    private CandidateEdge[] ByPairs(ProfileTable profiles, int levels, IProgress<double> progress, CancellationToken ct)
    {
        var blocks = Math.Ceiling(profiles.Count / 64d);
        var (scan, told) = (PairScan.Of(profiles, ct), new AnalysisProgress(progress, (blocks * (blocks + 1)) + 1));
        var neighbours = new int[levels][];
        for (var level = 0; level < levels; level++) neighbours[level] = new int[profiles.Count];
        scan.Run(levels, () => new NeighbourCounter(neighbours), static _ => { }, threads, told, ct);
        var order = new EdgeOrder(profiles, neighbours, ct);
        var forest = new SpanningForest(profiles.Count, order);
        scan.Run(levels, () => new PairEdges(new(forest, ct)), static taker => ((PairEdges)taker).End(), threads, told, ct);
        return forest.Edges;
    }

    /// <summary>By nanoseconds as measured: a grouping hashes and compares each profile, a vector of pairs is compared in about a fortieth a locus, and a pair within reach costs by itself.</summary>
    internal static bool GroupsAreCheaper(double count, double loci, int levels)
    {
        var groups = count * PatternGroups.Choices((int)loci, levels) * (120 + (0.2 * loci));
        var pairs = count * count / 2 * (1.5 + (0.025 * loci) + (levels > loci / 2 ? 40 : 0));
        return groups <= pairs;
    }

    private static void Tell(ProfileTable profiles, CandidateEdge[] forest, AnalysisOutput output, CancellationToken ct)
    {
        // Neighbours in the forest, one profile's after the other's.
        var starts = new int[profiles.Count + 1];
        foreach (var edge in forest)
        {
            starts[edge.Low + 1]++;
            starts[edge.High + 1]++;
        }

        for (var i = 0; i < profiles.Count; i++) starts[i + 1] += starts[i];
        var (next, neighbours) = (starts[..^1], new int[forest.Length * 2]);
        foreach (var edge in forest)
        {
            neighbours[next[edge.Low]++] = edge.High;
            neighbours[next[edge.High]++] = edge.Low;
        }

        ct.ThrowIfCancellationRequested();
        var parents = new int[profiles.Count];
        Array.Fill(parents, -1);
        var (reached, waiting) = (new bool[profiles.Count], new Stack<int>());
        for (var root = 0; root < profiles.Count; root++)
        {
            if (reached[root]) continue;
            reached[root] = true;
            waiting.Push(root);
            while (waiting.TryPop(out var profile))
                foreach (var neighbour in neighbours.AsSpan(starts[profile], starts[profile + 1] - starts[profile]))
                {
                    if (reached[neighbour]) continue;
                    reached[neighbour] = true;
                    parents[neighbour] = profile;
                    waiting.Push(neighbour);
                }
        }

        for (var e = 0; e < forest.Length; e++)
        {
            if ((e & 0xFFF) == 0) ct.ThrowIfCancellationRequested();
            var (low, high, distance) = forest[e];
            var (from, to) = parents[high] == low ? (low, high) : (high, low);
            output.Edge(profiles.Ids[from], profiles.Ids[to], distance);
        }
    }
}
