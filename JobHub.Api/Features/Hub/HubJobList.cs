using System.Globalization;
using System.Text;
using System.Text.Json;
using JobHub.Api.Http;
using JobHub.Engine.Jobs;
using JobHub.Engine.Trees;
using Microsoft.AspNetCore.Http.HttpResults;

namespace JobHub.Api.Features.Hub;

/// <summary>Lists of jobs: a page, how many match by state, and all that match as CSV.</summary>
public static class HubJobList
{
    private const int DefaultPage = 50, LargestPage = 500;

    // A download may take longer than a page that somebody looks at.
    private static readonly TimeSpan LongestPage = TimeSpan.FromSeconds(5), LongestPageOfAll = TimeSpan.FromSeconds(20);

    private const string Header = "id,number,name,family,title,user,project,labels,priority,state,tasks,succeeded,failed,created,started,ended,error,message\r\n";

    public static void MapJobList(this RouteGroupBuilder hub)
    {
        WithFilters(hub.MapGet("/jobs", ListAsync).WithTags("Jobs").ProducesProblem(400).ProducesProblem(404).ProducesProblem(422)
                .WithSummary("Jobs of all families, newest first; of trees the roots, or with ?parent= the jobs in a group, or with ?flat=true all."))
            .WithQuery("sort", "-number (default) or number; -priority or priority of jobs that have not ended; -ended or ended of those that have.")
            .WithQuery("limit", "1 to 500 (50).").WithQuery("after", "The last page's next.").WithQuery("at", "The number to begin at, in an order by number.")
            .WithQuery("path", "true: of each job the numbers of the groups above it.");
        WithFilters(hub.MapGet("/jobs/counts", CountsAsync).WithTags("Jobs").ProducesProblem(400).ProducesProblem(404)
            .WithSummary("How many jobs match, by state. Exact for filters of project, family and state; others are counted up to 100,000 and for a moment."));
        WithFilters(hub.MapGet("/jobs/sums", SumsAsync).WithTags("Jobs").ProducesProblem(400).ProducesProblem(404).ProducesProblem(422)
            .WithSummary("What the ended tasks of the jobs that match took, together and on average; of the thousand newest jobs and 50,000 tasks."));
        WithFilters(hub.MapGet("/jobs.csv", CsvAsync).WithTags("Jobs").Produces<string>(200, "text/csv").ProducesProblem(400).ProducesProblem(404).ProducesProblem(422)
            .WithSummary("All jobs that match, as CSV, streamed.")).WithQuery("sort", "As of the list.");
    }

    private static RouteHandlerBuilder WithFilters(RouteHandlerBuilder route) => route
        .WithQuery("q", "Words that the title must have; #48213 finds a number. -q: must not have.")
        .WithQuery("family", "One or several with commas; a leading - leaves one out.").WithQuery("state", "One or several with commas; a leading - leaves one out.")
        .WithQuery("project", "Its project. -project: not this one.").WithQuery("user", "Who submitted it. -user: not he.")
        .WithQuery("label", "key=value, repeatable. -label: without it.").WithQuery("worker", "Jobs with an attempt on this worker now.")
        .WithQuery("createdAfter", "RFC 3339.").WithQuery("createdBefore", "RFC 3339.").WithQuery("endedAfter", "RFC 3339.").WithQuery("endedBefore", "RFC 3339.")
        .WithQuery("minPriority", "0 to 255.").WithQuery("maxPriority", "0 to 255.").WithQuery("cause", "The error type of a failed job.").WithQuery("exitCode", "0 to 255: of the attempt that a job failed with.")
        .WithQuery("ids", "Up to 500 ids or numbers with commas.").WithQuery("parent", "The group's id.").WithQuery("flat", "true: what is in groups too.");

