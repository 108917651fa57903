using System.Globalization;

namespace JobHub.Worker.Executors.Processes;

/// <summary>The control group of one attempt: a folder, or with version 1 one for each controller.</summary>
internal sealed class AttemptCgroup(IReadOnlyList<string> folders, int version)
{
    private const int Walks = 200;
    private int removed;

    /// <summary>Moves a program into it that has not begun yet; what it starts is in it too. False when the kernel refused.</summary>
    public bool Add(int pid)
    {
        try
        {
            foreach (var folder in folders) Cgroups.Write(folder, "cgroup.procs", pid);
            return true;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    /// <summary>The kernel has ended a process of it for want of memory.</summary>
    public bool KilledForMemory
    {
        get
        {
            try
            {
                // Both are lines of a word and a number.
                foreach (var line in File.ReadLines(Path.Combine(folders[0], version == 2 ? "memory.events" : "memory.oom_control")))
                {
                    if (line.StartsWith("oom_kill ", StringComparison.Ordinal)) return long.Parse(line.AsSpan(9), NumberStyles.None, CultureInfo.InvariantCulture) > 0;
                }
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                // Removed meanwhile.
            }

            return false;
        }
    }

    /// <summary>Ends what is left in it and removes it. What cannot be removed now is a leftover for the next start.</summary>
    public async Task RemoveAsync(TimeProvider clock, CancellationToken ct)
    {
        if (Interlocked.Exchange(ref removed, 1) != 0) return;
        foreach (var folder in folders)
        {
            for (var walk = 0; walk < Walks && Libc.rmdir(folder) != 0 && Directory.Exists(folder); walk++)
            {
                KillAll(folder);
                await Task.Delay(TimeSpan.FromMilliseconds(walk < 20 ? 1 : 20), clock, ct);
            }
        }
    }

    internal static void KillAll(string folder)
    {
        try
        {
            foreach (var line in File.ReadLines(Path.Combine(folder, "cgroup.procs")))
            {
                if (int.TryParse(line, NumberStyles.None, CultureInfo.InvariantCulture, out var pid) && pid > 0) _ = Libc.kill(pid, Libc.SigKill);
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // Gone.
        }
    }
}
