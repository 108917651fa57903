using System.Globalization;
using System.Text.Json;
using JobHub.Web.Client;
using JobHub.Web.SignIn;
using Work = System.Threading.Tasks.Task;

namespace JobHub.Web.Components.Pages.Log;

/// <summary>The log of a whole job: read in the order of its tasks from either end, and what arrives while one looks behind its end.</summary>
public sealed partial class LogView
{
    private static readonly TimeSpan Again = TimeSpan.FromSeconds(2);

    private readonly Lock arriving = new();
    private readonly Queue<HubLogLine> arrived = [];
    private CancellationTokenSource? listening;
    private string? front, behind;
    private long newLines;
    private bool atEnd, jobEnded, broken;

    private static string PlaceOf(HubLogLine line, long offset) => string.Create(CultureInfo.InvariantCulture, $"{(line.Task.Length > 37 ? line.Task[37..] : line.Task)}.{line.Attempt}.{offset}");

    private static bool IsOver(string state) => state is "Succeeded" or "Failed" or "Canceled";

    private async Work BeginMergedAsync(CancellationToken ct)
    {
        jobEnded = IsOver(job!.State);
        if (!jobEnded)
        {
            // First what is to come, then what there was: nothing lies between them.
            var connected = new TaskCompletionSource();
            listening = CancellationTokenSource.CreateLinkedTokenSource(Gone);
            _ = ListenAsync(connected, listening.Token);
            await connected.Task.WaitAsync(ct);
        }

        await MergedEndAsync(ct);
        follow = !jobEnded;
    }

    private void StopListening()
    {
        listening?.Cancel();
        listening?.Dispose();
        listening = null;
        lock (arriving) arrived.Clear();
    }

    private async Work ListenAsync(TaskCompletionSource connected, CancellationToken ct)
    {
        try
        {
            while (true)
            {
                try
                {
                    await foreach (var line in Hub.FollowAsync(Job, ct))
                    {
                        connected.TrySetResult();
                        if (line is null) continue;
                        lock (arriving)
                        {
                            arrived.Enqueue(line);
                            // More than a window holds is read again from the hub.
                            if (arrived.Count > LogWindow.MostRows) arrived.Dequeue();
                        }
                    }

                    if (await Hub.JobAsync(Job, ct) is not { } now || IsOver(now.State))
                    {
                        jobEnded = true;
                        return;
                    }
                }
                catch (Exception e) when (e is HubAwayException or HttpRequestException or IOException or TimeoutException or JsonException)
                {
                    // It is asked again, and what was missed is read from the end.
                }

                connected.TrySetResult();
                broken = true;
                await Work.Delay(Again, Clock, ct);
            }
        }
        catch (Exception e) when (e is OperationCanceledException or HubRefusedException or SessionEndedException)
        {
            // The page is gone or shows another log; or nothing more is told, which whatever it asks next says too.
        }
        finally
        {
            connected.TrySetResult();
        }
    }

    /// <summary>The end of what was printed.</summary>
    private async Work MergedEndAsync(CancellationToken ct)
    {
        HubMergedLog page;
        var before = null as string;
        // Attempts without a line are passed over.
        for (var calls = 0; ; calls++)
        {
            page = await Hub.MergedBeforeAsync(Job, before, Piece, ct);
            if (page.Lines.Count > 0 || page.Done || calls == 50) break;
            before = page.Next;
        }

        window.Clear();
        window.Add(page.Lines);
        (front, behind, atEnd, newLines, scroll, broken) = (page.Done ? null : page.Next, null, true, 0, "end", false);
    }

    private async Work MergedAroundAsync(string place, CancellationToken ct)
    {
        var later = await Hub.MergedAsync(Job, place, Piece, ct);
        var earlier = await Hub.MergedBeforeAsync(Job, place, Piece / 2, ct);
        window.Clear();
        window.Add(earlier.Lines);
        window.Add(later.Lines);
        (front, behind, atEnd, follow) = (earlier.Done ? null : earlier.Next, later.Done ? null : later.Next, false, false);
    }

    private async Work MergedEarlierAsync(CancellationToken ct)
    {
        if (front is null) return;
        var page = await Hub.MergedBeforeAsync(Job, front, Piece, ct);
        follow = false;
        front = page.Done ? null : page.Next;
        if (!window.Add(page.Lines, front: true)) return;
        (atEnd, behind) = (false, window.Rows[^1].Source is { } last ? PlaceOf(last, last.End) : null);
    }

    private async Work MergedLaterAsync(CancellationToken ct)
    {
        if (behind is null)
        {
            if (!atEnd) await MergedEndAsync(ct);
            return;
        }

        var page = await Hub.MergedAsync(Job, behind, Piece, ct);
        behind = page.Done ? null : page.Next;
        Cut(window.Add(page.Lines));
    }

    private async Work MergedFromBeginningAsync(CancellationToken ct)
    {
        var page = await Hub.MergedAsync(Job, null, Piece, ct);
        window.Clear();
        window.Add(page.Lines);
        (front, behind, atEnd, follow, scroll) = (null, page.Done ? null : page.Next, page.Done, false, "start");
    }

    /// <summary>What has arrived since the last step.</summary>
    private async Work MergedStepAsync()
    {
        HubLogLine[] lines;
        lock (arriving)
        {
            if (arrived.Count == 0 && !(broken && follow) && jobEnded == shownEnded) return;
            lines = [.. arrived];
            arrived.Clear();
        }

        shownEnded = jobEnded;
        if (follow && atEnd && broken) await OnceAsync(MergedEndAsync);
        else if (follow && atEnd && lines.Length > 0)
        {
            Cut(window.Add(lines));
            scroll = "end";
        }
        else newLines += lines.Length;
        if (jobEnded) follow = false;
        StateHasChanged();
    }

    // Rows that went at the top are read again when one scrolls back.
    private void Cut(bool over)
    {
        if (over && window.Rows[0].Source is { Task.Length: > 0 } first) front = PlaceOf(first, first.Offset);
    }

    private async Work SearchJobAsync(string text, CancellationToken ct)
    {
        for (var after = null as string; find == text;)
        {
            var found = await Hub.SearchJobAsync(Job, text, after, ct);
            if (find != text) return;
            matches.AddRange(found.Matches.Select(static m => new Match(m.Offset, m.Task, m.Attempt)));
            (after, counted) = (found.Next, found.Done);
            StateHasChanged();
            if (match < 0 && matches.Count > 0) await ShowMatchAsync(0, ct);
            StateHasChanged();
            if (found.Done || matches.Count >= MostMatches) return;
        }
    }

    private async Work ShowMergedMatchAsync(Match wanted, CancellationToken ct)
    {
        if (!window.Rows.Any(IsAt)) await MergedAroundAsync(string.Create(CultureInfo.InvariantCulture, $"{wanted.Task![37..]}.{wanted.Attempt}.{wanted.Offset}"), ct);
        scroll = "at";
    }

    private bool shownEnded;

    /// <summary>A place that was found.</summary>
    /// <param name="Task">Whose, in the log of a whole job.</param>
    private readonly record struct Match(long Offset, string? Task = null, int Attempt = 0);
}
