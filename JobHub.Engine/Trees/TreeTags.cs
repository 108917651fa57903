namespace JobHub.Engine.Trees;

/// <summary>Affinity as text: tags parted by commas; a worker's lines parted by newlines, the first preferred.</summary>
public static class TreeTags
{
    /// <summary>The tags of a text, each once, in their order.</summary>
    public static string[] Of(string? text) =>
        text is null or "" ? [] : [.. text.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries).Distinct(StringComparer.Ordinal)];

    /// <summary>A worker's lines; empty ones fall out.</summary>
    public static string[][] LinesOf(string? text) =>
        text is null or "" ? [] : [.. text.Split('\n', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries).Select(Of).Where(line => line.Length > 0)];

    /// <summary>The text of a worker's lines.</summary>
    public static string Text(IEnumerable<string[]> lines) => string.Join('\n', lines.Select(line => string.Join(',', line)));
}
