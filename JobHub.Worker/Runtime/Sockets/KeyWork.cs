using Microsoft.Win32.SafeHandles;

namespace JobHub.Worker.Runtime.Sockets;

/// <summary>One key for one reducer: its number in the partition, its canonical text, and the message, whole or its beginning.</summary>
internal sealed class KeyWork(long number, ReadOnlySpan<byte> key)
{
    public long Number { get; } = number;

    public byte[] Key { get; } = key.ToArray();

    public ByteBuffer Message { get; } = new(512);

    /// <summary>The rest of a message that is too long to be in memory; null when it is whole.</summary>
    public ChunkPipe? Rest { get; set; }
}

/// <summary>Hands a long message from the merging thread to a slot in pieces; at most a few are in memory.</summary>
internal sealed class ChunkPipe : IDisposable
{
    private const int MaxChunks = 4;

    private readonly object _gate = new();
    private readonly Queue<ByteBuffer> _chunks = [];
    private bool _ended;
    private bool _unwanted;

    /// <summary>Readable when a piece or the end has come.</summary>
    public SafeFileHandle Arrived { get; } = Posix.Event();

    /// <summary>Gives a piece and waits while too many are there; false when nobody wants more.</summary>
    public bool Add(ByteBuffer chunk)
    {
        lock (_gate)
        {
            while (_chunks.Count >= MaxChunks && !_unwanted)
            {
                Monitor.Wait(_gate);
            }

            if (!_unwanted)
            {
                _chunks.Enqueue(chunk);
                Posix.Signal(Arrived);
            }

            return !_unwanted;
        }
    }

    public void End()
    {
        lock (_gate)
        {
            _ended = true;
            if (!_unwanted)
            {
                Posix.Signal(Arrived);
            }
        }
    }

    /// <summary>The next piece, if there is one.</summary>
    public ByteBuffer? Take(out bool ended)
    {
        lock (_gate)
        {
            Posix.Drain(Arrived);
            ended = _ended && _chunks.Count <= 1;
            _chunks.TryDequeue(out var chunk);
            Monitor.PulseAll(_gate);
            return chunk;
        }
    }

    /// <summary>Nobody takes from it any more.</summary>
    public void Dispose()
    {
        lock (_gate)
        {
            _unwanted = true;
            Monitor.PulseAll(_gate);
            Arrived.Dispose();
        }
    }
}

/// <summary>Work from one thread to several; bounded.</summary>
internal sealed class KeyQueue(int capacity)
{
    private readonly object _gate = new();
    private readonly Queue<KeyWork> _keys = [];
    private bool _ended;
    private bool _stopped;

    /// <summary>Waits for room. Throws when the attempt stops.</summary>
    public void Add(KeyWork key)
    {
        lock (_gate)
        {
            while (_keys.Count >= capacity && !_stopped)
            {
                Monitor.Wait(_gate);
            }

            if (_stopped)
            {
                throw new OperationCanceledException("The attempt stops.");
            }

            _keys.Enqueue(key);
            Monitor.PulseAll(_gate);
        }
    }

    /// <summary>Waits for a key; null when there are no more.</summary>
    public KeyWork? Take()
    {
        lock (_gate)
        {
            while (_keys.Count == 0 && !_ended && !_stopped)
            {
                Monitor.Wait(_gate);
            }

            if (_stopped || !_keys.TryDequeue(out var key))
            {
                return null;
            }

            Monitor.PulseAll(_gate);
            return key;
        }
    }

    public void End()
    {
        lock (_gate)
        {
            _ended = true;
            Monitor.PulseAll(_gate);
        }
    }

    /// <summary>The attempt stops: nobody waits any more.</summary>
    public void Stop()
    {
        lock (_gate)
        {
            _stopped = true;
            foreach (var key in _keys)
            {
                key.Rest?.Dispose();
            }

            Monitor.PulseAll(_gate);
        }
    }
}
