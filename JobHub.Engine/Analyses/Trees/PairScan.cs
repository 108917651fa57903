using System.Numerics;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace JobHub.Engine.Analyses.Trees;

/// <summary>Takes the pairs of one row of profiles; each thread has one of its own.</summary>
internal interface IPairTaker
{
    void Take(int low, int high, int distance);

    /// <summary>All pairs of this lower profile within one block have come.</summary>
    void EndRow(int low);
}

/// <summary>
/// Finds the forest by looking at every pair, a block of profiles at a time with one vector comparison for many pairs; nothing is kept about pairs. For datasets of many loci, where choices of
/// loci are too many to group by. What differs on more loci than asked for is dropped as soon as that is known.
/// </summary>
internal abstract class PairScan
{
    /// <summary>Profiles in a block.</summary>
    protected const int Block = 64;

    /// <summary>Calls a taker with every pair at distance 1 to <paramref name="levels"/>, in parallel and in no order.</summary>
    public abstract void Run(int levels, Func<IPairTaker> taker, Action<IPairTaker> end, int threads, AnalysisProgress progress, CancellationToken ct);

    /// <summary>Vectors of 16-bit alleles where they fit, else of 32-bit ones.</summary>
    public static PairScan Of(ProfileTable profiles, CancellationToken ct)
    {
        var (renumbered, most) = SharedAlleles(profiles, ct);
        return most < ushort.MaxValue - 1 && profiles.Loci.Length < ushort.MaxValue ? new PairScan<ushort>(profiles, renumbered, ct) : new PairScan<int>(profiles, renumbered, ct);
    }

    // An allele that a single profile has equals no other: it counts as missing. The others are numbered anew, so that they fit into small lanes.
    private static (int[] Alleles, int Most) SharedAlleles(ProfileTable profiles, CancellationToken ct)
    {
        var (count, loci, most) = (profiles.Count, profiles.Loci.Length, 0);
        var alleles = new int[profiles.Alleles.Length];
        var seen = new Dictionary<int, int>();
        for (var l = 0; l < loci; l++)
        {
            ct.ThrowIfCancellationRequested();
            seen.Clear();
            var next = 0;
            for (var i = 0; i < count; i++)
                if (profiles.Alleles[(i * loci) + l] is >= 0 and var allele)
                {
                    ref var number = ref CollectionsMarshal.GetValueRefOrAddDefault(seen, allele, out var known);
                    number = !known ? -1 : number < 0 ? next++ : number;
                }

            for (var i = 0; i < count; i++)
                alleles[(i * loci) + l] = profiles.Alleles[(i * loci) + l] is >= 0 and var allele ? seen[allele] : -1;
            most = Math.Max(most, next);
        }

        return (alleles, most);
    }
}

/// <inheritdoc/>
internal sealed class PairScan<T> : PairScan where T : unmanaged, IBinaryInteger<T>, IMinMaxValue<T>
{
    private static readonly T Missing = T.MaxValue - T.One, MissingToo = T.MaxValue;
    private readonly int count, loci;
    private readonly T[][] blocks;

    public PairScan(ProfileTable profiles, int[] alleles, CancellationToken ct)
    {
        (count, loci) = (profiles.Count, profiles.Loci.Length);
        blocks = new T[(count + Block - 1) / Block][];
        for (var b = 0; b < blocks.Length; b++)
        {
            ct.ThrowIfCancellationRequested();
            var block = blocks[b] = new T[loci * Block];
            Array.Fill(block, Missing);
            for (var lane = 0; lane < Math.Min(Block, count - (b * Block)); lane++)
                for (var l = 0; l < loci; l++)
                    if (alleles[(((b * Block) + lane) * loci) + l] is >= 0 and var allele)
                        block[(l * Block) + lane] = T.CreateTruncating(allele);
        }
    }

