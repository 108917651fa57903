namespace JobHub.Worker.Runtime.Sockets;

/// <summary>
/// Work done by several slots at once, handed over in the order of its numbers (0, 1, 2, …), so that a result does not depend on which program was faster.
/// Finished work waits in memory up to a limit; who is too far ahead waits.
/// </summary>
/// <param name="emit">Called with finished work by one thread at a time, in order.</param>
/// <param name="window">How far ahead of the first unfinished number work may begin.</param>
/// <param name="maxWaitingBytes">Finished work above this waits with its slot instead.</param>
internal sealed class HandedInOrder(Action<ByteBuffer> emit, int window, long maxWaitingBytes)
{
    private readonly object _gate = new();
    private readonly Dictionary<long, ByteBuffer> _waiting = [];
    private readonly Stack<ByteBuffer> _free = [];
    private long _head;
    private long _waitingBytes;
    private bool _stopped;

    /// <summary>Waits until the number may begin and gives it an empty buffer. Throws when the attempt stops.</summary>
    public ByteBuffer Begin(long number)
    {
        lock (_gate)
        {
            WaitWhile(() => number >= _head + window);
            return _free.TryPop(out var buffer) ? buffer : new ByteBuffer(4096);
        }
    }

    /// <summary>Waits until everything before the number has been handed over; from then on <see cref="Emit"/> may be called for it.</summary>
    public void AwaitTurn(long number)
    {
        lock (_gate)
        {
            WaitWhile(() => _head != number);
        }
    }

    /// <summary>Hands over a part of the work whose turn it is, and empties the buffer.</summary>
    public void Emit(ByteBuffer part)
    {
        emit(part);
        part.Clear();
    }

    /// <summary>The number is finished. Returns when it has been handed over or put to wait.</summary>
    public void Complete(long number, ByteBuffer work)
    {
        lock (_gate)
        {
            if (_head != number && _waitingBytes + work.Length > maxWaitingBytes)
            {
                WaitWhile(() => _head != number);
            }

            if (_head != number)
            {
                _waiting.Add(number, work);
                _waitingBytes += work.Length;
                return;
            }
        }

        while (true)
        {
            Emit(work);
            lock (_gate)
            {
                _free.Push(work);
                _head++;
                Monitor.PulseAll(_gate);
                if (!_waiting.Remove(_head, out work!))
                {
                    return;
                }

                _waitingBytes -= work.Length;
            }
        }
    }

    /// <summary>Wakes all who wait, with an <see cref="OperationCanceledException"/>.</summary>
    public void Stop()
    {
        lock (_gate)
        {
            _stopped = true;
            Monitor.PulseAll(_gate);
        }
    }

    private void WaitWhile(Func<bool> early)
    {
        while (!_stopped && early())
        {
            Monitor.Wait(_gate);
        }

        if (_stopped)
        {
            throw new OperationCanceledException("The attempt stops.");
        }
    }
}
