namespace JobHub.Engine.Analyses.Trees;

/// <summary>
/// The minimum spanning forest of the edges that came so far. Edges come in chunks, in any order and from any thread; only the forest itself is kept, so memory is that of the profiles
/// however many edges there are. What can no longer be in it is told at once by <see cref="Excludes"/>.
/// </summary>
internal sealed class SpanningForest(int profiles, EdgeOrder order)
{
    private readonly Lock merging = new();
    private volatile Snapshot current = new([], Nobody(profiles), [.. Enumerable.Repeat(int.MaxValue, profiles)]);

    /// <summary>Its edges in the order in which Kruskal's algorithm finds them.</summary>
    public CandidateEdge[] Edges => current.Edges;

    /// <summary>How many edges are worth a merge: as many as the forest may have, within what is sorted in a fraction of a second.</summary>
    public int ChunkSize { get; } = Math.Clamp(profiles, 1 << 12, 1 << 18);

    /// <summary>Whether better edges already join the two ends.</summary>
    public bool Excludes(in CandidateEdge edge)
    {
        var forest = current;
        var (up, times) = (forest.Up, forest.Times);
        var (a, b, last) = (edge.Low, edge.High, -1);
        while (a != b)
        {
            // The times grow on the way up: the earlier of the two is the next to be passed.
            if (times[a] > times[b]) (a, b) = (b, a);
            last = times[a];
            if (last == int.MaxValue) return false;
            a = up[a];
        }

        return order.Compare(forest.Edges[last], edge) <= 0;
    }

    /// <summary>Takes the first edges of a chunk, which is sorted on the way.</summary>
    public void Merge(CandidateEdge[] chunk, int length, CancellationToken ct)
    {
        ct.ThrowIfCancellationRequested();
        Array.Sort(chunk, 0, length, order);
        lock (merging)
        {
            ct.ThrowIfCancellationRequested();
            var before = current.Edges;
            var after = new List<CandidateEdge>(Math.Min(profiles, before.Length + length));
            var (up, times, sizes) = (Nobody(profiles), new int[profiles], new int[profiles]);
            Array.Fill(times, int.MaxValue);
            Array.Fill(sizes, 1);
            var (i, j) = (0, 0);
            while (i < before.Length || j < length)
            {
                var edge = j == length || (i < before.Length && order.Compare(before[i], chunk[j]) <= 0) ? before[i++] : chunk[j++];
                var (a, b) = (Root(up, edge.Low), Root(up, edge.High));
                if (a == b) continue;
                if (sizes[a] > sizes[b]) (a, b) = (b, a);
                (up[a], times[a]) = (b, after.Count);
                sizes[b] += sizes[a];
                after.Add(edge);
                if ((after.Count & 0xFFFF) == 0) ct.ThrowIfCancellationRequested();
            }

            current = new([.. after], up, times);
        }
    }

    // Smaller trees hang below larger ones and nothing is shortened: a way up is as long as a logarithm, and tells when each join happened.
    private static int Root(int[] up, int profile)
    {
        while (up[profile] != profile) profile = up[profile];
        return profile;
    }

    private static int[] Nobody(int profiles) => [.. Enumerable.Range(0, profiles)];

    /// <param name="Times">Which edge hung this profile below <paramref name="Up"/>; MaxValue for roots.</param>
    private sealed record Snapshot(CandidateEdge[] Edges, int[] Up, int[] Times);
}

/// <summary>One thread's edges on their way into the forest.</summary>
internal sealed class EdgeBuffer(SpanningForest forest, CancellationToken ct)
{
    private readonly CandidateEdge[] edges = new CandidateEdge[forest.ChunkSize];
    private int count;

    public void Add(int a, int b, int distance)
    {
        var edge = a < b ? new CandidateEdge(a, b, distance) : new(b, a, distance);
        if (forest.Excludes(edge)) return;
        edges[count++] = edge;
        if (count == edges.Length) Flush();
    }

    public void Flush()
    {
        if (count > 0) forest.Merge(edges, count, ct);
        count = 0;
    }
}
