using System.Globalization;
using JobHub.Engine.Jobs;
using JobHub.Engine.Statistics;
using JobHub.Engine.Webhooks;
using JobHub.Engine.Workers;

namespace JobHub.Api.Features.Hub;

/// <summary>What the overview puts first: each finding is made of numbers that were read, and is gone when they are.</summary>
public static class OverviewFindings
{
    /// <summary>Shown at once.</summary>
    public const int Most = 5;

    /// <summary>Fewer failures than this are no pattern.</summary>
    private const int Pattern = 5;

    /// <summary>Failures older than this are over.</summary>
    public static readonly TimeSpan Recent = TimeSpan.FromMinutes(15);

    // A worker that was lost long ago is news no more.
    private static readonly TimeSpan News = TimeSpan.FromHours(24);

    /// <summary>Lost, and not so long ago that nobody will look any more.</summary>
    internal static bool IsLostNow(KnownWorker worker, DateTimeOffset now) => worker.Standing == WorkerStanding.Lost && now - worker.EndedAt < News;

    /// <summary>The findings, those that began last first.</summary>
    public static HubFinding[] Of(IReadOnlyList<WorkerFailure> failures, IReadOnlyList<QueuedTasks> waiting, IReadOnlyList<KnownWorker> workers, IReadOnlyList<Webhook> webhooks, DateTimeOffset now)
    {
        ArgumentNullException.ThrowIfNull(workers);
        var found = new List<HubFinding>();
        if (OnOneWorker(failures, workers) is { } concentrated) found.Add(concentrated);
        found.AddRange(waiting.Where(static w => w.Reason == WaitReasons.NoWorkerWithAffinity && w.Tags.Length > 0).Select(w => Unoffered(w, workers, now)));
        found.AddRange(waiting.Where(static w => w.Reason is WaitReasons.NoWorker or WaitReasons.WorkersStopped).GroupBy(static w => w.Reason).Select(static g => Unserved(g.Key, [.. g])));
        found.AddRange(workers.Where(w => IsLostNow(w, now)).Select(w => Lost(w, failures)));
        found.AddRange(webhooks.Where(static w => w.Dead > 0).Select(static w => Dead(w)));
        found.AddRange(webhooks.Where(static w => w.DisabledReason is not null).Select(static w => Off(w)));
        return [.. found.OrderByDescending(static f => f.At ?? DateTimeOffset.MaxValue).Take(Most)];
    }

    // A cause that is the work's own strikes everywhere it runs; one worker with most of the failures is a sick worker.
    private static HubFinding? OnOneWorker(IReadOnlyList<WorkerFailure> failures, IReadOnlyList<KnownWorker> workers)
    {
        var own = failures.Where(static f => f.Cause is not "worker-lost").ToArray();
        var all = own.Sum(static f => f.Count);
        if (own.GroupBy(static f => f.Worker).MaxBy(static g => g.Sum(static f => f.Count)) is not { } worst) return null;
        var count = worst.Sum(static f => f.Count);
        var others = workers.Count(w => w.Standing == WorkerStanding.Active && w.Name != worst.Key);
        if (count < Pattern || count * 2 <= all || others == 0 || workers.FirstOrDefault(w => w.Name == worst.Key) is not { Standing: WorkerStanding.Active }) return null;
        var main = worst.MaxBy(static f => f.Count)!;
        var elsewhere = own.Where(f => f.Worker != worst.Key).Select(static f => f.Worker).Distinct().Count();
        return new("failures-on-a-worker", worst.Min(static f => f.FirstAt), count, Text($"{count:N0} of the last {all:N0} failures ran on {worst.Key}, {CauseText(main.Cause, main.ExitCode)}"),
            elsewhere == 0 ? Text($"In the last 15 minutes nothing failed on the other {Number(others, "worker")}.") : Text($"In the last 15 minutes the other {Number(others, "worker")} had {all - count:N0}."),
            WorkerJobs(worst.Key), new("Drain", "POST", $"/hub/v1/workers/{Uri.EscapeDataString(worst.Key)}/drain")) { Worker = worst.Key, Cause = main.Cause, ExitCode = main.ExitCode };
    }

