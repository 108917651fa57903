using JobHub.Engine.Analyses;

namespace JobHub.Engine.Tests.Analyses;

/// <summary>Datasets, and the plainest way to say what goeBURST gives.</summary>
internal static class TypingData
{
    /// <summary>Profiles by lines: id, alleles parted by blanks (a dash is a missing one).</summary>
    public static ProfileTable Table(params string[] lines) => Table([], lines);

    public static ProfileTable Table(int[] isolates, params string[] lines)
    {
        var fields = Array.ConvertAll(lines, static l => l.Split(' '));
        var loci = fields.Length == 0 ? 0 : fields[0].Length - 1;
        return new(Loci(loci), [.. fields.Select(f => f[0])], isolates.Length > 0 ? isolates : new int[lines.Length],
            [.. fields.SelectMany(f => f.Skip(1)).Select(a => a == "-" ? -1 : int.Parse(a))]);
    }

    public static ProfileTable Random(Random random, int profiles, int loci, int alleles, double missing, int isolates, bool shuffledIds = true)
    {
        var numbers = new int[profiles * loci];
        for (var i = 0; i < numbers.Length; i++) numbers[i] = random.NextDouble() < missing ? -1 : random.Next(alleles);
        var ids = Enumerable.Range(1, profiles).Select(i => i.ToString()).ToArray();
        if (shuffledIds) random.Shuffle(ids);
        return new(Loci(loci), ids, [.. Enumerable.Range(0, profiles).Select(_ => random.Next(isolates))], numbers);
    }

    /// <summary>What a public typing scheme looks like: clonal complexes, each grown from a founder by changes of one or two loci, large ones growing more; ids are numbers in the order found.</summary>
    public static ProfileTable Scheme(int profiles, int loci, int seed)
    {
        var random = new Random(seed);
        var alleles = new int[profiles * loci];
        for (var i = 0; i < profiles; i++)
        {
            var parent = i == 0 || random.NextDouble() < 0.15 ? -1 : (int)(i * Math.Pow(random.NextDouble(), 2));
            for (var l = 0; l < loci; l++) alleles[(i * loci) + l] = parent < 0 ? Allele() : alleles[(parent * loci) + l];
            if (parent < 0) continue;
            for (var changes = 1 + random.Next(2); changes > 0; changes--) alleles[(i * loci) + random.Next(loci)] = Allele();
        }

        return new(Loci(loci), [.. Enumerable.Range(1, profiles).Select(i => i.ToString())], [.. Enumerable.Range(0, profiles).Select(_ => random.Next(1, 6))], alleles);

        int Allele() => (int)(900 * Math.Pow(random.NextDouble(), 2));
    }

    public static ProfileTable Shuffled(ProfileTable table, Random random)
    {
        var order = Enumerable.Range(0, table.Count).ToArray();
        random.Shuffle(order);
        return new(table.Loci, [.. order.Select(i => table.Ids[i])], [.. order.Select(i => table.Isolates[i])], [.. order.SelectMany(i => table.Of(i).ToArray())]);
    }

    public static int Distance(ProfileTable table, int a, int b)
    {
        var distance = 0;
        for (var l = 0; l < table.Loci.Length; l++)
            if (table.Of(a)[l] < 0 || table.Of(b)[l] < 0 || table.Of(a)[l] != table.Of(b)[l])
                distance++;
        return distance;
    }

    public static List<TreeEdge> GoeBurst(ProfileTable table, int lvs, GoeBurst? algorithm = null) => Run(algorithm ?? new GoeBurst(), new(table, null, [lvs])).Edges;

    public static Collected Run(Algorithm algorithm, AnalysisInput input, IProgress<double>? progress = null, CancellationToken ct = default)
    {
        var output = new Collected();
        algorithm.Run(input, output, progress ?? new Telling(_ => { }), ct);
        return output;
    }

    /// <summary>The contract word by word: all edges, sorted, Kruskal, directed.</summary>
    public static List<TreeEdge> ByHand(ProfileTable table, int lvs)
    {
        var (n, edges) = (table.Count, new List<(int Low, int High, int Distance)>());
        var neighbours = new int[n, lvs + 1];
        for (var i = 0; i < n; i++)
            for (var j = i + 1; j < n; j++)
                if (Distance(table, i, j) is > 0 and var distance && distance <= lvs)
                {
                    neighbours[i, distance]++;
                    neighbours[j, distance]++;
                    edges.Add((i, j, distance));
                }

        var sorted = edges.OrderBy(e => e.Distance);
        for (var l = 1; l <= lvs; l++)
        {
            var level = l;
            sorted = sorted.ThenByDescending(e => Math.Max(neighbours[e.Low, level], neighbours[e.High, level])).ThenByDescending(e => Math.Min(neighbours[e.Low, level], neighbours[e.High, level]));
        }

        sorted = sorted.ThenByDescending(e => Math.Max(table.Isolates[e.Low], table.Isolates[e.High])).ThenByDescending(e => Math.Min(table.Isolates[e.Low], table.Isolates[e.High]))
            .ThenBy(e => e.Low).ThenBy(e => table.Ids[e.High].Length).ThenBy(e => table.Ids[e.High], StringComparer.Ordinal);
        var (trees, forest) = (Enumerable.Range(0, n).ToArray(), new List<(int Low, int High, int Distance)>());
        foreach (var edge in sorted)
        {
            var (keep, join) = (trees[edge.Low], trees[edge.High]);
            if (keep == join) continue;
            forest.Add(edge);
            for (var i = 0; i < n; i++)
                if (trees[i] == join)
                    trees[i] = keep;
        }

        // As found an edge leads from the lower position to the higher.
        var led = forest.Select(e => e.High).ToHashSet();
        var (parents, reached) = (new int[n], new HashSet<int>());
        foreach (var root in Enumerable.Range(0, n).Where(i => !led.Contains(i)).GroupBy(i => trees[i]).Select(g => g.First()))
        {
            var waiting = new Stack<int>([root]);
            parents[root] = -1;
            while (waiting.TryPop(out var profile))
            {
                reached.Add(profile);
                foreach (var (low, high, _) in forest.Where(e => e.Low == profile || e.High == profile))
                {
                    var other = low == profile ? high : low;
                    if (reached.Contains(other)) continue;
                    parents[other] = profile;
                    waiting.Push(other);
                }
            }
        }

        return [.. forest.Select(e => parents[e.High] == e.Low ? new TreeEdge(table.Ids[e.Low], table.Ids[e.High], e.Distance) : new(table.Ids[e.High], table.Ids[e.Low], e.Distance))];
    }

    private static string[] Loci(int count) => [.. Enumerable.Range(1, count).Select(i => "locus" + i)];
}

internal sealed class Collected : AnalysisOutput
{
    public List<TreeEdge> Edges { get; } = [];

    public List<TreePoint> Points { get; } = [];

    public override void Edge(string from, string to, double distance) => Edges.Add(new(from, to, distance));

    public override void Point(string profile, int component, double x, double y) => Points.Add(new(profile, component, x, y));
}

internal sealed class Telling(Action<double> tell) : IProgress<double>
{
    public void Report(double value) => tell(value);
}
