namespace JobHub.Web.Components.Pages.Submit;

/// <summary>How a field is filled in.</summary>
public enum FieldKind
{
    Text, Mono, Number, Choice, Lines, Secret, Switch, Program, Project,
}

/// <summary>A field of a submission.</summary>
/// <param name="Name">As the call has it; credentials and the like stand below it with a dot.</param>
/// <param name="Width">Of six columns.</param>
public sealed record SubmitField(string Name, string Label, FieldKind Kind, int Width = 3)
{
    /// <summary>The heading that begins with it.</summary>
    public string? Section { get; init; }

    public bool Optional { get; init; }

    public string? Placeholder { get; init; }

    public string? Hint { get; init; }

    /// <summary>What it holds at first.</summary>
    public string Initial { get; init; } = "";

    public string? Unit { get; init; }

    public IReadOnlyList<(string Value, string Word)> Choices { get; init; } = [];

    public long Least { get; init; }

    public long Most { get; init; } = long.MaxValue;

    public int Longest { get; init; } = 4096;

    /// <summary>What else is wrong with a value, by the others.</summary>
    public Func<string, SubmitForm, string?>? Rule { get; init; }

    /// <summary>Names that the Api may call it by.</summary>
    public IReadOnlyList<string> Aliases { get; init; } = [];

    /// <summary>Links may fill it in: an address can come from anybody, so these are only what our own pages link with.</summary>
    public bool Linked { get; init; }

    /// <summary>What the hub knows of it is asked for when one has left it: half a secret is told to nobody.</summary>
    public bool LookedWhenLeft { get; init; }

    /// <summary>Its place in the page.</summary>
    public string Id => "f-" + Name.Replace('.', '-');
}
