namespace JobHub.Worker.Runtime;

/// <summary>Stable causes the runner itself reports; bodies add their own.</summary>
public static class ErrorTypes
{
    public const string ExitCode = "exit-code";
    public const string Signal = "signal";
    public const string Timeout = "timeout";
    public const string Canceled = "canceled";
    public const string Superseded = "superseded";
    public const string Interrupted = "worker-stopping";
    public const string Paused = "paused";
    public const string Restarted = "restarted";
    public const string OutOfMemory = "out-of-memory";
    public const string StartFailed = "start-failed";
    public const string StoreUnavailable = "store-unavailable";
    public const string StoreRefused = "store-refused";
    public const string InputMissing = "input-missing";
    public const string InvalidInput = "invalid-input";
    public const string InputChanged = "input-changed";
    public const string ProgramMissing = "program-missing";
    public const string ProgramDamaged = "program-damaged";
    public const string DiskFull = "disk-full";
    public const string DiskFault = "disk-fault";
    public const string Unsupported = "unsupported";
    public const string Internal = "internal";
}
