using JobHub.Engine.Jobs;

namespace JobHub.Engine.Trees;

/// <summary>The one door to trees of jobs: make, change, move, start, pause, reset, delete.</summary>
public sealed partial class JobTrees
{
    /// <summary>Groups above a job; a tree is at most this deep plus one.</summary>
    public const int MaxDepth = 7;

    /// <summary>Makes jobs, all or none. Each one's parent must be there already.</summary>
    public Task<TreeResult> CreateAsync(IReadOnlyList<NewTreeJob> jobs, Submission who, CancellationToken ct) => throw new NotSupportedException();

    /// <summary>Changes jobs, all or none.</summary>
    public Task<TreeResult> EditAsync(IReadOnlyList<TreeEdit> edits, string caller, CancellationToken ct) => throw new NotSupportedException();

    /// <summary>Replaces what a job depends on.</summary>
    public Task<TreeResult> SetDependenciesAsync(long id, IReadOnlyList<long> dependencies, string caller, CancellationToken ct) => throw new NotSupportedException();

    /// <summary>Runs subtrees' leaves again from the beginning: counters, logs and times begin anew.</summary>
    /// <param name="failedOnly">Only leaves that have failed.</param>
    public Task<TreeResult> ResetAsync(IReadOnlyList<long> ids, bool failedOnly, string caller, CancellationToken ct) => throw new NotSupportedException();

    /// <summary>Takes the pause off the jobs named, and runs again what has ended below.</summary>
    public Task<TreeResult> StartAsync(IReadOnlyList<long> ids, string caller, CancellationToken ct) => throw new NotSupportedException();

    /// <summary>Pauses: nothing below is given out, what runs is stopped and waits.</summary>
    public Task<TreeResult> PauseAsync(IReadOnlyList<long> ids, string caller, CancellationToken ct) => throw new NotSupportedException();

    /// <summary>Removes subtrees with their logs and what runs.</summary>
    public Task<TreeResult> DeleteAsync(IReadOnlyList<long> ids, string caller, CancellationToken ct) => throw new NotSupportedException();
}
