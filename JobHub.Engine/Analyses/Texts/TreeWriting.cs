using System.Globalization;
using System.Text;

namespace JobHub.Engine.Analyses;

/// <summary>Newick text of a forest, piece by piece: neither a tree's depth nor its size is held as text.</summary>
internal static class TreeWriting
{
    private const int Piece = 1 << 15;

    /// <summary>The text of every tree. Pieces are valid until the next one is asked for.</summary>
    /// <param name="profiles">Those that no edge names become trees of their own, after the others.</param>
    /// <param name="before">What stands before the tree of that number, from 1.</param>
    /// <exception cref="InvalidDataException">The edges are not trees that are directed away from their roots.</exception>
    public static IEnumerable<StringBuilder> Pieces(IReadOnlyList<TreeEdge> edges, IEnumerable<string> profiles, Func<int, string> before, string head, string tail, Func<char, bool> plain, CancellationToken ct)
    {
        var numbers = new Dictionary<string, int>(StringComparer.Ordinal);
        var labels = new List<string>();
        var (ends, parents) = (new (int From, int To)[edges.Count], new List<int>());
        for (var e = 0; e < edges.Count; e++)
        {
            if ((e & 0xFFF) == 0) ct.ThrowIfCancellationRequested();
            ends[e] = (Number(edges[e].From), Number(edges[e].To));
            if (parents[ends[e].To] >= 0) throw new InvalidDataException($"There are two edges to '{edges[e].To}'.");
            parents[ends[e].To] = e;
        }

        // Children in their edges' order: the list of a node's edges starts at firsts and goes on by nexts.
        var (firsts, nexts, written, trees) = (new int[labels.Count], new int[edges.Count], 0, 0);
        Array.Fill(firsts, -1);
        for (var e = edges.Count - 1; e >= 0; e--) (nexts[e], firsts[ends[e].From]) = (firsts[ends[e].From], e);

        var text = new StringBuilder(head);
        var open = new Stack<int>();
        for (var root = 0; root < labels.Count; root++)
        {
            if (parents[root] >= 0) continue;
            text.Append(before(++trees));
            var node = root;
            while (true)
            {
                if (firsts[node] >= 0)
                {
                    text.Append('(');
                    open.Push(node);
                    node = ends[firsts[node]].To;
                    continue;
                }

                Label(text, labels[node], plain);
                written++;
                while (node != root)
                {
                    var edge = parents[node];
                    text.Append(':').Append(edges[edge].Distance.ToString("R", CultureInfo.InvariantCulture));
                    if (nexts[edge] >= 0)
                    {
                        text.Append(',');
                        node = ends[nexts[edge]].To;
                        break;
                    }

                    node = open.Pop();
                    Label(text.Append(')'), labels[node], plain);
                    written++;
                    if (text.Length < Piece) continue;
                    ct.ThrowIfCancellationRequested();
                    yield return text;
                    text.Clear();
                }

                if (text.Length >= Piece)
                {
                    ct.ThrowIfCancellationRequested();
                    yield return text;
                    text.Clear();
                }

                if (node == root) break;
            }

            text.Append(";\n");
        }

        if (written < labels.Count) throw new InvalidDataException("The edges form a circle.");
        foreach (var profile in profiles)
        {
            if (numbers.ContainsKey(profile)) continue;
            Label(text.Append(before(++trees)), profile, plain);
            text.Append(";\n");
            if (text.Length < Piece) continue;
            ct.ThrowIfCancellationRequested();
            yield return text;
            text.Clear();
        }

        text.Append(tail);
        if (text.Length > 0) yield return text;

        int Number(string label)
        {
            if (numbers.TryGetValue(label, out var number)) return number;
            numbers.Add(label, number = labels.Count);
            labels.Add(label);
            parents.Add(-1);
            return number;
        }
    }

    private static void Label(StringBuilder text, string label, Func<char, bool> plain)
    {
        if (label.Length > 0 && label.All(plain)) text.Append(label);
        else text.Append('\'').Append(label.Replace("'", "''", StringComparison.Ordinal)).Append('\'');
    }
}
