using JobHub.Web.Client;
using JobHub.Web.Components.Shared;
using JobHub.Web.Live;
using Microsoft.AspNetCore.Components;
using Microsoft.JSInterop;
using Work = System.Threading.Tasks.Task;

namespace JobHub.Web.Components.Pages.Log;

/// <summary>The log of an attempt, or of a whole job: a window of lines that is read from the hub as it is scrolled, followed while the attempt runs.</summary>
public sealed partial class LogView
{
    private const int Piece = 32 << 10, MostMatches = 10_000, StripHeight = 640, Small = 4 << 20;
    private static readonly TimeSpan Every = TimeSpan.FromMilliseconds(700);

    private readonly LogWindow window = new();
    private readonly List<Match> matches = [];
    private HubJob? job;
    private IReadOnlyList<LogTask> tasks = [];
    private IReadOnlyList<LogAttempt> attempts = [];
    private IReadOnlyList<long> errors = [];
    private LogOf log = new("", null, null);
    private LogOf? asked;
    private ElementReference box;
    private IJSObjectReference? module, watched;
    private DotNetObjectReference<LogView>? self;
    private Work? following;
    private string? find, scroll;
    private string typed = "";
    private long? at;
    private long news;
    private int match = -1;
    private Match? found;
    private bool wrap = true, follow, busy, moreTasks, counted;

    [Inject] private HubLogs Hub { get; set; } = default!;

    [Inject] private IJSRuntime Js { get; set; } = default!;

    /// <summary>The job's id.</summary>
    [Parameter, EditorRequired] public string Job { get; set; } = "";

    /// <summary>Whose log; null: the only task's, or all tasks'.</summary>
    [Parameter] public string? Task { get; set; }

    /// <summary>Null: the latest.</summary>
    [Parameter] public int? Attempt { get; set; }

    /// <summary>The offset of a line to begin with; null: the end.</summary>
    [Parameter] public long? At { get; set; }

    private bool IsMerged => log.Task is null;

    private bool HasSources => tasks.Count > 1 || attempts.Count > 1;

    private string Counted => $"{(match >= 0 ? Shown.Count(match + 1) + " of " : "")}{Shown.Count(matches.Count)}{(counted ? "" : matches.Count >= MostMatches ? "+" : " …")}";

    private string Download => HubHttp.Path($"/transfer/jobs/{Uri.EscapeDataString(Job)}/log", ("task", log.Task), ("attempt", log.Attempt), ("download", "true"));

    protected override async Work LoadAsync(CancellationToken ct)
    {
        var wanted = new LogOf(Job, Task, Attempt);
        if (asked == wanted)
        {
            if (At is not { } place || place == at || IsMerged) return;
            at = place;
            if (!window.Rows.Any(row => place >= row.Offset && place < row.End)) await AroundAsync(place, ct);
            return;
        }

        job = await Hub.JobAsync(Job, ct);
        if (job is null) return;
        var page = await Hub.TasksAsync(Job, ct);
        (tasks, moreTasks) = (page.Items, page.Next is not null);
        log = new(Job, Task ?? (tasks is [var only] && !moreTasks ? only.Name ?? only.Id : null), Attempt);
        window.Clear();
        matches.Clear();
        (find, match, found, at, news) = (null, -1, null, At, 0);
        StopListening();
        if (IsMerged)
        {
            attempts = [];
            await BeginMergedAsync(ct);
        }
        else
        {
            attempts = await Hub.AttemptsAsync(Job, log.Task!, ct);
            if (at is { } place) await AroundAsync(place, ct);
            else await TailAsync(ct);
            follow = at is null && !window.Ended;
            await ErrorsAsync(ct);
        }

        asked = wanted;
        following ??= FollowAsync();
    }

    // What a log holds its own asking tells; events come for the state of its attempts only.
    protected override bool Concerns(HubEvent happened) => false;

