namespace JobHub.Worker.Executors.Processes;

/// <summary>
/// The end of one attempt. Exact at every attempt and cheap at the usual one, where nothing is left:
/// the groups are asked with one system call each. What left its group (double fork, setsid) is searched among the pids that were given out since the attempt began, in
/// ascending order and up to the newest: a process that forks and ends while we look has put its child ahead of us. For an attempt of under a second that is a handful of
/// kill(pid, 0); for a longer one, whose pids may have wrapped around, one walk over /proc. Programs in a pid namespace need neither, they end with its first process.
/// </summary>
internal sealed class AttemptEnd(AttemptPrograms attempt, Reaper reaper, Func<AttemptPrograms, long> oldestOther, TimeProvider clock)
{
    // 32 768 pids (the smallest pid_max) cannot be used up in this time.
    private const long ShortTicks = 100;
    private const int ShortWindow = 4096;

    private static readonly int Self = Environment.ProcessId;
    private static readonly int OwnSession = Libc.getsid(0);
    private static readonly int PidMax = int.TryParse(File.ReadAllText("/proc/sys/kernel/pid_max"), out var max) ? max : 32768;

    private bool unsure;

    public async Task RunAsync(TimeSpan grace, CancellationToken ct)
    {
        var began = clock.GetTimestamp();
        var asked = new HashSet<int>();
        var pause = TimeSpan.FromMilliseconds(1);
        while (true)
        {
            var groups = attempt.Left();
            var escaped = attempt.CanEscape ? Escaped() : [];
            var polite = clock.GetElapsedTime(began) < grace;
            if (groups.Length == 0 || !polite) await attempt.CloseSandboxesAsync();
            if (groups.Length == 0 && escaped.Count == 0 && !unsure) return;
            foreach (var program in groups)
            {
                if (!polite) program.Signal(Libc.SigKill);
                else if (asked.Add(program.Pid)) program.Signal(Libc.SigTerm);
            }

            foreach (var pid in escaped)
            {
                if (!polite) _ = Libc.kill(pid, Libc.SigKill);
                else if (asked.Add(pid)) _ = Libc.kill(pid, Libc.SigTerm);
            }

            await Task.Delay(pause, clock, ct);
            if (pause < TimeSpan.FromMilliseconds(50)) pause *= 1.5;
        }
    }

    private List<int> Escaped()
    {
        var found = new List<int>();
        unsure = false;
        var isShort = ProcTable.NowTicks() - attempt.StartTicks < ShortTicks;
        var last = ProcTable.LastPid();
        if (!isShort || (last - attempt.FirstPid + PidMax) % PidMax > ShortWindow)
        {
            foreach (var pid in ProcTable.All()) Look(pid, found);
            return found;
        }

        var at = attempt.FirstPid;
        while (at != last)
        {
            at = at + 1 >= PidMax ? 1 : at + 1;
            if (ProcTable.Exists(at)) Look(at, found);
            if (at == last) last = ProcTable.LastPid();
        }

        return found;
    }

    private void Look(int pid, List<int> found)
    {
        if (pid == Self || reaper.Knows(pid) || ProcTable.Read(pid) is not { } entry || entry.StartTicks < attempt.StartTicks) return;
        if (entry.State is 'Z' or 'X')
        {
            reaper.ReapOrphan(entry);
            return;
        }

        if (ProcTable.HasMark(pid, attempt.Mark)) found.Add(pid);
        else if (entry.Parent == Self && entry.Session != OwnSession && (StandsInFolder(pid) || entry.StartTicks < oldestOther(attempt)))
        {
            // An orphan that threw its environment away has no owner by name; it is this attempt's when it stands in its folder, or when no other can have begun it. A child
            // that is being started right now looks the same until it is known.
            if (reaper.Starting) unsure = true;
            else if (!reaper.Knows(pid)) found.Add(pid);
        }
    }

    // Names of scratch folders hold no blank and none begins another's: what follows is the end, a folder in it, or the word for a removed one.
    private bool StandsInFolder(int pid) => attempt.Folder is { } folder && ProcTable.FolderOf(pid) is { } at && at.StartsWith(folder, StringComparison.Ordinal)
        && (at.Length == folder.Length || at[folder.Length] is '/' or ' ');
}
