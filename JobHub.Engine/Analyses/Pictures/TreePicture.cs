using System.Globalization;
using System.Text;
using JobHub.Engine.Analyses.Pictures;

namespace JobHub.Engine.Analyses;

/// <summary>
/// A visualization as an SVG picture that a browser shows whole and zooms: trees side by side in boxes that do not overlap, a dot a profile as large as its isolates are many, its id beside it,
/// edges drawn by their distance. It holds no script and needs nothing from elsewhere.
/// </summary>
public static class TreePicture
{
    private const int Piece = 1 << 15;

    private const string Style = """
        <style>
        .sheet{fill:#fff} .box{fill:#f8fafc;stroke:#e2e8f0}
        .e1,.e2,.e3,.e4{fill:none;stroke-linecap:round} .e1{stroke:#0f172a} .e2{stroke:#2563eb} .e3{stroke:#b45309} .e4{stroke:#9ca3af}
        .p{fill:#38bdf8;stroke:#0369a1} .r{fill:#fb923c;stroke:#9a3412}
        text{font-family:"Helvetica Neue",Arial,"Liberation Sans",sans-serif;fill:#0f172a} .h{paint-order:stroke;stroke:#f8fafc;stroke-opacity:.9;stroke-linejoin:round} .b{font-weight:bold} .d{fill:#475569;text-anchor:middle}
        </style>

        """;

    /// <param name="points">Of a visualization.</param>
    /// <param name="edges">Of its inference; those whose ends have no point are left out.</param>
    /// <param name="isolates">By profile, where known.</param>
    /// <param name="title">What the picture shows.</param>
    public static void Write(
        TextWriter writer, IReadOnlyList<TreePoint> points, IReadOnlyList<TreeEdge> edges, IReadOnlyDictionary<string, int>? isolates = null, string? title = null, CancellationToken ct = default)
    {
        foreach (var piece in Pieces(points, edges, isolates, title, ct)) writer.Write(piece);
    }

    /// <inheritdoc cref="Write"/>
    public static async Task WriteAsync(
        TextWriter writer, IReadOnlyList<TreePoint> points, IReadOnlyList<TreeEdge> edges, IReadOnlyDictionary<string, int>? isolates = null, string? title = null, CancellationToken ct = default)
    {
        foreach (var piece in Pieces(points, edges, isolates, title, ct)) await writer.WriteAsync(piece, ct);
    }

    private static IEnumerable<StringBuilder> Pieces(IReadOnlyList<TreePoint> points, IReadOnlyList<TreeEdge> edges, IReadOnlyDictionary<string, int>? isolates, string? title, CancellationToken ct)
    {
        var layout = new PictureLayout(points, edges, isolates, ct);
        var text = new StringBuilder(Piece);
        var key = Key(layout);
        // Words above and the key below are as large as reads well when the whole sheet is on a screen.
        var letters = Math.Max(11 * layout.Unit, Math.Max(layout.Width, 300) / 90);
        var (width, head, foot) = (Math.Max(layout.Width, letters * 30), letters * 2.4, letters * 2.6);
        var (height, drawn) = (layout.Height + head + foot, layout.Dots.Count(static d => d.Parent >= 0));
        var shown = width <= 1360 ? width : Math.Max(1360, width / 5);
        var summary = $"{Count(points.Count, "profile")}, {Count(drawn, "edge")}, {Count(layout.Trees.Length, "tree")}";
        text.Append("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" aria-labelledby=\"title desc\" viewBox=\"0 0 ");
        Number(text, width).Append(' ');
        Number(text, height).Append("\" width=\"");
        Number(text, shown).Append("\" height=\"");
        Number(text, height * shown / width).Append("\">\n<title id=\"title\">");
        Escape(text, title ?? "Tree").Append("</title>\n<desc id=\"desc\">").Append(summary);
        text.Append(". Each dot is a profile, orange where a tree starts").Append(isolates is null ? "" : ", larger with more isolates").Append("; edges are drawn by how many loci differ.</desc>\n").Append(Style);
        Attributes(text.Append("<rect class=\"sheet\""), 0, 0, width, height).Append("/>\n");
        Words(text, letters * 0.8, letters * 1.5, letters * 1.1, "b", title ?? "Tree");
        Words(text, letters * 0.8 + Math.Min((title ?? "Tree").Length * letters * 0.75, width / 2) + letters, letters * 1.5, letters, null, summary);

        for (var number = 0; number < layout.Trees.Length; number++)
        {
            var (tree, down) = (layout.Trees[number], head);
            text.Append("<g class=\"tree\"><title>Tree ").Append(number + 1).Append(": ").Append(Count(tree.Dots.Count, "profile")).Append("</title>\n<rect class=\"box\"");
            Attributes(text, tree.Box.X, tree.Box.Y + down, tree.Box.Width, tree.Box.Height).Append(" stroke-width=\"");
            Number(text, layout.Unit).Append("\"/>\n");
            foreach (var part in (Action<int>[])[id => Line(text, layout, id, down), id => Disc(text, layout, id, down, isolates is not null), id => Label(text, layout, id, down)])
                foreach (var id in tree.Dots)
                {
                    part(id);
                    if (text.Length < Piece) continue;
                    ct.ThrowIfCancellationRequested();
                    yield return text;
                    text.Clear();
                }

            text.Append("</g>\n");
        }

        WriteKey(text, key, layout.Unit, letters, layout.Height + head + (foot / 2));
        yield return text.Append("</svg>\n");
    }

