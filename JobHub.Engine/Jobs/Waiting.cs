using JobHub.Engine.Tasks;

namespace JobHub.Engine.Jobs;

/// <summary>Why something waits, in a word of a closed list.</summary>
/// <param name="Reason">One of the constants of <see cref="WaitReasons"/>.</param>
/// <param name="Message">What is so, as a sentence with the numbers.</param>
/// <param name="Change">What would change it, as a sentence.</param>
/// <param name="Until">When it ends by itself, where that is known.</param>
public sealed record Waiting(string Reason, string Message, string Change, DateTimeOffset? Until = null)
{
    /// <summary>The numbers behind it, by name.</summary>
    public Dictionary<string, long> Numbers { get; init; } = [];

    /// <summary>Both sentences.</summary>
    public string Text => Change.Length == 0 ? Message : $"{Message} {Change}";
}

/// <summary>Tasks of a job that wait for the same.</summary>
public sealed record WaitingTasks(TaskKind Kind, long Count, Waiting Why);

/// <summary>How many tasks of the hub wait for a reason.</summary>
/// <param name="AtLeast">Not counted further: there are more.</param>
public sealed record WaitingCount(string Reason, long Count, bool AtLeast);

/// <summary>The closed list.</summary>
public static class WaitReasons
{
    public const string Paused = "paused", Dependencies = "dependencies", Backoff = "backoff", EmptyGroup = "empty-group", NoWorker = "no-worker", WorkersStopped = "workers-stopped",
        NoExecutorForImage = "no-executor-for-image", NoWorkerWithAffinity = "no-worker-with-affinity", NoWorkerWithMount = "no-worker-with-mount", NoWorkerWithGpus = "no-worker-with-gpus",
        NoWorkerWithCpus = "no-worker-with-cpus", NoWorkerWithMemory = "no-worker-with-memory", NotEnoughFreeGpus = "not-enough-free-gpus", NotEnoughFreeCpus = "not-enough-free-cpus",
        NotEnoughFreeMemory = "not-enough-free-memory", AllSlotsBusy = "all-slots-busy", AboutToStart = "about-to-start";
}
