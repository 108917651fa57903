using JobHub.Engine.Protocol;
using JobHub.Worker.Runtime.Streaming;

namespace JobHub.Worker.Runtime.Sockets;

/// <summary>Gives the lines of a split to several slots, one at a time, with their numbers from 0.</summary>
internal sealed class LineSource(AttemptContext context, MapSpec spec, CancellationToken ct) : IDisposable
{
    private readonly Lock _gate = new();
    private readonly SplitReader _split = new(context.Store, spec, ct);
    private readonly byte[] _buffer = new byte[256 << 10];
    private int _at;
    private int _end;
    private bool _cut;

    /// <summary>Lines given so far.</summary>
    public long Count { get; private set; }

    /// <summary>Bytes of the object read so far.</summary>
    public long Bytes => _split.Bytes;

    /// <summary>Opens the input, so that a missing one is known before a program is started.</summary>
    public Task OpenAsync() => _split.OpenAsync();

    /// <summary>
    /// The next line without its end; false when there are no more. Of a line too long to be an argument only so much is given that it can be seen to be, and nothing after it.
    /// </summary>
    public bool TryNext(ByteBuffer line, out long number)
    {
        lock (_gate)
        {
            line.Clear();
            number = Count;
            var any = false;
            while (!_cut && (_at < _end || Fill()))
            {
                any = true;
                var rest = _buffer.AsSpan(_at, _end - _at);
                var end = rest.IndexOf((byte)'\n');
                line.Append(end < 0 ? rest : rest[..end]);
                _at += end < 0 ? rest.Length : end + 1;
                _cut = end < 0 && line.Length > SocketMapBody.MaxLineBytes;
                if (end >= 0)
                {
                    break;
                }
            }

            Count += any ? 1 : 0;
            return any;
        }
    }

    public void Dispose() => _split.Dispose();

    private bool Fill()
    {
        _at = 0;
        _end = _split.Read(_buffer);
        context.Fraction = _split.Fraction * 0.95;
        return _end > 0;
    }
}
