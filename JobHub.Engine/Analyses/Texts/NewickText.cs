namespace JobHub.Engine.Analyses;

/// <summary>
/// Trees as Newick text: <c>(child:distance,…)root;</c>, a tree a line. Every node has a label. Labels are quoted where they hold anything but letters, digits, dots and hyphens
/// (an unquoted underscore would be a blank to some readers), a quote in them is written twice.
/// </summary>
public static class NewickText
{
    /// <param name="profiles">Ids; those that no edge names are written as trees of their own.</param>
    public static void Write(TextWriter writer, IReadOnlyList<TreeEdge> edges, IEnumerable<string> profiles, CancellationToken ct = default)
    {
        foreach (var piece in Pieces(edges, profiles, ct)) writer.Write(piece);
    }

    /// <inheritdoc cref="Write"/>
    public static async Task WriteAsync(TextWriter writer, IReadOnlyList<TreeEdge> edges, IEnumerable<string> profiles, CancellationToken ct = default)
    {
        foreach (var piece in Pieces(edges, profiles, ct)) await writer.WriteAsync(piece, ct);
    }

    /// <summary>Reads trees, strictly. Comments in brackets are passed over, an unquoted underscore is one, a root's distance is ignored.</summary>
    /// <exception cref="TreeTextException">The text is not Newick, a node has no label or no distance, a label comes twice, or there is more than the limits allow.</exception>
    public static TreeTextContent Read(TextReader reader, TreeTextLimits? limits = null, CancellationToken ct = default)
    {
        var parser = new TreeParser(new(reader, limits ?? TreeTextLimits.Default, ct), limits ?? TreeTextLimits.Default);
        while (!parser.Tokens.AtEnd) parser.Tree(null);
        return parser.Content();
    }

    private static IEnumerable<System.Text.StringBuilder> Pieces(IReadOnlyList<TreeEdge> edges, IEnumerable<string> profiles, CancellationToken ct) =>
        TreeWriting.Pieces(edges, profiles, static _ => "", "", "", static c => char.IsLetterOrDigit(c) || c is '.' or '-', ct);
}
