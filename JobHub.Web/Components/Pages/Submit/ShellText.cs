namespace JobHub.Web.Components.Pages.Submit;

/// <summary>Text of anybody within a command for a shell: all of it stands between single quotes, where nothing means anything, but for variables that are put there on purpose.</summary>
public sealed class ShellText
{
    // Not known before, so that no text holds one by itself.
    private readonly string mark = Guid.NewGuid().ToString("N");
    private readonly Dictionary<string, string> variables = [];

    /// <summary>What stands for a variable in a text until the text is quoted.</summary>
    /// <param name="name">Its name, never from outside.</param>
    public string Variable(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        if (name.Length == 0 || char.IsAsciiDigit(name[0]) || !name.All(static c => char.IsAsciiLetterUpper(c) || char.IsAsciiDigit(c) || c is '_')) throw new ArgumentException("No name of a variable.", nameof(name));
        var place = $"{mark}.{name}.";
        variables[place] = $"'\"${name}\"'";
        return place;
    }

    /// <summary>A text as one word.</summary>
    public string Quoted(string text) => $"'{Inside(text)}'";

    /// <summary>A text as a part of a word whose quotes are open already; variables leave them for a moment.</summary>
    public string Inside(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        text = text.Replace("'", "'\\''", StringComparison.Ordinal);
        foreach (var (place, variable) in variables) text = text.Replace(place, variable, StringComparison.Ordinal);
        return text;
    }
}
