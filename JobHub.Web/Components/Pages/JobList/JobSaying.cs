using JobHub.Web.Client;
using JobHub.Web.Components.Shared;

namespace JobHub.Web.Components.Pages.JobList;

/// <summary>Where a job runs, or why it waits, or how it ended, in a few words.</summary>
/// <param name="Full">All of it, for whoever looks closer.</param>
/// <param name="Tone">The class of its colour; null: ink.</param>
public readonly record struct JobSaying(string Text, string Full, string? Tone)
{
    // Reasons that go away only when somebody does something.
    private static readonly HashSet<string> ForSomebody =
    [
        "no-worker", "no-executor-for-image", "no-worker-with-affinity", "no-worker-with-mount", "no-worker-with-gpus", "no-worker-with-cpus", "no-worker-with-memory",
        "not-enough-free-gpus", "not-enough-free-cpus", "not-enough-free-memory", "project-quota",
    ];

    public static JobSaying Of(HubJob job, DateTimeOffset now)
    {
        ArgumentNullException.ThrowIfNull(job);
        if (job.State == "Failed" && job.Error is { } error) return new(error.Message ?? error.Type ?? "Failed", error.Message ?? "", "bad");
        if (job.State == "Canceling") return Plain("Stopping what runs");
        if (job.EndedAt is { } end && job.State is "Succeeded" or "Failed" or "Canceled")
        {
            var took = job.StartedAt is { } begun ? Shown.Duration(job.EndedAt - begun) : null;
            var failed = job.Counted.Failed > 0 ? $"{Shown.Count(job.Counted.Failed)} failed" : null;
            return job.State switch
            {
                "Canceled" => Plain(took is null ? "Never ran" : $"Canceled after {took}"),
                "Failed" => new(failed ?? "Failed", failed ?? "Failed", "bad"),
                _ => Plain(took is null ? "Done" : $"Took {took}"),
            };
        }

        if (job.Waiting is { } waiting && job.Place is null) return new(waiting.Message, waiting.Message, ForSomebody.Contains(waiting.Reason) ? "hold" : null);
        var where = job.Place switch
        {
            null => null,
            { Worker: { } one, Slots: 1 } => one,
            { Worker: { } one } at => $"{Shown.Count(at.Slots)} slots on {one}",
            { } at => $"{Shown.Count(at.Slots)} slots on {Shown.Count(at.Workers)} workers",
        };
        var bad = job.Counted.Failed > 0 ? $"{Shown.Count(job.Counted.Failed)} failed" : null;
        if (job.Paused && where is null) return Plain("Paused");
        return Plain((where, bad) switch { ({ } w, { } b) => $"{w}, {b}", ({ } w, null) => w, (null, { } b) => b, _ => job.State == "Running" ? "Between two attempts" : "" });

        static JobSaying Plain(string text) => new(text, text, null);
    }
}
