using System.Runtime.CompilerServices;
using JobHub.Engine.Jobs;
using JobHub.Engine.Tasks;

namespace JobHub.Api.Http;

/// <summary>
/// Lists read page by page, so that a caller that reads slowly holds no database snapshot open, and merged where one word of a family's wire means several
/// states of the engine.
/// </summary>
public static class WholeLists
{
    private const int Page = 1000;

    /// <summary>Jobs, newest first. No states = all.</summary>
    public static IAsyncEnumerable<JobView> JobsAsync(JobReader jobs, JobFilter filter, IReadOnlyList<JobState> states, CancellationToken ct) => states.Count switch
    {
        0 => PagedAsync(jobs, filter, ct),
        1 => PagedAsync(jobs, filter with { State = states[0] }, ct),
        _ => MergeAsync([.. states.Select(state => PagedAsync(jobs, filter with { State = state }, ct))], static (one, other) => other.Number.CompareTo(one.Number), ct),
    };

    /// <summary>Tasks of a job in the order of their ids. No states = all.</summary>
    public static IAsyncEnumerable<TaskView> TasksAsync(JobReader jobs, JobId job, TaskFilter filter, IReadOnlyList<TaskState> states, CancellationToken ct) => states.Count switch
    {
        0 => PagedAsync(jobs, job, filter, ct),
        1 => PagedAsync(jobs, job, filter with { State = states[0] }, ct),
        _ => MergeAsync([.. states.Select(state => PagedAsync(jobs, job, filter with { State = state }, ct))], static (one, other) => one.Id.CompareTo(other.Id), ct),
    };

    private static async IAsyncEnumerable<JobView> PagedAsync(JobReader jobs, JobFilter filter, [EnumeratorCancellation] CancellationToken ct)
    {
        var left = filter.Limit ?? int.MaxValue;
        while (left > 0)
        {
            var page = new List<JobView>();
            await foreach (var job in jobs.ListAsync(filter with { Limit = Math.Min(left, Page) }, ct)) page.Add(job);
            foreach (var job in page) yield return job;
            if (page.Count < Math.Min(left, Page)) yield break;
            left -= page.Count;
            filter = filter with { After = page[^1].Id };
        }
    }

    private static async IAsyncEnumerable<TaskView> PagedAsync(JobReader jobs, JobId job, TaskFilter filter, [EnumeratorCancellation] CancellationToken ct)
    {
        var left = filter.Limit ?? int.MaxValue;
        while (left > 0)
        {
            var page = new List<TaskView>();
            await foreach (var task in jobs.TasksAsync(job, filter with { Limit = Math.Min(left, Page) }, ct)) page.Add(task);
            foreach (var task in page) yield return task;
            if (page.Count < Math.Min(left, Page)) yield break;
            left -= page.Count;
            filter = filter with { After = (page[^1].Kind, page[^1].Index) };
        }
    }

    /// <summary>Sources that are each in order, as one in order. What moved from one state to another between two pages is seen once where its copies meet.</summary>
    private static async IAsyncEnumerable<T> MergeAsync<T>(IAsyncEnumerable<T>[] sources, Comparison<T> order, [EnumeratorCancellation] CancellationToken ct)
    {
        var heads = new List<IAsyncEnumerator<T>>(sources.Length);
        try
        {
            foreach (var source in sources)
            {
                var head = source.GetAsyncEnumerator(ct);
                if (await head.MoveNextAsync()) heads.Add(head);
                else await head.DisposeAsync();
            }

            while (heads.Count > 0)
            {
                var first = heads[0];
                foreach (var head in heads)
                {
                    if (order(head.Current, first.Current) < 0) first = head;
                }

                var item = first.Current;
                yield return item;
                for (var index = heads.Count - 1; index >= 0; index--)
                {
                    var head = heads[index];
                    if (order(head.Current, item) != 0 || await head.MoveNextAsync()) continue;
                    heads.RemoveAt(index);
                    await head.DisposeAsync();
                }
            }
        }
        finally
        {
            foreach (var head in heads) await head.DisposeAsync();
        }
    }
}
