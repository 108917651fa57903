using System.Globalization;
using JobHub.Api.Http;
using JobHub.Engine.Attempts;
using JobHub.Engine.Jobs;
using JobHub.Engine.Tasks;

namespace JobHub.Api.Features.Hub;

/// <summary>
/// <c>/hub/v1/jobs/{id}/log/merged</c>: what all attempts of a job printed, task after task. When each line was printed is not kept, so they are not sorted by time; what is followed comes as it arrives.
/// </summary>
public static class HubMergedLogs
{
    // A line of an answer is more than its text: many empty ones end it too.
    private const int MostLines = 5000;

    // Logs that stand elsewhere cost a statement each, small ones come many at once.
    private const int AttemptsAtOnce = 2000, OpenedAtOnce = 200, DefaultBytes = 64 << 10, MostBytes = 1 << 20;

    public static void MapMergedLog(this RouteGroupBuilder jobs)
    {
        jobs.MapGet("/{id}/log/merged", ReadAsync).Produces<HubMergedLog>().ProducesProblem(400).ProducesProblem(404)
            .WithSummary("The logs of all attempts of a job, in the order of its tasks: ?after= or ?before= (the next of an earlier answer), ?tail=true (the end), ?limit= bytes (65536, at most 1 MiB); at most 5000 lines. ?follow=true is what they print from now on, a line of JSON each.");
        jobs.MapGet("/{id}/log/merged/search", SearchAsync).Produces<HubJobLogMatches>().ProducesProblem(400).ProducesProblem(404)
            .WithSummary("The lines of all attempts of a job that hold ?q=, in the order of its tasks: ?case=true, ?after= (the next of an earlier answer), ?limit= (100, at most 1000).");
    }

    private static async Task<IResult> ReadAsync(HttpContext context, JobReader reader, JobLogs all, LogReader logs, JobLogFollow follow, CancellationToken ct)
    {
        if (RouteText.JobOf(context) is not { } id || await reader.GetAsync(id, ct) is not { }) return HubEndpoints.Unknown();
        var request = context.Request;
        if (request.QueryFlag("follow")) return new FollowedJobLog(follow, id);
        var limit = (int)(request.QueryNumber("limit", 1, MostBytes) ?? DefaultBytes);
        if (await all.LayoutAsync(id, ct) is not { Total: > 0 } layout) return TypedResults.Ok(new HubMergedLog([], "", true));
        var pages = new Pages(id, layout, all, logs);
        var before = request.QueryText("before") is { } front ? PlaceOf(layout, id, front, "before") : null as Place?;
        if (before is null && request.QueryFlag("tail")) before = new(layout.First + layout.Total - 1, int.MaxValue, null);
        return TypedResults.Ok(before is { } place ? await pages.BackAsync(place, limit, ct) : await pages.ForwardAsync(AfterOf(request, layout, id), limit, ct));
    }

    private static async Task<IResult> SearchAsync(HttpContext context, JobReader reader, JobLogs all, LogReader logs, CancellationToken ct)
    {
        if (RouteText.JobOf(context) is not { } id || await reader.GetAsync(id, ct) is not { }) return HubEndpoints.Unknown();
        var scan = LogScan.Of(context.Request);
        if (await all.LayoutAsync(id, ct) is not { Total: > 0 } layout) return TypedResults.Ok(new HubJobLogMatches([], "", true));
        return TypedResults.Ok(await new Pages(id, layout, all, logs).SearchAsync(AfterOf(context.Request, layout, id), scan, ct));
    }

    private static Place AfterOf(HttpRequest request, TaskLayout layout, JobId id) => request.QueryText("after") is { } after ? PlaceOf(layout, id, after, "after") : new(layout.First, 0, 0);

