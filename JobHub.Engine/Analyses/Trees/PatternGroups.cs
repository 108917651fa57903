using System.Numerics;
using System.Security.Cryptography;

namespace JobHub.Engine.Analyses.Trees;

/// <summary>
/// Finds the forest by equal patterns of alleles. Two profiles are at distance d exactly when they agree on all loci but some d of them, so for each choice of d loci to leave out
/// the profiles that agree on the others stand in one group; no pair is ever looked at. It costs a pass over the profiles for each choice, which is little as long as choices are few.
/// </summary>
/// <remarks>
/// How many neighbours a profile has at each distance follows from the sizes of its groups: a neighbour at distance b is in C(L-b, L-d) of the groups of d choices, so the nearer ones,
/// which are known, are taken off. Of the edges inside a group only those to its most preferred profiles can be in the forest (every other one closes a circle with better ones), as told at the emission of a group.
/// </remarks>
internal sealed class PatternGroups
{
    private readonly ProfileTable profiles;
    private readonly int levels, threads;
    private readonly AnalysisProgress progress;
    private readonly CancellationToken ct;
    private readonly ulong seed = BitConverter.ToUInt64(RandomNumberGenerator.GetBytes(8));
    private readonly ulong[] totals;
    private readonly int[] missing;

    public PatternGroups(ProfileTable profiles, int levels, int threads, AnalysisProgress progress, CancellationToken ct)
    {
        (this.profiles, this.levels, this.threads, this.progress, this.ct) = (profiles, levels, threads, progress, ct);
        (totals, missing) = (new ulong[profiles.Count], new int[profiles.Count]);
        for (var i = 0; i < profiles.Count; i++)
        {
            if ((i & 0xFFF) == 0) ct.ThrowIfCancellationRequested();
            var alleles = profiles.Of(i);
            for (var l = 0; l < alleles.Length; l++)
                if (alleles[l] < 0) missing[i]++;
                else totals[i] += Hash(l, alleles[l]);
        }
    }

    /// <summary>How many groupings there are, each made twice.</summary>
    public static double Choices(int loci, int levels)
    {
        var (sum, choices) = (1d, 1d);
        for (var d = 1; d <= levels; d++) sum += choices = choices * (loci - d + 1) / d;
        return sum;
    }

    /// <summary>By level from 0 (level 1) and profile: how many others are at exactly that distance.</summary>
    public int[][] CountNeighbours()
    {
        var (count, loci) = (profiles.Count, profiles.Loci.Length);
        var sums = new long[levels + 1][];
        for (var d = 0; d <= levels; d++) sums[d] = new long[count];
        for (var d = 0; d <= levels; d++)
        {
            var sum = sums[d];
            ForEachChoice(d, grouping =>
            {
                var sizes = new int[grouping.Count];
                foreach (var group in grouping.Of)
                    if (group >= 0)
                        sizes[group]++;
                for (var i = 0; i < count; i++)
                    if (grouping.Of[i] is >= 0 and var group && sizes[group] > 1)
                        Interlocked.Add(ref sum[i], sizes[group] - 1);
            });
            for (var b = 0; b < d; b++)
            {
                var times = Over(loci - b, d - b);
                for (var i = 0; i < count; i++) sum[i] -= times * sums[b][i];
            }
        }

        return [.. sums.Skip(1).Select(s => Array.ConvertAll(s, static n => (int)n))];
    }

    /// <summary>Every edge that can be in the forest, and few others.</summary>
    public void Emit(EdgeOrder order, SpanningForest forest)
    {
        // Equal profiles are at distance 0 and have no edge.
        var classes = new int[profiles.Count];
        ForEachChoice(0, grouping =>
        {
            for (var i = 0; i < classes.Length; i++) classes[i] = grouping.Of[i] is >= 0 and var group ? group : profiles.Count + i;
        });
        for (var d = 1; d <= levels; d++)
        {
            var distance = d;
            var buffers = new ThreadLocal<EdgeBuffer>(() => new(forest, ct), trackAllValues: true);
            using (buffers)
            {
                ForEachChoice(d, grouping => Emit(grouping, classes, distance, order, buffers.Value!));
                foreach (var buffer in buffers.Values) buffer.Flush();
            }
        }
    }

