using JobHub.Web.Client;
using JobHub.Web.Components.Shared;
using JobHub.Web.Live;
using Microsoft.AspNetCore.Components;
using Microsoft.AspNetCore.Components.Authorization;
using Microsoft.AspNetCore.Components.Web;
using Microsoft.JSInterop;

namespace JobHub.Web.Components.Pages.JobList;

/// <summary>The list of jobs: what its address asks for, as a window over pages that follow each other. Rows change in place; order and new rows wait until they are asked for.</summary>
public sealed partial class JobsPage
{
    private const int FirstRows = 40, MostFresh = 100;
    private static readonly TimeSpan CountEvery = TimeSpan.FromSeconds(2), Tick = TimeSpan.FromSeconds(15);
    private static readonly string[] KnownWords =
        ["state:running", "state:queued", "state:failed", "state:succeeded", "state:canceled", "state:paused", "state:active", "family:mapreduce", "family:commands", "family:projects", "family:farm", "age>1h", "age<1d", "ended:today", "priority>=200"];

    private readonly JobSelection selection = new();
    private readonly HashSet<string> fresh = [];
    private readonly Dictionary<string, long> changing = [];
    private Dictionary<string, HubJobCounts> views = [];
    private List<JobRowData> rows = [], shown = [];
    private JobWords words = JobWords.Read("");
    private HubJobCounts? counts;
    private (JobTerm Term, long Total)? nearest;
    private string typed = "", user = "";
    private string? address, watched;
    private long inGroups;
    private bool reading, patching, freshMany, isAdmin;
    private DateTimeOffset now, countedAt;
    private ElementReference place;
    private IJSObjectReference? module, watch;
    private DotNetObjectReference<JobsPage>? self;
    private PeriodicTimer? timer;
    private JobRowData? lastChosen;

    [CascadingParameter] private Task<AuthenticationState>? Who { get; set; }

    private IReadOnlyList<JobView> Views =>
    [
        new("All", JobWords.Read("")), new("Active", JobWords.Read($"?state={JobWords.Active}&sort=-priority&flat=true")), new("Waiting", JobWords.Read("?state=queued&flat=true")),
        new("Failed today", JobWords.Read("?state=failed&ended=today&flat=true")), new("Farm trees", JobWords.Read("?family=farm")), .. user.Length == 0 ? (JobView[])[] : [new("Mine", JobWords.Read("?user=" + Uri.EscapeDataString(user)))],
    ];

    private IEnumerable<JobRowData> Choosable => shown.Where(static r => !r.IsPath);

    private IEnumerable<(string State, long Count)> ByState => counts is null ? [] : new[] { "Running", "Queued", "Paused", "Canceling", "Failed", "Succeeded", "Canceled" }
        .Select(s => (s, counts.ByState.GetValueOrDefault(s))).Where(static s => s.Item2 > 0);

    private string CsvAddress => HubHttp.Path("/jobs.csv", [.. words.Asked(now)]);

    private string FreshText => freshMany ? "Many new jobs" : fresh.Count == 1 ? "1 new job" : $"{Shown.Count(fresh.Count)} new jobs";

    private string SortText => words.Sort switch
    {
        "-priority" => "Sorted by priority", "priority" => "Sorted by priority, lowest first", "-ended" => "Sorted by their end", "ended" => "Sorted by their end, first first", "number" => "Oldest first", _ => "Newest first",
    };

    protected override async Task OnInitializedAsync()
    {
        now = Clock.GetUtcNow();
        if (Who is not null && (await Who).User is var visitor) (user, isAdmin) = (visitor.Identity?.Name ?? "", visitor.IsInRole("admin"));
        Navigation.LocationChanged += Moved;
    }

    protected override async Task LoadAsync(CancellationToken ct)
    {
        var asked = new Uri(Navigation.Uri).Query;
        now = Clock.GetUtcNow();
        if (address != asked || rows.Count == 0)
        {
            await ReadAsync(asked, ct);
            if (rows.Count > 0) ShowFirst();
        }
        else await PatchAsync([.. shown.Select(static r => r.Job)], ct);
        await CountAsync(ct);
    }

