namespace JobHub.Engine.Analyses;

/// <summary>Trees as a Nexus file with one block of trees: the first is called <c>result</c>, further ones <c>result_2</c> and so on.</summary>
public static class NexusText
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

    /// <summary>Reads the trees of all blocks of trees, strictly; a table TRANSLATE gives the labels for its keys. Other blocks are passed over.</summary>
    /// <exception cref="TreeTextException">The text is not Nexus, has no tree, or its trees are not as <see cref="NewickText.Read"/> wants them.</exception>
    public static TreeTextContent Read(TextReader reader, TreeTextLimits? limits = null, CancellationToken ct = default)
    {
        var parser = new TreeParser(new(reader, limits ?? TreeTextLimits.Default, ct), limits ?? TreeTextLimits.Default);
        var tokens = parser.Tokens;
        if (!tokens.IsWord("#NEXUS")) throw tokens.Wrong("a Nexus file starts with #NEXUS");
        tokens.Next();
        while (!tokens.AtEnd)
        {
            if (!tokens.IsWord("BEGIN")) throw tokens.Wrong("expected BEGIN and the name of a block");
            tokens.Next();
            var trees = tokens.IsWord("TREES");
            tokens.SkipCommand();
            Dictionary<string, string>? labels = null;
            while (!tokens.IsWord("END") && !tokens.IsWord("ENDBLOCK"))
            {
                if (tokens.AtEnd) throw tokens.Wrong("the block has no END;");
                if (trees && tokens.IsWord("TRANSLATE"))
                {
                    labels = Translate(tokens, limits ?? TreeTextLimits.Default);
                }
                else if (trees && (tokens.IsWord("TREE") || tokens.IsWord("UTREE")))
                {
                    tokens.Next();
                    if (tokens.IsWord("*")) tokens.Next();
                    if (!tokens.IsLabel) throw tokens.Wrong("expected the name of the tree");
                    tokens.Next();
                    if (tokens.Mark != '=') throw tokens.Wrong("expected = and the tree after its name");
                    tokens.Next();
                    parser.Tree(labels);
                }
                else
                {
                    tokens.SkipCommand();
                }
            }

            tokens.SkipCommand();
        }

        return parser.Content();
    }

    private static Dictionary<string, string> Translate(TreeTokens tokens, TreeTextLimits limits)
    {
        var (labels, targets) = (new Dictionary<string, string>(StringComparer.Ordinal), new HashSet<string>(StringComparer.Ordinal));
        do
        {
            tokens.Next();
            // Some programs leave a comma after the last entry.
            if (tokens.Mark == ';' && labels.Count > 0) break;
            if (!tokens.IsLabel) throw tokens.Wrong("expected a key of TRANSLATE");
            if (labels.Count == limits.Labels) throw tokens.Wrong($"there are more than {limits.Labels} entries in TRANSLATE");
            var key = tokens.Text;
            if (labels.ContainsKey(key)) throw tokens.Wrong($"the key '{key}' is in TRANSLATE twice");
            tokens.Next();
            if (!tokens.IsLabel) throw tokens.Wrong($"expected the label for the key '{key}'");
            if (!targets.Add(tokens.Text)) throw tokens.Wrong($"the label '{tokens.Text}' is in TRANSLATE twice");
            labels.Add(key, tokens.Text);
            tokens.Next();
        }
        while (tokens.Mark == ',');
        if (tokens.Mark != ';') throw tokens.Wrong("expected , or ; after an entry of TRANSLATE");
        tokens.Next();
        return labels;
    }

    private static IEnumerable<System.Text.StringBuilder> Pieces(IReadOnlyList<TreeEdge> edges, IEnumerable<string> profiles, CancellationToken ct) =>
        TreeWriting.Pieces(edges, profiles, static n => n == 1 ? "  Tree result = " : $"  Tree result_{n} = ", "#NEXUS\nBEGIN TREES;\n", "END;\n", static c => char.IsLetterOrDigit(c) || c == '.', ct);
}
