using JobHub.Web.Client;
using JobHub.Web.Components.Shared;
using JobHub.Web.Live;
using Microsoft.AspNetCore.Components;
using Microsoft.AspNetCore.WebUtilities;
using Microsoft.JSInterop;

namespace JobHub.Web.Components.Pages.Submit;

/// <summary>Forms that make jobs of the four families, and the same as a command while one types.</summary>
public sealed partial class SubmitPage(HubSubmit hub, IJSRuntime js, IConfiguration configuration)
{
    // A pause in typing is when what was typed is looked at.
    private static readonly TimeSpan AfterTyping = TimeSpan.FromMilliseconds(400);

    private const int MostDraft = 10_000;

    private readonly IReadOnlyList<SubmitForm> forms = SubmitForms.All();
    private readonly Dictionary<string, ElementReference> places = [];
    private readonly HashSet<string> looked = [];
    private readonly HashSet<SubmitForm> filled = [];
    private IReadOnlyList<SubmitProgram> programs = [];
    private IReadOnlyList<string> projects = [];
    private SubmitForm form = default!;
    private List<List<SubmitField>> sections = [];
    private HubRefusedException? refusal;
    private string? now;
    private string type = "streaming";
    private bool kept, tried, sending, copied, unlooked;
    private int turn;

    [Parameter] public string? Family { get; set; }

    private bool Off => Live.State is LiveState.Away;

    private string Address => HubHttp.AddressOf(configuration).ToString().TrimEnd('/');

    protected override bool Concerns(HubEvent happened) => false;

    protected override void OnInitialized() => Choose();

    protected override async Task OnParametersSetAsync()
    {
        Choose();
        await base.OnParametersSetAsync();
    }

    private void Choose()
    {
        var chosen = forms.FirstOrDefault(f => f.Family == Family) ?? forms[0];
        if (chosen == form) return;
        (form, tried, refusal, now) = (chosen, false, null, null);
        looked.Clear();
        places.Clear();
        sections = [];
        foreach (var field in form.Fields)
        {
            if (field.Section is not null) sections.Add([]);
            sections[^1].Add(field);
        }
    }

    protected override async Task LoadAsync(CancellationToken ct)
    {
        programs = await hub.ProgramsAsync(ct);
        projects = await hub.ProjectsAsync(ct);
        form.Programs = programs;
        // Once for each form: what was typed since stays, however often the Api goes and comes back.
        if (!filled.Add(form)) return;
        if (await js.InvokeAsync<string?>("localStorage.getItem", ct, Key(form, null)) is { } last)
        {
            form.Restore(last);
            kept = true;
        }

        FillIn();
        // A page that is loaded anew goes on where it was: what was typed here and not sent yet.
        if (await js.InvokeAsync<string?>("sessionStorage.getItem", ct, Draft) is not { } draft) return;
        form.Restore(draft);
        kept = true;
    }

    /// <summary>What the address says of fields, by their names: a link from a file or a program.</summary>
    private void FillIn()
    {
        foreach (var (name, values) in QueryHelpers.ParseQuery(new Uri(Navigation.Uri).Query))
        {
            if (form.Fields.FirstOrDefault(f => f.Name == name && f.Linked) is { } field && values[0] is { } value && value.Length <= field.Longest) form[name] = value;
        }
    }

    // The last values of a family, and of each project in it.
    private static string Key(SubmitForm form, string? project) => project is null ? $"submit:{form.Family}" : $"submit:{form.Family}:{project}";

    // What is typed at this address, in this tab.
    private string Draft => "draft:" + Here("");

    private async Task KeepDraftAsync()
    {
        var draft = form.Keep();
        try
        {
            // A page reads as much back in one piece.
            if (draft.Length <= MostDraft) await js.InvokeVoidAsync("sessionStorage.setItem", Gone, Draft, draft);
            else await DropDraftAsync();
        }
        catch (Exception e) when (e is JSDisconnectedException or OperationCanceledException)
        {
            // Nobody types any more.
        }
    }

    private ValueTask DropDraftAsync() => js.InvokeVoidAsync("sessionStorage.removeItem", Gone, Draft);

    private async Task Edit(SubmitField field, string? value)
    {
        (form[field.Name], now, refusal, copied) = (value ?? "", field.Name, null, false);
        if (form.Watched.Contains(field.Name)) form.Forget();
        unlooked |= field.LookedWhenLeft;
        var mine = ++turn;
        try
        {
            await Task.Delay(AfterTyping, Clock, Gone);
        }
        catch (OperationCanceledException)
        {
            return;
        }

        looked.Add(field.Name);
        if (mine != turn) return;
        if (field.Kind is FieldKind.Project && form.Has(field.Name) && form.FaultOf(field) is null) await OfProjectAsync(form[field.Name].Trim());
        StateHasChanged();
        await KeepDraftAsync();
        if (form.Watched.Contains(field.Name) && !field.LookedWhenLeft) await LookAsync();
    }

    private async Task LeftAsync()
    {
        if (!unlooked) return;
        unlooked = false;
        await LookAsync();
    }

