using System.Globalization;

namespace JobHub.Worker.Executors.Processes;

/// <summary>
/// Kills attempts that use more memory than they may. One walk over the process table per sample serves all of them; it runs only while an attempt has a limit.
/// The sum of resident sizes counts shared pages once a process, so it only raises the suspicion, and the proportional sizes (slow to read) decide.
/// </summary>
internal sealed class MemoryWatch(Func<IEnumerable<AttemptPrograms>> attempts, TimeSpan interval, TimeProvider clock) : IDisposable
{
    private static readonly int Self = Environment.ProcessId;

    private readonly Lock gate = new();
    private readonly CancellationTokenSource stop = new();
    private bool runs;

    /// <summary>An attempt with a limit has begun.</summary>
    public void Wake()
    {
        lock (gate)
        {
            if (runs || stop.IsCancellationRequested) return;
            runs = true;
            _ = Task.Run(RunAsync);
        }
    }

    public void Dispose()
    {
        stop.Cancel();
        stop.Dispose();
    }

    private async Task RunAsync()
    {
        var token = stop.Token;
        try
        {
            while (true)
            {
                AttemptPrograms[] limited;
                lock (gate)
                {
                    limited = [.. attempts().Where(attempt => attempt.MemoryLimitBytes > 0)];
                    runs = limited.Length > 0;
                    if (!runs) return;
                }

                await Task.Delay(Sample(limited) ? interval / 10 : interval, clock, token);
            }
        }
        catch (OperationCanceledException)
        {
            // The launcher is disposed.
        }
    }

    /// <summary>True when one has used more than half of what it may: then a quick one must not get far beyond.</summary>
    private static bool Sample(AttemptPrograms[] limited)
    {
        var owners = new Dictionary<int, AttemptPrograms>();
        foreach (var attempt in limited)
        {
            foreach (var pid in attempt.Roots()) owners[pid] = attempt;
        }

        if (owners.Count == 0) return false;
        var table = new Dictionary<int, ProcEntry>();
        foreach (var pid in ProcTable.All())
        {
            if (ProcTable.Read(pid) is { } entry) table[pid] = entry;
        }

        var members = limited.ToDictionary(attempt => attempt, _ => new List<ProcEntry>());
        foreach (var entry in table.Values)
        {
            if (entry.RssBytes > 0 && OwnerOf(entry, table, owners, limited) is { } owner) members[owner].Add(entry);
        }

        var close = false;
        foreach (var (attempt, processes) in members)
        {
            var used = processes.Sum(process => process.RssBytes);
            if (used > attempt.MemoryLimitBytes && processes.Count > 1) used = processes.Sum(process => Proportional(process));
            attempt.SampledPeak = Math.Max(attempt.SampledPeak, used);
            close |= used > attempt.MemoryLimitBytes / 2;
            // What the kernel has begun by ending one process is carried through, as it does itself where it can.
            if (used <= attempt.MemoryLimitBytes && attempt.Cgroup is not { KilledForMemory: true }) continue;
            attempt.OverLimit = true;
            foreach (var program in attempt.Left()) program.Signal(Libc.SigKill);
            foreach (var process in processes) _ = Libc.kill(process.Pid, Libc.SigKill);
        }

        return close;
    }

    private static AttemptPrograms? OwnerOf(ProcEntry entry, Dictionary<int, ProcEntry> table, Dictionary<int, AttemptPrograms> owners, AttemptPrograms[] limited)
    {
        // Up the parents; the depth is bounded because the table was not read at one instant.
        var at = entry;
        for (var depth = 0; depth < 64; depth++)
        {
            if (owners.TryGetValue(at.Pid, out var owner) || owners.TryGetValue(at.Session, out owner)) return owner;
            if (at.Parent == Self && at.Pid == entry.Pid && limited.FirstOrDefault(attempt => attempt.CanEscape && ProcTable.HasMark(entry.Pid, attempt.Mark)) is { } marked) return marked;
            if (at.Parent == Self || !table.TryGetValue(at.Parent, out at)) return null;
        }

        return null;
    }

    private static long Proportional(ProcEntry entry)
    {
        try
        {
            foreach (var line in File.ReadLines($"/proc/{entry.Pid}/smaps_rollup"))
            {
                if (line.StartsWith("Pss:", StringComparison.Ordinal)) return long.Parse(line.AsSpan(4).TrimEnd("kB ").Trim(), NumberStyles.None, CultureInfo.InvariantCulture) << 10;
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // Gone meanwhile, or this kernel does not tell: the resident size stands.
        }

        return entry.RssBytes;
    }
}
