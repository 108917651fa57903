using System.Text;

namespace JobHub.Worker.Runtime.Leaves;

/// <summary>Replaces `$(NAME)` by values. What names nothing stays as written: to the shell it may be a command.</summary>
internal static class Placeholders
{
    public static string Fill(string text, IReadOnlyDictionary<string, string> values)
    {
        var at = text.IndexOf("$(", StringComparison.Ordinal);
        if (at < 0) return text;
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
            // A value is not looked through again.
            at = Math.Max(from, at + 2);
        }
        return filled.Append(text, from, text.Length - from).ToString();
    }
}
