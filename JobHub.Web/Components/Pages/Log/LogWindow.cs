using System.Text;
using JobHub.Web.Client;

namespace JobHub.Web.Components.Pages.Log;

/// <summary>A line of a log as a page holds it, or a gap.</summary>
/// <param name="Whole">It ends with a line's end, or is the end of what fits.</param>
/// <param name="Gap">Bytes that were not kept; 0: it is a line.</param>
/// <param name="Source">Whose line, in a merged log.</param>
/// <param name="Begins">It is the first of its attempt's lines that follow each other, in a merged log.</param>
/// <param name="Serial">Tells rows without a place of their own from each other.</param>
public sealed record LogRow(long Offset, long End, string Text, bool Whole, long Gap = 0, HubLogLine? Source = null, bool Begins = false, int Serial = 0);

/// <summary>A window over a log: some lines in a row of all that were printed. It grows at either end and loses at the other.</summary>
public sealed class LogWindow
{
    /// <summary>More never reach a page.</summary>
    public const int MostRows = 2000;

    private const int LongestLine = 32 << 10;

    private int serial;

    public List<LogRow> Rows { get; } = [];

    /// <summary>What was printed in all, when it was last heard of.</summary>
    public long Size { get; private set; }

    /// <summary>No more will be printed.</summary>
    public bool Ended { get; private set; }

    public int? Attempt { get; private set; }

    public long Start => Rows.Count == 0 ? 0 : Rows[0].Offset;

    /// <summary>Where to go on reading: a line that was not whole is read again.</summary>
    public long Next => Rows.Count == 0 ? 0 : Rows[^1] is { Whole: false, Gap: 0 } last ? last.Offset : Rows[^1].End;

    /// <summary>All that was printed up to now is in it or in front of it.</summary>
    public bool AtEnd => Rows.Count == 0 ? Size == 0 : Rows[^1].End >= Size;

    public void Clear() => Rows.Clear();

    /// <summary>Notes what is known besides the lines.</summary>
    public void Note(LogPiece piece)
    {
        ArgumentNullException.ThrowIfNull(piece);
        (Size, Ended, Attempt) = (Math.Max(piece.Size, piece.End), piece.Ended, piece.Attempt);
    }

    /// <summary>Puts a piece behind what is there.</summary>
    /// <returns>Whether it is longer now.</returns>
    public bool Append(LogPiece piece)
    {
        Note(piece);
        var end = Rows.Count == 0 ? -1 : Rows[^1].End;
        if (Rows.Count > 0 && Rows[^1] is { Whole: false, Gap: 0 } last && last.Offset == piece.Offset) Rows.RemoveAt(Rows.Count - 1);
        Rows.AddRange(RowsOf(piece));
        if (Rows.Count > MostRows) Rows.RemoveRange(0, Rows.Count - MostRows);
        return Rows.Count > 0 && Rows[^1].End > end;
    }

    /// <summary>Puts a piece in front of what is there.</summary>
    public void Prepend(LogPiece piece)
    {
        Note(piece);
        Rows.InsertRange(0, RowsOf(piece));
        if (Rows.Count > MostRows) Rows.RemoveRange(MostRows, Rows.Count - MostRows);
    }

    /// <summary>Puts lines of a whole job behind what is there, or in front of it; those that are there already are left out, but for one that was not whole yet.</summary>
    /// <returns>Whether rows at the other end had to go.</returns>
    public bool Add(IReadOnlyList<HubLogLine> lines, bool front = false)
    {
        ArgumentNullException.ThrowIfNull(lines);
        var there = new Dictionary<(string, int, long, bool), (List<LogRow> Rows, int At)>();
        for (var i = 0; i < Rows.Count; i++)
        {
            if (Rows[i].Source is { } source) there.TryAdd(KeyOf(source), (Rows, i));
        }

        var added = new List<LogRow>();
        foreach (var line in lines)
        {
            var row = new LogRow(line.Offset, line.End, line.Text, true, line.Gap ?? 0, line, Serial: line.Missed is > 0 ? ++serial : 0);
            if (line.Missed is > 0 || there.TryAdd(KeyOf(line), (added, added.Count))) added.Add(row);
            else if (there[KeyOf(line)] is var (rows, at) && rows[at].End < line.End) rows[at] = row;
        }

        Rows.InsertRange(front ? 0 : Rows.Count, added);
        var over = Math.Max(0, Rows.Count - MostRows);
        Rows.RemoveRange(front ? Rows.Count - over : 0, over);
        // A prefix stands where the attempt changes, and at the top.
        for (var i = 0; i < Rows.Count; i++)
        {
            var begins = i == 0 || Rows[i - 1].Source is not { } before || Rows[i].Source is not { } own || before.Task != own.Task || before.Attempt != own.Attempt || Rows[i - 1].Gap > 0;
            if (Rows[i].Begins != begins) Rows[i] = Rows[i] with { Begins = begins };
        }

        return over > 0;
    }

    private static (string, int, long, bool) KeyOf(HubLogLine line) => (line.Task, line.Attempt, line.Offset, line.Gap is > 0);

    /// <summary>The lines of a piece, each at its place among all that was printed.</summary>
    public static IReadOnlyList<LogRow> RowsOf(LogPiece piece)
    {
        ArgumentNullException.ThrowIfNull(piece);
        var rows = new List<LogRow>();
        var at = piece.Offset;
        for (var done = 0; done < piece.Bytes.Length;)
        {
            Skip(rows, piece, ref at);
            var next = piece.Gaps.Where(gap => gap.Offset > at).Select(static gap => gap.Offset).DefaultIfEmpty(long.MaxValue).Min();
            var kept = piece.Bytes.AsSpan(done, (int)Math.Min(piece.Bytes.Length - done, next - at));
            var end = kept.IndexOf((byte)'\n');
            var (length, whole) = end >= 0 && end <= LongestLine ? (end, true) : kept.Length > LongestLine ? (Cut(kept), true) : (kept.Length, kept.Length < piece.Bytes.Length - done);
            var taken = end == length ? length + 1 : length;
            rows.Add(new(at, at + taken, Encoding.UTF8.GetString(kept[..length].TrimEnd((byte)'\r')), whole));
            done += taken;
            at += taken;
        }

        Skip(rows, piece, ref at);
        return rows;
    }

    private static void Skip(List<LogRow> rows, LogPiece piece, ref long at)
    {
        foreach (var gap in piece.Gaps)
        {
            if (gap.Offset > at || gap.End <= at || gap.Offset >= piece.End) continue;
            rows.Add(new(at, gap.End, "", true, gap.End - at));
            at = gap.End;
        }
    }

    // Not within a character.
    private static int Cut(ReadOnlySpan<byte> line)
    {
        var cut = LongestLine;
        while (cut > LongestLine - 4 && (line[cut] & 0xC0) == 0x80) cut--;
        return cut;
    }
}
