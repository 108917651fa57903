using System.Diagnostics;
using JobHub.Worker.Executors.Processes;

namespace JobHub.Worker.Runtime.Sockets;

/// <summary>Runs one program after another in a slot and takes the one message of each.</summary>
internal abstract class SlotRunner(ProgramSlot slot, SocketPrograms programs) : IMessageReceiver
{
    /// <summary>Poll entries that a deriving class has for itself.</summary>
    protected const int MoreEntries = 2;

    // Who sends nonsense has often crashed: how it ended says more than the half of a message.
    private static readonly TimeSpan AwaitEndAfterNonsense = TimeSpan.FromMilliseconds(500);

    protected ProgramSlot Slot { get; } = slot;

    public abstract Span<byte> Room();

    public abstract void Arrived(int count);

    public abstract void Ended();

    /// <summary>What the attempt fails with when the program ended well and sent nothing.</summary>
    protected abstract AttemptFailedException NoMessage();

    protected abstract AttemptFailedException BadMessage(JsonRefusedException refused);

    /// <summary>Names what else is waited for; answers for how many microseconds, -1 for ever.</summary>
    protected virtual long WatchMore(Span<Posix.PollEntry> entries)
    {
        entries[0].Watch(null, 0);
        entries[1].Watch(null, 0);
        return -1;
    }

    protected virtual void ActOnMore(ReadOnlySpan<Posix.PollEntry> entries)
    {
    }

    /// <summary>From start to end. Throws when the program did not end well or its message is not good.</summary>
    /// <param name="subject">For messages: "Line 3", "Key 0".</param>
    protected void RunOne(long number, IReadOnlyList<ReadOnlyMemory<byte>> arguments, string subject)
    {
        JsonRefusedException? refused = null;
        ProgramExit exit;
        bool complete;
        var listener = Slot.Listener();
        using (var process = new SlotProcess(Slot, Slot.Start(programs.Program, programs.Environment, programs.WorkingFolder, number, arguments)))
        using (var inbox = new Inbox(listener, this))
        {
            Span<Posix.PollEntry> entries = stackalloc Posix.PollEntry[SlotProcess.Entries + 1 + MoreEntries];
            ref var inboxEntry = ref entries[SlotProcess.Entries];
            var more = entries[(SlotProcess.Entries + 1)..];
            var nonsenseAt = 0L;
            while (!process.Exited)
            {
                process.Watch(entries);
                inboxEntry.Watch(null, 0);
                var limit = WatchMore(more);
                if (refused is null)
                {
                    inbox.Watch(ref inboxEntry);
                }
                else
                {
                    limit = (long)AwaitEndAfterNonsense.TotalMicroseconds;
                }

                Posix.Poll(entries, limit);
                process.Handle(entries);
                if (refused is null && (process.Exited || inboxEntry.Any))
                {
                    refused = Take(inbox, process.Exited);
                    nonsenseAt = Stopwatch.GetTimestamp();
                }
                else if (refused is not null && !process.Exited && Stopwatch.GetElapsedTime(nonsenseAt) > AwaitEndAfterNonsense)
                {
                    throw BadMessage(refused);
                }

                if (!process.Exited)
                {
                    ActOnMore(more);
                }
            }

            complete = inbox.Complete;
            exit = process.End();
        }

        programs.Judge(exit, subject);
        if (refused is not null)
        {
            throw BadMessage(refused);
        }

        if (!complete)
        {
            throw NoMessage();
        }
    }

    private static JsonRefusedException? Take(Inbox inbox, bool atEnd)
    {
        try
        {
            inbox.Take(atEnd);
            return null;
        }
        catch (JsonRefusedException refused)
        {
            return refused;
        }
    }
}
