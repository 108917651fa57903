using System.Runtime.CompilerServices;
using JobHub.Api.Http;
using JobHub.Engine.Trees;
using JobHub.Engine.Workers;

namespace JobHub.Api.Features.Farm;

/// <summary>Lists of one parent's children: whole and streamed, or a page by <c>limit</c>.</summary>
public static class FarmLists
{
    // Read page by page: a caller that reads slowly holds no snapshot of the database open.
    private const int Page = 500;

    /// <summary>The children that the request's query asks for.</summary>
    public static async Task<IResult> ChildrenAsync(HttpContext context, TreeReader reader, AffinitySlots slots, FarmAccess access, long parent, CancellationToken ct)
    {
        var request = context.Request;
        var limit = Paging.LimitOf(request);
        var filter = new TreeFilter
        {
            After = request.QueryNumber("after", 0, long.MaxValue) ?? 0, Limit = limit + 1, User = request.QueryText("user"), Text = request.QueryText("q"),
            Project = request.QueryText("project") is { } project ? Project.Check(project) : null,
            Projects = await access.ReadableAsync(context, ct),
        };
        if (request.QueryText("state") is { } state)
            filter = FarmMapping.FilterOf(state, filter) ?? throw Problems.InvalidField("state", $"'state' must be one of {string.Join(", ", FarmMapping.States)}.");
        return await ListResult.OfAsync(context, FarmMapping.ToWireAsync(PagedAsync(reader, parent, filter, ct), slots, ct), limit, static job => job,
            static job => job.Id.ToString(System.Globalization.CultureInfo.InvariantCulture), ct);
    }

    /// <summary>All children, in the order of their numbers.</summary>
    public static async IAsyncEnumerable<TreeJobView> PagedAsync(TreeReader reader, long parent, TreeFilter filter, [EnumeratorCancellation] CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(reader);
        ArgumentNullException.ThrowIfNull(filter);
        var left = filter.Limit ?? int.MaxValue;
        while (left > 0)
        {
            var page = new List<TreeJobView>();
            await foreach (var job in reader.ChildrenAsync(parent, filter with { Limit = Math.Min(left, Page) }, ct)) page.Add(job);
            foreach (var job in page) yield return job;
            if (page.Count < Math.Min(left, Page)) yield break;
            left -= page.Count;
            filter = filter with { After = page[^1].Number };
        }
    }
}
