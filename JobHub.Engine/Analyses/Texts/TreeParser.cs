using System.Globalization;

namespace JobHub.Engine.Analyses;

/// <summary>Makes nodes of tokens. Open groups are a stack of its own, so depth is a number and not a stack overflow.</summary>
internal sealed class TreeParser(TreeTokens tokens, TreeTextLimits limits)
{
    private readonly List<Node> nodes = [];
    private readonly HashSet<string> labels = new(StringComparer.Ordinal);
    private readonly Stack<int> open = new();
    private int trees;

    public TreeTokens Tokens => tokens;

    /// <summary>One tree with its semicolon.</summary>
    /// <param name="translate">Labels by what stands for them; what is not in it is a label itself.</param>
    public void Tree(Dictionary<string, string>? translate)
    {
        trees++;
        var start = nodes.Count;
        while (true)
        {
            // Here stands a node: a leaf, or a group of children that ends with the label of their parent.
            while (tokens.Mark == '(')
            {
                if (open.Count == limits.Depth) throw tokens.Wrong($"the tree is more than {limits.Depth} levels deep");
                open.Push(Add());
                tokens.Next();
            }

            if (!tokens.IsLabel) throw tokens.Wrong(Expected());
            var node = Add();
            Label(node, translate);
            while (true)
            {
                Distance(node, isRoot: open.Count == 0);
                if (tokens.Mark != ')') break;
                if (!open.TryPop(out node)) throw tokens.Wrong("a ) without its (");
                tokens.Next();
                if (!tokens.IsLabel) throw tokens.Wrong("the node that ends here has no label; every node must be a profile");
                Label(node, translate);
            }

            if (tokens.Mark == ',' && open.Count > 0)
            {
                tokens.Next();
                continue;
            }

            if (tokens.Mark != ';') throw tokens.Wrong(open.Count > 0 ? "expected , or ) or a distance" : "expected ; at the end of the tree");
            if (open.Count > 0) throw tokens.Wrong($"the tree ends, but {open.Count} ( are still open");
            if (nodes.Count == start) throw tokens.Wrong("the tree is empty");
            tokens.Next();
            return;
        }
    }

    public TreeTextContent Content()
    {
        if (trees == 0) throw tokens.Wrong("there is no tree in the text");
        var (edges, alone) = (new List<TreeEdge>(nodes.Count), new List<string>());
        for (var i = 0; i < nodes.Count; i++)
        {
            var node = nodes[i];
            if (node.Parent >= 0) edges.Add(new(nodes[node.Parent].Label!, node.Label!, node.Distance));
            else if (i + 1 == nodes.Count || nodes[i + 1].Parent < 0) alone.Add(node.Label!);
        }

        return new(edges, alone);
    }

    private string Expected() => tokens.Mark switch
    {
        ')' or ',' => "expected the label of a node; every node must be a profile",
        ';' when open.Count == 0 => "the tree is empty",
        ';' => $"the tree ends, but {open.Count} ( are still open",
        _ => "expected a tree",
    };

    private int Add()
    {
        if (nodes.Count == limits.Labels) throw tokens.Wrong($"there are more than {limits.Labels} nodes");
        nodes.Add(new(null, open.TryPeek(out var parent) ? parent : -1, 0));
        return nodes.Count - 1;
    }

    private void Label(int node, Dictionary<string, string>? translate)
    {
        var label = translate is not null && translate.TryGetValue(tokens.Text, out var full) ? full : tokens.Text;
        if (!labels.Add(label)) throw tokens.Wrong($"the label '{label}' is there twice");
        nodes[node] = nodes[node] with { Label = label };
        tokens.Next();
    }

    private void Distance(int node, bool isRoot)
    {
        if (tokens.Mark != ':')
        {
            if (isRoot) return;
            throw tokens.Mark is ',' or ')' ? tokens.Wrong($"'{nodes[node].Label}' has no distance to its parent; write label:distance") : tokens.Wrong("expected : and a distance");
        }

        tokens.Next();
        const NumberStyles style = NumberStyles.AllowLeadingSign | NumberStyles.AllowDecimalPoint | NumberStyles.AllowExponent;
        if (!tokens.IsLabel || !double.TryParse(tokens.Text, style, CultureInfo.InvariantCulture, out var distance) || !(distance >= 0 && distance <= 1e9))
            throw tokens.Wrong("a distance is a number from 0 to 1000000000, like 3 or 0.25");
        nodes[node] = nodes[node] with { Distance = distance };
        tokens.Next();
    }

    private readonly record struct Node(string? Label, int Parent, double Distance);
}
