using System.Text.Json;
using JobHub.Web.Client;
using Microsoft.AspNetCore.Components;
using Microsoft.JSInterop;

namespace JobHub.Web.Components.Pages.JobList;

/// <summary>The views of the list: those that everybody has, and the visitor's own, which his browser keeps under his name.</summary>
public sealed partial class JobViews : IAsyncDisposable
{
    private const int MostViews = 20, LongestName = 40, LongestAddress = 4000;

    private List<JobView> own = [];
    private IJSObjectReference? module;
    private ElementReference field;
    private JobView? last;
    private string name = "";
    private bool naming, read, focus;

    [Parameter, EditorRequired] public IReadOnlyList<JobView> Views { get; set; } = [];

    [Parameter, EditorRequired] public JobWords Words { get; set; } = default!;

    [Parameter] public IReadOnlyDictionary<string, HubJobCounts> Counts { get; set; } = new Dictionary<string, HubJobCounts>();

    [Parameter] public string User { get; set; } = "";

    private JobView? Current => own.Find(v => v.Is(Words));

    private bool Replaces => own.Exists(v => v.Name == name.Trim());

    public async ValueTask DisposeAsync()
    {
        try
        {
            if (module is not null) await module.DisposeAsync();
        }
        catch (JSDisconnectedException)
        {
            // The browser is gone.
        }
    }

    protected override void OnParametersSet() => last = Current ?? last;

    protected override async Task OnAfterRenderAsync(bool firstRender)
    {
        if (focus)
        {
            focus = false;
            await field.FocusAsync();
        }

        if (!firstRender) return;
        module = await Js.InvokeAsync<IJSObjectReference>("import", "/js/jobs.js");
        own = Read(await module.InvokeAsync<string?>("views", User));
        (read, last) = (true, Current);
        StateHasChanged();
    }

    // What is kept comes from the browser: only what an address of this page says is taken from it.
    private static List<JobView> Read(string? kept)
    {
        try
        {
            return [.. (JsonSerializer.Deserialize<Kept[]>(kept ?? "[]", HubHttp.Json) ?? []).OfType<Kept>().Where(static v => v is { Name.Length: > 0 and <= LongestName, Query.Length: <= LongestAddress })
                .DistinctBy(static v => v.Name).Take(MostViews).Select(static v => new JobView(v.Name!, JobWords.Read(v.Query!)))];
        }
        catch (JsonException)
        {
            return [];
        }
    }

    private void Begin()
    {
        // Whoever has changed a view of his own most likely means that one.
        (naming, focus, name) = (true, true, last is not null && own.Contains(last) ? last.Name : "");
    }

    private async Task SaveAsync()
    {
        var view = new JobView(name.Trim(), Words);
        if (view.Name.Length == 0) return;
        var at = own.FindIndex(v => v.Name == view.Name);
        if (at >= 0) own[at] = view;
        else if (own.Count < MostViews) own.Add(view);
        (naming, last) = (false, view);
        await KeepAsync();
    }

    private async Task DeleteAsync(JobView view)
    {
        own.Remove(view);
        last = null;
        await KeepAsync();
    }

    private async Task KeepAsync()
    {
        if (module is not null) await module.InvokeVoidAsync("keepViews", User, JsonSerializer.Serialize(own.Select(static v => new Kept(v.Name, v.Words.Address(""))), HubHttp.Json));
    }

    private sealed record Kept(string? Name, string? Query);
}
