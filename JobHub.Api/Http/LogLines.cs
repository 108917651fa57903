using System.Runtime.CompilerServices;
using System.Text;
using JobHub.Engine.Attempts;

namespace JobHub.Api.Http;

/// <summary>A line of a log without its end, or a stretch of one that is very long.</summary>
/// <param name="Bytes">They stand until the next line is asked for.</param>
/// <param name="End">Where the next line begins.</param>
/// <param name="Gap">Bytes in front of it that were not kept.</param>
public readonly record struct LogLine(long Offset, ReadOnlyMemory<byte> Bytes, long End, long Gap, bool IsWhole);

/// <summary>The lines of a log, in bounded memory whatever was printed.</summary>
public static class LogLines
{
    /// <summary>A longer line comes in stretches of this many bytes.</summary>
    public const int LongestLine = 16 << 10;

    public static async IAsyncEnumerable<LogLine> LinesAsync(this IAsyncEnumerable<LogPart> parts, long from, [EnumeratorCancellation] CancellationToken ct = default)
    {
        ArgumentNullException.ThrowIfNull(parts);
        var line = new byte[LongestLine];
        var (length, begin, expected, gap) = (0, from, from, 0L);
        await foreach (var part in parts.WithCancellation(ct))
        {
            if (part.Offset != expected)
            {
                // What stands in front of a gap is no whole line, and neither is what is behind it.
                if (length > 0) yield return new(begin, line.AsMemory(0, length), expected, gap, IsWhole: false);
                (length, begin, gap) = (0, part.Offset, part.Offset - Math.Max(expected, from));
            }

            expected = part.End;
            for (var at = 0; at < part.Bytes.Length;)
            {
                var rest = part.Bytes[at..];
                var end = rest.Span.IndexOf((byte)'\n');
                var taken = Math.Min(end < 0 ? rest.Length : end, LongestLine - length);
                rest[..taken].CopyTo(line.AsMemory(length));
                length += taken;
                at += taken;
                if (taken == end)
                {
                    at++;
                    yield return new(begin, line.AsMemory(0, length), part.Offset + at, gap, IsWhole: true);
                    (length, begin, gap) = (0, part.Offset + at, 0);
                }
                else if (length == LongestLine)
                {
                    // No character is cut in two.
                    var whole = length;
                    while (whole > length - 4 && (line[whole - 1] & 0xC0) == 0x80) whole--;
                    if (whole > length - 4 && line[whole - 1] >= 0xC0) whole--;
                    else whole = length;
                    var next = begin + whole;
                    yield return new(begin, line.AsMemory(0, whole), next, gap, IsWhole: false);
                    line.AsSpan(whole, length - whole).CopyTo(line);
                    (length, begin, gap) = (length - whole, next, 0);
                }
            }
        }

        if (length > 0) yield return new(begin, line.AsMemory(0, length), expected, gap, IsWhole: false);
    }

    /// <summary>The lines of some parts in memory, with bytes of their own.</summary>
    public static async Task<IReadOnlyList<LogLine>> OfAsync(IReadOnlyList<LogPart> parts, long from, CancellationToken ct)
    {
        var lines = new List<LogLine>();
        await foreach (var line in parts.ToAsyncEnumerable().LinesAsync(from, ct)) lines.Add(line with { Bytes = line.Bytes.ToArray() });
        return lines;
    }

    /// <summary>A line as text; what is no UTF-8 in it shows as U+FFFD.</summary>
    public static string TextOf(LogLine line) => Encoding.UTF8.GetString(line.Bytes.Span.TrimEnd((byte)'\r'));
}
