using System.Buffers;
using System.Buffers.Text;
using Microsoft.Win32.SafeHandles;

namespace JobHub.Worker.Runtime.Sockets;

/// <summary>Runs reducers in one slot: gives each its key's message as soon as it listens, and takes its answer, in whatever order it does the two.</summary>
internal sealed class ReduceSlot(ProgramSlot slot, SocketPrograms programs, KeyQueue keys, HandedInOrder results, ReadOnlyMemory<byte>[] more)
    : SlotRunner(slot, programs)
{
    private const long FirstRetry = 50, LongestRetry = 2000; // microseconds

    private readonly ByteBuffer _answer = new(4096);
    private readonly ByteBuffer _name = new(32);
    private readonly ByteBuffer _part = new();
    private KeyWork _key = null!;
    private ByteBuffer _result = null!;
    private string _inputName = "";
    private SafeFileHandle? _input;
    private ByteBuffer? _sending;
    private int _sent;
    private bool _lastPiece;
    private bool _delivered;
    private long _retry;

    public void Run()
    {
        try
        {
            while (keys.Take() is { } key)
            {
                Reduce(key);
            }
        }
        finally
        {
            _input?.Dispose();
        }
    }

    public override Span<byte> Room() => _answer.Length <= PairsReader.MaxPairBytes ? _answer.Room(1 << 14)
        : throw new JsonRefusedException($"it is longer than {PairsReader.MaxPairBytes} bytes", 0);

    public override void Arrived(int count) => _answer.Advance(count);

    /// <summary>Takes `{"key":{"key":K,"value":n},"value":R}` apart.</summary>
    public override void Ended()
    {
        var text = new JsonText(_answer.Span);
        _result.Append("{\"key\":"u8);
        _result.Append(_key.Key);
        _result.Append(",\"value\":"u8);
        if (!text.TryEnterObject())
        {
            throw new JsonRefusedException("it is not an object", 0);
        }

        var (first, keySeen, valueSeen) = (true, false, false);
        while (text.NextMember(ref first, _name))
        {
            if (_name.Span.SequenceEqual("key"u8))
            {
                Once(ref keySeen);
                CheckKey(ref text);
            }
            else if (_name.Span.SequenceEqual("value"u8))
            {
                Once(ref valueSeen);
                text.Value(_result, JsonForm.Compact);
            }
            else
            {
                text.Value(Emptied(_part), JsonForm.Compact);
            }
        }

        text.End();
        if (!keySeen || !valueSeen)
        {
            throw new JsonRefusedException($"it has no \"{(keySeen ? "value" : "key")}\"", 0);
        }

        _result.Append((byte)'}');
    }

    protected override AttemptFailedException NoMessage() => SocketPrograms.Failure("key-without-answer", _delivered || _input is not null
        ? $"Key {_key.Number}: the program ended without an answer on /tmp/reduce.sock."
        : $"Key {_key.Number}: the program ended without listening on /tmp/{_inputName} and without an answer.");

    protected override AttemptFailedException BadMessage(JsonRefusedException refused) => SocketPrograms.Failure(
        "bad-message", $"Key {_key.Number}: the answer is not {{\"key\":{{\"key\":…,\"value\":{_key.Number}}},\"value\":…}}: {refused.Message}");

    protected override long WatchMore(Span<Posix.PollEntry> entries)
    {
        entries[0].Watch(null, 0);
        entries[1].Watch(null, 0);
        if (_delivered)
        {
            return -1;
        }

        if (_input is null)
        {
            entries[0].Watch(Slot.Names, Posix.In);
            return _retry;
        }

        if (_sending is null)
        {
            entries[0].Watch(_key.Rest!.Arrived, Posix.In);
        }
        else
        {
            entries[0].Watch(_input, Posix.Out);
        }

        return -1;
    }

    protected override void ActOnMore(ReadOnlySpan<Posix.PollEntry> entries)
    {
        if (_delivered)
        {
            return;
        }

        if (_input is null && !TryConnect(entries[0].Any))
        {
            return;
        }

        Send();
    }

    private static void Once(ref bool seen)
    {
        if (seen)
        {
            throw new JsonRefusedException("it has the same member twice", 0);
        }

        seen = true;
    }

    private static ByteBuffer Emptied(ByteBuffer buffer)
    {
        buffer.Clear();
        return buffer;
    }

    private void Reduce(KeyWork key)
    {
        // Whatever happens, the merging thread must not wait for a reader of this key for ever.
        using var rest = key.Rest;
        _result = results.Begin(key.Number);
        _key = key;
        _inputName = $"reduce-input-{key.Number}.sock";
        (_sending, _sent, _lastPiece, _delivered) = (key.Message, 0, key.Rest is null, false);
        _retry = Slot.Names is null ? FirstRetry : -1;
        _answer.Clear();
        if (Slot.Names is { } names)
        {
            Posix.Drain(names);
        }

        Posix.Remove(Slot.Handle, _inputName);
        try
        {
            RunOne(key.Number, more, $"Key {key.Number}");
            if (_input is null)
            {
                throw SocketPrograms.Failure("input-not-taken", $"Key {key.Number}: the program ended without listening on /tmp/{_inputName}.");
            }
        }
        finally
        {
            _input?.Dispose();
            _input = null;
            Posix.Remove(Slot.Handle, _inputName);
        }

        results.Complete(key.Number, _result);
    }

    private bool TryConnect(bool newNames)
    {
        if (newNames)
        {
            Posix.Drain(Slot.Names!);
        }

        _input = Posix.TryConnect(Slot.Handle, _inputName, out var exists);
        if (_input is not null)
        {
            return true;
        }

        // Between its bind and its listen nothing tells of the moment; a few dozen microseconds usually.
        if (exists || Slot.Names is null)
        {
            _retry = Math.Clamp(_retry * 3 / 2, FirstRetry, LongestRetry);
        }

        return false;
    }

    private void Send()
    {
        while (true)
        {
            if (_sending is null)
            {
                _sending = _key.Rest!.Take(out var ended);
                _lastPiece = ended;
                _sent = 0;
                if (_sending is null && !ended)
                {
                    return;
                }
            }

            if (_sending is not null && _sent < _sending.Length)
            {
                var sent = Posix.Send(_input!, _sending.Span[_sent..]);
                if (sent == -1)
                {
                    return;
                }

                if (sent == -2)
                {
                    // A program may stop reading; its answer decides.
                    _delivered = true;
                    _key.Rest?.Dispose();
                    return;
                }

                _sent += sent;
                continue;
            }

            _sending = null;
            if (_lastPiece)
            {
                Posix.HalfClose(_input!);
                _delivered = true;
                return;
            }
        }
    }

    private void CheckKey(ref JsonText text)
    {
        if (!text.TryEnterObject())
        {
            throw new JsonRefusedException("its \"key\" is not the object that was sent", 0);
        }

        var (first, keySeen, numberSeen) = (true, false, false);
        Span<byte> number = stackalloc byte[20];
        Utf8Formatter.TryFormat(_key.Number, number, out var digits);
        while (text.NextMember(ref first, _name))
        {
            var isKey = _name.Span.SequenceEqual("key"u8);
            var isNumber = _name.Span.SequenceEqual("value"u8);
            text.Value(Emptied(_part), JsonForm.Canonical);
            if (isKey)
            {
                Once(ref keySeen);
                if (!_part.Span.SequenceEqual(_key.Key))
                {
                    throw new JsonRefusedException("its key is another than was sent", 0);
                }
            }
            else if (isNumber)
            {
                Once(ref numberSeen);
                if (!_part.Span.SequenceEqual(number[..digits]))
                {
                    throw new JsonRefusedException("its number is another than was sent", 0);
                }
            }
        }

        if (!keySeen || !numberSeen)
        {
            throw new JsonRefusedException("its \"key\" is not the object that was sent", 0);
        }
    }
}
