using System.Globalization;
using JobHub.Web.Client;
using Microsoft.AspNetCore.Components;

namespace JobHub.Web.Components.Pages.JobList;

/// <summary>
/// Edits jobs of trees, one or many. A field shows the value that all have, or how many there are; a name of affinity and a job that is waited for show how many have them.
/// Only what was written, added or taken away changes.
/// </summary>
public sealed partial class TreeEdit
{
    private readonly List<Field> fields = [];
    private List<TreeChoice<string>> slots = [];
    private List<TreeChoice<long>> dependencies = [];
    private IReadOnlyList<HubTreeJob> jobs = [];
    private string? refusal;
    private bool namingSlots;

    [Inject] private HubTrees Trees { get; set; } = default!;

    [Parameter, EditorRequired] public IReadOnlyList<HubTreeJob> Jobs { get; set; } = [];

    /// <summary>The visitor may name slots of affinity.</summary>
    [Parameter] public bool MayName { get; set; }

    [Parameter] public EventCallback OnClose { get; set; }

    [Parameter] public EventCallback OnSaved { get; set; }

    private bool Changed => fields.Exists(static f => f.Value is not null) || slots.Exists(static s => s.Wanted is not null) || dependencies.Exists(static d => d.Wanted is not null);

    protected override async Task OnParametersSetAsync()
    {
        if (ReferenceEquals(jobs, Jobs)) return;
        jobs = Jobs;
        fields.Clear();
        Add("title", "Title", static j => j.Title);
        Add("priority", "Priority", static j => Text(j.Priority));
        Add("retry", "Retries", static j => Text(j.Retry));
        Add("timeout", "Timeout, s", static j => Text(j.TimeoutSeconds));
        slots = ChoicesOf(static j => j.Affinity.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries).Distinct());
        dependencies = ChoicesOf(static j => j.Dependencies);
        await ReadSlotsAsync();
    }

    private static string Text(long value) => value.ToString(CultureInfo.InvariantCulture);

    private void Add(string name, string label, Func<HubTreeJob, string> of)
    {
        var values = jobs.Select(of).Distinct().ToList();
        fields.Add(new(name, label, values.Count == 1 ? values[0] : null, values.Count));
    }

    private List<TreeChoice<T>> ChoicesOf<T>(Func<HubTreeJob, IEnumerable<T>> of)
        where T : notnull => [.. jobs.SelectMany(of).CountBy(static v => v).OrderBy(static v => v.Key).Select(v => new TreeChoice<T>(v.Key, v.Value, jobs.Count))];

    // All slots that have names can be chosen, in the order of their numbers; what a job has stays whatever becomes of the names.
    private async Task ReadSlotsAsync()
    {
        try
        {
            var names = (await Trees.SlotsAsync(CancellationToken.None)).Names.OrderBy(static n => n.Key).Select(static n => n.Value).ToList();
            var had = slots.ToDictionary(static s => s.Value);
            slots = [.. names.Select(n => had.GetValueOrDefault(n) ?? new(n, 0, jobs.Count)), .. slots.Where(s => !names.Contains(s.Value) && (s.Has > 0 || s.Wanted is not null))];
        }
        catch (Exception away) when (away is HubAwayException or HubRefusedException or SessionEndedException)
        {
            refusal = "The names of affinity could not be read.";
        }
    }

    private async Task NamedAsync()
    {
        namingSlots = false;
        await ReadSlotsAsync();
    }

    private async Task SaveAsync()
    {
        refusal = null;
        try
        {
            await Trees.ChangeAsync(
                new([.. jobs.Select(static j => j.Number)])
                {
                    Title = Of("title"), Priority = (int?)Whole("priority"), Retry = (int?)Whole("retry"), TimeoutSeconds = (int?)Whole("timeout"),
                    AddAffinity = Wanted(slots, true), RemoveAffinity = Wanted(slots, false), AddDependencies = Wanted(dependencies, true), RemoveDependencies = Wanted(dependencies, false),
                },
                CancellationToken.None);
            await OnSaved.InvokeAsync();
        }
        catch (HubRefusedException no)
        {
            refusal = no.Message;
        }
        catch (FormatException wrong)
        {
            refusal = wrong.Message;
        }
        catch (Exception away) when (away is HubAwayException or SessionEndedException)
        {
            refusal = "The API does not answer; what you wrote is kept.";
        }
    }

    private string? Of(string name) => fields.Find(f => f.Name == name)?.Value;

    private long? Whole(string name) => Of(name) is { } text ? Number(text) : null;

    private static long Number(string text) => int.TryParse(text.Trim(), NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : throw new FormatException($"'{text}' is no whole number.");

    private static IReadOnlyList<T>? Wanted<T>(List<TreeChoice<T>> choices, bool added)
        where T : notnull => choices.Where(c => c.Wanted == added).Select(static c => c.Value).ToArray() is { Length: > 0 } some ? some : null;

    private sealed class Field(string name, string label, string? common, int different)
    {
        public string Name => name;
        public string Label => label;
        /// <summary>What all have; null when they differ.</summary>
        public string? Common => common;
        public int Different => different;
        /// <summary>What was written; null: stays.</summary>
        public string? Value { get; set; }
    }
}

/// <summary>Something that some of the jobs have, and whether all or none are to have it.</summary>
/// <param name="has">How many have it.</param>
/// <param name="of">Of how many.</param>
public sealed class TreeChoice<T>(T value, int has, int of)
    where T : notnull
{
    public T Value => value;
    public int Has => has;

    /// <summary>What was chosen: all, or none; null: as it is.</summary>
    public bool? Wanted { get; private set; }

    /// <summary>true, false or mixed: as it will be.</summary>
    public string Pressed => Wanted switch { true => "true", false => "false", _ => has == of ? "true" : has == 0 ? "false" : "mixed" };

    /// <summary>All, then none, then as it was; what is as it was already is left out.</summary>
    public void Turn() => Wanted = (Wanted, has) switch
    {
        (null, _) when has < of => true,
        (null, _) => false,
        (true, > 0) => false,
        _ => null,
    };

    public void Add() => Wanted = has == of ? null : true;

    public void Remove() => Wanted = has == 0 ? null : false;
}
