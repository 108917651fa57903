using JobHub.Engine.Analyses;
using Xunit;

namespace JobHub.Engine.Tests.Analyses;

public sealed class RadialTests
{
    [Fact]
    public void Run_TwoTreesAndALoneProfile_AreWhereTheyAreByHand()
    {
        // Tree 1: a with the leaf c and the inner d (leaves e, f). Leaves: 3, so a third of the circle each. Tree 2: g alone. Tree 3: h with one leaf.
        var points = Draw(["a", "g", "h", "c", "d", "e", "f", "i"], new("a", "c", 1), new("a", "d", 2), new("d", "e", 1), new("h", "i", 3), new("d", "f", 0.5));
        Assert.Equal(["a", "c", "d", "e", "f", "g", "h", "i"], points.Select(p => p.Profile));
        Assert.Equal([1, 1, 1, 1, 1, 2, 3, 3], points.Select(p => p.Component));
        At(points, "a", 0, 0);
        At(points, "c", 110 * Math.Cos(Math.PI / 3), 110 * Math.Sin(Math.PI / 3));
        // Its wedge goes from 120 to 360 degrees: the middle is 240.
        var (x, y) = (210 * Math.Cos(4 * Math.PI / 3), 210 * Math.Sin(4 * Math.PI / 3));
        At(points, "d", x, y);
        // Its children share its wedge from its own right border: 120 to 240 and 240 to 360.
        At(points, "e", x - 110, y);
        At(points, "f", x + (60 * Math.Cos(5 * Math.PI / 3)), y + (60 * Math.Sin(5 * Math.PI / 3)));
        At(points, "g", 0, 0);
        At(points, "i", -310, 0);
    }

    [Fact]
    public void Run_ChainOf200000Profiles_IsOneLine()
    {
        var ids = Enumerable.Range(0, 200_000).Select(i => i.ToString()).ToArray();
        var points = Draw(ids, [.. Enumerable.Range(1, 199_999).Select(i => new TreeEdge(ids[i - 1], ids[i], 1))]);
        Assert.Equal(200_000, points.Count);
        Assert.Equal(-110 * 199_999d, points[^1].X, 1e-3);
    }

    [Fact]
    public void Run_ResultOfGoeBurst_HasEveryProfileOnceAndEveryEdgeItsLength()
    {
        var table = TypingData.Scheme(5_000, 7, 4);
        var edges = TypingData.GoeBurst(table, 3);
        var points = TypingData.Run(new Radial(), new(table, edges, [])).Points.ToDictionary(p => p.Profile);
        Assert.Equal(table.Count, points.Count);
        Assert.Equal(table.Count - edges.Count, points.Values.Max(p => p.Component));
        Assert.All(edges, e =>
        {
            var (from, to) = (points[e.From], points[e.To]);
            Assert.Equal(from.Component, to.Component);
            Assert.Equal((e.Distance * 100) + 10, Math.Sqrt(((from.X - to.X) * (from.X - to.X)) + ((from.Y - to.Y) * (from.Y - to.Y))), 1e-6);
        });
    }

    [Fact]
    public void Run_EdgesThatAreNoTrees_AreRefusedWithTheReason()
    {
        Assert.Contains("circle", Refusal(["a", "b", "c"], new("a", "b", 1), new("b", "c", 1), new("c", "a", 1)), StringComparison.Ordinal);
        Assert.Contains("two edges to the profile 'c'", Refusal(["a", "b", "c"], new("a", "c", 1), new("b", "c", 1)), StringComparison.Ordinal);
        Assert.Contains("'b' to itself", Refusal(["a", "b"], new TreeEdge("b", "b", 1)), StringComparison.Ordinal);
        Assert.Contains("'z' that the dataset does not have", Refusal(["a", "b"], new TreeEdge("a", "z", 1)), StringComparison.Ordinal);
    }

    [Fact]
    public void Run_Canceled_EndsByThat()
    {
        using var cancel = new CancellationTokenSource();
        var table = TypingData.Scheme(20_000, 7, 4);
        var edges = TypingData.GoeBurst(table, 3);
        Assert.ThrowsAny<OperationCanceledException>(() => { TypingData.Run(new Radial(), new(table, edges, []), new Telling(_ => cancel.Cancel()), cancel.Token); });
    }

    private static List<TreePoint> Draw(string[] ids, params TreeEdge[] edges) => TypingData.Run(new Radial(), new(new([], ids, new int[ids.Length], []), edges, [])).Points;

    private static string Refusal(string[] ids, params TreeEdge[] edges) => Assert.Throws<InvalidDataException>(() => Draw(ids, edges)).Message;

    private static void At(List<TreePoint> points, string profile, double x, double y)
    {
        var point = points.Single(p => p.Profile == profile);
        Assert.Equal(x, point.X, 1e-9);
        Assert.Equal(y, point.Y, 1e-9);
    }
}