    private static Place PlaceOf(TaskLayout layout, JobId id, string text, string field)
    {
        var parts = text.Split('.');
        if (parts.Length == 3 && HubEndpoints.TaskOf(id, parts[0]) is { } task && layout.IdOf(task.Kind, task.Index) is { } taskId
            && int.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out var number) && long.TryParse(parts[2], NumberStyles.None, CultureInfo.InvariantCulture, out var offset)) return new(taskId, number, offset);
        throw Problems.InvalidField(field, $"'{field}' must be the next of an earlier answer for this job: <task>.<attempt>.<offset>.");
    }

    /// <summary>A place between two lines of a job's log.</summary>
    /// <param name="Offset">Null: the end of the attempt's log.</param>
    private readonly record struct Place(long Task, int Number, long? Offset);

    /// <summary>Pages in both directions, over a bounded number of attempts each.</summary>
    private sealed class Pages(JobId id, TaskLayout layout, JobLogs all, LogReader logs)
    {
        public async Task<HubMergedLog> ForwardAsync(Place place, int left, CancellationToken ct)
        {
            var lines = new List<HubLogLine>();
            var (next, more) = await EachAsync(place, async (attempt, offset, read, _) =>
            {
                await foreach (var line in read.WithCancellation(ct))
                {
                    Add(lines, attempt, line);
                    offset = line.End;
                    left -= line.Bytes.Length + 1;
                    if (left <= 0 || lines.Count >= MostLines) return (offset, true);
                }

                return (offset, false);
            }, ct);
            return new(lines, Text(next), !more);
        }

        public async Task<HubJobLogMatches> SearchAsync(Place place, LogScan scan, CancellationToken ct)
        {
            var matches = new List<HubJobLogMatch>();
            var (next, more) = await EachAsync(place, (attempt, offset, read, ended) =>
                scan.ReadAsync(read, offset, ended, (at, text) => matches.Add(new(NameOf(attempt), attempt.Number, at, text)), ct), ct);
            return new(matches, Text(next), !more);
        }

        /// <summary>The lines in front of a place.</summary>
        public async Task<HubMergedLog> BackAsync(Place place, int left, CancellationToken ct)
        {
            var attempts = await all.AttemptsAsync(layout, place.Task, place.Number, back: true, AttemptsAtOnce, ct);
            var (blocks, count, opened) = (new List<List<HubLogLine>>(), 0, 0);
            HubMergedLog Page(Place next, bool done) => new([.. Enumerable.Reverse(blocks).SelectMany(static block => block)], Text(next), done);
            await foreach (var (attempt, small) in all.PrintedAsync(attempts, ct))
            {
                var end = (attempt.TaskId, attempt.Number) == (place.Task, place.Number) ? place.Offset : null;
                if (end == 0) continue;
                if (small is null && ++opened > OpenedAtOnce) return Page(new(attempt.TaskId, attempt.Number, null), false);
                IReadOnlyList<LogLine> read;
                var from = 0L;
                if (small is not null) read = await LogLines.OfAsync([new(0, small.AsMemory(0, (int)Math.Min(small.Length, end ?? small.Length)))], 0, ct);
                else if (await new LogPieces(logs, id, (attempt.Kind, attempt.Index), attempt.Number).LinesBeforeAsync(end, Math.Max(left, LogLines.LongestLine), ct) is { } piece) (read, from) = piece;
                else continue;
                var kept = 0;
                for (var i = read.Count - 1; i >= 0 && left > 0 && count + kept < MostLines; i--, kept++) left -= read[i].Bytes.Length + 1;
                var block = new List<HubLogLine>();
                foreach (var line in read.Skip(read.Count - kept)) Add(block, attempt, line);
                blocks.Add(block);
                count += block.Count;
                if (from > 0 || left <= 0 || count >= MostLines) return Page(new(attempt.TaskId, attempt.Number, block.Count > 0 ? block[0].Offset : from), false);
            }

            return attempts.Count < AttemptsAtOnce ? Page(new(layout.First, 0, 0), true) : Page(new(attempts[^1].TaskId, attempts[^1].Number, 0), false);
        }

        /// <summary>Reads logs from a place on until one says that it is enough.</summary>
        private async Task<(Place Next, bool More)> EachAsync(Place place, Func<LoggedAttempt, long, IAsyncEnumerable<LogLine>, bool, Task<(long Next, bool Full)>> read, CancellationToken ct)
        {
            var attempts = await all.AttemptsAsync(layout, place.Task, place.Number, back: false, AttemptsAtOnce, ct);
            var opened = 0;
            await foreach (var (attempt, small) in all.PrintedAsync(attempts, ct))
            {
                var offset = (attempt.TaskId, attempt.Number) == (place.Task, place.Number) ? place.Offset ?? 0 : 0;
                place = new(attempt.TaskId, attempt.Number, offset);
                if (small is null && ++opened > OpenedAtOnce) return (place, true);
                IAsyncEnumerable<LogPart> parts;
                var ended = true;
                if (small is not null) parts = new LogPart[] { new(offset, small.AsMemory((int)Math.Min(small.Length, offset))) }.ToAsyncEnumerable();
                else if (await logs.OpenAsync(id, attempt.Kind, attempt.Index, attempt.Number, offset, ct) is { } slice) (parts, ended) = (logs.ReadAsync(id, attempt.Kind, attempt.Index, slice, ct), slice.Ended);
                else continue;
                var (next, full) = await read(attempt, offset, parts.LinesAsync(offset, ct), ended);
                place = place with { Offset = next };
                if (full) return (place, true);
            }

            // Attempts without a line are passed over only once.
            if (attempts is [.., var last] && (last.TaskId, last.Number) != (place.Task, place.Number)) place = new(last.TaskId, last.Number, 0);
            return (place, attempts.Count == AttemptsAtOnce);
        }

        private void Add(List<HubLogLine> lines, LoggedAttempt attempt, LogLine line)
        {
            var name = NameOf(attempt);
            if (line.Gap > 0) lines.Add(new(name, attempt.Number, line.Offset - line.Gap, line.Offset, "", line.Gap));
            lines.Add(new(name, attempt.Number, line.Offset, line.End, LogLines.TextOf(line)));
        }

        private string NameOf(LoggedAttempt attempt) => TaskName.Of(id, attempt.Kind, attempt.Index);

        private string Text(Place at)
        {
            var (kind, index) = layout.Of(at.Task);
            return string.Create(CultureInfo.InvariantCulture, $"{TaskName.Of(id, kind, index)[37..]}.{at.Number}.{at.Offset ?? long.MaxValue}");
        }
    }
}
