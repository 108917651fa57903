namespace JobHub.Engine.Analyses.Pictures;

/// <summary>A place on the sheet, the upper left corner first.</summary>
internal readonly record struct Box(double X, double Y, double Width, double Height);

/// <summary>A profile on the sheet.</summary>
internal struct Dot
{
    public double X, Y, Radius;

    /// <summary>Of its label: size of the letters, where the text starts and its direction in degrees; Ends: it runs up to that place.</summary>
    public double Letters, TextX, TextY, Turn;
    public bool Ends, Centred;
    public int Parent;
    public double Distance;
    public int Children;
    public int Isolates;
}

/// <summary>One tree: its profiles and its own box, inside of which all its dots and labels are.</summary>
internal sealed class PictureTree
{
    public List<int> Dots { get; } = [];

    public Box Box { get; set; }
}

/// <summary>
/// Where everything stands. Letters and dots are as large as the distance to the nearest other profile allows, so that a crowded part can be read by zooming in and is no blot before;
/// labels run along the edge to their profile, as siblings part from each other in that direction. Trees are packed side by side, the highest first.
/// </summary>
internal sealed class PictureLayout
{
    /// <summary>Width of a letter by its height, about, of a sans-serif.</summary>
    private const double LetterWidth = 0.62;

    public PictureLayout(IReadOnlyList<TreePoint> points, IReadOnlyList<TreeEdge> edges, IReadOnlyDictionary<string, int>? isolates, CancellationToken ct)
    {
        Points = points;
        Dots = new Dot[points.Count];
        var numbers = new Dictionary<string, int>(points.Count, StringComparer.Ordinal);
        var trees = new SortedDictionary<int, PictureTree>();
        for (var i = 0; i < points.Count; i++)
        {
            numbers[points[i].Profile] = i;
            if (!trees.TryGetValue(points[i].Component, out var tree)) trees.Add(points[i].Component, tree = new());
            tree.Dots.Add(i);
            Dots[i] = new() { X = Finite(points[i].X), Y = Finite(points[i].Y), Parent = -1, Isolates = isolates is null ? -1 : isolates.GetValueOrDefault(points[i].Profile) };
        }

        foreach (var edge in edges)
        {
            if (!numbers.TryGetValue(edge.From, out var from) || !numbers.TryGetValue(edge.To, out var to) || points[from].Component != points[to].Component) continue;
            (Dots[to].Parent, Dots[to].Distance) = (from, edge.Distance);
            Dots[from].Children++;
        }

        ct.ThrowIfCancellationRequested();
        Unit = UnitOf();
        Trees = [.. trees.Values];
        var gaps = RootGaps();
        foreach (var tree in Trees)
        {
            ct.ThrowIfCancellationRequested();
            Shape(tree, gaps, ct);
        }

        (Width, Height) = Pack(ct);
    }

    public IReadOnlyList<TreePoint> Points { get; }

    public Dot[] Dots { get; }

    public PictureTree[] Trees { get; }

    /// <summary>The size of things: 1 for edges of one or two loci, more where most edges are longer.</summary>
    public double Unit { get; }

    public double Width { get; }

    public double Height { get; }

    private static double Finite(double value) => double.IsFinite(value) ? value : 0;

    private double UnitOf()
    {
        var lengths = new List<double>();
        foreach (var dot in Dots)
            if (dot.Parent >= 0)
                lengths.Add(Math.Sqrt(Square(dot.X - Dots[dot.Parent].X) + Square(dot.Y - Dots[dot.Parent].Y)));
        lengths.Sort();
        return lengths.Count == 0 ? 1 : Math.Max(1, lengths[lengths.Count / 2] / 220);
    }