    private static async Task<Results<Ok<HubJobPage>, ProblemResult>> ListAsync(HttpContext context, HubJobQuery query, JobSearch search, TreeReader trees, JobReader reader, Explain explain, CancellationToken ct)
    {
        var limit = Paging.LimitOf(context.Request, LargestPage) ?? DefaultPage;
        if (await query.ReadAsync(context.Request, ct) is not { } filter) return HubEndpoints.Unknown();
        List<JobView> items;
        try
        {
            items = await search.PageAsync(filter with { Limit = limit + 1 }, LongestPage, ct);
        }
        catch (FilterTooSlowException fault)
        {
            return TooSlow(fault);
        }

        var more = items.Count > limit;
        if (more) items.RemoveAt(limit);
        var tree = await TreeOfAsync(items, trees, ct);
        var parents = await ParentsAsync(tree.Values, reader, ct);
        var places = await search.WhereAsync([.. items.Select(static job => job.Number)], ct);
        var paths = context.Request.QueryFlag("path") ? await search.PathsAsync([.. tree.Values.Where(static job => job.Parent != 0).Select(static job => job.Number)], ct) : [];
        var waiting = await explain.JobsAsync([.. items.Where(static job => !job.State.IsTerminal).Select(static job => job.Id)], ct);
        // One that is not in its tree any more is being deleted.
        var shown = items.Where(job => job.Family != JobFamily.Farm || tree.ContainsKey(job.Number)).Select(job =>
        {
            var wire = HubMapping.ToWire(job);
            if (tree.TryGetValue(job.Number, out var inTree)) wire = wire.InTree(inTree, parents.TryGetValue(inTree.Parent, out var parent) ? parent : null);
            return wire with
            {
                Place = places.TryGetValue(job.Number, out var place) ? new(place.Slots, place.Workers, place.Worker) : null,
                Waiting = ExplainEndpoints.ToWire(waiting.GetValueOrDefault(job.Id)),
                Path = paths.GetValueOrDefault(job.Number),
            };
        });
        return TypedResults.Ok(new HubJobPage([.. shown], more ? HubJobQuery.CursorAfter(items[^1], filter) : null));
    }

    private static async Task<Results<Ok<HubJobCounts>, ProblemResult>> CountsAsync(HttpContext context, HubJobQuery query, JobSearch search, CancellationToken ct)
    {
        if (await query.ReadAsync(context.Request, ct) is not { } filter) return HubEndpoints.Unknown();
        var counts = await search.CountAsync(filter, ct);
        return TypedResults.Ok(new HubJobCounts(counts.Total, counts.Exact, Enum.GetValues<JobState>().ToDictionary(static s => s.ToString(), s => counts.ByState.GetValueOrDefault(s))));
    }

    private static async Task<Results<Ok<HubJobSums>, ProblemResult>> SumsAsync(HttpContext context, HubJobQuery query, JobSearch search, CancellationToken ct)
    {
        if (await query.ReadAsync(context.Request, ct) is not { } filter) return HubEndpoints.Unknown();
        try
        {
            var sums = await search.SumsAsync(filter, LongestPage, ct);
            return TypedResults.Ok(new HubJobSums(sums.Jobs, sums.Tasks, sums.Took.TotalSeconds, sums.Tasks == 0 ? null : sums.Took.TotalSeconds / sums.Tasks, sums.Exact));
        }
        catch (FilterTooSlowException fault)
        {
            return TooSlow(fault);
        }
    }

