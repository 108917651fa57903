using System.Text;
using JobHub.Engine.Jobs;
using JobHub.Engine.Trees;
using JobHub.Engine.Workers;

namespace JobHub.Api.Features.Farm;

/// <summary>Answers that the original worker evaluates as Python 2: exact text.</summary>
public static class FormAnswer
{
    /// <summary>There is nothing to do.</summary>
    public const string Nothing = "(-1, '', '', '', None)";

    /// <summary>A job: its number, command, folder, user and environment, as byte strings.</summary>
    public static string Of(FormJob job)
    {
        ArgumentNullException.ThrowIfNull(job);
        var (details, tree) = (job.Details, job.Details.OfTree ?? new TreeDetails());
        // The text as it was written knows the order of the pairs.
        var environment = EnvironmentText.Read(tree.Environment);
        var text = new StringBuilder(details.Command.Length + 128).Append('(').Append(job.Number);
        Append(text, Fill(details.Command, environment));
        Append(text, Fill(tree.Dir, environment));
        Append(text, tree.User);
        // Pairs are parted by the two characters that stand for a line's end, whichever way they were submitted.
        Append(text, string.Join("\\n", environment.Select(static pair => $"{pair.Key}={pair.Value}")));
        return text.Append(')').ToString();
    }

    private static void Append(StringBuilder text, string value)
    {
        text.Append(", '");
        foreach (var one in Encoding.UTF8.GetBytes(value))
        {
            if (one is (byte)'\\' or (byte)'\'') text.Append('\\').Append((char)one);
            else if (one is >= 0x20 and <= 0x7E) text.Append((char)one);
            else text.Append("\\x").Append(Convert.ToHexStringLower([one]));
        }

        text.Append('\'');
    }

    /// <summary>Replaces <c>$(NAME)</c> by the job's own values. What names none of them is the worker's to replace, or the shell's.</summary>
    private static string Fill(string text, Dictionary<string, string> values)
    {
        if (values.Count == 0 || text.IndexOf("$(", StringComparison.Ordinal) is var at && at < 0) return text;
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
