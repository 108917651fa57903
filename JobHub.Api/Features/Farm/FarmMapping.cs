using System.Globalization;
using System.Runtime.CompilerServices;
using JobHub.Engine.Jobs;
using JobHub.Engine.Trees;
using JobHub.Engine.Workers;

namespace JobHub.Api.Features.Farm;

/// <summary>Engine rows in the words of this family.</summary>
public static class FarmMapping
{
    public const string Waiting = "WAITING", Pending = "PENDING", Paused = "PAUSED", Working = "WORKING", Finished = "FINISHED", Error = "ERROR";

    /// <summary>All states of the wire.</summary>
    public static IReadOnlyList<string> States { get; } = [Waiting, Pending, Paused, Working, Finished, Error];

    public static string StateOf(JobState state, bool pending) => state switch
    {
        JobState.Queued => pending ? Pending : Waiting,
        JobState.Paused => Paused,
        JobState.Running or JobState.Canceling => Working,
        JobState.Succeeded => Finished,
        JobState.Failed or JobState.Canceled => Error,
        _ => throw new System.Diagnostics.UnreachableException(),
    };

    /// <summary>A filter by a state of the wire; null when there is no such state.</summary>
    public static TreeFilter? FilterOf(string state, TreeFilter filter) => state.ToUpperInvariant() switch
    {
        Waiting => filter with { State = JobState.Queued, Pending = false },
        Pending => filter with { State = JobState.Queued, Pending = true },
        Paused => filter with { State = JobState.Paused },
        Working => filter with { State = JobState.Running },
        Finished => filter with { State = JobState.Succeeded },
        Error => filter with { State = JobState.Failed },
        _ => null,
    };

    /// <summary>A value that lists can be narrowed by: a state is one of the wire, a priority a number.</summary>
    public static object ValueOf(TreeField field, string value) => field switch
    {
        TreeField.State => value == nameof(TreeJobView.Pending) ? Pending : StateOf(Enum.Parse<JobState>(value), pending: false),
        TreeField.Priority => int.Parse(value, NumberStyles.None, CultureInfo.InvariantCulture),
        _ => value,
    };

    public static async ValueTask<FarmJobWire> ToWireAsync(TreeJobView job, AffinitySlots slots, CancellationToken ct)
    {
        ArgumentNullException.ThrowIfNull(job);
        ArgumentNullException.ThrowIfNull(slots);
        return new FarmJobWire
        {
            Id = job.Number, Parent = job.Parent, Title = job.Title, Command = job.Command, Dir = job.Dir, Environment = job.Environment, State = StateOf(job.State, job.Pending),
            Paused = job.Paused ? 1 : 0, Worker = job.Worker ?? "", StartTime = Seconds(job.StartedAt), Duration = Math.Max(0, (long)job.Duration.TotalSeconds), PingTime = Seconds(job.SeenAt),
            RunDone = job.Runs, Retry = job.Retry, Timeout = job.TimeoutSeconds, Priority = job.Priority, Affinity = job.Affinity, AffinityBits = await slots.BitsOfAsync(job.Tags, ct),
            User = job.User, Finished = job.Children.Succeeded, Errors = job.Children.Failed, Working = job.Children.Running, Total = job.Children.Total,
            TotalFinished = job.Leaves.Succeeded, TotalErrors = job.Leaves.Failed, TotalWorking = job.Leaves.Running, Url = job.Url, Progress = job.Progress,
            ProgressPattern = job.ProgressPattern, PathAffinity = await slots.BitsOfAsync(job.AllTags, ct), PathPriority = job.PathPriority, PathPaused = job.PathPaused ? 1 : 0, Depth = job.Depth,
        };
    }

    public static async IAsyncEnumerable<FarmJobWire> ToWireAsync(IAsyncEnumerable<TreeJobView> jobs, AffinitySlots slots, [EnumeratorCancellation] CancellationToken ct = default)
    {
        await foreach (var job in jobs.WithCancellation(ct)) yield return await ToWireAsync(job, slots, ct);
    }

    private static long Seconds(DateTimeOffset? time) => time?.ToUnixTimeSeconds() ?? 0;
}