    /// <summary>Asks the hub what only the hub knows, once what it needs is filled in.</summary>
    private async Task LookAsync()
    {
        var (mine, asked) = (turn, form);
        if (asked.Look is not { } look || !asked.Has(asked.Watched[0]) || asked.Fields.Any(f => asked.Watched.Contains(f.Name) && asked.FaultOf(f) is not null)) return;
        var (found, refused) = ((Found: (string?)null, Field: (string?)null, Fault: (string?)null), (HubRefusedException?)null);
        await DoAsync(async ct => found = await look(asked, hub, ct), said => refused = said);
        // Something else was typed meanwhile, or it is being sent.
        if (mine != turn || asked != form || sending) return;
        if (refused is null) asked.Note(found.Found, found.Field, found.Fault);
        else if (asked.FieldOf(refused) is { } field) asked.Note(null, field.Name, refused.Message);
        StateHasChanged();
    }

    /// <summary>What was last sent to a project stands in the form when nothing has been typed yet but its name.</summary>
    private async Task OfProjectAsync(string project)
    {
        if (form.Fields.Any(f => f.Name != "project" && form[f.Name] != f.Initial)) return;
        if (await js.InvokeAsync<string?>("localStorage.getItem", Gone, Key(form, project)) is not { } last) return;
        form.Restore(last);
        kept = true;
    }

    private async Task EmptyAsync()
    {
        form.Clear();
        (kept, tried, refusal, now) = (false, false, null, null);
        looked.Clear();
        await js.InvokeVoidAsync("localStorage.removeItem", Gone, Key(form, null));
        // An edit whose pause is not over yet keeps nothing of what was emptied.
        turn++;
        await DropDraftAsync();
    }

    private async Task SubmitAsync()
    {
        if (sending) return;
        (tried, refusal) = (true, null);
        // What was found before may be otherwise now: the submission itself is told.
        form.Forget();
        if (form.Faults() is [var (first, _), ..])
        {
            await FocusAsync(first);
            return;
        }

        sending = true;
        var id = "";
        var sent = await DoAsync(async ct => id = await hub.SubmitAsync(form.Method, form.Path(form), form.ToSend(), form.Children?.Invoke(form), ct), said => refusal = said);
        sending = false;
        if (!sent)
        {
            // Told at its field where there is one.
            if (refusal is not null && form.Take(refusal) is { } wrong)
            {
                refusal = null;
                StateHasChanged();
                await FocusAsync(wrong);
            }

            return;
        }

        await js.InvokeVoidAsync("localStorage.setItem", Gone, Key(form, null), form.Keep());
        if (form.Has("project")) await js.InvokeVoidAsync("localStorage.setItem", Gone, Key(form, form["project"].Trim()), form.Keep());
        turn++;
        await DropDraftAsync();
        Navigation.NavigateTo(id.Length == 0 ? "/jobs" : $"/jobs/{id}");
    }

    private async Task FocusAsync(SubmitField field)
    {
        if (places.TryGetValue(field.Name, out var place)) await place.FocusAsync();
    }

    private async Task UploadedAsync((string Name, string Answer) stored)
    {
        if (!await DoAsync(async ct => form.Programs = programs = await hub.ProgramsAsync(ct), static _ => { })) return;
        // The first place that is empty is what it was uploaded for.
        if (form.Fields.FirstOrDefault(f => f.Kind is FieldKind.Program && !f.Optional && !form.Has(f.Name)) is { } field) await Edit(field, stored.Name);
        StateHasChanged();
    }

    private async Task CopyAsync()
    {
        await js.InvokeVoidAsync("navigator.clipboard.writeText", Gone, string.Join('\n', form.Command(Address).Select(static line => line.Text)));
        copied = true;
    }

    private string? FaultShown(SubmitField field) => tried || looked.Contains(field.Name) || form.Refused.ContainsKey(field.Name) ? form.FaultOf(field) : null;

    private string Mark(SubmitField field, string? fault) => fault is not null ? "err" : now == field.Name ? "edited" : "";

    private static string? Says(SubmitField field, string? fault) => fault is not null ? field.Id + "-e" : field.Hint is not null || field.Unit is not null || field.Kind is FieldKind.Program ? field.Id + "-h" : null;

    private SubmitProgram? ProgramOf(SubmitField field) => field.Kind is FieldKind.Program ? programs.FirstOrDefault(p => p.Name == form[field.Name].Trim()) : null;

    private string LineMark(CommandLine line) => line.Field is not { } name ? "k" : form.Fields.Where(f => f.Name == name || f.Name.StartsWith(name + ".", StringComparison.Ordinal)) is var fields && fields.Any(f => FaultShown(f) is not null) ? "err"
        : now == name || now?.StartsWith(name + ".", StringComparison.Ordinal) == true ? "now" : "";

    /// <summary>What is looked at before anything is sent. Null: nothing is wrong so far, and something is wanted still.</summary>
    private IEnumerable<(bool? Good, string What, string Detail)> Checks()
    {
        foreach (var section in sections)
        {
            var wrong = section.Select(f => (Field: f, Fault: form.FaultOf(f))).FirstOrDefault(static f => f.Fault is not null);
            var shown = section.Select(FaultShown).FirstOrDefault(static f => f is not null);
            yield return (shown is not null ? false : wrong.Fault is null ? true : null, section[0].Section!, shown ?? (wrong.Fault is not null ? $"{wrong.Field.Label} is wanted" : form.Watched.Count > 0 && section.Exists(f => f.Name == form.Watched[0]) ? form.Found ?? "" : ""));
        }
    }

    private string Here(string fragment) => "/" + Navigation.ToBaseRelativePath(Navigation.Uri).Split('#')[0] + fragment;
}
