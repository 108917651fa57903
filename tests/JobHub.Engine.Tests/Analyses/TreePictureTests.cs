using System.Globalization;
using System.Xml.Linq;
using JobHub.Engine.Analyses;
using Xunit;

namespace JobHub.Engine.Tests.Analyses;

public sealed class TreePictureTests
{
    private static readonly XNamespace Svg = "http://www.w3.org/2000/svg";

    [Theory, InlineData(0), InlineData(1), InlineData(50), InlineData(1_000)]
    public void Write_Scheme_IsXmlWithEveryProfileAndEdgeInsideItsTreesBoxAndNoTwoBoxesOverlap(int profiles)
    {
        var table = TypingData.Scheme(profiles, 7, 3);
        var edges = TypingData.GoeBurst(table, 3);
        var points = TypingData.Run(new Radial(), new(table, edges, [])).Points;
        var picture = Draw(points, edges, table.Ids.Zip(table.Isolates).ToDictionary(z => z.First, z => z.Second));
        var trees = picture.Elements(Svg + "g").Where(g => (string?)g.Attribute("class") == "tree").ToList();
        Assert.Equal(profiles - edges.Count, trees.Count);
        Assert.Equal(profiles, picture.Descendants(Svg + "circle").Count());
        Assert.Equal(edges.Count, trees.Sum(t => t.Elements(Svg + "path").Count()));
        Assert.Equal(table.Ids.Order(), picture.Descendants(Svg + "text").Where(t => ((string?)t.Attribute("class"))?.StartsWith('h') is true).Select(t => t.Value).Order());

        var view = ((string)picture.Attribute("viewBox")!).Split(' ').Select(v => double.Parse(v, CultureInfo.InvariantCulture)).ToArray();
        var boxes = trees.ConvertAll(t => Box(t.Elements(Svg + "rect").Single()));
        for (var a = 0; a < boxes.Count; a++)
        {
            Assert.True(boxes[a].Left >= 0 && boxes[a].Right <= view[2] && boxes[a].Top >= 0 && boxes[a].Bottom <= view[3]);
            for (var b = a + 1; b < boxes.Count; b++)
                Assert.True(boxes[a].Right < boxes[b].Left || boxes[b].Right < boxes[a].Left || boxes[a].Bottom < boxes[b].Top || boxes[b].Bottom < boxes[a].Top);
            Assert.All(trees[a].Elements(Svg + "circle"), c =>
            {
                var (x, y, r) = (Number(c, "cx"), Number(c, "cy"), Number(c, "r"));
                Assert.True(r > 0 && x - r >= boxes[a].Left && x + r <= boxes[a].Right && y - r >= boxes[a].Top && y + r <= boxes[a].Bottom);
            });
        }
    }

    [Fact]
    public void Write_Picture_HasTitleAndDescriptionAndNothingActive()
    {
        var picture = Draw([new("a", 1, 0, 0), new("b", 1, 110, 0)], [new("a", "b", 1)], null);
        Assert.Equal(("title desc", "img"), ((string?)picture.Attribute("aria-labelledby"), (string?)picture.Attribute("role")));
        Assert.Equal("Trees & <things>", picture.Element(Svg + "title")!.Value);
        Assert.Contains("2 profiles, 1 edge, 1 tree", picture.Element(Svg + "desc")!.Value, StringComparison.Ordinal);
        Assert.DoesNotContain(picture.Descendants(), e => e.Name.LocalName is "script" or "a" or "image" or "foreignObject");
        Assert.DoesNotContain(picture.Descendants().Attributes(), a => a.Name.LocalName.StartsWith("on", StringComparison.Ordinal) || a.Name.LocalName == "href");
    }

    [Fact]
    public void Write_HostileIds_AreTextAndNothingElse()
    {
        string[] ids = ["</text><script>alert(1)</script>", "a & b", "\"'><", "]]>", "\u0001\uFFFE", "\uD800x", "🧬"];
        var picture = Draw([.. ids.Select((id, i) => new TreePoint(id, i + 1, 0, 0))], [], null);
        var labels = picture.Descendants(Svg + "text").Select(t => t.Value).ToList();
        Assert.All(ids[..4], id => Assert.Contains(id, labels));
        Assert.Contains("\uFFFD\uFFFD", labels);
        Assert.Contains("\uFFFDx", labels);
        Assert.Contains("🧬", labels);
        Assert.Empty(picture.Descendants(Svg + "script"));
    }

    [Fact]
    public void Write_DotsByIsolates_GrowWithThem()
    {
        var picture = Draw([new("few", 1, 0, 0), new("many", 2, 0, 0)], [], new Dictionary<string, int> { ["few"] = 1, ["many"] = 40 });
        var radii = picture.Descendants(Svg + "circle").ToDictionary(c => c.Value, c => Number(c, "r"));
        Assert.True(radii["many: 40 isolates"] > 1.5 * radii["few: 1 isolate"]);
    }

    [Fact]
    public async Task WriteAsync_HubOf20000_IsWhatWriteGivesAndNothingIsNotANumber()
    {
        var ids = Enumerable.Range(0, 20_000).Select(i => "ST" + i).ToArray();
        TreeEdge[] edges = [.. ids.Skip(1).Select((id, i) => new TreeEdge(ids[0], id, i == 0 ? 1e9 : 1))];
        var points = TypingData.Run(new Radial(), new(new([], ids, new int[ids.Length], []), edges, [])).Points;
        var (one, two) = (new StringWriter(), new StringWriter());
        TreePicture.Write(one, points, edges);
        await TreePicture.WriteAsync(two, points, edges);
        Assert.Equal(one.ToString(), two.ToString());
        Assert.DoesNotContain("NaN", one.ToString(), StringComparison.Ordinal);
        Assert.DoesNotContain("∞", one.ToString(), StringComparison.Ordinal);
        XDocument.Parse(one.ToString());
    }

    private static XElement Draw(IReadOnlyList<TreePoint> points, IReadOnlyList<TreeEdge> edges, IReadOnlyDictionary<string, int>? isolates)
    {
        var writer = new StringWriter();
        TreePicture.Write(writer, points, edges, isolates, "Trees & <things>");
        return XDocument.Parse(writer.ToString()).Root!;
    }

    private static (double Left, double Top, double Right, double Bottom) Box(XElement rect) =>
        (Number(rect, "x"), Number(rect, "y"), Number(rect, "x") + Number(rect, "width"), Number(rect, "y") + Number(rect, "height"));

    private static double Number(XElement element, string name) => double.Parse((string)element.Attribute(name)!, CultureInfo.InvariantCulture);
}