    /// <summary>Of each root the middle of the widest gap between its edges, in radians: there is room for its label.</summary>
    private Dictionary<int, double> RootGaps()
    {
        var angles = new Dictionary<int, List<double>>();
        foreach (var dot in Dots)
            if (dot.Parent >= 0 && Dots[dot.Parent].Parent < 0)
            {
                if (!angles.TryGetValue(dot.Parent, out var list)) angles.Add(dot.Parent, list = []);
                list.Add(Math.Atan2(dot.Y - Dots[dot.Parent].Y, dot.X - Dots[dot.Parent].X));
            }

        return angles.ToDictionary(a => a.Key, a =>
        {
            a.Value.Sort();
            var (widest, middle) = (0d, 0d);
            for (var i = 0; i < a.Value.Count; i++)
            {
                var next = i + 1 < a.Value.Count ? a.Value[i + 1] : a.Value[0] + (2 * Math.PI);
                if (next - a.Value[i] > widest) (widest, middle) = (next - a.Value[i], (next + a.Value[i]) / 2);
            }

            return middle;
        });
    }

    private void Shape(PictureTree tree, Dictionary<int, double> gaps, CancellationToken ct)
    {
        var spacing = Spacing(tree, 18 * Unit, ct);
        var (left, top, right, bottom) = (double.MaxValue, double.MaxValue, double.MinValue, double.MinValue);
        for (var n = 0; n < tree.Dots.Count; n++)
        {
            var id = tree.Dots[n];
            ref var dot = ref Dots[id];
            var root = dot.Parent < 0;
            dot.Radius = Math.Min(spacing[n] * 0.42, Unit * Math.Min(16, dot.Isolates < 0 ? 4 : 2.6 + (1.5 * Math.Sqrt(Math.Max(0, dot.Isolates)))));
            dot.Letters = Math.Min(spacing[n] * 0.85, Unit * (root ? 13 : 11));
            var length = Points[id].Profile.Length * LetterWidth * dot.Letters * (root ? 1.1 : 1);
            var gap = dot.Radius + (0.3 * dot.Letters);
            Grow(dot.X - dot.Radius, dot.Y - dot.Radius);
            Grow(dot.X + dot.Radius, dot.Y + dot.Radius);
            if (tree.Dots.Count == 1)
            {
                (dot.TextX, dot.TextY, dot.Centred) = (dot.X, dot.Y + dot.Radius + (0.75 * dot.Letters), true);
                Grow(dot.X - (length / 2), dot.TextY - (dot.Letters / 2));
                Grow(dot.X + (length / 2), dot.TextY + (0.6 * dot.Letters));
                continue;
            }

            var angle = root ? gaps.GetValueOrDefault(id) : Math.Atan2(dot.Y - Dots[dot.Parent].Y, dot.X - Dots[dot.Parent].X);
            var (sin, cos) = Math.SinCos(angle);
            // Inside a tree the label stands beside the line that goes on, like a street's name.
            var beside = root || dot.Children == 0 ? 0 : 0.65 * dot.Letters;
            dot.Ends = cos < -1e-9;
            var (sideX, sideY) = dot.Ends ? (-sin * beside, cos * beside) : (sin * beside, -cos * beside);
            dot.Turn = (dot.Ends ? angle + Math.PI : angle) * 180 / Math.PI;
            (dot.TextX, dot.TextY) = (dot.X + (cos * gap) + sideX, dot.Y + (sin * gap) + sideY);
            foreach (var along in (ReadOnlySpan<double>)[0, length])
                foreach (var across in (ReadOnlySpan<double>)[-0.6 * dot.Letters, 0.6 * dot.Letters])
                    Grow(dot.TextX + (cos * along) - (sin * across), dot.TextY + (sin * along) + (cos * across));
        }

        // Kept at its own place until it is packed.
        var margin = 6 * Unit;
        tree.Box = new(left - margin, top - margin, right - left + (2 * margin), bottom - top + (2 * margin));

        void Grow(double x, double y)
        {
            (left, top) = (Math.Min(left, x), Math.Min(top, y));
            (right, bottom) = (Math.Max(right, x), Math.Max(bottom, y));
        }
    }

