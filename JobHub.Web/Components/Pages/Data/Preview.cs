using System.Text;
using JobHub.Web.Components.Shared;

namespace JobHub.Web.Components.Pages.Data;

/// <summary>What can be shown of a file's first bytes: rows of a table, text, or neither. Nothing of it is more than text.</summary>
public sealed record Preview
{
    /// <summary>Bytes that are read for it.</summary>
    public const int Most = 64 << 10;

    private const int MostRows = 200, MostCells = 30;

    // What browsers draw without running anything.
    private static readonly string[] Pictures = [".png", ".jpg", ".jpeg", ".gif", ".webp"];

    /// <summary>Of a table, its first row the head.</summary>
    public IReadOnlyList<IReadOnlyList<string>>? Rows { get; private init; }

    public string? Text { get; private init; }

    /// <summary>How much of the file this is.</summary>
    public required string Says { get; init; }

    public static bool IsPicture(string path) => Pictures.Any(end => path.EndsWith(end, StringComparison.OrdinalIgnoreCase));

    /// <summary>Reads the head of a file.</summary>
    public static Preview Of(string path, byte[] head, long size)
    {
        ArgumentNullException.ThrowIfNull(path);
        ArgumentNullException.ThrowIfNull(head);
        if (head.Length == 0) return new() { Says = "The file is empty." };
        if (head.Contains((byte)0)) return new() { Says = "It is not text, so there is nothing to show. Download it to look into it." };
        var text = Encoding.UTF8.GetString(head);
        var whole = head.Length >= size;
        // A character may be cut in two at the end of the head.
        if (!whole) text = text.TrimEnd('\uFFFD');
        if (DividerOf(path) is { } divider)
        {
            var rows = RowsOf(text, divider, whole);
            if (rows.Count > 0) return new() { Rows = rows, Says = whole && rows.Count <= MostRows ? $"{Shown.Count(rows.Count - 1)} rows" : $"The first {Shown.Count(rows.Count - 1)} rows of {Shown.Bytes(size)}" };
        }

        return new() { Text = Shown.Text(text, Most), Says = whole ? "The whole file" : $"The first {Shown.Bytes(head.Length)} of {Shown.Bytes(size)}" };
    }

    private static char? DividerOf(string path) =>
        path.EndsWith(".csv", StringComparison.OrdinalIgnoreCase) ? ',' : path.EndsWith(".tsv", StringComparison.OrdinalIgnoreCase) || path.EndsWith(".tab", StringComparison.OrdinalIgnoreCase) ? '\t' : null;

    /// <summary>Rows with quotes as RFC 4180 has them; a last one that is cut off is left away.</summary>
    private static List<IReadOnlyList<string>> RowsOf(string text, char divider, bool whole)
    {
        var rows = new List<IReadOnlyList<string>>();
        var (row, cell, quoted) = (new List<string>(), new StringBuilder(), false);
        void EndCell()
        {
            if (row.Count < MostCells) row.Add(cell.ToString());
            cell.Clear();
        }

        for (var i = 0; i < text.Length && rows.Count <= MostRows; i++)
        {
            var c = text[i];
            if (quoted && c == '"' && i + 1 < text.Length && text[i + 1] == '"') cell.Append(text[i++]);
            else if (c == '"' && (quoted || cell.Length == 0)) quoted = !quoted;
            else if (quoted || (c != divider && c is not ('\n' or '\r'))) cell.Append(c);
            else if (c == divider) EndCell();
            else if (c == '\n')
            {
                EndCell();
                rows.Add(row);
                row = [];
            }
        }

        if (whole && rows.Count <= MostRows && (row.Count > 0 || cell.Length > 0))
        {
            EndCell();
            rows.Add(row);
        }

        return rows;
    }
}
