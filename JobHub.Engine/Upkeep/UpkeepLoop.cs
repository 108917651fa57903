using JobHub.Engine.Attempts;
using JobHub.Engine.Events;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace JobHub.Engine.Upkeep;

/// <summary>
/// What every Api does beside answering: fold, step, sweep, redo of commits, clean-up. Idempotent, without a leader: every row is taken with SKIP LOCKED or under a
/// transaction's lock. Woken by what happens, and twice a second in any case.
/// </summary>
public sealed class UpkeepLoop(LedgerFolder folder, JobSteps steps, Sweeper sweeper, OutputCommits commits, Cleaner cleaner, Speculation speculation, Trees.TreeChanges trees, JobChangeSteps changes, Jobs.BulkRunner bulk, Projects.ProjectRemoval projects, Jobs.JobUpkeep lists,
    Statistics.LedgerStatistics statistics, Statistics.QueueStatistics queue, Wakeups wakeups,
    EngineMeter meter, TimeProvider clock, ILogger<UpkeepLoop> logger) : BackgroundService
{
    private static readonly TimeSpan Beat = TimeSpan.FromMilliseconds(500);

    /// <inheritdoc />
    protected override Task ExecuteAsync(CancellationToken stoppingToken) => Task.WhenAll(
        // Folding and stepping follow the work closely; a store that hangs must not keep leases from being swept, so each has a loop of its own.
        RunAsync("fold", () => wakeups.NextUpkeep, Beat, FoldAsync, stoppingToken),
        RunAsync("step", () => wakeups.NextSteps, Beat, steps.StepAsync, stoppingToken),
        RunAsync("trees", () => wakeups.NextTrees, Beat, trees.StepAsync, stoppingToken),
        RunAsync("changes", () => wakeups.NextChanges, Beat, changes.StepAsync, stoppingToken),
        RunAsync("bulk", () => wakeups.NextChanges, Beat, bulk.StepAsync, stoppingToken),
        RunAsync("sweep", null, Beat, sweeper.SweepAsync, stoppingToken),
        RunAsync("settle", null, Beat, speculation.SettleAsync, stoppingToken),
        RunAsync("speculate", null, 2 * Beat, speculation.SpeculateAsync, stoppingToken),
        RunAsync("commit", null, 2 * Beat, commits.RedoAsync, stoppingToken),
        RunAsync("clean", null, Beat, cleaner.CleanAsync, stoppingToken),
        RunAsync("projects", null, 2 * Beat, projects.RemoveAsync, stoppingToken),
        RunAsync("counts", null, 2 * Beat, lists.AddCountsAsync, stoppingToken),
        RunAsync("words", null, 2 * Beat, lists.MakeWordsAsync, stoppingToken),
        RunAsync("statistics", null, Beat, statistics.RollUpAsync, stoppingToken),
        RunAsync("queue", null, 2 * Beat, queue.SampleAsync, stoppingToken),
        RunAsync("leftovers", null, 120 * Beat, cleaner.RemoveLeftoversAsync, stoppingToken),
        RunAsync("timeout", null, 10 * Beat, sweeper.TimeOutAsync, stoppingToken));

    private async Task FoldAsync(CancellationToken ct)
    {
        if (await folder.FoldAsync(ct)) wakeups.Steps();
    }

    private async Task RunAsync(string step, Func<Task>? woken, TimeSpan beat, Func<CancellationToken, Task> work, CancellationToken ct)
    {
        var failed = false;
        while (!ct.IsCancellationRequested)
        {
            var next = woken?.Invoke();
            try
            {
                await work(ct);
                failed = false;
            }
            catch (OperationCanceledException) when (ct.IsCancellationRequested)
            {
                return;
            }
            catch (Exception fault)
            {
                // A database or store in trouble must not end the loop; a fault that stays is logged once.
                meter.UpkeepFault(step);
                if (!failed) EngineLog.UpkeepFailed(logger, step, fault);
                failed = true;
                next = null;
            }

            var pause = Task.Delay(beat, clock, ct);
            await (next is null ? pause : Task.WhenAny(next, pause)).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }
}
