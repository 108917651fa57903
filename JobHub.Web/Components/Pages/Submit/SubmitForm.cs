using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using JobHub.Web.Client;

namespace JobHub.Web.Components.Pages.Submit;

/// <summary>A line of the command that is shown: a part of the body, or what stands around it.</summary>
/// <param name="Field">The field it comes from.</param>
public sealed record CommandLine(string Text, string? Field);

/// <summary>A family's form: its fields, what they hold, what is wrong with them, and the call that they make.</summary>
public sealed class SubmitForm
{
    private static readonly JsonSerializerOptions Shown = new() { Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping };
    private readonly Dictionary<string, string> values = [];

    public required string Family { get; init; }

    public required string Word { get; init; }

    public required IReadOnlyList<SubmitField> Fields { get; init; }

    public string Method { get; init; } = "POST";

    /// <summary>The call's path, by the form.</summary>
    public required Func<SubmitForm, string> Path { get; init; }

    /// <summary>The call's body, by the form; a number or a list where the family wants one. Secrets as given by the function.</summary>
    public required Func<SubmitForm, Func<string, string>, JsonObject> Body { get; init; }

    /// <summary>What is put into the group that the call makes.</summary>
    public Func<SubmitForm, JsonArray>? Children { get; init; }

    /// <summary>Asks the hub what only the hub knows of what is filled in: what it has found (null: nothing to tell), or the field that is wrong and why.</summary>
    public Func<SubmitForm, HubSubmit, CancellationToken, Task<(string? Found, string? Field, string? Fault)>>? Look { get; init; }

    /// <summary>The fields that it looks at, the most telling first.</summary>
    public IReadOnlyList<string> Watched { get; init; } = [];

    /// <summary>What the hub has found.</summary>
    public string? Found { get; private set; }

    private readonly HashSet<string> looked = [];

    /// <summary>Forgets what was found: it may be otherwise now.</summary>
    public void Forget()
    {
        foreach (var name in looked) Refused.Remove(name);
        looked.Clear();
        Found = null;
    }

    /// <summary>Notes what the hub has found.</summary>
    public void Note(string? found, string? field, string? fault)
    {
        Forget();
        Found = found;
        if (field is null || fault is null) return;
        Refused[field] = fault;
        looked.Add(field);
    }

    /// <summary>The programs that are there.</summary>
    public IReadOnlyList<SubmitProgram> Programs { get; set; } = [];

    /// <summary>What the Api said of a field.</summary>
    public Dictionary<string, string> Refused { get; } = [];

    public string this[string name]
    {
        get => values.TryGetValue(name, out var value) ? value : Fields.FirstOrDefault(f => f.Name == name)?.Initial ?? "";
        set
        {
            values[name] = value;
            Refused.Remove(name);
        }
    }

    public bool Has(string name) => this[name].Trim().Length > 0;

    public long? Number(string name) => long.TryParse(this[name].Trim(), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var number) ? number : null;

    /// <summary>The lines of a field that are not empty.</summary>
    public string[] Lines(string name) => this[name].Split('\n', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);

    /// <summary>What is wrong with a field, as a sentence; null when nothing is.</summary>
    public string? FaultOf(SubmitField field)
    {
        ArgumentNullException.ThrowIfNull(field);
        if (Refused.TryGetValue(field.Name, out var said)) return said;
        var value = this[field.Name];
        if (value.Trim().Length == 0) return field.Optional || field.Kind is FieldKind.Switch ? null : $"{field.Label} is wanted.";
        if (value.Length > field.Longest) return $"At most {field.Longest.ToString("N0", CultureInfo.InvariantCulture)} characters.";
        if (field.Kind is FieldKind.Number && (Number(field.Name) is not { } number || number < field.Least || number > field.Most))
            return field.Most == long.MaxValue ? $"A whole number from {field.Least}." : $"{field.Least} to {field.Most.ToString("N0", CultureInfo.InvariantCulture)}.";
        if (field.Kind is FieldKind.Program && Programs.All(p => p.Name != value.Trim())) return "There is no program of this name. Upload it beside.";
        return field.Rule?.Invoke(value.Trim(), this);
    }