    private static string Count(int count, string what) => count == 1 ? $"1 {what}" : $"{count} {what}s";

    /// <summary>Which kinds of edges there are, in the order of their distances.</summary>
    private static SortedSet<int> Key(PictureLayout layout) => [.. layout.Dots.Where(static d => d.Parent >= 0).Select(static d => Kind(d.Distance))];

    private static int Kind(double distance) => distance <= 1 ? 1 : distance <= 2 ? 2 : distance <= 3 ? 3 : 4;

    private static void WriteKey(StringBuilder text, SortedSet<int> kinds, double unit, double letters, double y)
    {
        var x = letters * 0.8;
        text.Append("<g class=\"key\">\n");
        foreach (var kind in kinds)
        {
            text.Append("<path class=\"e").Append(kind).Append("\" d=\"M");
            Number(text, x).Append(' ');
            Number(text, y).Append('h');
            Stroke(Number(text, letters * 2.5).Append('"'), kind, letters / 9 > unit ? letters / 9 : unit).Append("/>\n");
            x += letters * 2.9;
            var name = kind switch { 1 => "1 locus differs", 2 => "2 loci", 3 => "3 loci", _ => "more than 3" };
            Words(text, x, y + (letters * 0.35), letters, null, name);
            x += letters * ((name.Length * 0.55) + 1.6);
        }

        text.Append("</g>\n");
    }

    private static StringBuilder Stroke(StringBuilder text, int kind, double unit)
    {
        text.Append(" stroke-width=\"");
        Number(text, unit * kind switch { 1 => 1.5, 2 => 1.2, _ => 1 }).Append('"');
        if (kind == 1) return text;
        text.Append(" stroke-dasharray=\"");
        Number(text, unit * (kind switch { 2 => 9, 3 => 5, _ => 1 })).Append(' ');
        return Number(text, unit * (kind switch { 2 => 3, 3 => 4, _ => 3 })).Append('"');
    }

    private static void Line(StringBuilder text, PictureLayout layout, int id, double down)
    {
        ref var dot = ref layout.Dots[id];
        if (dot.Parent < 0) return;
        ref var parent = ref layout.Dots[dot.Parent];
        var kind = Kind(dot.Distance);
        text.Append("<path class=\"e").Append(kind).Append("\" d=\"M");
        Number(text, parent.X).Append(' ');
        Number(text, parent.Y + down).Append('L');
        Number(text, dot.X).Append(' ');
        Number(text, dot.Y + down).Append('"');
        // Lines that stand close together are thin.
        Stroke(text, kind, Math.Min(layout.Unit, dot.Letters / 6)).Append("/>\n");
        if (kind == 1) return;
        var size = Math.Min(9 * layout.Unit, dot.Letters * 0.8);
        // Where it is crowded the kind of line must do.
        if (size < 3 * layout.Unit) return;
        text.Append("<text class=\"d h\" x=\"");
        Number(text, (parent.X + dot.X) / 2).Append("\" y=\"");
        Number(text, ((parent.Y + dot.Y) / 2) + down + (size * 0.35));
        Letters(text, size).Append(dot.Distance.ToString("0.##", CultureInfo.InvariantCulture)).Append("</text>\n");
    }