    protected override async Work OnAfterRenderAsync(bool firstRender)
    {
        if (window.Rows.Count == 0)
        {
            watched = null;
            return;
        }

        try
        {
            module ??= await Js.InvokeAsync<IJSObjectReference>("import", "/js/log.js");
            watched ??= await module.InvokeAsync<IJSObjectReference>("watch", box, self ??= DotNetObjectReference.Create(this));
            if (scroll is not { } place) return;
            scroll = null;
            await module.InvokeVoidAsync("show", box, place);
        }
        catch (Exception e) when (e is JSDisconnectedException or JSException or OperationCanceledException)
        {
            // The page is gone.
        }
    }

    protected override async ValueTask DisposePageAsync()
    {
        self?.Dispose();
        StopListening();
        try
        {
            if (watched is not null) await watched.InvokeVoidAsync("stop");
        }
        catch (JSDisconnectedException)
        {
            // With its page.
        }
    }

    /// <summary>Where a log that is not large speaks of errors, for the strip beside it.</summary>
    private async Work ErrorsAsync(CancellationToken ct)
    {
        errors = window.Size is > 0 and <= Small ? [.. (await Hub.SearchAsync(log, "error", exact: false, 0, ct)).Matches.Select(static m => m.Offset)] : [];
    }

    /// <summary>Places in the strip, each once: its height has no more.</summary>
    private IEnumerable<int> Places(IEnumerable<long> offsets) => offsets.Select(offset => (int)(offset * (StripHeight - 2) / Math.Max(1, window.Size))).Distinct();

    /// <summary>Somebody pointed at a place in the strip.</summary>
    [JSInvokable]
    public Work ToShareAsync(double share) => OnceAsync(async ct =>
    {
        if (IsMerged) return;
        await AroundAsync((long)(Math.Clamp(share, 0, 1) * window.Size), ct);
        StateHasChanged();
    });

    private async Work TailAsync(CancellationToken ct)
    {
        if (await Hub.TailAsync(log, Piece, ct) is not { } piece) return;
        window.Clear();
        Take(piece);
        scroll = "end";
    }

    private async Work AroundAsync(long place, CancellationToken ct)
    {
        if (await Hub.FromAsync(log, place, Piece, ct) is not { } behind) return;
        log = log with { Attempt = behind.Attempt };
        window.Clear();
        Take(behind);
        if (place > 0 && await Hub.BeforeAsync(log, place, Piece / 2, ct) is { } front) window.Prepend(front);
        follow = false;
        scroll = place.ToString(System.Globalization.CultureInfo.InvariantCulture);
    }

    private bool Take(LogPiece piece)
    {
        log = log with { Attempt = piece.Attempt };
        news = 0;
        return window.Append(piece);
    }

    private async Work FollowAsync()
    {
        using var timer = new PeriodicTimer(Every, Clock);
        try
        {
            while (await timer.WaitForNextTickAsync(Gone)) await InvokeAsync(StepAsync);
        }
        catch (OperationCanceledException)
        {
            // With its page.
        }
    }

    private async Work StepAsync()
    {
        if (IsMerged && !busy && Live.State is not LiveState.Held) await MergedStepAsync();
        if (busy || IsMerged || Live.State is LiveState.Held || (window.Ended && window.AtEnd) || (window.Ended && !follow)) return;
        await OnceAsync(async ct =>
        {
            var (size, ended) = (window.Size, window.Ended);
            if (window.Rows.Count == 0) await TailAsync(ct);
            else if (!follow)
            {
                if (await Hub.FromAsync(log, window.Size, 1, ct) is { } heard) window.Note(heard);
                news += window.Size - size;
            }
            else if (await Hub.FromAsync(log, window.Next, Piece * 2, ct) is { } piece)
            {
                // What prints faster than it is read is shown at its end.
                if (piece.Size - piece.End > Piece * 32) await TailAsync(ct);
                else if (Take(piece)) scroll = "end";
            }

            if (window.Ended != ended) attempts = await Hub.AttemptsAsync(Job, log.Task!, ct);
            if (window.Size != size || window.Ended != ended || scroll is not null) StateHasChanged();
        });
    }

