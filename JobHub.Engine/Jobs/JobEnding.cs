using System.Globalization;
using JobHub.Engine.Attempts;

namespace JobHub.Engine.Jobs;

/// <summary>How an ended job reads outside, in the words of the command family: answers of its routes and messages about ended jobs use this and nothing else.</summary>
/// <param name="Type">Null when it succeeded; else one of the constants below.</param>
/// <param name="Message">A sentence for the caller; null when it succeeded.</param>
/// <param name="ExitCode">Absent when a signal ended the program, or none ran.</param>
/// <param name="Signal">The number of the signal that ended the program.</param>
public sealed record JobEnding(string? Type, string? Message, int? ExitCode, int? Signal)
{
    public const string OfExitCode = "exit-code";
    public const string OfSignal = "signal";
    public const string OfTimeout = "timeout";
    public const string Cancelled = "cancelled";
    public const string WorkerLost = "worker-lost";
    public const string OutOfMemory = "out-of-memory";
    public const string StartFailed = "start-failed";

    /// <summary>The ending of a job in a final state.</summary>
    /// <param name="error">Why it failed, as the job keeps it.</param>
    /// <param name="last">The last attempt of the task that decided: of the one that failed, or of a command's only task. Null when none ran.</param>
    public static JobEnding Of(JobState state, JobError? error, AttemptView? last)
    {
        var signal = last?.Signal;
        // A shell that a signal ended has no code, whatever the worker wrote beside it.
        var code = signal is null ? last?.ExitCode : null;
        if (state == JobState.Succeeded) return new(null, null, code, null);
        if (state == JobState.Canceled) return new(Cancelled, "The job was cancelled.", code, signal);
        var said = error?.Message ?? last?.Error?.Message;
        var cause = error?.Type ?? last?.Error?.Type;
        // The hub's own verdict stands above what the worker reported: a program that was stopped for its time may have answered the signal with an exit code.
        return last?.Outcome switch
        {
            AttemptOutcome.TimedOut => new(OfTimeout, said ?? "The job ran longer than it may.", code, signal),
            // A shell may outlive the program that was killed, and end well.
            AttemptOutcome.OutOfMemory => new(OutOfMemory, said ?? "The job used more memory than it may.", code is 0 ? null : code, signal),
            AttemptOutcome.Lost or AttemptOutcome.Interrupted => new(WorkerLost, said ?? "The worker that ran it went away.", null, null),
            _ => OfCause(cause, said, code, signal),
        };
    }

    private static JobEnding OfCause(string? cause, string? said, int? code, int? signal) => cause switch
    {
        OfTimeout or OutOfMemory or WorkerLost or StartFailed => new(cause, said ?? "The job failed.", code, signal),
        _ when signal is { } number => new(OfSignal, said ?? Text($"The program was ended by signal {number}."), null, number),
        _ when code is { } exit and not 0 => new(OfExitCode, said ?? Text($"The program ended with exit code {exit}."), exit, null),
        // The program did its part and the worker could not keep what it made.
        _ when code is 0 => new(WorkerLost, Why(cause, said), 0, null),
        _ => new(StartFailed, Why(cause, said), null, null),
    };

    // Causes that only the hub's own API tells apart (disk-full, store-unavailable, ...) stand in the message.
    private static string Why(string? cause, string? said) => (cause, said) switch
    {
        (null, null) => "The job failed.",
        (null, _) => said,
        (_, null) => cause,
        _ => $"{said} ({cause})",
    };

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
