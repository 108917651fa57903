using System.Text;

namespace JobHub.Worker.Executors.Processes;

/// <summary>What a dead worker left running.</summary>
internal static class Orphans
{
    public static void Kill(Guid worker)
    {
        var mark = Encoding.ASCII.GetBytes($"{Launcher.WorkerVariable}={worker}");
        // A process that forks while we walk is found in the next walk; the bound is for one that cannot be killed.
        for (var walk = 0; walk < 100; walk++)
        {
            var found = false;
            foreach (var pid in ProcTable.All())
            {
                if (ProcTable.HasMark(pid, mark)) found |= Libc.kill(pid, Libc.SigKill) == 0;
            }

            if (!found) return;
        }
    }
}
