using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace JobHub.Worker.Executors.Processes;

/// <summary>A program started by <see cref="Launcher"/>: a direct child, leader of its own session and process group.</summary>
internal sealed class LaunchedProgram(int pid, SafeFileHandle? stdin, SafeFileHandle? stdout, SafeFileHandle? stderr, AttemptPrograms? attempt, bool entered, TimeProvider clock)
    : RunningProgram
{
    private readonly TaskCompletionSource<ProgramExit> exit = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public override int Pid => pid;
    public override SafeFileHandle? Stdin => stdin;
    public override SafeFileHandle Stdout => stdout ?? throw new InvalidOperationException("This program has no pipe.");
    public override SafeFileHandle? Stderr => stderr;
    public override Task<ProgramExit> Exit => exit.Task;

    /// <summary>The child is a program that entered the sandbox and waits there for the real one, its own child (a plain user cannot enter a user namespace from a thread).</summary>
    public bool Entered => entered;

    /// <summary>Whether the program or a member of its group is left.</summary>
    public bool Alive => !exit.Task.IsCompleted || GroupLeft;

    /// <summary>The program has ended and its group has not: the group keeps the number, so it cannot be another's.</summary>
    public bool GroupLeft { get; private set; }

    /// <summary>Looks again whether the group is left; cheap (one system call), and never asked again once it was empty, for then the number may belong to somebody else.</summary>
    public bool LookAgain()
    {
        if (GroupLeft && !ProcTable.GroupExists(pid)) GroupLeft = false;
        return Alive;
    }

    public void Signal(int signal)
    {
        if (!Alive) return;
        // A polite signal is for the program. The entering program would die of it at once and hide how the real one ends.
        if (entered && signal != Libc.SigKill && !exit.Task.IsCompleted)
        {
            foreach (var member in ProcTable.All())
            {
                if (member != pid && ProcTable.Read(member) is { } found && found.Group == pid) _ = Libc.kill(member, signal);
            }

            return;
        }

        _ = Libc.kill(-pid, signal);
    }

    public override async Task StopAsync(TimeSpan grace)
    {
        Signal(Libc.SigTerm);
        try
        {
            await Exit.WaitAsync(grace, clock);
        }
        catch (TimeoutException)
        {
            // What a group's leader leaves behind at a polite end is EndAllAsync's; here the grace is over.
        }

        Signal(Libc.SigKill);
        await Exit;
    }

    public override void Dispose()
    {
        stdin?.Dispose();
        stdout?.Dispose();
        stderr?.Dispose();
    }

    /// <summary>Called once by the reaper.</summary>
    public void Ended(int status, Libc.Usage usage)
    {
        // The zombie is gone, so whoever answers now is a survivor.
        GroupLeft = ProcTable.GroupExists(pid);
        var signal = status & 0x7f;
        int? code = signal == 0 ? (status >> 8) & 0xff : null;
        var cpu = usage.UserSeconds + usage.SystemSeconds + (usage.UserMicros + usage.SystemMicros) / 1e6;
        // A child starts in our memory until exec, and the kernel counts that as its peak: a number up to our own peak says nothing.
        var rss = usage.MaxRssKib << 10;
        _ = Libc.getrusage(0, out var own);
        var outOfMemory = attempt?.IsOutOfMemory(signal != 0 || code is not 0) == true;
        var peak = Math.Max(rss > own.MaxRssKib << 10 ? rss : 0, attempt?.SampledPeak ?? 0);
        exit.TrySetResult(new ProgramExit(code, signal == 0 ? null : signal, outOfMemory, cpu, peak));
        attempt?.Ended(this);
    }

    internal static SafeFileHandle Own(int fd) => new(fd, ownsHandle: true);

    internal static string Describe(int error) => Marshal.GetPInvokeErrorMessage(error);
}