    /// <summary>The fields with something wrong, in the order of the form.</summary>
    public IReadOnlyList<(SubmitField Field, string Fault)> Faults() => [.. Fields.Select(f => (Field: f, Fault: FaultOf(f))).Where(static f => f.Fault is not null).Select(static f => (f.Field, f.Fault!))];

    /// <summary>Puts what the Api refused to its field.</summary>
    public SubmitField? Take(HubRefusedException refusal)
    {
        var field = FieldOf(refusal);
        if (field is not null) Refused[field.Name] = refusal.Message;
        return field;
    }

    /// <summary>The field that the Api refused.</summary>
    public SubmitField? FieldOf(HubRefusedException refusal)
    {
        ArgumentNullException.ThrowIfNull(refusal);
        var name = refusal.Field?.Split('[')[0];
        return name is null ? null : Fields.FirstOrDefault(f => f.Name == name || f.Aliases.Contains(name) || f.Name.StartsWith(name + ".", StringComparison.Ordinal));
    }

    /// <summary>What is kept for the next time: no secret.</summary>
    public string Keep() => JsonSerializer.Serialize(Fields.Where(static f => f.Kind is not FieldKind.Secret).ToDictionary(static f => f.Name, f => this[f.Name]));

    public void Restore(string kept)
    {
        try
        {
            foreach (var (name, value) in JsonSerializer.Deserialize<Dictionary<string, string>>(kept) ?? [])
            {
                if (Fields.Any(f => f.Name == name && f.Kind is not FieldKind.Secret) && value.Length <= 200_000) values[name] = value;
            }
        }
        catch (JsonException)
        {
            // Not written by this page.
        }
    }

    public void Clear()
    {
        values.Clear();
        Refused.Clear();
    }

    /// <summary>The body as it is sent.</summary>
    public JsonObject ToSend() => Body(this, name => this[name]);

    /// <summary>The same as a command, line by line; secrets are names of variables. Whatever the fields hold is text in it, and none of it is the shell's.</summary>
    public IReadOnlyList<CommandLine> Command(string hub)
    {
        var text = new ShellText();
        var address = text.Quoted(hub + Path(this));
        var lines = new List<CommandLine>
        {
            new(Children is null ? $"curl -sS -X {Method} {address} \\" : $"GROUP=$(curl -sS -X {Method} {address} \\", null),
            new("  -H 'Content-Type: application/json' \\", null), new("  -H \"Authorization: Bearer $JOBHUB_TOKEN\" \\", null), new("  -d '{", null),
        };
        var body = Body(this, name => text.Variable(Variable(name)));
        var longest = body.Count == 0 ? 0 : body.Max(static b => b.Key.Length);
        var left = body.Count;
        foreach (var (name, value) in body)
        {
            lines.Add(new(text.Inside($"  \"{name}\": {new string(' ', longest - name.Length)}{Json(value)}{(--left > 0 ? "," : "")}"), name));
        }

        lines.Add(new(Children is null ? "}'" : "}')", null));
        if (Children?.Invoke(this) is not { Count: > 0 } children) return lines;
        lines.Add(new($"curl -sS -X {Method} {address} \\", null));
        lines.Add(new("  -H 'Content-Type: application/json' -H \"Authorization: Bearer $JOBHUB_TOKEN\" \\", null));
        lines.Add(new("  -d '[", null));
        var group = text.Variable("GROUP");
        foreach (var (index, child) in children.Take(5).Index()) lines.Add(new(text.Inside($"  {{\"parent\": {group}, {Json(child)[1..]}{(index < children.Count - 1 ? "," : "")}"), "commands"));
        if (children.Count > 5) lines.Add(new($"  … {children.Count - 5} more", "commands"));
        lines.Add(new("]'", null));
        return lines;
    }

    /// <summary>The variable that stands for a secret.</summary>
    public static string Variable(string name) => name.Replace("StorageCredentials", "", StringComparison.Ordinal).Replace('.', '_').ToUpperInvariant();

    private static string Json(JsonNode? value) => value?.ToJsonString(Shown) ?? "null";
}
