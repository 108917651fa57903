namespace JobHub.Engine.Analyses;

/// <summary>Trees that were read from a text.</summary>
/// <param name="Edges">Tree by tree, a parent's edge before those of its children, children in their order.</param>
/// <param name="Alone">The labels of trees of one node, which have no edge.</param>
public sealed record TreeTextContent(IReadOnlyList<TreeEdge> Edges, IReadOnlyList<string> Alone);

/// <summary>What a text may have at most.</summary>
public sealed record TreeTextLimits(long Characters = 256L << 20, int Labels = 2_000_000, int Depth = 1_000_000, int LabelLength = 1_000)
{
    public static TreeTextLimits Default { get; } = new();
}

/// <summary>A text that is not what it should be: where and why, in words for whoever sent it.</summary>
public sealed class TreeTextException(string reason, long line, long column) : FormatException($"Line {line}, column {column}: {reason}")
{
    /// <summary>Without the place.</summary>
    public string Reason { get; } = reason;

    /// <summary>From 1.</summary>
    public long Line { get; } = line;

    /// <summary>From 1, in characters.</summary>
    public long Column { get; } = column;
}