    /// <summary>How far the nearest other profile of the tree is, at most <paramref name="most"/>; by squares of that size, in each of which only some are looked at.</summary>
    private double[] Spacing(PictureTree tree, double most, CancellationToken ct)
    {
        const int looked = 48;
        var cells = new Dictionary<(long, long), List<int>>();
        foreach (var id in tree.Dots)
        {
            if (!cells.TryGetValue(Cell(id), out var cell)) cells.Add(Cell(id), cell = []);
            cell.Add(id);
        }

        var spacing = new double[tree.Dots.Count];
        for (var n = 0; n < spacing.Length; n++)
        {
            if ((n & 0x3FF) == 0) ct.ThrowIfCancellationRequested();
            var (id, nearest) = (tree.Dots[n], most * most);
            var (column, line) = Cell(id);
            for (var x = column - 1; x <= column + 1; x++)
                for (var y = line - 1; y <= line + 1; y++)
                {
                    if (!cells.TryGetValue((x, y), out var cell)) continue;
                    // So many in one square are about evenly spread.
                    if (cell.Count > looked && (x, y) == (column, line)) nearest = Math.Min(nearest, most * most / cell.Count / 4);
                    foreach (var other in cell.Count > looked ? cell[..looked] : cell)
                        if (other != id)
                            nearest = Math.Min(nearest, Square(Dots[other].X - Dots[id].X) + Square(Dots[other].Y - Dots[id].Y));
                }

            spacing[n] = Math.Max(Math.Sqrt(nearest), most / 200);
        }

        return spacing;

        (long, long) Cell(int id) => ((long)Math.Floor(Dots[id].X / most), (long)Math.Floor(Dots[id].Y / most));
    }

    /// <summary>The highest first, each into the smallest free space that takes it, else onto a new shelf below; the sheet is about 1.6 times as wide as high.</summary>
    private (double Width, double Height) Pack(CancellationToken ct)
    {
        const int remembered = 200;
        var gap = 10 * Unit;
        var order = Trees.OrderByDescending(t => t.Box.Height).ThenByDescending(t => t.Box.Width).ToList();
        var area = order.Sum(t => (t.Box.Width + gap) * (t.Box.Height + gap));
        var wanted = Math.Max(order.Count == 0 ? 0 : order.Max(t => t.Box.Width) + gap, Math.Sqrt(area * 1.6));
        var (free, bottom, widest) = (new List<Box>(), 0d, 0d);
        foreach (var tree in order)
        {
            ct.ThrowIfCancellationRequested();
            var (width, height) = (tree.Box.Width + gap, tree.Box.Height + gap);
            var best = -1;
            for (var f = 0; f < free.Count; f++)
                if (free[f].Width >= width && free[f].Height >= height && (best < 0 || free[f].Width * free[f].Height < free[best].Width * free[best].Height))
                    best = f;
            Box space;
            if (best >= 0)
            {
                space = free[best];
                free.RemoveAt(best);
            }
            else
            {
                space = new(0, bottom, wanted, height);
                bottom += height;
            }

            Move(tree, space.X + (gap / 2), space.Y + (gap / 2));
            widest = Math.Max(widest, space.X + width);
            var (right, below) = (space.Width - width, space.Height - height);
            // The larger rest stays in one piece.
            Keep(new(space.X + width, space.Y, right, right > below ? space.Height : height));
            Keep(new(space.X, space.Y + height, right > below ? width : space.Width, below));
        }

        return (widest, bottom);

        void Keep(Box rest)
        {
            if (rest.Width <= gap || rest.Height <= gap) return;
            if (free.Count == remembered) free.RemoveAt(0);
            free.Add(rest);
        }
    }

    private void Move(PictureTree tree, double x, double y)
    {
        var (right, down) = (x - tree.Box.X, y - tree.Box.Y);
        foreach (var id in tree.Dots)
        {
            ref var dot = ref Dots[id];
            (dot.X, dot.Y, dot.TextX, dot.TextY) = (dot.X + right, dot.Y + down, dot.TextX + right, dot.TextY + down);
        }

        tree.Box = tree.Box with { X = x, Y = y };
    }

    private static double Square(double x) => x * x;
}