    /// <summary>
    /// The edges of one group. Let t be its best profile by neighbours and isolates (the first of them in the dataset), and u the same but by the least id. An edge between two others closes a circle with
    /// better edges by way of t, or of u where an end stands before t (there position no longer tells t and u apart and the id does). Profiles equal to t or u need a way round:
    /// the best ones that are not equal to them.
    /// </summary>
    private void Emit(Grouping grouping, int[] classes, int distance, EdgeOrder order, EdgeBuffer edges)
    {
        var (of, ranks, ids) = (grouping.Of, order.ProfileRanks, order.IdRanks);
        var (first, named) = (Empty(grouping.Count), Empty(grouping.Count));
        var (firstOther, namedOther, namedThird) = (Empty(grouping.Count), Empty(grouping.Count), Empty(grouping.Count));
        for (var i = 0; i < of.Length; i++)
        {
            if (of[i] is not (>= 0 and var group)) continue;
            if (first[group] < 0 || ranks[i] < ranks[first[group]]) first[group] = i;
            Name(named, group, i);
        }

        ct.ThrowIfCancellationRequested();
        for (var i = 0; i < of.Length; i++)
        {
            if (of[i] is not (>= 0 and var group)) continue;
            if (classes[i] != classes[first[group]])
            {
                if (firstOther[group] < 0 || ranks[i] < ranks[firstOther[group]]) firstOther[group] = i;
                Name(namedOther, group, i);
            }

            if (classes[i] != classes[named[group]]) Name(namedThird, group, i);
        }

        ct.ThrowIfCancellationRequested();
        for (var i = 0; i < of.Length; i++)
        {
            if (of[i] is not (>= 0 and var group) || firstOther[group] < 0) continue;
            var best = first[group];
            Edge(i, best);
            var equal = classes[i] == classes[best];
            if (!equal && i > best) continue;
            Edge(i, named[group]);
            Edge(i, namedThird[group]);
            if (!equal) continue;
            Edge(i, firstOther[group]);
            Edge(i, namedOther[group]);
        }

        void Name(int[] best, int group, int i)
        {
            if (best[group] is not (>= 0 and var b) || ranks[i] < ranks[b] || (ranks[i] == ranks[b] && ids[i] < ids[b])) best[group] = i;
        }

        void Edge(int a, int b)
        {
            if (b >= 0 && classes[a] != classes[b]) edges.Add(a, b, distance);
        }
    }

    private static int[] Empty(int count)
    {
        var all = new int[count];
        Array.Fill(all, -1);
        return all;
    }

    private void ForEachChoice(int left, Action<Grouping> take)
    {
        using var groupings = new ThreadLocal<Grouping>(() => new(profiles.Count));
        Parallel.ForEach(Combinations(profiles.Loci.Length, left), new ParallelOptions { MaxDegreeOfParallelism = threads, CancellationToken = ct }, leftOut =>
        {
            var grouping = groupings.Value!;
            Group(leftOut, grouping);
            take(grouping);
            progress.Add(1);
        });
    }

    /// <summary>Puts profiles that agree on all loci but those left out into one group; who misses an allele elsewhere is in none.</summary>
    private void Group(int[] leftOut, Grouping grouping)
    {
        Array.Clear(grouping.Slots);
        var (mask, shift) = (grouping.Slots.Length - 1, 64 - BitOperations.Log2((uint)grouping.Slots.Length));
        grouping.Count = 0;
        for (var i = 0; i < profiles.Count; i++)
        {
            if ((i & 0x3FFF) == 0) ct.ThrowIfCancellationRequested();
            var alleles = profiles.Of(i);
            var (hash, gaps) = (totals[i], missing[i]);
            foreach (var locus in leftOut)
                if (alleles[locus] < 0) gaps--;
                else hash -= Hash(locus, alleles[locus]);
            grouping.Of[i] = -1;
            if (gaps > 0) continue;
            for (var slot = (int)((hash * 0x9E3779B97F4A7C15) >> shift); ; slot = (slot + 1) & mask)
            {
                var group = grouping.Slots[slot] - 1;
                if (group < 0)
                {
                    group = grouping.Count++;
                    grouping.Slots[slot] = group + 1;
                    (grouping.First[group], grouping.Hashes[group]) = (i, hash);
                }
                else if (grouping.Hashes[group] != hash || !Agree(alleles, profiles.Of(grouping.First[group]), leftOut))
                {
                    continue;
                }

                grouping.Of[i] = group;
                break;
            }
        }
    }

    private static bool Agree(ReadOnlySpan<int> a, ReadOnlySpan<int> b, int[] leftOut)
    {
        var from = 0;
        foreach (var locus in leftOut)
        {
            if (!a[from..locus].SequenceEqual(b[from..locus])) return false;
            from = locus + 1;
        }

        return a[from..].SequenceEqual(b[from..]);
    }

    private ulong Hash(int locus, int allele)
    {
        var x = (((ulong)(uint)locus << 32) | (uint)allele) ^ seed;
        x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
        x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
        return x ^ (x >> 31);
    }

    private static long Over(int n, int k)
    {
        var choices = 1d;
        for (var d = 1; d <= k; d++) choices = choices * (n - d + 1) / d;
        return (long)Math.Round(choices);
    }

    private static IEnumerable<int[]> Combinations(int of, int size)
    {
        var chosen = new int[size];
        for (var i = 0; i < size; i++) chosen[i] = i;
        while (true)
        {
            yield return [.. chosen];
            var at = size - 1;
            while (at >= 0 && chosen[at] == of - size + at) at--;
            if (at < 0) yield break;
            chosen[at]++;
            for (var i = at + 1; i < size; i++) chosen[i] = chosen[i - 1] + 1;
        }
    }

    private sealed class Grouping(int profiles)
    {
        public readonly int[] Of = new int[profiles], First = new int[profiles];
        public readonly ulong[] Hashes = new ulong[profiles];
        public readonly int[] Slots = new int[BitOperations.RoundUpToPowerOf2((uint)Math.Max(2, profiles) * 2)];
        public int Count;
    }
}