    private static void Disc(StringBuilder text, PictureLayout layout, int id, double down, bool known)
    {
        ref var dot = ref layout.Dots[id];
        text.Append("<circle class=\"").Append(dot.Parent < 0 ? 'r' : 'p').Append("\" cx=\"");
        Number(text, dot.X).Append("\" cy=\"");
        Number(text, dot.Y + down).Append("\" r=\"");
        Number(text, dot.Radius).Append("\" stroke-width=\"");
        Number(text, dot.Radius / 5).Append("\"><title>");
        Escape(text, layout.Points[id].Profile);
        if (known) text.Append(": ").Append(Count(dot.Isolates, "isolate"));
        text.Append("</title></circle>\n");
    }

    private static void Label(StringBuilder text, PictureLayout layout, int id, double down)
    {
        ref var dot = ref layout.Dots[id];
        text.Append(dot.Parent < 0 ? "<text class=\"h b\" x=\"" : "<text class=\"h\" x=\"");
        Number(text, dot.TextX).Append("\" y=\"");
        Number(text, dot.TextY + down + (dot.Letters * 0.35));
        Letters(text, dot.Letters, end: false);
        if (dot.Centred) text.Append(" text-anchor=\"middle\"");
        else if (dot.Ends) text.Append(" text-anchor=\"end\"");
        if (Math.Abs(dot.Turn) > 0.01 && Math.Abs(dot.Turn - 360) > 0.01)
        {
            text.Append(" transform=\"rotate(");
            Number(text, dot.Turn).Append(' ');
            Number(text, dot.TextX).Append(' ');
            Number(text, dot.TextY + down).Append(")\"");
        }

        Escape(text.Append('>'), layout.Points[id].Profile).Append("</text>\n");
    }

    private static StringBuilder Letters(StringBuilder text, double size, bool end = true)
    {
        text.Append("\" font-size=\"");
        Number(text, size).Append("\" stroke-width=\"");
        return Number(text, size / 3.5).Append(end ? "\">" : "\"");
    }

    private static void Words(StringBuilder text, double x, double y, double size, string? kind, string words)
    {
        text.Append(kind is null ? "<text x=\"" : $"<text class=\"{kind}\" x=\"");
        Number(text, x).Append("\" y=\"");
        Number(text, y).Append("\" font-size=\"");
        Escape(Number(text, size).Append("\">"), words).Append("</text>\n");
    }

    private static StringBuilder Attributes(StringBuilder text, double x, double y, double width, double height)
    {
        Number(text.Append(" x=\""), x);
        Number(text.Append("\" y=\""), y);
        Number(text.Append("\" width=\""), width);
        return Number(text.Append("\" height=\""), height).Append('"');
    }

    private static StringBuilder Number(StringBuilder text, double value) => text.Append(CultureInfo.InvariantCulture, $"{value:0.###}");

    /// <summary>Text as XML has it; characters that XML cannot hold are replaced.</summary>
    private static StringBuilder Escape(StringBuilder text, string value)
    {
        foreach (var rune in value.EnumerateRunes())
            _ = rune.Value switch
            {
                '&' => text.Append("&amp;"),
                '<' => text.Append("&lt;"),
                '>' => text.Append("&gt;"),
                '"' => text.Append("&quot;"),
                < ' ' and not ('\t' or '\n' or '\r') or 0xFFFE or 0xFFFF => text.Append('\uFFFD'),
                _ => text.Append(rune.ToString()),
            };
        return text;
    }
}
