using JobHub.Web.Client;
using JobHub.Web.Components.Shared;

namespace JobHub.Web.Components.Pages.Overview;

/// <summary>The hub's words for causes and reasons as the overview shows them.</summary>
internal static class OverviewWords
{
    /// <summary>A cause as a row with its mark; what there is no mark for looks as failed.</summary>
    public static CountBars.Row Row(FailureCause cause, string href)
    {
        var (word, mark, family) = cause.Cause switch
        {
            "exit-code" => (cause.ExitCode is { } code ? $"Exit code {code}" : "Exit code", "failed", "bad"), "signal" => ("Ended by a signal", "failed", "bad"), "timeout" => ("Timed out", "timedout", "bad"),
            "out-of-memory" => ("Out of memory", "outofmemory", "bad"), "worker-lost" => ("Worker lost", "lost", "lost"), "output-lost" => ("Output lost", "outputlost", "lost"), "failed" => ("No cause told", "failed", "bad"),
            _ => (Sentence(cause.Cause), "failed", "bad"),
        };
        return new(word, cause.Count, href, family, mark, cause.Cause);
    }

    public static string Reason(WaitReason reason) => reason.Reason switch
    {
        "all-slots-busy" => "All fitting slots are taken", "dependencies" => "Dependencies not finished", "paused" => "Paused", "backoff" => "Backoff before a retry", "about-to-start" => "About to start",
        "no-worker" => "No worker is connected", "workers-stopped" => "Fitting workers are stopped", "no-worker-with-affinity" => reason.Affinity is { } tags ? $"No worker with {Shown.Name(string.Join(", ", tags))}" : "No worker with the affinity",
        "not-enough-free-memory" => "Not enough free memory", "not-enough-free-cpus" => "Not enough free cores", "not-enough-free-gpus" => "Not enough free GPUs", _ => Sentence(reason.Reason),
    };

    /// <summary>Only reasons that a person must act on stand out.</summary>
    public static string FamilyOf(WaitReason reason) => reason.Reason.StartsWith("no-", StringComparison.Ordinal) || reason.Reason is "workers-stopped" ? "hold" : "rest";

    /// <summary>A cause or reason that has no words of its own: its dashes are blanks.</summary>
    private static string Sentence(string word)
    {
        var text = Shown.Name(word).Replace('-', ' ');
        return text.Length == 0 ? text : char.ToUpperInvariant(text[0]) + text[1..];
    }
}
