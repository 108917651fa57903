using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Text;
using JobHub.Testing;

namespace JobHub.Faults.Tests.Ledger;

/// <summary>What a program said of itself.</summary>
/// <param name="At">When the line arrived (<see cref="TimeProvider.GetTimestamp"/>).</param>
/// <param name="Word">start, beat or commit; commit is the last thing a program does.</param>
public sealed record LedgerLine(long At, string Word, string Task, int Attempt, Guid Token);

/// <summary>
/// The programs' own account of what ran, which no part of the hub writes or can lose. Programs see a read-only file system; a named pipe may be
/// written even there, and what arrives has a single reader and so a single order. Lines are shorter than a pipe's atomic write.
/// </summary>
public sealed class ProgramLedger : IDisposable
{
    /// <summary>Shell function for programs: <c>say start</c>.</summary>
    public const string Say = """
        say() { echo "$1 $JOBHUB_TASK_ID $JOBHUB_ATTEMPT_NUMBER $JOBHUB_ATTEMPT" > "$LEDGER"; }

        """;

    private readonly ConcurrentQueue<LedgerLine> lines = new();
    private readonly FileStream pipe;
    private readonly Thread reader;
    private readonly string folder;

    public ProgramLedger()
    {
        // Not below /tmp: programs have one of their own.
        folder = Path.Combine("/var/tmp", $"jobhub-ledger-{Guid.NewGuid():N}");
        Directory.CreateDirectory(folder, (UnixFileMode)0b111_001_001);
        File.SetUnixFileMode(folder, (UnixFileMode)0b111_001_001);
        Pipe = Path.Combine(folder, "ledger");
        using (var mkfifo = Process.Start("mkfifo", ["-m", "666", Pipe])) mkfifo.WaitForExit();
        File.SetUnixFileMode(Pipe, (UnixFileMode)0b110_110_110);
        // For writing too: the pipe never ends while we live, and no program waits for a reader.
        pipe = new FileStream(Pipe, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite, 1);
        reader = new Thread(Read) { IsBackground = true, Name = "program ledger" };
        reader.Start();
    }

    /// <summary>The pipe's path: the environment variable LEDGER of jobs.</summary>
    public string Pipe { get; }

    public IReadOnlyList<LedgerLine> Lines => [.. lines];

    /// <summary>Tokens that have started and not said that they are done, of the last attempt of each task.</summary>
    public IReadOnlyList<LedgerLine> Open(string? job = null)
    {
        var open = new Dictionary<string, LedgerLine>();
        foreach (var line in lines)
        {
            if (job is not null && !line.Task.StartsWith(job, StringComparison.Ordinal)) continue;
            if (line.Word == "start") open[line.Task] = line;
            else if (line.Word == "commit" && open.TryGetValue(line.Task, out var started) && started.Token == line.Token) open.Remove(line.Task);
        }

        return [.. open.Values];
    }

    public Task WaitAsync(Func<LedgerLine, bool> which, string what) => Eventually.TrueAsync(() => lines.Any(which), what);

    public void Dispose()
    {
        pipe.Write("end\n"u8);
        reader.Join();
        pipe.Dispose();
        Directory.Delete(folder, recursive: true);
    }

    private void Read()
    {
        using var text = new StreamReader(pipe, Encoding.UTF8, false, 4096, leaveOpen: true);
        while (text.ReadLine() is { } line && line != "end")
        {
            var words = line.Split(' ');
            if (words.Length == 4 && int.TryParse(words[2], NumberStyles.None, CultureInfo.InvariantCulture, out var attempt) && Guid.TryParse(words[3], out var token))
                lines.Enqueue(new LedgerLine(TimeProvider.System.GetTimestamp(), words[0], words[1], attempt, token));
        }
    }
}
