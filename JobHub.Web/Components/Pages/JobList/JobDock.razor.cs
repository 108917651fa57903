using JobHub.Web.Client;
using JobHub.Web.Components.Shared;
using JobHub.Web.Live;
using Microsoft.AspNetCore.Components;

namespace JobHub.Web.Components.Pages.JobList;

/// <summary>
/// What can be done to the jobs that are chosen. What can be taken back is done at once, with ten seconds to do so; what cannot shows first what it would touch.
/// How far it is stays here until it is done.
/// </summary>
public sealed partial class JobDock : IDisposable
{
    private const long TypedAbove = 100;
    private const int MostSummed = 500;
    private static readonly TimeSpan UndoFor = TimeSpan.FromSeconds(10), Beat = TimeSpan.FromMilliseconds(500), SumsAfter = TimeSpan.FromMilliseconds(250);

    private readonly CancellationTokenSource gone = new();
    private (HubBulkRequest Request, HubBulkPreview Preview)? asking;
    private HubBulk? begun;
    private IReadOnlyList<HubTreeJob>? editing;
    private IReadOnlyList<HubJob>? cut;
    private DateTimeOffset until;
    private HubJobSums? sums;
    private (int Version, long Ended) summed = (-1, 0);
    private string number = "";
    private string? refusal;
    private bool choosing;
    private int priority = 128;

    [Inject] private HubBulks Bulks { get; set; } = default!;

    [Inject] private HubJobs Jobs { get; set; } = default!;

    [Inject] private HubTrees Trees { get; set; } = default!;

    [Inject] private LiveStream Live { get; set; } = default!;

    [Inject] private TimeProvider Clock { get; set; } = default!;

    [Parameter, EditorRequired] public JobSelection Selection { get; set; } = default!;

    [Parameter, EditorRequired] public JobWords Words { get; set; } = default!;

    [Parameter] public HubJobCounts? Matches { get; set; }

    /// <summary>The visitor may name slots of affinity.</summary>
    [Parameter] public bool MayName { get; set; }

    /// <summary>Something was done, or the selection has changed.</summary>
    [Parameter] public EventCallback OnDone { get; set; }

    /// <summary>Where jobs stand has changed: the list is to be read anew.</summary>
    [Parameter] public EventCallback OnMoved { get; set; }

    /// <summary>All that is chosen is of trees, and can be edited and moved.</summary>
    private bool OfTrees => Selection is { All: false, Count: <= 500 } && Selection.Jobs.All(static j => j.Family == "Farm");

    /// <summary>The one group that is chosen while something is cut.</summary>
    private HubJob? PasteInto => Selection is { All: false, Count: 1 } && Selection.Jobs.First() is { IsGroup: true } group ? group : null;

    private bool Away => Live.State == LiveState.Away;

    private string Matching => Matches is { } m ? Shown.Count(m.Total) + (m.Exact ? "" : "+") : "";

    private string Sums
    {
        get
        {
            var (tasks, done) = (Selection.Jobs.Sum(static j => (long)j.Counted.Total), Selection.Jobs.Sum(static j => (long)j.Counted.Succeeded));
            var counted = Selection.All ? "" : $"{Shown.Count(tasks)} {(tasks == 1 ? "task" : "tasks")} · {Shown.Count(done)} done";
            if (sums is not { AverageSeconds: { } average } took) return counted;
            var more = took.Exact ? "" : $" of the first {Shown.Count(took.Tasks)} tasks";
            return $"{counted}{(counted.Length > 0 ? " · " : "")}sum {Shown.Duration(TimeSpan.FromSeconds(took.Seconds))} · average {Shown.Duration(TimeSpan.FromSeconds(average))}{more}";
        }
    }

    // What its tasks took is asked for when the selection rests, and again when tasks of it have ended.
    protected override async Task OnParametersSetAsync()
    {
        if (!Selection.Any || !RendererInfo.IsInteractive) return;
        var of = (Selection.Version, Selection.Jobs.Sum(static j => (long)j.Counted.Succeeded + j.Counted.Failed));
        if (of == summed) return;
        if (of.Version != summed.Version) sums = null;
        summed = of;
        await TryAsync(async ct =>
        {
            await Task.Delay(SumsAfter, Clock, ct);
            if (of != summed) return;
            IReadOnlyList<(string Name, object? Value)> filter = Selection.All ? Words.Asked(Clock.GetUtcNow()) : [("ids", string.Join(',', Selection.Jobs.Take(MostSummed).Select(static j => j.Number)))];
            var read = await Jobs.SumsAsync(filter, ct);
            if (of == summed) sums = read with { Exact = read.Exact && (Selection.All || Selection.Count <= MostSummed) };
        });
    }

    public void Dispose()
    {
        gone.Cancel();
        gone.Dispose();
    }

    private static bool Done(HubBulk bulk) => bulk.State is not "Running";

    private static bool Typed(HubBulkPreview preview) => preview.Touched > TypedAbove;

