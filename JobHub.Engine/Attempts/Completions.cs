using System.Diagnostics.Metrics;
using System.Text.Json;
using JobHub.Engine.Protocol;
using JobHub.Engine.Tasks;
using JobHub.Engine.Upkeep;
using Microsoft.Extensions.Logging;

namespace JobHub.Engine.Attempts;

/// <summary>Takes what workers report, in batches, and answers each token Accepted, AlreadyAccepted or Lost.</summary>
public sealed class Completions(TaskQueue queue, OutputCommits commits, AttemptEndings endings, Wakeups wakeups, EngineMeter meter, ILogger<Completions> logger)
{
    /// <summary>One answer a result, in the same order.</summary>
    public async Task<CompletionAnswer[]> CompleteAsync(long session, IReadOnlyList<AttemptResult> results, CancellationToken ct)
    {
        var plain = new List<Success>(results.Count);
        var promoting = new List<(Success, PendingOutput)>();
        var failed = new List<Ending>();
        var seen = new HashSet<Guid>(results.Count);
        foreach (var r in results)
        {
            // A token twice in one batch is one report.
            if (!seen.Add(r.Token)) continue;
            if (r.Outcome != AttemptOutcome.Succeeded)
            {
                failed.Add(new(r.TaskId, r.Token, r.Outcome, r.Error, r.ExitCode, r.Signal, r.CpuSeconds, r.PeakMemoryBytes, r.Log, r.LostRun, Reported: true));
                continue;
            }

            var success = new Success(r.TaskId, r.Token, r.ExitCode, (float)r.CpuSeconds, r.PeakMemoryBytes, r.Log?.Inline, r.Log?.Key, r.Log?.Size ?? 0,
                r.Log?.Gaps is { Length: > 0 } gaps ? JsonSerializer.Serialize(gaps, EngineJson.Default.LogGapArray) : null,
                r.Counters is { Count: > 0 } counters ? JsonSerializer.Serialize(counters, EngineJson.Default.DictionaryStringInt64) : null, r.PartitionOffsets);
            // A map's object is written under its attempt's own name: nothing to promote.
            if (r.Output is null || r.PartitionOffsets is not null) plain.Add(success);
            else promoting.Add((success, r.Output));
        }

        var answers = await queue.SucceedAsync(plain, ct);
        foreach (var (token, won) in await commits.CommitAsync(promoting, ct)) answers[token] = won;
        foreach (var token in await endings.EndAsync(failed, ct)) answers[token] = true;
        if (plain.Count > 0) wakeups.Upkeep();

        var unknown = results.Where(r => !answers.ContainsKey(r.Token)).Select(r => (r.TaskId, r.Token)).ToArray();
        var before = unknown.Length == 0 ? [] : await queue.ReportedBeforeAsync(unknown, ct);
        return [.. results.Select(Answer)];

        CompletionAnswer Answer(AttemptResult result)
        {
            if (answers.TryGetValue(result.Token, out var accepted))
            {
                meter.Ended(result.Outcome, accepted);
                return accepted ? CompletionAnswer.Accepted : CompletionAnswer.Lost;
            }

            // Kept as it was reported: our answer was lost. Kept otherwise (beaten by another attempt): it lost then and loses now.
            if (before.TryGetValue(result.Token, out var kept) && (kept == AttemptOutcome.Succeeded || result.Outcome != AttemptOutcome.Succeeded))
                return CompletionAnswer.AlreadyAccepted;
            meter.Fenced();
            EngineLog.ResultFenced(logger, result.TaskId, result.Token, session);
            return CompletionAnswer.Lost;
        }
    }
}