    /// <summary>The reader scrolled to the beginning of what is there.</summary>
    [JSInvokable]
    public Work EarlierAsync() => OnceAsync(async ct =>
    {
        if (IsMerged) await MergedEarlierAsync(ct);
        else if (window.Start > 0 && await Hub.BeforeAsync(log, window.Start, Piece, ct) is { } piece)
        {
            follow = false;
            window.Prepend(piece);
        }
        else return;
        StateHasChanged();
    });

    /// <summary>The reader scrolled to the end of what is there.</summary>
    [JSInvokable]
    public Work LaterAsync() => OnceAsync(async ct =>
    {
        if (!IsMerged && window.AtEnd) return;
        if (IsMerged) await MergedLaterAsync(ct);
        else if (await Hub.FromAsync(log, window.Next, Piece, ct) is { } piece) Take(piece);
        StateHasChanged();
    });

    /// <summary>The reader looks at something: it must not move away.</summary>
    [JSInvokable]
    public void Hold()
    {
        if (!follow) return;
        follow = false;
        StateHasChanged();
    }

    private Work EndAsync() => OnceAsync(async ct =>
    {
        if (IsMerged) await MergedEndAsync(ct);
        else if (!window.AtEnd || window.Rows.Count == 0) await TailAsync(ct);
        (scroll, follow) = ("end", IsMerged ? !jobEnded : !window.Ended);
    });

    private Work FollowSwitchAsync()
    {
        if (!follow) return EndAsync();
        follow = false;
        return Work.CompletedTask;
    }

    private async Work SearchAsync()
    {
        var text = typed.Trim();
        matches.Clear();
        (find, match, found, counted) = (text.Length == 0 ? null : text, -1, null, false);
        if (find is null) return;
        await DoAsync(async ct =>
        {
            if (IsMerged) await SearchJobAsync(text, ct);
            for (var after = 0L; !IsMerged && find == text;)
            {
                var page = await Hub.SearchAsync(log, text, exact: false, after, ct);
                if (find != text) return;
                matches.AddRange(page.Matches.Where(m => matches.Count == 0 || m.Offset > matches[^1].Offset).Select(static m => new Match(m.Offset)));
                (after, counted) = (page.Next, page.Done);
                StateHasChanged();
                if (match < 0 && matches.Count > 0) await ShowMatchAsync(0, ct);
                StateHasChanged();
                if (page.Done || matches.Count >= MostMatches) return;
            }
        }, _ => counted = true);
    }

    private Work GoAsync(int by) => matches.Count == 0 ? Work.CompletedTask : OnceAsync(ct => ShowMatchAsync((Math.Max(0, match) + by + matches.Count) % matches.Count, ct));

    private async Work ShowMatchAsync(int number, CancellationToken ct)
    {
        match = number;
        follow = false;
        if (IsMerged)
        {
            found = matches[number];
            await ShowMergedMatchAsync(matches[number], ct);
            return;
        }

        var place = matches[number].Offset;
        at = place;
        if (window.Rows.FirstOrDefault(row => place >= row.Offset && place < Math.Max(row.End, row.Offset + 1)) is { } row) scroll = row.Offset.ToString(System.Globalization.CultureInfo.InvariantCulture);
        else await AroundAsync(place, ct);
    }

    // One asking at a time: pieces are put where the last one ended.
    private async Work OnceAsync(Func<CancellationToken, Work> ask)
    {
        if (busy) return;
        busy = true;
        try
        {
            await DoAsync(ask, static _ => { });
        }
        finally
        {
            busy = false;
        }
    }

    /// <summary>The line that the address or the search points to.</summary>
    private bool IsAt(LogRow row) => row.Gap == 0 && (row.Source is { } line ? found is { } match && (line.Task, line.Attempt) == (match.Task, match.Attempt) && match.Offset >= row.Offset && match.Offset < Math.Max(row.End, row.Offset + 1)
        : at is { } place && place >= row.Offset && place < Math.Max(row.End, row.Offset + 1));

    private string Link(LogRow row) => row.Source is { } line
        ? HubHttp.Path($"/jobs/{Job}/log", ("task", line.Task), ("attempt", line.Attempt), ("at", row.Offset))
        : HubHttp.Path($"/jobs/{Job}/log", ("task", log.Task), ("attempt", log.Attempt), ("at", row.Offset));
}