    protected override async Task OnEventsAsync(IReadOnlyList<HubEvent>? batch)
    {
        if (batch is null || !Loaded)
        {
            await base.OnEventsAsync(null);
            return;
        }

        var known = shown.DistinctBy(static r => r.Job.Id).ToDictionary(static r => r.Job.Id, static r => r.Job);
        var others = false;
        foreach (var happened in batch)
        {
            if (happened.Job is not { } id) continue;
            if (known.TryGetValue(id, out var job)) changing[id] = job.Number;
            else if (happened.Kind == "job-submitted" && !freshMany) fresh.Add(id);
            else others = true;
        }

        // What happens in a tree is told of its leaves; the groups that are shown may have changed with them.
        if (others || fresh.Count > 0) foreach (var row in shown.Where(static r => r.Job.IsGroup && r.Job.EndedAt is null)) changing[row.Job.Id] = row.Job.Number;
        if (patching) return;
        patching = true;
        try
        {
            await DoAsync(async ct =>
            {
                now = Clock.GetUtcNow();
                var jobs = shown.Where(r => changing.ContainsKey(r.Job.Id)).Select(static r => r.Job).ToList();
                changing.Clear();
                if (jobs.Count > 0) await PatchAsync(jobs, ct);
                await SiftFreshAsync(ct);
                if (now - countedAt > CountEvery) await CountAsync(ct);
                if (rows.Count == 0 && fresh.Count > 0) await ReadAsync(address ?? "", ct);
            }, static _ => { });
        }
        finally
        {
            patching = false;
        }

        StateHasChanged();
    }

    protected override async Task OnAfterRenderAsync(bool firstRender)
    {
        if (firstRender) _ = TickAsync();
        if (shown.Count == 0 || !RendererInfo.IsInteractive || watched == place.Id) return;
        // A table that was gone meanwhile, for nothing matched, is another one.
        watched = place.Id;
        try
        {
            module ??= await Js.InvokeAsync<IJSObjectReference>("import", Gone, "/js/jobs.js");
            if (watch is not null) await watch.InvokeVoidAsync("stop", Gone);
            if (watched != place.Id || shown.Count == 0) return;
            self ??= DotNetObjectReference.Create(this);
            watch = await module.InvokeAsync<IJSObjectReference>("watch", Gone, place, self);
        }
        catch (Exception e) when (e is JSDisconnectedException or OperationCanceledException || (Gone.IsCancellationRequested && e is JSException))
        {
            // Nobody looks any more.
        }
    }

    protected override async ValueTask DisposePageAsync()
    {
        Navigation.LocationChanged -= Moved;
        timer?.Dispose();
        try
        {
            if (watch is not null) await watch.InvokeVoidAsync("stop");
            if (module is not null) await module.DisposeAsync();
        }
        catch (JSDisconnectedException)
        {
            // The browser is gone, and what it watched with it.
        }

        self?.Dispose();
    }

    private static string Many(HubJobCounts counts) => Shown.Count(counts.Total) + (counts.Exact ? "" : "+");

    // A page without parameters of its own is not told by the router when only its query changes.
    private void Moved(object? sender, Microsoft.AspNetCore.Components.Routing.LocationChangedEventArgs e) => _ = InvokeAsync(() =>
        new Uri(e.Location).AbsolutePath == "/jobs" && new Uri(e.Location).Query != address ? ReloadAsync() : Task.CompletedTask);

    private async Task TickAsync()
    {
        timer = new(Tick, Clock);
        while (await timer.WaitForNextTickAsync())
        {
            now = Clock.GetUtcNow();
            await InvokeAsync(StateHasChanged);
        }
    }

    private void Go(JobWords next) => Navigation.NavigateTo(next.Address());

    private void WordsKey(KeyboardEventArgs e)
    {
        if (e.Key == "Backspace" && typed.Length == 0 && words.Terms.Count > 0) Go(words.Without(words.Terms[^1]));
        if (e.Key != "Enter" || typed.Trim().Length == 0) return;
        var next = words.Add(typed);
        typed = "";
        Go(next);
    }

    private string By(string? sort) => words.By(sort).Address();

    private string? Sorted(string by) => (words.Sort ?? "-number") is { } sort && sort.TrimStart('-') == by ? sort[0] == '-' ? "descending" : "ascending" : null;

    private async Task ReadAnewAsync()
    {
        await DoAsync(async ct =>
        {
            await ReadAsync(address ?? "", ct);
            await CountAsync(ct);
        }, static _ => { });
    }

