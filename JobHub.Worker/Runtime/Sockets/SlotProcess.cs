using JobHub.Engine.Attempts;
using JobHub.Worker.Executors.Processes;
using Microsoft.Win32.SafeHandles;

namespace JobHub.Worker.Runtime.Sockets;

/// <summary>A program running in a slot: its end and its output as entries of the slot's poll. Disposing stops it when it has not ended.</summary>
internal sealed class SlotProcess : IDisposable
{
    /// <summary>Poll entries taken by <see cref="Watch"/>: stop, end, output.</summary>
    public const int Entries = 3;

    private readonly ProgramSlot _slot;
    private readonly RunningProgram _program;
    private readonly Task _notice;
    private bool _outputOpen = true;

    public SlotProcess(ProgramSlot slot, ProgramStart start)
    {
        _slot = slot;
        Posix.Drain(slot.Exited);
        try
        {
            _program = slot.Context.Launcher.Start(start);
        }
        catch (ProgramStartException refused)
        {
            throw new AttemptFailedException(AttemptOutcome.Failed, "start-failed", refused.Message);
        }

        _notice = _program.Exit.ContinueWith(
            static (_, exited) => Posix.Signal((SafeFileHandle)exited!), slot.Exited, CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
    }

    public bool Exited { get; private set; }

    public void Watch(Span<Posix.PollEntry> entries)
    {
        entries[0].Watch(_slot.Team.Stopping, Posix.In);
        entries[1].Watch(Exited ? null : _slot.Exited, Posix.In);
        entries[2].Watch(_outputOpen ? _program.Stdout : null, Posix.In);
    }

    /// <summary>Acts on what poll saw of the first entries.</summary>
    public void Handle(ReadOnlySpan<Posix.PollEntry> entries)
    {
        if (entries[0].Any)
        {
            throw new OperationCanceledException("The attempt stops.");
        }

        if (entries[2].Any)
        {
            ReadOutput();
        }

        if (entries[1].Any)
        {
            Posix.Drain(_slot.Exited);
            Exited = _program.Exit.IsCompleted;
        }
    }

    /// <summary>After its end: the rest of its output, and how it ended.</summary>
    public ProgramExit End()
    {
        // Whoever else holds the pipe may hold it for ever: only what is there now.
        Span<Posix.PollEntry> output = stackalloc Posix.PollEntry[1];
        while (_outputOpen)
        {
            output[0].Watch(_program.Stdout, Posix.In);
            Posix.Poll(output, 0);
            if (!output[0].Any)
            {
                break;
            }

            ReadOutput();
        }

#pragma warning disable VSTHRD002, MA0042 // The task has completed.
        return _program.Exit.GetAwaiter().GetResult();
#pragma warning restore VSTHRD002, MA0042
    }

    public void Dispose()
    {
#pragma warning disable VSTHRD002, MA0042, MA0045 // This is a thread of its own, outside the pool.
        // Also after its own end: what it left in its process group must not speak to the next program of the slot.
        _program.StopAsync(Exited ? TimeSpan.Zero : _slot.Context.Grace).GetAwaiter().GetResult();
        // The notice writes to a descriptor of the slot, which must outlive it.
        _notice.GetAwaiter().GetResult();
#pragma warning restore VSTHRD002, MA0042, MA0045
        _program.Dispose();
    }

    private void ReadOutput()
    {
        var got = Posix.Read(_program.Stdout, _slot.OutputBuffer);
        if (got > 0)
        {
            _slot.Context.Log.Write(_slot.OutputBuffer.AsSpan(0, got));
        }

        _outputOpen = got != 0;
    }
}