    public override void Run(int levels, Func<IPairTaker> taker, Action<IPairTaker> end, int threads, AnalysisProgress progress, CancellationToken ct)
    {
        using var takers = new ThreadLocal<IPairTaker>(taker, trackAllValues: true);
        Parallel.For(0, blocks.Length, new ParallelOptions { MaxDegreeOfParallelism = threads, CancellationToken = ct }, b =>
        {
            var rows = Rows(blocks[b]);
            var mine = takers.Value!;
            for (var other = b; other < blocks.Length; other++)
            {
                ct.ThrowIfCancellationRequested();
                for (var r = 0; r < Math.Min(Block, count - (b * Block)); r++)
                {
                    // A row of many loci takes its time.
                    if (loci > 1 << 14) ct.ThrowIfCancellationRequested();
                    Compare(rows.AsSpan(r * loci, loci), blocks[other], levels, (b * Block) + r, other * Block, mine);
                    mine.EndRow((b * Block) + r);
                }
            }

            progress.Add(blocks.Length - b);
        });
        foreach (var mine in takers.Values) end(mine);
    }

    /// <summary>The profiles of a block one after the other; what they miss is not what others miss.</summary>
    private T[] Rows(T[] block)
    {
        var rows = new T[block.Length];
        for (var l = 0; l < loci; l++)
            for (var r = 0; r < Block; r++)
                rows[(r * loci) + l] = block[(l * Block) + r] == Missing ? MissingToo : block[(l * Block) + r];
        return rows;
    }

    private void Compare(ReadOnlySpan<T> row, T[] block, int levels, int low, int start, IPairTaker taker)
    {
        ref var at = ref MemoryMarshal.GetArrayDataReference(block);
        var width = (nuint)Vector256<T>.Count;
        Span<T> equal = stackalloc T[Block];
        // Four vectors at a time stay in registers; a block is one such turn for 16-bit lanes and two for 32-bit ones.
        for (nuint part = 0; part < Block; part += 4 * width)
        {
            Vector256<T> a = default, b = default, c = default, d = default;
            var far = false;
            for (var l = 0; l < row.Length;)
            {
                for (var stop = Math.Min(row.Length, l + 32); l < stop; l++)
                {
                    var (allele, from) = (Vector256.Create(row[l]), ((nuint)l * Block) + part);
                    a -= Vector256.Equals(allele, Vector256.LoadUnsafe(ref at, from));
                    b -= Vector256.Equals(allele, Vector256.LoadUnsafe(ref at, from + width));
                    c -= Vector256.Equals(allele, Vector256.LoadUnsafe(ref at, from + (2 * width)));
                    d -= Vector256.Equals(allele, Vector256.LoadUnsafe(ref at, from + (3 * width)));
                }

                if (l <= levels) continue;
                var most = Vector256.Max(Vector256.Max(a, b), Vector256.Max(c, d));
                if (!(far = !Vector256.GreaterThanOrEqualAny(most, Vector256.Create(T.CreateTruncating(l - levels))))) continue;
                break;
            }

            if (far) continue;
            var first = start + (int)part;
            a.CopyTo(equal);
            b.CopyTo(equal[(int)width..]);
            c.CopyTo(equal[(int)(2 * width)..]);
            d.CopyTo(equal[(int)(3 * width)..]);
            for (var lane = 0; lane < (int)(4 * width); lane++)
            {
                var distance = loci - int.CreateTruncating(equal[lane]);
                if (distance > 0 && distance <= levels && first + lane > low && first + lane < count) taker.Take(low, first + lane, distance);
            }
        }
    }
}

/// <summary>Counts how many profiles are at each distance of each profile.</summary>
internal sealed class NeighbourCounter(int[][] neighbours) : IPairTaker
{
    private readonly int[] row = new int[neighbours.Length];
    private bool any;

    public void Take(int low, int high, int distance)
    {
        row[distance - 1]++;
        any = true;
        Interlocked.Increment(ref neighbours[distance - 1][high]);
    }

    public void EndRow(int low)
    {
        if (!any) return;
        any = false;
        for (var level = 0; level < row.Length; level++)
        {
            if (row[level] > 0) Interlocked.Add(ref neighbours[level][low], row[level]);
            row[level] = 0;
        }
    }
}

/// <summary>Sends pairs on as edges.</summary>
internal sealed class PairEdges(EdgeBuffer edges) : IPairTaker
{
    public void Take(int low, int high, int distance) => edges.Add(low, high, distance);

    public void EndRow(int low)
    {
    }

    public void End() => edges.Flush();
}
