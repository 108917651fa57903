namespace JobHub.Engine.Analyses.Trees;

/// <summary>Two profiles by their positions, the lower one first, and how many loci tell them apart.</summary>
internal readonly record struct CandidateEdge(int Low, int High, int Distance);

/// <summary>
/// goeBURST's order of edges. It is total: no two edges of a dataset are equal in it, hence a dataset has one minimum forest only, however its edges are found.
/// </summary>
internal sealed class EdgeOrder : IComparer<CandidateEdge>
{
    private readonly int[][] neighbours;
    private readonly int[] isolates;

    /// <param name="neighbours">By level from 0 (level 1) and profile: how many others are at exactly that distance.</param>
    public EdgeOrder(ProfileTable profiles, int[][] neighbours, CancellationToken ct)
    {
        (this.neighbours, isolates) = (neighbours, profiles.Isolates);
        var ids = profiles.Ids;
        IdRanks = Ranks(profiles.Count, (a, b) => ids[a].Length != ids[b].Length ? ids[a].Length.CompareTo(ids[b].Length) : string.CompareOrdinal(ids[a], ids[b]), ct);
        ProfileRanks = Ranks(profiles.Count, CompareProfiles, ct);
    }

    /// <summary>Of each profile: how many ids come before its own, shorter ones first.</summary>
    public int[] IdRanks { get; }

    /// <summary>Of each profile: how many profiles are preferred to it by neighbours and isolates; equal ones have the same rank.</summary>
    public int[] ProfileRanks { get; }

    public int Compare(CandidateEdge x, CandidateEdge y)
    {
        if (x.Distance != y.Distance) return x.Distance.CompareTo(y.Distance);
        var (a, b, c, d) = (x.Low, x.High, y.Low, y.High);
        var (ra, rb, rc, rd) = (ProfileRanks[a], ProfileRanks[b], ProfileRanks[c], ProfileRanks[d]);
        if (!(ra == rc && rb == rd) && !(ra == rd && rb == rc))
        {
            foreach (var level in neighbours)
                if (Larger(level[a], level[b], level[c], level[d]) is not 0 and var byLevel)
                    return byLevel;
            if (Larger(isolates[a], isolates[b], isolates[c], isolates[d]) is not 0 and var byIsolates) return byIsolates;
        }

        return a != c ? a.CompareTo(c) : IdRanks[b].CompareTo(IdRanks[d]);
    }

    /// <summary>More is first: by the larger of each pair, then by the smaller.</summary>
    private static int Larger(int a, int b, int c, int d)
    {
        var larger = Math.Max(c, d).CompareTo(Math.Max(a, b));
        return larger != 0 ? larger : Math.Min(c, d).CompareTo(Math.Min(a, b));
    }

    private int CompareProfiles(int a, int b)
    {
        foreach (var level in neighbours)
            if (level[a] != level[b])
                return level[b].CompareTo(level[a]);
        return isolates[b].CompareTo(isolates[a]);
    }

    private static int[] Ranks(int count, Comparison<int> compare, CancellationToken ct)
    {
        var order = new int[count];
        for (var i = 0; i < count; i++) order[i] = i;
        try
        {
            order.AsSpan().Sort((a, b) => ct.IsCancellationRequested ? throw new OperationCanceledException(ct) : compare(a, b));
        }
        catch (InvalidOperationException e) when (e.InnerException is OperationCanceledException)
        {
            // Sorting hides what its comparison throws.
            throw new OperationCanceledException(ct);
        }

        var ranks = new int[count];
        for (var i = 0; i < count; i++) ranks[order[i]] = i > 0 && compare(order[i - 1], order[i]) == 0 ? ranks[order[i - 1]] : i;
        return ranks;
    }
}
