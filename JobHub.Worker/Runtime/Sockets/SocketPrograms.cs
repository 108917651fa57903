using JobHub.Engine.Attempts;
using JobHub.Worker.Executors.Processes;
using JobHub.Worker.Runtime.Streaming;

namespace JobHub.Worker.Runtime.Sockets;

/// <summary>What map and reduce attempts of socket programs share.</summary>
internal sealed class SocketPrograms
{
    private readonly Lock _gate = new();
    private readonly AttemptContext _context;
    private double _cpuSeconds;
    private long _peakMemory;
    private long _started;

    private SocketPrograms(AttemptContext context, string program, string workingFolder)
    {
        _context = context;
        (Program, WorkingFolder) = (program, workingFolder);
        Environment = StreamingEnvironment.Of(context);
    }

    public string Program { get; }

    public string WorkingFolder { get; }

    public IReadOnlyDictionary<string, string> Environment { get; }

    /// <summary>Programs run one after another or side by side: their CPU time adds up, their peak is that of the greatest.</summary>
    public ProgramExit Total => new(0, null, false, _cpuSeconds, _peakMemory);

    public static async Task<SocketPrograms> PrepareAsync(AttemptContext context, Engine.Protocol.ProgramSpec program, CancellationToken ct)
    {
        if (context.Launcher.Isolation == IsolationLevel.Plain)
        {
            throw new AttemptFailedException(
                AttemptOutcome.Failed, "no-private-tmp", "This worker cannot give programs a /tmp of their own (bubblewrap or unshare is needed), and programs of type executable meet in /tmp.");
        }

        var path = await context.Store.ProgramAsync(program, ct);
        var folder = Path.Combine(context.ScratchFolder, "work");
        Directory.CreateDirectory(folder);
        File.SetUnixFileMode(folder, (UnixFileMode)0x1ff);
        return new(context, path, folder);
    }

    /// <summary>Counts a program's end and throws when it was not a good one.</summary>
    /// <param name="subject">Which one, for the message: "Line 3".</param>
    public void Judge(ProgramExit exit, string subject)
    {
        lock (_gate)
        {
            _started++;
            _cpuSeconds += exit.CpuSeconds;
            _peakMemory = Math.Max(_peakMemory, exit.PeakMemoryBytes);
        }

        if (exit.OutOfMemory)
        {
            throw new AttemptFailedException(AttemptOutcome.OutOfMemory, "out-of-memory", $"{subject}: the program used more than its memory limit.") { Exit = exit };
        }

        if (exit.Signal is { } signal)
        {
            throw new AttemptFailedException(AttemptOutcome.Failed, "signal", $"{subject}: signal {signal} ended the program.") { Exit = exit };
        }

        if (exit.Code != 0)
        {
            throw new AttemptFailedException(AttemptOutcome.Failed, "exit-code", $"{subject}: the program exited with {exit.Code}.") { Exit = exit };
        }
    }

    public void CountStarted() => _context.Count("programs_started", _started);

    public static AttemptFailedException Failure(string type, string message) => new(AttemptOutcome.Failed, type, message);
}
