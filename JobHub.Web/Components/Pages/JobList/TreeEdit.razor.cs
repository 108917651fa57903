using System.Globalization;
using JobHub.Web.Client;
using Microsoft.AspNetCore.Components;

namespace JobHub.Web.Components.Pages.JobList;

/// <summary>Edits jobs of trees, one or many: a field shows the value that all have, or how many there are; only what was written changes.</summary>
public sealed partial class TreeEdit
{
    private readonly List<Field> fields = [];
    private IReadOnlyList<HubTreeJob> jobs = [];
    private string? refusal;

    [Inject] private HubTrees Trees { get; set; } = default!;

    [Parameter, EditorRequired] public IReadOnlyList<HubTreeJob> Jobs { get; set; } = [];

    [Parameter] public EventCallback OnClose { get; set; }

    [Parameter] public EventCallback OnSaved { get; set; }

    protected override void OnParametersSet()
    {
        if (ReferenceEquals(jobs, Jobs)) return;
        jobs = Jobs;
        fields.Clear();
        Add("title", "Title", static j => j.Title);
        Add("priority", "Priority, 0 to 255", static j => Text(j.Priority));
        Add("affinity", "Affinity", static j => j.Affinity);
        Add("retry", "Retries, 0 to 99", static j => Text(j.Retry));
        Add("timeout", "Timeout, s (0: none)", static j => Text(j.TimeoutSeconds));
        Add("dependencies", "Waits for, job numbers", static j => string.Join(", ", j.Dependencies));
    }

    private static string Text(long value) => value.ToString(CultureInfo.InvariantCulture);

    private void Add(string name, string label, Func<HubTreeJob, string> of)
    {
        var values = jobs.Select(of).Distinct().ToList();
        fields.Add(new(name, label, values.Count == 1 ? values[0] : null, values.Count));
    }

    private async Task SaveAsync()
    {
        refusal = null;
        try
        {
            await Trees.ChangeAsync(
                new([.. jobs.Select(static j => j.Number)])
                {
                    Title = Of("title"), Affinity = Of("affinity"), Priority = (int?)Whole("priority"), Retry = (int?)Whole("retry"), TimeoutSeconds = (int?)Whole("timeout"),
                    Dependencies = Of("dependencies")?.Split([',', ' ', '#'], StringSplitOptions.RemoveEmptyEntries).Select(Number).ToArray(),
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
