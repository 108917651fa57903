using System.Text;
using JobHub.Engine.Jobs;
using JobHub.Engine.Tasks;
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
        Append(text, Placeholders.Fill(details.Command, environment));
        Append(text, Placeholders.Fill(tree.Dir, environment));
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
}
