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
        var maps = new List<(Success Result, PendingOutput Pending)>();
        var withFiles = new List<Success>();
        var failed = new List<Ending>();
        var seen = new HashSet<Guid>(results.Count);
        foreach (var r in results)
        {
            // A token twice in one batch is one report.
            if (!seen.Add(r.Token)) continue;
            if (r.Outcome != AttemptOutcome.Succeeded)
            {
                failed.Add(new(r.TaskId, r.Token, r.Outcome, r.Error, r.ExitCode, r.Signal, r.CpuSeconds, r.PeakMemoryBytes, r.Log, r.LostRun, Reported: true, r.Files));
                continue;
            }

            var success = new Success(r.TaskId, r.Token, r.ExitCode, (float)r.CpuSeconds, r.PeakMemoryBytes, r.Log?.Inline, r.Log?.Key, r.Log?.Size ?? 0,
                r.Log?.Gaps is { Length: > 0 } gaps ? JsonSerializer.Serialize(gaps, EngineJson.Default.LogGapArray) : null,
                r.Counters is { Count: > 0 } counters ? JsonSerializer.Serialize(counters, EngineJson.Default.DictionaryStringInt64) : null, r.PartitionOffsets);
            if (r.Files > 0) withFiles.Add(success);
            else if (r.Output is null) plain.Add(success);
            else if (r.PartitionOffsets is not null) maps.Add((success, r.Output));
            else promoting.Add((success, r.Output));
        }

        var published = await commits.PublishAsync([.. maps.Select(m => (m.Result.TaskId, m.Result.Token, m.Pending))], ct);
        plain.AddRange(maps.Where(m => published.Contains(m.Result.Token)).Select(m => m.Result));
        // The bytes are gone (the store's own clean-up, a wiped folder): the map runs again. A token that holds nothing is answered below.
        failed.AddRange(maps.Where(m => !published.Contains(m.Result.Token)).Select(m => new Ending(m.Result.TaskId, m.Result.Token, AttemptOutcome.OutputLost,
            new("output-lost", "The map's output was not in the store when it was reported."), m.Result.ExitCode, null, m.Result.CpuSeconds, m.Result.PeakMemory, null, null, Reported: true)));
        var answers = await queue.SucceedAsync(plain, ct);
        // One transaction each: attempts that leave files of the same names would otherwise wait for each other crosswise.
        foreach (var success in withFiles)
        {
            foreach (var (token, won) in await queue.SucceedWithFilesAsync(success, ct)) answers[token] = won;
        }

        foreach (var (token, won) in await commits.CommitAsync(promoting, ct)) answers[token] = won;
        foreach (var together in failed.Where(e => e.Files > 0).Select(e => new[] { e }).Append([.. failed.Where(e => e.Files == 0)]))
        {
            foreach (var token in await endings.EndAsync(together, ct)) answers[token] = true;
        }

        // A success of an attempt whose task begins again does not count: it is ended, and the task given back. Of the others no such token holds anything.
        var restarted = plain.Concat(withFiles).Where(s => !answers.ContainsKey(s.Token))
            .Select(s => new Ending(s.TaskId, s.Token, AttemptOutcome.Interrupted, null, s.ExitCode, null, s.CpuSeconds, s.PeakMemory,
                new(s.LogInline, s.LogKey, s.LogSize, null), null, Reported: true)).ToArray();
        foreach (var token in await endings.EndAsync(restarted, ct)) answers[token] = false;
        if (plain.Count + withFiles.Count > 0) wakeups.Upkeep();

        var unknown = results.Where(r => !answers.ContainsKey(r.Token)).Select(r => (r.TaskId, r.Token)).ToArray();
        var before = unknown.Length == 0 ? [] : await queue.ReportedBeforeAsync(unknown, ct);
        CompletionAnswer[] said = [.. results.Select(Answer)];
        // A worker that froze and came back wrote after the bytes of its lost attempts had been discarded. What it reports too late is discarded once more.
        var late = results.Where((r, i) => r.Output is not null && said[i] == CompletionAnswer.Lost && !answers.ContainsKey(r.Token)).Select(r => (r.TaskId, r.Token)).ToArray();
        if (late.Length > 0) await endings.DiscardAgainAsync(late, ct);
        return said;

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
