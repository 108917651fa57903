using System.IO.Compression;
using JobHub.Engine.Attempts;
using JobHub.Engine.Protocol;
using JobHub.Worker.Runtime.Shuffle;

namespace JobHub.Worker.Runtime.Streaming;

/// <summary>
/// The bytes of a split's lines, in blocks. A split that does not start at 0 begins after the first '\n' at or after start - 1; it ends with the first '\n' at
/// or after end - 1, or with the object. CRLF comes out as LF; every other byte as it is; a last line without a newline gets one, as Hadoop
/// gives it, so that a program reading by lines does not lose it. One thread.
/// </summary>
internal sealed class SplitReader : IDisposable
{
    /// <summary>Read with the split in one request: lines are mostly shorter than this.</summary>
    private const long FirstTail = 16 << 10;
    private const long MaxTail = 64 << 20;

    private readonly IAttemptStore _store;
    private readonly MapSpec _spec;
    private readonly CancellationToken _ct;
    private Stream? _stream;
    private long _position;      // offset in the object of the next byte to read; of a gzip, in its text
    private long _rangeEnd;      // where the open stream ends
    private long _tail = 1 << 20;
    private bool _skipping;
    private bool _ended;
    private bool _heldCr;
    private bool _openLine;

    public SplitReader(IAttemptStore store, MapSpec spec, CancellationToken ct)
    {
        _store = store;
        _spec = spec;
        _ct = ct;
        _skipping = spec.Start > 0 && !spec.Gzip;
        _position = _skipping ? spec.Start - 1 : 0;
        _ended = spec.End <= spec.Start;
    }

    /// <summary>Lines given so far.</summary>
    public long Lines { get; private set; }

    /// <summary>Bytes of the object given so far, CRs and all.</summary>
    public long Bytes { get; private set; }

    /// <summary>0..1; of a gzip unknown until its end.</summary>
    public double Fraction => _ended ? 1 : _spec.Gzip ? 0 : Math.Clamp((double)(_position - _spec.Start) / (_spec.End - _spec.Start), 0, 1);

    /// <summary>Opens the object, so that a missing one is known before a program is started.</summary>
    public async Task OpenAsync()
    {
        if (_ended) return;
        try
        {
            if (_spec.Gzip)
            {
                var source = await _store.OpenReadAsync(_spec.Input, 0, null, _ct);
                _stream = new GZipStream(source, CompressionMode.Decompress);
                return;
            }

            if (_rangeEnd > 0)
            {
                _rangeEnd = Math.Min(_spec.ObjectSize, _position + _tail);
                _tail = Math.Min(MaxTail, _tail * 8);
            }
            else
            {
                _rangeEnd = Math.Min(_spec.ObjectSize, _spec.End + FirstTail);
            }

            _stream = await _store.OpenReadAsync(_spec.Input, _position, _rangeEnd - _position, _ct);
        }
        catch (Exception missing) when (missing is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new AttemptFailedException(AttemptOutcome.Failed, ErrorTypes.InputMissing, $"The input {_spec.InputPath} is not there any more.");
        }
    }

    /// <summary>Fills a buffer (at least 16 bytes) with the next bytes of the split's lines; 0 at their end.</summary>
    public int Read(Memory<byte> buffer)
    {
        while (!_ended)
        {
            var held = _heldCr ? 1 : 0;
            // Room for the CR held back before, and for a last newline.
            var got = ReadObject(buffer[held..^1]);
            var bytes = buffer.Span;
            if (got == 0)
            {
                _ended = true;
                return Finish(bytes, held);
            }

            var start = held;
            var blockAt = _position - got;
            if (_skipping)
            {
                var newline = bytes.Slice(held, got).IndexOf((byte)'\n');
                if (newline < 0) continue;
                _skipping = false;
                start = held + newline + 1;
                if (blockAt + newline + 1 >= _spec.End) _ended = true;
                if (_ended || start == held + got) continue;
            }

            var end = EndOfSplit(bytes, start, held + got, blockAt - held);
            Bytes += end - start;
            if (_heldCr)
            {
                // A CR is never held while skipping, so start is 1 here.
                bytes[0] = (byte)'\r';
                start = 0;
                _heldCr = false;
            }

            if (!_ended && bytes[end - 1] == (byte)'\r')
            {
                _heldCr = true;
                end--;
            }

            var lines = bytes[start..end];
            if (start > 0)
            {
                lines.CopyTo(bytes);
                lines = bytes[..lines.Length];
            }

            var length = DropCarriageReturns(lines);
            if (length == 0) continue;
            Lines += bytes[..length].Count((byte)'\n');
            _openLine = bytes[length - 1] != (byte)'\n';
            return length;
        }

        return 0;
    }

    /// <summary>Removes the CR of each CRLF in place, in runs.</summary>
    public static int DropCarriageReturns(Span<byte> bytes)
    {
        var next = bytes.IndexOf("\r\n"u8);
        if (next < 0) return bytes.Length;
        var to = next;
        var from = next + 1;
        while (from < bytes.Length)
        {
            next = bytes[(from + 1)..].IndexOf("\r\n"u8);
            var run = next < 0 ? bytes.Length - from : next + 1;
            bytes.Slice(from, run).CopyTo(bytes[to..]);
            to += run;
            from += run + 1;
        }

        return to;
    }

    private int EndOfSplit(Span<byte> bytes, int start, int end, long offsetOfBuffer)
    {
        if (_spec.Gzip) return end;
        var from = Math.Max(start, _spec.End - 1 - offsetOfBuffer);
        if (from >= end) return end;
        var newline = bytes[(int)from..end].IndexOf((byte)'\n');
        if (newline < 0) return end;
        _ended = true;
        return (int)from + newline + 1;
    }

    private int Finish(Span<byte> bytes, int held)
    {
        if (held > 0) bytes[0] = (byte)'\r';
        if (held == 0 && !_openLine) return 0;
        bytes[held] = (byte)'\n';
        Lines++;
        return held + 1;
    }

    private int ReadObject(Memory<byte> into)
    {
        if (!_spec.Gzip)
        {
            if (_position >= _spec.ObjectSize) return 0;
            if (_position == _rangeEnd)
            {
                _stream?.Dispose();
                _stream = null;
            }
        }

        if (_stream is null)
        {
#pragma warning disable VSTHRD002 // The feeding thread is the attempt's own.
            OpenAsync().GetAwaiter().GetResult();
#pragma warning restore VSTHRD002
        }

        try
        {
            if (!_spec.Gzip && into.Length > _rangeEnd - _position) into = into[..(int)(_rangeEnd - _position)];
            var got = _stream!.ReadBlocking(into, _ct);
            _position += got;
            if (got == 0 && !_spec.Gzip)
                throw new AttemptFailedException(AttemptOutcome.Failed, ErrorTypes.InputChanged, $"{_spec.InputPath} has become shorter since the job was submitted.");
            return got;
        }
        catch (InvalidDataException damaged) when (_spec.Gzip)
        {
            throw new AttemptFailedException(AttemptOutcome.Failed, "input-damaged", $"{_spec.InputPath} is not a whole gzip file: {damaged.Message}");
        }
    }

    public void Dispose() => _stream?.Dispose();
}
