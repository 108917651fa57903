using System.Text;
using JobHub.Api.Http;

namespace JobHub.Api.Features.Hub;

/// <summary>Searches lines for a text, log after log, up to so many matches and bytes.</summary>
internal sealed class LogScan(string wanted, bool exact, int limit)
{
    private const int LongestQuery = 300, ShownCharacters = 300;

    // A call ends after so many bytes, found or not: the caller goes on, or does not.
    private const long MostBytes = 16 << 20;

    private readonly StringComparison _comparison = exact ? StringComparison.Ordinal : StringComparison.OrdinalIgnoreCase;
    private readonly char[] _buffer = new char[LogLines.LongestLine + (LongestQuery * 2)];
    private long _read;
    private int _found;

    /// <summary>As a request asks.</summary>
    public static LogScan Of(HttpRequest request)
    {
        var wanted = request.QueryText("q") ?? throw Problems.InvalidField("q", "Say what to search for: ?q=<text>.");
        if (wanted.Length > LongestQuery) throw Problems.InvalidField("q", $"'q' may hold {LongestQuery} characters.");
        return new(wanted, request.QueryFlag("case"), (int)(request.QueryNumber("limit", 1, 1000) ?? 100));
    }

    /// <summary>Searches one log from an offset on.</summary>
    /// <returns>Where to go on, and whether this call has found or read enough.</returns>
    public async Task<(long Next, bool Full)> ReadAsync(IAsyncEnumerable<LogLine> lines, long after, bool ended, Action<long, string> found, CancellationToken ct)
    {
        var (next, tail) = (after, 0);
        await foreach (var line in lines.WithCancellation(ct))
        {
            // Of a long line the end of one stretch is searched again with the next one.
            if (line.Gap > 0) tail = 0;
            var length = WithoutColours(_buffer.AsSpan(0, tail + Encoding.UTF8.GetChars(line.Bytes.Span, _buffer.AsSpan(tail))));
            var at = _buffer.AsSpan(0, length).IndexOf(wanted, _comparison);
            if (at >= 0)
            {
                found(line.Offset, Cut(_buffer.AsSpan(0, length), at));
                _found++;
            }

            tail = 0;
            if (!line.IsWhole && at < 0)
            {
                tail = Math.Min(length, wanted.Length - 1);
                _buffer.AsSpan(length - tail, tail).CopyTo(_buffer);
            }

            _read += line.End - line.Offset;
            // A line that is still printed is searched again when it is whole.
            next = line.IsWhole || ended ? line.End : line.Offset;
            // What may lie across the end of a stretch is found when that stretch is read again.
            if (_found == limit || _read > MostBytes) return (tail == 0 ? line.End : line.Offset, true);
        }

        return (next, false);
    }

    /// <summary>Takes sequences that only colour out of a text: what is searched is what is seen.</summary>
    private static int WithoutColours(Span<char> text)
    {
        var kept = text.IndexOf('\e');
        if (kept < 0) return text.Length;
        for (var at = kept; at < text.Length;)
        {
            if (text[at] == '\e' && at + 1 < text.Length && text[at + 1] == '[')
            {
                var rest = text[(at + 2)..];
                var end = rest.IndexOfAnyExcept("0123456789;:");
                if (end >= 0 && rest[end] == 'm')
                {
                    at += end + 3;
                    continue;
                }
            }

            text[kept++] = text[at++];
        }

        return kept;
    }

    private static string Cut(ReadOnlySpan<char> line, int match)
    {
        line = line.TrimEnd('\r');
        if (line.Length <= ShownCharacters) return line.ToString();
        var from = Math.Clamp(match - 100, 0, line.Length - ShownCharacters);
        if (from > 0 && char.IsLowSurrogate(line[from])) from++;
        var cut = line[from..Math.Min(line.Length, from + ShownCharacters)];
        return (char.IsHighSurrogate(cut[^1]) ? cut[..^1] : cut).ToString();
    }
}