    private static string Touched(HubBulkPreview preview) => Shown.Count(preview.Touched) + (preview.Exact ? "" : "+");

    private static string Word(string action) => action switch { "cancel" => "Cancel", "delete" => "Delete", "reset" => "Reset", "retry" => "Retry", "pause" => "Pause", "resume" => "Resume", _ => "Change" };

    private static string Doing(HubBulk bulk) => bulk.UndoOf is not null ? "Taking it back" : bulk.Action switch
    {
        "cancel" => "Canceling", "delete" => "Deleting", "reset" => "Resetting", "retry" => "Retrying", "pause" => "Pausing", "resume" => "Resuming", _ => "Changing the priority",
    };

    private static string Past(HubBulk bulk) => bulk.State is "Stopped" or "Failed" ? bulk.State : bulk.UndoOf is not null ? "Taken back" : bulk.Action switch
    {
        "cancel" => "Canceled", "delete" => "Deleted", "reset" => "Reset", "retry" => "Retried", "pause" => "Paused", "resume" => "Resumed", _ => $"Priority {bulk.Priority}",
    };

    private bool CanUndo(HubBulk bulk) => bulk.CanUndo && bulk.UndoOf is null && Clock.GetUtcNow() < until;

    private HubBulkRequest RequestOf(string action, int? to = null) => Selection.All
        ? new(action, null, HubHttp.Path("", [.. Words.Asked(Clock.GetUtcNow()).Where(static f => f.Name is not "sort")]).TrimStart('?'), to)
        : new(action, [.. Selection.Jobs.Select(static j => j.Id)], null, to);

    private Task EditAsync() => TryAsync(async ct => editing = await Trees.GetAsync(Selection.Jobs.Select(static j => j.Number), ct));

    private async Task EditedAsync()
    {
        editing = null;
        await OnDone.InvokeAsync();
    }

    private void Cut()
    {
        cut = [.. Selection.Jobs];
        Selection.Clear();
        _ = OnDone.InvokeAsync();
    }

    private Task PasteAsync(long group) => TryAsync(async ct =>
    {
        if (cut is null) return;
        await Trees.ChangeAsync(new([.. cut.Select(static j => j.Number)]) { Parent = group }, ct);
        cut = null;
        Selection.Clear();
        await OnMoved.InvokeAsync();
    });

    private Task DoNowAsync(string action) => BeginAsync(RequestOf(action));

    private Task PriorityAsync() => BeginAsync(RequestOf("priority", Math.Clamp(priority, 0, 255)));

    private Task AskAsync(string action) => TryAsync(async ct =>
    {
        var request = RequestOf(action);
        number = "";
        asking = (request, await Bulks.PreviewAsync(request, ct));
    });

    private Task BeginAsync(HubBulkRequest request) => TryAsync(async ct =>
    {
        var id = await Bulks.BeginAsync(request, ct);
        (asking, choosing) = (null, false);
        Selection.Clear();
        until = Clock.GetUtcNow() + UndoFor;
        await FollowAsync(id, ct);
    });

    private Task UndoAsync() => TryAsync(async ct =>
    {
        if (begun is not null) await FollowAsync(await Bulks.UndoAsync(begun.Id, ct), ct);
    });

    private Task StopAsync() => TryAsync(async ct =>
    {
        if (begun is not null) await Bulks.StopAsync(begun.Id, ct);
    });

    private async Task FollowAsync(string id, CancellationToken ct)
    {
        begun = await Bulks.GetAsync(id, ct);
        await OnDone.InvokeAsync();
        _ = LookAsync(id, ct);
    }

    // Until it is done and can no longer be taken back. One that was closed or followed by another is left alone.
    private async Task LookAsync(string id, CancellationToken ct)
    {
        await TryAsync(async _ =>
        {
            using var timer = new PeriodicTimer(Beat, Clock);
            while (begun?.Id == id && (!Done(begun) || CanUndo(begun)) && await timer.WaitForNextTickAsync(ct))
            {
                if (begun?.Id != id) return;
                if (!Done(begun))
                {
                    begun = await Bulks.GetAsync(id, ct);
                    if (Done(begun)) await OnDone.InvokeAsync();
                }

                StateHasChanged();
            }
        });
        StateHasChanged();
    }

    private async Task TryAsync(Func<CancellationToken, Task> ask)
    {
        refusal = null;
        try
        {
            await ask(gone.Token);
        }
        catch (HubRefusedException no)
        {
            refusal = no.Message;
        }
        catch (HubAwayException away)
        {
            Live.SetAway(away.Message);
        }
        catch (Exception ended) when (ended is SessionEndedException or OperationCanceledException or ObjectDisposedException)
        {
            // The page's next call leads to the sign-in, or nobody looks any more.
        }
    }

    private Task TakeAllAsync()
    {
        Selection.TakeAll();
        return OnDone.InvokeAsync();
    }

    private Task ClearAsync()
    {
        Selection.Clear();
        (choosing, refusal) = (false, null);
        return OnDone.InvokeAsync();
    }
}