    private static HubFinding Unoffered(QueuedTasks waits, IReadOnlyList<KnownWorker> workers, DateTimeOffset now)
    {
        var tags = string.Join(" and ", waits.Tags);
        var some = workers.Where(w => w.Standing == WorkerStanding.Active && w.Affinity.Any(line => line.Intersect(waits.Tags).Any())).Select(static w => w.Name).Take(3).ToArray();
        var evidence = waits.Tags.Length > 1 && some.Length > 0 ? $"No active worker offers them on one line. {string.Join(", ", some)} {(some.Length == 1 ? "offers" : "offer")} a part of them." : $"No active worker offers {tags}. Give one these tags.";
        return new("no-worker-for-tasks", waits.OldestAt, waits.Tasks,
            Text($"{Number(waits.Tasks, "task")} {(waits.Tasks == 1 ? "waits" : "wait")} for a worker with {tags}") + (waits.OldestAt is { } oldest ? $", the oldest for {Duration(now - oldest)}" : ""), evidence,
            $"/hub/v1/jobs?state=Queued&flat=true&affinity={Uri.EscapeDataString(string.Join(',', waits.Tags))}",
            some.Length == 0 ? null : new("Edit affinity", "PUT", $"/hub/v1/workers/{Uri.EscapeDataString(some[0])}/affinity")) { Affinity = waits.Tags, Worker = some.FirstOrDefault() };
    }

    private static HubFinding Unserved(string reason, QueuedTasks[] waits)
    {
        var tasks = waits.Sum(static w => w.Tasks);
        var why = reason == WaitReasons.NoWorker ? "no worker is connected" : "the workers that could run them are stopped or draining";
        return new(reason, waits.Min(static w => w.OldestAt), tasks, Text($"{Number(tasks, "task")} {(tasks == 1 ? "waits" : "wait")} and {why}"),
            reason == WaitReasons.NoWorker ? "Start one: they run on nothing else." : "Start one of them.", reason == WaitReasons.NoWorker ? "/hub/v1/jobs?state=Queued&flat=true" : "/hub/v1/workers", null);
    }

    private static HubFinding Lost(KnownWorker worker, IReadOnlyList<WorkerFailure> failures)
    {
        var attempts = failures.Where(f => f.Worker == worker.Name && f.Cause == "worker-lost").Sum(static f => f.Count);
        return new("worker-lost", worker.EndedAt, attempts, $"{worker.Name} was lost at {worker.EndedAt!.Value.UtcDateTime.ToString("HH:mm", CultureInfo.InvariantCulture)}",
            attempts == 0 ? "Its lease ran out; in the last 15 minutes it held nothing." : Text($"Its lease ran out; {Number(attempts, "attempt")} went back to the queue to run elsewhere."), $"/hub/v1/workers/{Uri.EscapeDataString(worker.Name)}", null) { Worker = worker.Name };
    }

    private static HubFinding Dead(Webhook webhook) => new("webhook-dead", null, webhook.Dead, Text($"{Number(webhook.Dead, "message")} to {HostOf(webhook.Url)} {(webhook.Dead == 1 ? "was" : "were")} given up"),
        "A day of attempts has failed. They can be sent again when the receiver answers.", $"/hub/v1/webhooks/{webhook.Id:D}/deliveries?state=dead", null) { Webhook = webhook.Id.ToString("D") };

    private static HubFinding Off(Webhook webhook) => new("webhook-off", null, webhook.Pending, $"The webhook to {HostOf(webhook.Url)} was switched off", webhook.DisabledReason!,
        $"/hub/v1/webhooks/{webhook.Id:D}", new("Switch on", "PATCH", $"/hub/v1/webhooks/{webhook.Id:D}")) { Webhook = webhook.Id.ToString("D") };

    private static string WorkerJobs(string worker) => $"/hub/v1/jobs?worker={Uri.EscapeDataString(worker)}&state=Failed&flat=true";

    private static string HostOf(string url) => Uri.TryCreate(url, UriKind.Absolute, out var uri) ? uri.Authority : "its address";

    /// <summary>A cause as a sentence holds it.</summary>
    internal static string CauseText(string cause, int? exitCode) => exitCode is { } code ? Text($"exit code {code}") : cause.Replace('-', ' ');

    private static string Number(long count, string noun) => Text($"{count:N0} {noun}{(count == 1 ? "" : "s")}");

    /// <summary>In two units.</summary>
    internal static string Duration(TimeSpan span) => span switch
    {
        { TotalMinutes: < 1 } => Text($"{Math.Max(0, (int)span.TotalSeconds)} s"), { TotalHours: < 1 } => Text($"{span.Minutes} m {span.Seconds} s"),
        { TotalDays: < 1 } => Text($"{span.Hours} h {span.Minutes} m"), _ => Text($"{(int)span.TotalDays} d {span.Hours} h"),
    };

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
