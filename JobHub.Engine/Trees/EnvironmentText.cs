namespace JobHub.Engine.Trees;

/// <summary>An environment as the callers of trees write it: K=V a line, lines parted by a newline or by the two characters \n.</summary>
public static class EnvironmentText
{
    /// <summary>The pairs; the last of a name counts. What is no pair is left out.</summary>
    public static Dictionary<string, string> Read(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        var pairs = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var line in text.Replace("\\n", "\n", StringComparison.Ordinal).Split('\n'))
        {
            var pair = line.EndsWith('\r') ? line[..^1] : line;
            var at = pair.IndexOf('=', StringComparison.Ordinal);
            if (at > 0) pairs[pair[..at].Trim()] = pair[(at + 1)..];
        }

        pairs.Remove("");
        return pairs;
    }
}
