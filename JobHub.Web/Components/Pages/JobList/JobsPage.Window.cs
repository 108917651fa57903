using JobHub.Web.Client;
using Microsoft.JSInterop;

namespace JobHub.Web.Components.Pages.JobList;

// The window: of a list as long as it may be, some pages that follow each other have their rows. It moves by scrolling, and to any place of an order by numbers at once.
public sealed partial class JobsPage
{
    private const int PageRows = 100, WindowPages = 3, MostRoom = 1000, LeastRoom = 50, ShownWithoutThumb = 200;

    private readonly List<JobRowsRead> pages = [];
    private int first, room;
    private long begins;
    private JobRowsRead? before;
    private (long Highest, long Lowest)? ends;
    private Task turning = Task.CompletedTask;

    /// <summary>Rows above those that are shown for which room is left.</summary>
    private int Above => room + AboveRead;

    private int AboveRead => pages.Take(first).Sum(static p => p.Height);

    private int Below => pages.Skip(first).SkipWhile(static p => p.Rows is not null).Sum(static p => p.Height);

    private bool HasMore => pages.Count > 0 && (pages[^1].Next is not null || pages[^1].Rows is null);

    /// <summary>All rows, as far as that is known: those that match and those that were opened below them.</summary>
    private long RowCount => counts is { Exact: true } all && !words.ShowsPaths ? all.Total + pages.Sum(static p => p.Rows?.Count(static r => r.Depth > 0) ?? 0) : -1;

    private bool HasThumb => RowCount > ShownWithoutThumb;

    /// <summary>The end of what is shown comes near.</summary>
    [JSInvokable]
    public Task MoreAsync() => TurnAsync(async ct =>
    {
        var next = first + pages.Skip(first).TakeWhile(static p => p.Rows is not null).Count();
        if (next == pages.Count)
        {
            if (pages.Count == 0 || pages[^1].Next is not { } after) return;
            pages.Add(new(after));
        }

        await FillAsync(pages[next], ct);
        if (next - first >= WindowPages) Drop(pages[first++]);
        if (!HasMore && before is not null) SetBegin(RowCount - pages.Sum(static p => p.Height));
    });

    /// <summary>The beginning of what is shown comes near.</summary>
    [JSInvokable]
    public Task EarlierAsync() => TurnAsync(async ct =>
    {
        if (first > 0)
        {
            await FillAsync(pages[first - 1], ct);
            first--;
        }
        else if (before is { } page)
        {
            await FillAsync(page, ct);
            before = page.Next is { } next ? new(next, null, true) : null;
            pages.Insert(0, page);
            room = before is null ? 0 : Math.Max(LeastRoom, room - page.Height);
            SetBegin(before is null ? 0 : Math.Max(1, begins - page.Height));
        }

        if (first + WindowPages < pages.Count && pages[first + WindowPages].Rows is not null) Drop(pages[first + WindowPages]);
    });

    /// <summary>Goes to a place of the order: 0 is its beginning, 1 its end. What lies between is known only of orders by numbers.</summary>
    /// <returns>What is to come into view; null: it stays where it is.</returns>
    [JSInvokable]
    public async Task<string?> JumpAsync(double place)
    {
        while (reading) await turning;
        if (place is > 0 and < 1 && !words.ByNumber) return null;
        await TurnAsync(ct => place <= 0 ? BeginAsync(ct) : place >= 1 ? EndAsync(ct) : AtAsync(place, ct));
        return place <= 0 ? "begin" : place >= 1 ? "end" : "place";
    }

    private async Task ReadAsync(string asked, CancellationToken ct)
    {
        var read = JobWords.Read(asked);
        if (address != asked) selection.Clear();
        (words, address) = (read, asked);
        (counts, nearest, inGroups, ends) = (null, null, 0, null);
        await BeginAsync(ct);
        fresh.Clear();
        freshMany = false;
        Lay();
    }

    private Task BeginAsync(CancellationToken ct) => OpenAsync(new(null), null, 0, ct);

    private async Task EndAsync(CancellationToken ct)
    {
        await OpenAsync(new(null, null, true), null, 0, ct);
        var last = pages[0];
        before = last.Next is { } next ? new(next, null, true) : null;
        // What follows it is nothing yet; its own next is of the other direction.
        last.Next = null;
        SetBegin(before is null ? 0 : Math.Max(1, RowCount - last.Height));
        room = RoomOf(begins);
    }

    private async Task AtAsync(double place, CancellationToken ct)
    {
        if (ends is null)
        {
            var (top, bottom) = (await OneAsync(false, ct), await OneAsync(true, ct));
            if (top is null || bottom is null) return;
            ends = (Math.Max(top.Number, bottom.Number), Math.Min(top.Number, bottom.Number));
        }

        var (highest, lowest) = ends.Value;
        var oldest = words.Sort == "number";
        var number = oldest ? lowest + (long)(place * (highest - lowest)) : highest - (long)(place * (highest - lowest));
        await OpenAsync(new(null, number), new(null, oldest ? number - 1 : number + 1, true), Math.Max(1, (long)(place * RowCount)), ct);
        if (pages[0].Height == 0) await EndAsync(ct);
    }

