using System.Buffers;
using JobHub.Engine.Protocol;
using JobHub.Worker.Agent;
using Microsoft.Win32.SafeHandles;

namespace JobHub.Worker.Runtime;

/// <summary>
/// An attempt's output. Up to 16 KiB stays in memory and travels with the completion. More goes to an unlinked file in the spool folder: the first 32 MiB, and a ring of the
/// last 32 MiB; what falls between is one gap. Offsets are those of the bytes as they were printed. A full disk drops bytes and marks them, it never stops the program.
/// </summary>
public sealed class LogSpool : ILogSink, IDisposable
{
    /// <summary>Output up to this size travels inside the completion.</summary>
    public const int InlineLimit = 16 * 1024;
    /// <summary>A piece of live output is at most this long; a reader further behind than that skips.</summary>
    public const int LiveLimit = 64 * 1024;
    private const int BufferBytes = 64 * 1024;
    private const int MaxGaps = 64;
    // After a failed write the next ones are not tried for this many bytes: a full disk is asked rarely, a flood is not slowed.
    private const long RetryAfterBytes = 1 << 20;

    private readonly Lock _gate = new();
    private readonly string _folder;
    private readonly long _headBytes, _ringBytes;
    private readonly List<LogGap> _failed = [];
    private byte[]? _buffer;
    private int _buffered;
    private long _size, _live, _tryAgainAt;
    private SafeFileHandle? _file;
    private bool _spooling, _closed;

    /// <param name="folder">Where the spool file is made, not visible to programs.</param>
    public LogSpool(string folder, long headBytes = 32L << 20, long ringBytes = 32L << 20) => (_folder, _headBytes, _ringBytes) = (folder, headBytes, ringBytes);

    /// <summary>Every byte printed so far.</summary>
    public long Size { get { lock (_gate) return _size; } }

    /// <inheritdoc />
    public void Write(ReadOnlySpan<byte> bytes)
    {
        lock (_gate)
        {
            if (_closed) return;
            while (!bytes.IsEmpty)
            {
                _buffer ??= ArrayPool<byte>.Shared.Rent(InlineLimit);
                var room = (_spooling ? BufferBytes : InlineLimit) - _buffered;
                if (room == 0)
                {
                    if (_spooling) Flush();
                    else StartSpooling();
                    continue;
                }
                var n = Math.Min(room, bytes.Length);
                bytes[..n].CopyTo(_buffer.AsSpan(_buffered));
                _buffered += n;
                _size += n;
                bytes = bytes[n..];
            }
        }
    }

    /// <summary>
    /// Printed bytes not seen by the last call's reader, at most <see cref="LiveLimit"/>; 0 when there are none. Call <see cref="LiveSent"/> once they are delivered.
    /// </summary>
    internal int PeekLive(Span<byte> into, out long offset)
    {
        lock (_gate)
        {
            var most = Math.Min(LiveLimit, into.Length);
            offset = Math.Max(_live, _size - most);
            var n = (int)(_size - offset);
            if (_closed || n == 0) return 0;
            return Read(offset, into[..n]) ? n : 0;
        }
    }

    internal void LiveSent(long end)
    {
        lock (_gate) _live = Math.Max(_live, end);
    }

    /// <summary>After the last writer has ended: the log as the completion carries it. Output over the inline limit is handed to <paramref name="put"/> first.</summary>
    /// <param name="put">Given the size, the gaps and a maker of the body (the kept bytes in order, gaps left out).</param>
    public async Task<LogContent?> FinishAsync(Func<long, IReadOnlyList<LogGap>, Func<HttpContent>, Task<LogContent>> put)
    {
        long size;
        List<LogGap> gaps;
        lock (_gate)
        {
            _closed = true;
            if (_size == 0) return null;
            if (!_spooling) return new LogContent(_buffer.AsSpan(0, _buffered).ToArray(), null, _size, null);
            Flush();
            (size, gaps) = (_size, Gaps());
        }
        return await put(size, gaps, () => new SpoolContent(this, Kept(size, gaps)));
    }

    // The ring's window and the failed writes, merged and ordered.
    private List<LogGap> Gaps()
    {
        var all = new List<LogGap>(_failed);
        if (_size > _headBytes + _ringBytes) all.Add(new LogGap(_headBytes, _size - _ringBytes - _headBytes));
        all.Sort((a, b) => a.Offset.CompareTo(b.Offset));
        var merged = new List<LogGap>();
        foreach (var gap in all)
        {
            if (merged.Count > 0 && merged[^1] is var last && gap.Offset <= last.Offset + last.Length)
                merged[^1] = new LogGap(last.Offset, Math.Max(last.Offset + last.Length, gap.Offset + gap.Length) - last.Offset);
            else merged.Add(gap);
        }
        return merged;
    }

