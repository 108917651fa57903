using System.Buffers;
using System.Text;
using System.Text.Unicode;

namespace JobHub.Engine.Projects;

/// <summary>A line of an upload that is not stored, and why.</summary>
/// <param name="Line">From 1, the header's included.</param>
public sealed record InvalidLine(long Line, string Reason);

/// <summary>Lines taken apart at their tabs, with what is wrong with one told in words.</summary>
internal sealed class TypingRows(Stream source, int longest) : IDisposable
{
    public const int LongestField = 64;

    private readonly TypingLines lines = new(source, longest);
    private char[] text = ArrayPool<char>.Shared.Rent(4096);
    private Range[] ranges = [];

    public long Number => lines.Number;

    /// <summary>Fields of this line; of a line at fault none.</summary>
    public int Count { get; private set; }

    /// <summary>A field without blanks around it.</summary>
    public ReadOnlySpan<char> this[int field] => text.AsSpan()[ranges[field]].Trim();

    /// <summary>The next line that is not empty. False at the end.</summary>
    /// <param name="most">Fields that a line may have.</param>
    /// <returns>Whether there is one, and what is wrong with it; null = nothing.</returns>
    public async ValueTask<(bool Found, string? Fault)> NextAsync(int most, CancellationToken ct)
    {
        while (await lines.NextAsync(ct))
        {
            if (lines is { TooLong: false, Line.IsEmpty: true }) continue;
            return (true, Split(most));
        }

        return (false, null);
    }

    /// <summary>What is missing is stored as nothing.</summary>
    public static bool IsMissing(ReadOnlySpan<char> field) => field is "" or "-" or "?";

    public void Dispose()
    {
        lines.Dispose();
        ArrayPool<char>.Shared.Return(text);
        text = [];
    }

    private string? Split(int most)
    {
        Count = 0;
        if (lines.TooLong) return $"The line has more than {longest} bytes.";
        var line = lines.Line.Span;
        if (!Utf8.IsValid(line)) return "The line is not valid UTF-8.";
        if (line.Length > text.Length)
        {
            ArrayPool<char>.Shared.Return(text);
            text = ArrayPool<char>.Shared.Rent(line.Length);
        }

        var chars = text.AsSpan(0, Encoding.UTF8.GetChars(line, text));
        var fields = 1;
        foreach (var c in chars)
        {
            if (c == '\t') fields++;
            else if (char.IsControl(c)) return $"The line holds the control character U+{(int)c:X4}.";
        }

        if (fields > most) return $"The line has {fields} fields; {most} are the most.";
        if (ranges.Length < fields) ranges = new Range[Math.Max(fields, 16)];
        Count = chars.Split(ranges.AsSpan(0, fields), '\t');
        return null;
    }
}