    private Task TurnAsync(Func<CancellationToken, Task> turn) => reading ? Task.CompletedTask : turning = RunAsync(turn);

    private async Task RunAsync(Func<CancellationToken, Task> turn)
    {
        reading = true;
        try
        {
            await DoAsync(turn, static _ => { });
            Lay();
        }
        finally
        {
            reading = false;
        }

        StateHasChanged();
    }

    // What fits on a screen is drawn at once; the rest of the page and the counts follow.
    private void ShowFirst()
    {
        shown = [.. rows.Take(FirstRows)];
        ShowNow();
        shown = rows;
    }

    private async Task CountAsync(CancellationToken ct)
    {
        countedAt = now;
        var of = words;
        var mine = Hub.CountAsync(of.Asked(now), ct);
        var all = Views.Select(async v => (v.Name, Counts: await Hub.CountAsync(v.Words.Asked(now), ct))).ToList();
        counts = await mine;
        views = (await Task.WhenAll(all)).ToDictionary(static v => v.Name, static v => v.Counts);
        if (rows.Count > 0 || of.IsEmpty || nearest is not null) return;
        inGroups = of.LooksInGroups ? 0 : (await Hub.CountAsync((of with { Flat = true }).Asked(now), ct)).Total;
        if (inGroups > 0) return;
        var without = await Task.WhenAll(of.Terms.Take(6).Select(async t => (Term: t, Counts: await Hub.CountAsync(of.Without(t).Asked(now), ct))));
        nearest = without.Where(static w => w.Counts.Total > 0).OrderBy(static w => w.Counts.Total).Select(static w => ((JobTerm, long)?)(w.Term, w.Counts.Total)).FirstOrDefault();
    }

    private async Task PatchAsync(List<HubJob> jobs, CancellationToken ct)
    {
        var byId = shown.ToLookup(static r => r.Job.Id);
        foreach (var some in jobs.Chunk(400))
        {
            var found = (await Hub.ManyAsync(some.Select(static j => j.Number), ct)).Items.ToDictionary(static j => j.Id);
            foreach (var job in some)
            {
                foreach (var row in byId[job.Id])
                {
                    if (found.TryGetValue(job.Id, out var is_)) row.Set(is_);
                    var gone = is_ is null || (row.Depth == 0 && !row.IsPath && !Matches(is_));
                    row.Gone = gone;
                    row.Touch();
                }

                if (found.TryGetValue(job.Id, out var fresh)) selection.Refresh(fresh);
            }
        }
    }

    // What is live of a filter: states. All else of a job stays as it was submitted.
    private bool Matches(HubJob job) => words["state"] is not { } states || (states.StartsWith('-')
        ? !states.Split(',').Any(s => string.Equals(s.TrimStart('-'), job.State, StringComparison.OrdinalIgnoreCase))
        : states.Split(',').Any(s => string.Equals(s, job.State, StringComparison.OrdinalIgnoreCase)));

    // Of what was submitted only what the filter finds is announced.
    private async Task SiftFreshAsync(CancellationToken ct)
    {
        if (fresh.Count == 0 || freshMany) return;
        if (fresh.Count > MostFresh)
        {
            freshMany = true;
            return;
        }

        var among = (await Hub.AmongAsync(words.Asked(now), fresh, ct)).Items.Where(j => words.LooksInGroups || j.Parent is null).Select(static j => j.Id);
        fresh.IntersectWith(among);
    }

    private void Select((JobRowData Row, bool Shift) chosen)
    {
        var on = !selection.Has(chosen.Row.Job);
        var (from, to) = (lastChosen is null ? -1 : shown.IndexOf(lastChosen), shown.IndexOf(chosen.Row));
        if (chosen.Shift && from >= 0 && to >= 0) foreach (var row in shown[Math.Min(from, to)..(Math.Max(from, to) + 1)].Where(static r => !r.IsPath)) selection.Set(row.Job, on);
        else selection.Set(chosen.Row.Job, on);
        lastChosen = chosen.Row;
    }

    private async Task DoneAsync()
    {
        await DoAsync(async ct =>
        {
            now = Clock.GetUtcNow();
            await PatchAsync([.. shown.Select(static r => r.Job)], ct);
            await CountAsync(ct);
        }, static _ => { });
    }
}