    private static List<(long From, long To)> Kept(long size, List<LogGap> gaps)
    {
        var kept = new List<(long, long)>();
        var at = 0L;
        foreach (var gap in gaps)
        {
            if (gap.Offset > at) kept.Add((at, gap.Offset));
            at = gap.Offset + gap.Length;
        }
        if (at < size) kept.Add((at, size));
        return kept;
    }

    private void StartSpooling()
    {
        _spooling = true;
        try
        {
            Directory.CreateDirectory(_folder);
            var path = Path.Combine(_folder, $"{Guid.NewGuid():N}.log");
            _file = File.OpenHandle(path, FileMode.CreateNew, FileAccess.ReadWrite, FileShare.ReadWrite | FileShare.Delete);
            // Unlinked at once: nothing is left behind, however this process ends.
            File.Delete(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException) { _file = null; }
        var larger = ArrayPool<byte>.Shared.Rent(BufferBytes);
        _buffer.AsSpan(0, _buffered).CopyTo(larger);
        ArrayPool<byte>.Shared.Return(_buffer!);
        _buffer = larger;
    }

    // The buffer holds the last _buffered printed bytes.
    private void Flush()
    {
        var from = _size - _buffered;
        var rest = _buffer.AsSpan(0, _buffered);
        while (!rest.IsEmpty)
        {
            var (position, room) = Place(from);
            var piece = rest[..(int)Math.Min(room, rest.Length)];
            if (_file is null || from < _tryAgainAt) Drop(from, piece.Length);
            else
            {
                try { RandomAccess.Write(_file, piece, position); }
                catch (Exception e) when (e is IOException or UnauthorizedAccessException)
                {
                    Drop(from, piece.Length);
                    _tryAgainAt = from + RetryAfterBytes;
                }
            }
            from += piece.Length;
            rest = rest[piece.Length..];
        }
        _buffered = 0;
    }

    // Where a printed offset lies in the file, and how many bytes after it lie there too.
    private (long Position, long Room) Place(long offset)
    {
        if (offset < _headBytes) return (offset, _headBytes - offset);
        var inRing = (offset - _headBytes) % _ringBytes;
        return (_headBytes + inRing, _ringBytes - inRing);
    }

    private void Drop(long offset, long length)
    {
        if (_failed.Count > 0 && (_failed[^1].Offset + _failed[^1].Length == offset || _failed.Count >= MaxGaps))
            _failed[^1] = new LogGap(_failed[^1].Offset, offset + length - _failed[^1].Offset);
        else _failed.Add(new LogGap(offset, length));
    }

    // False when the bytes were not kept. Called under the gate, or after the end.
    private bool Read(long offset, Span<byte> into)
    {
        var inBuffer = _size - _buffered;
        while (!into.IsEmpty)
        {
            int n;
            if (offset >= inBuffer)
            {
                n = into.Length;
                _buffer.AsSpan((int)(offset - inBuffer), n).CopyTo(into);
            }
            else
            {
                if (_file is null) return false;
                var (position, room) = Place(offset);
                n = RandomAccess.Read(_file, into[..(int)Math.Min(Math.Min(room, inBuffer - offset), into.Length)], position);
                if (n <= 0) return false;
            }
            offset += n;
            into = into[n..];
        }
        return true;
    }

    public void Dispose()
    {
        lock (_gate)
        {
            _closed = true;
            _file?.Dispose();
            _file = null;
            if (_buffer is { } b) ArrayPool<byte>.Shared.Return(b);
            _buffer = null;
            _buffered = 0;
        }
    }

    private sealed class SpoolContent(LogSpool spool, List<(long From, long To)> kept) : HttpContent
    {
        protected override async Task SerializeToStreamAsync(Stream stream, System.Net.TransportContext? context)
        {
            var buffer = ArrayPool<byte>.Shared.Rent(256 * 1024);
            try
            {
                foreach (var (from, to) in kept)
                {
                    for (var at = from; at < to;)
                    {
                        var n = (int)Math.Min(buffer.Length, to - at);
                        if (!spool.Read(at, buffer.AsSpan(0, n))) throw new IOException("The log spool cannot be read back.");
                        await stream.WriteAsync(buffer.AsMemory(0, n));
                        at += n;
                    }
                }
            }
            finally { ArrayPool<byte>.Shared.Return(buffer); }
        }

        protected override bool TryComputeLength(out long length)
        {
            length = kept.Sum(k => k.To - k.From);
            return true;
        }
    }
}