    private static async Task<IResult> CsvAsync(HttpContext context, HubJobQuery query, JobSearch search, TreeReader trees, CancellationToken ct)
    {
        if (await query.ReadAsync(context.Request, ct) is not { } filter) return HubEndpoints.Unknown();
        var body = context.Response.BodyWriter;
        var line = new StringBuilder(Header);
        try
        {
            await foreach (var page in search.AllAsync(filter, LongestPageOfAll, ct).Chunk(200).WithCancellation(ct))
            {
                var tree = await TreeOfAsync(page, trees, ct);
                foreach (var job in page)
                {
                    if (job.Family != JobFamily.Farm) WriteLine(line, HubMapping.ToWire(job));
                    else if (tree.TryGetValue(job.Number, out var inTree)) WriteLine(line, HubMapping.ToWire(job).InTree(inTree, null));
                }

                await WriteAsync();
            }

            await WriteAsync();
        }
        catch (FilterTooSlowException fault) when (!context.Response.HasStarted)
        {
            return TooSlow(fault);
        }
        catch (FilterTooSlowException)
        {
            // What was sent looks whole: it must not end as if it were.
            context.Abort();
        }

        return TypedResults.Empty;

        async Task WriteAsync()
        {
            if (!context.Response.HasStarted)
            {
                context.Response.ContentType = "text/csv; charset=utf-8";
                context.Response.Headers.ContentDisposition = "attachment; filename=\"jobs.csv\"";
            }

            await body.WriteAsync(Encoding.UTF8.GetBytes(line.ToString()), ct);
            line.Clear();
        }
    }

    private static ProblemResult TooSlow(FilterTooSlowException fault) => Problems.Unprocessable("filter-too-slow", fault.Message);

    private static void WriteLine(StringBuilder line, HubJob job)
    {
        var (total, succeeded, failed) = job.Leaves is { } leaves ? (leaves.Total, leaves.Succeeded, leaves.Failed) : (job.Tasks.Total, job.Tasks.Succeeded, job.Tasks.Failed);
        object?[] cells =
        [
            job.Id, job.Number, job.Name, job.Family, job.Title, job.User, job.Project, job.Labels.Count == 0 ? null : JsonSerializer.Serialize(job.Labels), job.Priority, job.State,
            total, succeeded, failed, Time(job.CreatedAt), Time(job.StartedAt), Time(job.EndedAt), job.Error?.Type, job.Error?.Message,
        ];
        for (var i = 0; i < cells.Length; i++)
        {
            if (i > 0) line.Append(',');
            if (cells[i] is string text) WriteText(line, text);
            else line.Append(CultureInfo.InvariantCulture, $"{cells[i]}");
        }

        line.Append("\r\n");

        static string? Time(DateTimeOffset? time) => time?.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'", CultureInfo.InvariantCulture);
    }

    /// <summary>A cell that a spreadsheet shows as text and never calculates.</summary>
    private static void WriteText(StringBuilder line, string text)
    {
        // Some programs drop blanks and control characters first, and calculate what is behind them.
        var begin = text.AsSpan().TrimStart([' ', '\t', '\r', '\n']);
        if (begin.Length > 0 && begin[0] is '=' or '+' or '-' or '@' || text.Length > 0 && text[0] is '\t' or '\r') text = "'" + text;
        if (text.AsSpan().IndexOfAny(",\"\r\n") < 0) line.Append(text);
        else line.Append('"').Append(text.Replace("\"", "\"\"", StringComparison.Ordinal)).Append('"');
    }

    private static async Task<Dictionary<long, TreeJobView>> TreeOfAsync(IReadOnlyList<JobView> items, TreeReader trees, CancellationToken ct)
    {
        var tree = new Dictionary<long, TreeJobView>();
        long[] numbers = [.. items.Where(static job => job.Family == JobFamily.Farm).Select(static job => job.Number)];
        if (numbers.Length > 0) await foreach (var job in trees.ManyAsync(numbers, ct)) tree[job.Number] = job;
        return tree;
    }

    private static async Task<Dictionary<long, JobId>> ParentsAsync(IEnumerable<TreeJobView> tree, JobReader reader, CancellationToken ct)
    {
        long[] parents = [.. tree.Select(static job => job.Parent).Where(static parent => parent != 0).Distinct()];
        var ids = new Dictionary<long, JobId>();
        if (parents.Length > 0) await foreach (var parent in reader.ListAsync(new JobFilter { Numbers = parents }, ct)) ids[parent.Number] = parent.Id;
        return ids;
    }
}