    private async Task<HubJob?> OneAsync(bool backwards, CancellationToken ct) => (await Hub.ListAsync(Asked(backwards), null, 1, ct)).Items.FirstOrDefault();

    private async Task OpenAsync(JobRowsRead page, JobRowsRead? earlier, long begin, CancellationToken ct)
    {
        await FillAsync(page, ct);
        pages.Clear();
        pages.Add(page);
        (first, before, begins, room, lastChosen) = (0, earlier, begin, RoomOf(begin), null);
    }

    private static int RoomOf(long rows) => (int)Math.Clamp(rows, 0, MostRoom);

    // Where the window begins is an estimate until one of the ends has been reached.
    private void SetBegin(long begin)
    {
        if (begin >= 0) begins = begin;
    }

    private List<(string Name, object? Value)> Asked(bool backwards)
    {
        var asked = words.Asked(now).Where(static f => f.Name is not "sort").ToList();
        var sort = words.Sort ?? "-number";
        asked.Add(("sort", !backwards ? sort : sort.StartsWith('-') ? sort[1..] : "-" + sort));
        if (words.ShowsPaths) asked.Add(("path", "true"));
        return asked;
    }

    private async Task FillAsync(JobRowsRead page, CancellationToken ct)
    {
        var asked = Asked(page.Backwards);
        if (page.At is { } at) asked.Add(("at", at));
        var answer = await Hub.ListAsync(asked, page.After, PageRows, ct);
        if (page.Rows is null && page.Height == 0) page.Next = answer.Next;
        IReadOnlyList<HubJob> items = page.Backwards ? [.. answer.Items.Reverse()] : answer.Items;
        page.Rows = words.ShowsPaths ? await InTreesAsync(items, ct) : [.. items.Select(static job => new JobRowData(job, 0, null))];
        page.Height = page.Rows.Count;
    }

    /// <summary>What was found, each below the groups that it is in; groups stand where the first that is in them would.</summary>
    private async Task<List<JobRowData>> InTreesAsync(IReadOnlyList<HubJob> found, CancellationToken ct)
    {
        var known = found.ToDictionary(static job => job.Number);
        foreach (var some in found.SelectMany(static job => job.Path).Except(known.Keys).Distinct().ToArray().Chunk(400))
        {
            foreach (var group in (await Hub.ManyAsync(some, ct)).Items) known[group.Number] = group;
        }

        var matching = found.Select(static job => job.Number).ToHashSet();
        var below = new Dictionary<long, List<HubJob>>();
        foreach (var job in found)
        {
            long above = 0;
            foreach (var number in job.Path.Append(job.Number).Where(known.ContainsKey))
            {
                if (!below.TryGetValue(above, out var children)) below[above] = children = [];
                if (!children.Exists(c => c.Number == number)) children.Add(known[number]);
                above = number;
            }
        }

        var rows = new List<JobRowData>();
        Add(0, null);
        return rows;

        void Add(long group, JobRowData? above)
        {
            if (!below.TryGetValue(group, out var children)) return;
            foreach (var job in children)
            {
                var row = new JobRowData(job, above is null ? 0 : above.Depth + 1, above) { IsPath = !matching.Contains(job.Number), Open = below.ContainsKey(job.Number) };
                rows.Add(row);
                Add(job.Number, row);
            }
        }
    }

    private static void Drop(JobRowsRead page)
    {
        page.Height = page.Rows?.Count ?? page.Height;
        page.Rows = null;
    }

    private void Lay()
    {
        rows = [.. pages.Skip(first).TakeWhile(static p => p.Rows is not null).SelectMany(static p => p.Rows!)];
        shown = rows;
    }

    private Task BranchAsync(JobRowData row) => TurnAsync(async ct =>
    {
        row.Open = !row.Open;
        row.Touch();
        var page = pages.First(p => p.Rows?.Contains(row) == true).Rows!;
        var at = page.IndexOf(row) + 1;
        if (!row.Open)
        {
            page.RemoveRange(at, page.Skip(at).TakeWhile(r => r.Depth > row.Depth).Count());
            return;
        }

        var answer = await Hub.ChildrenAsync(row.Job.Id, null, ct);
        row.MoreChildren = answer.Next;
        page.InsertRange(at, answer.Items.Select(job => new JobRowData(job, row.Depth + 1, row)));
    });

    private Task MoreChildrenAsync(JobRowData row) => TurnAsync(async ct =>
    {
        var page = pages.First(p => p.Rows?.Contains(row) == true).Rows!;
        var at = page.IndexOf(row) + 1;
        at += page.Skip(at).TakeWhile(r => r.Depth > row.Depth).Count();
        var answer = await Hub.ChildrenAsync(row.Job.Id, row.MoreChildren, ct);
        row.MoreChildren = answer.Next;
        page.InsertRange(at, answer.Items.Select(job => new JobRowData(job, row.Depth + 1, row)));
    });

    // The group whose shown children end with this row and that has more.
    private JobRowData? MoreAfter(JobRowData row)
    {
        var at = shown.IndexOf(row);
        var next = at + 1 < shown.Count ? shown[at + 1].Depth : 0;
        for (var group = row.Open && next <= row.Depth ? row : row.Above; group is not null && next <= group.Depth; group = group.Above)
        {
            if (group is { Open: true, MoreChildren: not null }) return group;
        }

        return null;
    }
}
