using System.ComponentModel.DataAnnotations;

namespace JobHub.Engine.Jobs;

/// <summary>How bulks are carried out.</summary>
public sealed class BulkOptions
{
    /// <summary>How long a page of jobs may take before it is given up and smaller ones are taken; no longer than a statement may.</summary>
    [Range(typeof(TimeSpan), "00:00:00.1", "00:00:30")]
    public TimeSpan PageLimit { get; init; } = TimeSpan.FromSeconds(30);
}

/// <summary>What one call wants of many jobs.</summary>
public sealed record NewBulk(JobAction Action, int? Priority)
{
    /// <summary>The jobs, by number; null = what the filter finds.</summary>
    public long[]? Jobs { get; init; }

    public JobFilter? Filter { get; init; }

    /// <summary>What the caller may change; null = all.</summary>
    public string[]? Projects { get; init; }

    /// <summary>Only what is of no project that was made, also while it runs: the bulk of a developer without a token.</summary>
    public bool OnlyUnmade { get; init; }

    /// <summary>Ids that are none of it from the beginning, and why.</summary>
    public IReadOnlyList<BulkRemaining> Refused { get; init; } = [];
}

/// <summary>A job to which it could not be done.</summary>
public sealed record BulkRemaining(string Id, string Reason, string Message);

/// <summary>Where a bulk is.</summary>
public enum BulkState : short
{
    Running = 0, Done = 1, Stopped = 2, Failed = 3,
}

/// <summary>A bulk as readers see it.</summary>
/// <param name="CanUndo">It can be taken back still.</param>
public sealed record BulkView(
    Guid Id, string Caller, JobAction Action, int? Priority, BulkState State, long Total, long Done, long Failed, IReadOnlyList<BulkRemaining> Remaining, Guid? UndoOf, Guid? Undone, bool CanUndo,
    DateTimeOffset CreatedAt, DateTimeOffset? EndedAt);

/// <summary>What a bulk would find and touch.</summary>
/// <param name="States">Jobs by state.</param>
/// <param name="Touched">Those to which it can be done.</param>
/// <param name="Exact">False: there are more, the count ended before.</param>
public sealed record BulkPreview(long Total, long Touched, bool Exact, IReadOnlyDictionary<JobState, long> States);

/// <summary>What a call for a bulk came to.</summary>
public abstract record BulkResult
{
    private BulkResult() { }

    public sealed record Accepted(Guid Id) : BulkResult;

    public sealed record NotFound : BulkResult;

    /// <summary>The Idempotency-Key was used with another body: 422.</summary>
    public sealed record KeyReused : BulkResult;

    /// <summary>It cannot be: 409.</summary>
    public sealed record Conflict(string Code, string Message) : BulkResult;
}
