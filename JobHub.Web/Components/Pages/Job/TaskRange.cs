using System.Globalization;
using System.Text.RegularExpressions;
using JobHub.Web.Client;

namespace JobHub.Web.Components.Pages.Job;

/// <summary>Tasks of one kind from an index to another, both in it; in addresses <c>m-100..m-250</c>.</summary>
public sealed partial record TaskRange(string Kind, int From, int To)
{
    private TaskPhase Phase => new(Kind, 0);

    /// <summary>The range that a text of an address means, as far as the job has such tasks; null when it means none.</summary>
    public static TaskRange? Of(string? text, IReadOnlyList<TaskPhase> phases)
    {
        ArgumentNullException.ThrowIfNull(phases);
        if (text is null || Form().Match(text) is not { Success: true } parts || phases.FirstOrDefault(phase => phase.Letter == parts.Groups[1].Value[0]) is not { } found) return null;
        var (from, to) = (int.Parse(parts.Groups[2].Value, CultureInfo.InvariantCulture), Math.Min(int.Parse(parts.Groups[3].Value, CultureInfo.InvariantCulture), found.Count - 1));
        return from <= to ? new(found.Kind, from, to) : null;
    }

    /// <summary>The states of its tasks.</summary>
    public ReadOnlySpan<byte> In(TaskStates states)
    {
        ArgumentNullException.ThrowIfNull(states);
        var first = states.Phases.TakeWhile(phase => phase.Kind != Kind).Sum(static phase => phase.Count);
        return states.Squares.AsSpan(first + From, To - From + 1);
    }

    public string Words => From == To ? $"{Phase.Letter}-{From}" : $"{Phase.Letter}-{From} to {Phase.Letter}-{To}";

    public override string ToString() => $"{Phase.Letter}-{From}..{Phase.Letter}-{To}";

    [GeneratedRegex(@"\A([a-z])-([0-9]{1,7})\.\.\1-([0-9]{1,7})\z")]
    private static partial Regex Form();
}
