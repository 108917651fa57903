using System.ComponentModel.DataAnnotations;

namespace JobHub.Worker.Upkeep;

/// <summary>Section <c>JobHub:Farm:Machines</c>: starts and stops machines by how much waits. Off without a command.</summary>
public sealed class MachineOptions : IValidatableObject
{
    public const string Section = "JobHub:Farm:Machines";

    /// <summary>`sh -c` of this starts machines; JOBHUB_MACHINES says how many are wanted.</summary>
    [StringLength(10_000)]
    public string Start { get; init; } = "";

    /// <summary>`sh -c` of this stops machines; JOBHUB_MACHINES says how many, JOBHUB_IDLE_WORKERS names the idle ones, a line each, the longest idle first.</summary>
    [StringLength(10_000)]
    public string Stop { get; init; } = "";

    /// <summary>So many waiting jobs make one more worker worth while, beside those that are idle.</summary>
    [Range(1, 1_000_000)]
    public int WaitingPerWorker { get; init; } = 10;

    /// <summary>A worker that has run nothing for so long may be stopped, while nothing waits.</summary>
    [Range(typeof(TimeSpan), "00:00:01", "7.00:00:00")]
    public TimeSpan IdleTime { get; init; } = TimeSpan.FromMinutes(15);

    /// <summary>After a command nothing is done for so long: machines need time to come and go.</summary>
    [Range(typeof(TimeSpan), "00:00:01", "1.00:00:00")]
    public TimeSpan Cooldown { get; init; } = TimeSpan.FromMinutes(5);

    /// <summary>At most so many by one command.</summary>
    [Range(1, 10_000)]
    public int AtOnce { get; init; } = 4;

    /// <summary>Never more workers than this, and never fewer than <see cref="Fewest"/>.</summary>
    [Range(0, 100_000)]
    public int Most { get; init; } = 100;

    [Range(0, 100_000)]
    public int Fewest { get; init; }

    /// <summary>How often it is looked.</summary>
    [Range(typeof(TimeSpan), "00:00:01", "01:00:00")]
    public TimeSpan Every { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>A command that takes longer is ended.</summary>
    [Range(typeof(TimeSpan), "00:00:01", "01:00:00")]
    public TimeSpan TimeLimit { get; init; } = TimeSpan.FromMinutes(2);

    internal bool IsOn => Start.Length + Stop.Length > 0;

    /// <inheritdoc />
    public IEnumerable<ValidationResult> Validate(ValidationContext validationContext)
    {
        if (Fewest > Most) yield return new($"{Section}:Fewest must not be more than {Section}:Most.", [nameof(Fewest)]);
    }
}

/// <summary>How the farm stands.</summary>
/// <param name="Waiting">Jobs of trees that a worker could take now; counted up to <see cref="MostCounted"/>.</param>
/// <param name="Workers">Workers whose lease runs.</param>
/// <param name="Idle">Those of them that run nothing, and since when; the longest idle first.</param>
public sealed record FarmLoad(int Waiting, int Workers, IReadOnlyList<(string Worker, DateTimeOffset Since)> Idle)
{
    public const int MostCounted = 10_000;
}

/// <summary>What is to be done: so many machines more (positive), fewer (negative), or nothing.</summary>
public static class MachineDecision
{
    /// <param name="lastAt">When a command was last run; null = not yet.</param>
    public static int Of(FarmLoad load, MachineOptions options, DateTimeOffset now, DateTimeOffset? lastAt)
    {
        if (lastAt is { } last && now - last < options.Cooldown) return 0;
        // One that is idle will take of what waits in a moment.
        var wanted = (int)Math.Ceiling((double)load.Waiting / options.WaitingPerWorker) - load.Idle.Count;
        if (load.Workers < options.Fewest) wanted = Math.Max(wanted, options.Fewest - load.Workers);
        var more = Math.Min(Math.Min(wanted, options.AtOnce), options.Most - load.Workers);
        if (more > 0) return options.Start.Length > 0 ? more : 0;
        if (load.Waiting > 0 || options.Stop.Length == 0) return 0;
        var fewer = Math.Min(Math.Min(load.Idle.Count(i => now - i.Since >= options.IdleTime), options.AtOnce), load.Workers - options.Fewest);
        return -Math.Max(0, fewer);
    }
}
