namespace JobHub.Engine.Analyses;

/// <summary>
/// A radial picture of an inference: each tree's root at (0, 0), each child in a wedge of its parent's as wide as its share of the tree's leaves, 10 and 100 a unit of distance away from its parent.
/// Components are numbered from 1 by the position of their roots in the dataset; a profile without an edge is one, too. Points come component by component, parents before children.
/// </summary>
public sealed class Radial : Algorithm
{
    public override AnalysisKind Kind => AnalysisKind.Visualization;

    public override string Name => "radial";

    public override IReadOnlyList<AlgorithmParameter> Parameters { get; } = [new DatasetParameter("dataset"), new InferenceParameter("inference")];

    /// <exception cref="InvalidDataException">The edges are not trees of the dataset's profiles.</exception>
    public override void Run(AnalysisInput input, AnalysisOutput output, IProgress<double> progress, CancellationToken ct)
    {
        var (ids, edges) = (input.Profiles.Ids, input.Edges ?? []);
        var (count, told) = (ids.Length, new AnalysisProgress(progress, ids.Length));
        ct.ThrowIfCancellationRequested();
        var (parents, distances, starts, children) = Read(ids, edges, ct);

        // Parents before children; leaves are added up from the end.
        var (order, place) = (new int[count], 0);
        var component = new int[count];
        var trees = 0;
        for (var root = 0; root < count; root++)
        {
            if (parents[root] >= 0) continue;
            trees++;
            component[root] = trees;
            var at = place;
            order[place++] = root;
            for (; at < place; at++)
            {
                if ((at & 0xFFF) == 0) ct.ThrowIfCancellationRequested();
                foreach (var child in children.AsSpan(starts[order[at]], starts[order[at] + 1] - starts[order[at]]))
                {
                    component[child] = trees;
                    order[place++] = child;
                }
            }
        }

        if (place < count) throw new InvalidDataException("The edges of the inference form a circle.");
        var leaves = new int[count];
        var treeLeaves = new int[trees + 1];
        for (var at = count - 1; at >= 0; at--)
        {
            var profile = order[at];
            if (leaves[profile] == 0) leaves[profile] = 1;
            if (parents[profile] >= 0) leaves[parents[profile]] += leaves[profile];
            else treeLeaves[component[profile]] = leaves[profile];
        }

        var (x, y, borders) = (new double[count], new double[count], new double[count]);
        for (var at = 0; at < count; at++)
        {
            if ((at & 0xFFF) == 0) ct.ThrowIfCancellationRequested();
            var profile = order[at];
            output.Point(ids[profile], component[profile], x[profile], y[profile]);
            var border = borders[profile];
            foreach (var child in children.AsSpan(starts[profile], starts[profile + 1] - starts[profile]))
            {
                var wedge = 2 * Math.PI * leaves[child] / treeLeaves[component[child]];
                var (sin, cos) = Math.SinCos(border + (wedge / 2));
                var away = (distances[child] * 100) + 10;
                (x[child], y[child], borders[child]) = (x[profile] + (cos * away), y[profile] + (sin * away), border);
                border += wedge;
            }

            told.Add(1);
        }

        progress.Report(1);
    }

    private static (int[] Parents, double[] Distances, int[] Starts, int[] Children) Read(string[] ids, IReadOnlyList<TreeEdge> edges, CancellationToken ct)
    {
        var positions = new Dictionary<string, int>(ids.Length, StringComparer.Ordinal);
        for (var i = 0; i < ids.Length; i++) positions[ids[i]] = i;
        var (parents, distances, starts) = (new int[ids.Length], new double[ids.Length], new int[ids.Length + 1]);
        Array.Fill(parents, -1);
        for (var e = 0; e < edges.Count; e++)
        {
            if ((e & 0xFFF) == 0) ct.ThrowIfCancellationRequested();
            var (from, to) = (Position(edges[e].From), Position(edges[e].To));
            if (from == to) throw new InvalidDataException($"The inference has an edge from '{edges[e].To}' to itself.");
            if (parents[to] >= 0) throw new InvalidDataException($"The inference has two edges to the profile '{edges[e].To}'.");
            (parents[to], distances[to]) = (from, edges[e].Distance);
            starts[from + 1]++;
        }

        for (var i = 0; i < ids.Length; i++) starts[i + 1] += starts[i];
        var (next, children) = (starts[..^1], new int[edges.Count]);
        foreach (var edge in edges) children[next[positions[edge.From]]++] = positions[edge.To];
        return (parents, distances, starts, children);

        int Position(string id) => positions.TryGetValue(id, out var position) ? position : throw new InvalidDataException($"The inference names a profile '{id}' that the dataset does not have.");
    }
}
