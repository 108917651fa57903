using System.Text;

namespace JobHub.Engine.Tasks;

/// <summary>Replaces `$(NAME)` by values. What names nothing stays as written: to the shell it may be a command.</summary>
public static class Placeholders
{
    /// <summary>The text with what the values name in their place; a value is not looked through again.</summary>
    public static string Fill(string text, IReadOnlyDictionary<string, string> values)
    {
        ArgumentNullException.ThrowIfNull(text);
        ArgumentNullException.ThrowIfNull(values);
        var at = text.IndexOf("$(", StringComparison.Ordinal);
        if (at < 0 || values.Count == 0) return text;
        var filled = new StringBuilder(text.Length + 64);
        var from = 0;
        for (; at >= 0; at = text.IndexOf("$(", at, StringComparison.Ordinal))
        {
            var end = at + 2;
            while (end < text.Length && (char.IsAsciiLetterOrDigit(text[end]) || text[end] == '_')) end++;
            if (end < text.Length && text[end] == ')' && values.TryGetValue(text[(at + 2)..end], out var value))
            {
                filled.Append(text, from, at - from).Append(value);
                from = end + 1;
            }

            at = Math.Max(from, at + 2);
        }

        return filled.Append(text, from, text.Length - from).ToString();
    }
}
