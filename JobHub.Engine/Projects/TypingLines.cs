using System.Buffers;

namespace JobHub.Engine.Projects;

/// <summary>Why an upload of typing data is refused as a whole. The message is for its sender.</summary>
/// <param name="code">Stable.</param>
public sealed class TypingRefusedException(string code, string message, bool tooLarge = false, bool conflict = false) : Exception(message)
{
    public string Code { get; } = code;

    /// <summary>A limit, and nothing wrong with the text itself.</summary>
    public bool TooLarge { get; } = tooLarge;

    /// <summary>Something else changed the dataset meanwhile: the same may be sent again.</summary>
    public bool Conflict { get; } = conflict;
}

/// <summary>Lines of a text of any size, one in memory at a time: LF or CRLF, a BOM in front or none. A NUL anywhere refuses the whole: it is no text.</summary>
/// <param name="longest">Bytes of a line; of longer ones only the number is told.</param>
internal sealed class TypingLines(Stream source, int longest) : IDisposable
{
    private byte[] buffer = ArrayPool<byte>.Shared.Rent(64 << 10);
    private int start, end, scanned;
    private bool ended, begun;

    /// <summary>From 1.</summary>
    public long Number { get; private set; }

    /// <summary>Without its end; empty when it is <see cref="TooLong"/>. Valid until the next.</summary>
    public ReadOnlyMemory<byte> Line { get; private set; }

    public bool TooLong { get; private set; }

    public async ValueTask<bool> NextAsync(CancellationToken ct)
    {
        TooLong = false;
        while (true)
        {
            var found = buffer.AsSpan(scanned, end - scanned).IndexOf((byte)'\n');
            if (found >= 0)
            {
                Take(scanned + found);
                start = scanned = scanned + found + 1;
                return true;
            }

            scanned = end;
            if (ended)
            {
                if (start == end && !TooLong) return false;
                Take(end);
                start = scanned = end;
                return true;
            }

            if (end - start > longest)
            {
                TooLong = true;
                start = scanned = end = 0;
            }

            await FillAsync(ct);
        }
    }

    public void Dispose()
    {
        ArrayPool<byte>.Shared.Return(buffer);
        buffer = [];
    }

    private void Take(int until)
    {
        Number++;
        if (until - start > longest) TooLong = true;
        var line = buffer.AsMemory(start, until - start);
        if (line.Span.EndsWith("\r"u8)) line = line[..^1];
        Line = TooLong ? default : line;
    }

    private async ValueTask FillAsync(CancellationToken ct)
    {
        if (start > 0)
        {
            buffer.AsSpan(start, end - start).CopyTo(buffer);
            (end, scanned, start) = (end - start, scanned - start, 0);
        }

        if (end == buffer.Length)
        {
            var larger = ArrayPool<byte>.Shared.Rent(buffer.Length * 2);
            buffer.AsSpan(0, end).CopyTo(larger);
            ArrayPool<byte>.Shared.Return(buffer);
            buffer = larger;
        }

        var count = begun ? await source.ReadAsync(buffer.AsMemory(end), ct) : await source.ReadAtLeastAsync(buffer.AsMemory(end), 3, throwOnEndOfStream: false, ct);
        ended = count == 0;
        if (buffer.AsSpan(end, count).Contains((byte)0))
            throw new TypingRefusedException("not-text", "The file holds a NUL byte: it is not text. Send UTF-8 text with fields parted by tabs.");
        end += count;
        if (begun) return;
        begun = true;
        if (buffer.AsSpan(0, end).StartsWith("\uFEFF"u8)) start = scanned = 3;
    }
}
