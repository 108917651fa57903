namespace JobHub.Engine.Trees;

/// <summary>Reads trees of jobs: base counters, unfolded deltas and what runs, from one snapshot.</summary>
public sealed class TreeReader
{
    /// <summary>One job, or null: unknown, deleted, or of no tree.</summary>
    public Task<TreeJobView?> GetAsync(long id, CancellationToken ct) => throw new NotSupportedException();

    /// <summary>The children of a job (0: the roots), by number; streamed.</summary>
    public IAsyncEnumerable<TreeJobView> ChildrenAsync(long parent, TreeFilter filter, CancellationToken ct) => throw new NotSupportedException();

    /// <summary>The jobs a job depends on.</summary>
    public IAsyncEnumerable<TreeJobView> DependenciesAsync(long id, CancellationToken ct) => throw new NotSupportedException();

    /// <summary>The numbers of what a job depends on.</summary>
    public Task<long[]> DependencyIdsAsync(long id, CancellationToken ct) => throw new NotSupportedException();

    /// <summary>The dependencies of all children of a job (0: of the roots).</summary>
    public IAsyncEnumerable<TreeDependency> ChildDependenciesAsync(long parent, CancellationToken ct) => throw new NotSupportedException();

    /// <summary>The values that jobs of trees have, each once: numbers as text, states by the names of <see cref="Jobs.JobState"/> (`Pending` for a queued job that is pending).</summary>
    public Task<IReadOnlyList<string>> ValuesAsync(TreeField field, CancellationToken ct) => throw new NotSupportedException();
}
