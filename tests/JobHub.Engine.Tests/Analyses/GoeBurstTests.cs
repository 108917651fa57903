using JobHub.Engine.Analyses;
using Xunit;

namespace JobHub.Engine.Tests.Analyses;

public sealed class GoeBurstTests
{
    public static TheoryData<bool> Ways => [true, false];

    [Fact]
    public void All_HaveGoeBurstAndRadialByTheirNames()
    {
        Assert.IsType<GoeBurst>(Algorithm.Find(AnalysisKind.Inference, "goeburst"));
        Assert.IsType<Radial>(Algorithm.Find(AnalysisKind.Visualization, "radial"));
        var lvs = Assert.IsType<WholeNumberParameter>(new GoeBurst().Parameters[1]);
        Assert.Equal((1, 7), (lvs.Least, lvs.Most(7)));
    }

    [Theory, MemberData(nameof(Ways))]
    public void Run_FounderWithThreeVariants_IsAStarAroundWhoeverHasMoreNeighbours(bool byGroups)
    {
        // 2, 3 and 4 differ from 1 at one locus each (2 and 3 at the same one, so they are neighbours as well); 5 differs from 4 only.
        var table = TypingData.Table("1 1 1 1", "2 2 1 1", "3 3 1 1", "4 1 1 2", "5 1 2 2");
        Assert.Equal([new("1", "2", 1), new("1", "3", 1), new("1", "4", 1), new("4", "5", 1)], TypingData.GoeBurst(table, 1, new(1, byGroups)));
    }

    [Theory, MemberData(nameof(Ways))]
    public void Run_RootStandsLater_EdgesLeadAwayFromTheFirstProfileOfTheTree(bool byGroups)
    {
        // 9 is the hub, but 5 is first in the dataset: the edge found between them leads from 5 to 9.
        var table = TypingData.Table("5 2 1 1", "9 1 1 1", "7 1 2 1", "6 1 1 2", "8 4 4 4");
        Assert.Equal([new("5", "9", 1), new("9", "6", 1), new("9", "7", 1)], TypingData.GoeBurst(table, 2, new(1, byGroups)));
    }

    [Theory, MemberData(nameof(Ways))]
    public void Run_EqualNeighbours_MoreIsolatesThenPositionThenShorterIdDecide(bool byGroups)
    {
        string[] lines = ["a 1 1", "b 1 2", "c 1 3"];
        Assert.Equal([new("c", "b", 1), new("a", "c", 1)], TypingData.GoeBurst(TypingData.Table([0, 1, 5], lines), 1, new(1, byGroups)));
        Assert.Equal([new("a", "b", 1), new("a", "c", 1)], TypingData.GoeBurst(TypingData.Table(lines), 1, new(1, byGroups)));
        // All alike: edges of the first profile come first, to the shorter id before the longer one.
        Assert.Equal([new("x", "7", 1), new("x", "10", 1)], TypingData.GoeBurst(TypingData.Table("x 1 1", "10 1 2", "7 1 3"), 1, new(1, byGroups)));
    }

    [Theory, MemberData(nameof(Ways))]
    public void Run_MissingAlleles_DifferFromEverythingAndFromEachOther(bool byGroups)
    {
        var table = TypingData.Table("1 1 1 -", "2 1 1 -", "3 1 1 1", "4 1 2 -");
        Assert.Equal([new("1", "2", 1), new("1", "3", 1)], TypingData.GoeBurst(table, 1, new(1, byGroups)));
        Assert.Equal([new("1", "2", 1), new("1", "3", 1), new("1", "4", 2)], TypingData.GoeBurst(table, 2, new(1, byGroups)));
        Assert.Equal([new("1", "2", 2)], TypingData.GoeBurst(TypingData.Table("1 - -", "2 - -"), 2, new(1, byGroups)));
    }

    [Theory, MemberData(nameof(Ways))]
    public void Run_EqualProfiles_HaveNoEdgeButMeetAtAThird(bool byGroups)
    {
        Assert.Empty(TypingData.GoeBurst(TypingData.Table("1 1 1", "2 1 1", "3 1 1"), 2, new(1, byGroups)));
        Assert.Equal([new("1", "3", 1), new("3", "2", 1)], TypingData.GoeBurst(TypingData.Table("1 1 1", "2 1 1", "3 1 2"), 1, new(1, byGroups)));
    }

    [Theory, MemberData(nameof(Ways))]
    public void Run_NoOrOneProfile_HasNoEdges(bool byGroups)
    {
        Assert.Empty(TypingData.GoeBurst(TypingData.Table(), 1, new(2, byGroups)));
        Assert.Empty(TypingData.GoeBurst(TypingData.Table("1 1 2 3"), 1, new(2, byGroups)));
    }

    [Theory, MemberData(nameof(Ways))]
    public void Run_RandomData_IsWhatKruskalFindsOverAllEdges(bool byGroups)
    {
        for (var seed = 0; seed < 1500; seed++)
        {
            var random = new Random(seed);
            var loci = random.Next(1, 7);
            var lvs = random.Next(1, loci + 1);
            var table = TypingData.Random(random, random.Next(0, 32), loci, random.Next(2, 5), random.Next(0, 3) * 0.1, random.Next(1, 4));
            var wanted = TypingData.ByHand(table, lvs);
            Assert.Equal(wanted, TypingData.GoeBurst(table, lvs, new(1, byGroups)));
            if (seed % 5 == 0) Assert.Equal(wanted, TypingData.GoeBurst(table, lvs, new(3, byGroups)));
        }
    }

    [Fact]
    public void Run_ShuffledInput_ChangesOnlyWhatPositionDecides()
    {
        for (var seed = 0; seed < 100; seed++)
        {
            var random = new Random(seed);
            var table = TypingData.Random(random, 60, 5, 3, 0.05, 4);
            var (before, after) = (TypingData.GoeBurst(table, 3), TypingData.GoeBurst(TypingData.Shuffled(table, random), 3));
            // Position may choose among edges that are otherwise alike, never another distance or other trees.
            Assert.Equal(before.Select(e => e.Distance), after.Select(e => e.Distance));
            Assert.Equal(Trees(table, before), Trees(table, after));

            // Where isolates tell all profiles apart, position decides about no more than directions.
            var apart = table with { Isolates = [.. Enumerable.Range(0, table.Count).Select(i => 1 << (i % 30))], Ids = table.Ids };
            if (apart.Count > 30) apart = new(apart.Loci, apart.Ids[..30], apart.Isolates[..30], apart.Alleles[..(30 * 5)]);
            Assert.Equal(Undirected(TypingData.GoeBurst(apart, 3)), Undirected(TypingData.GoeBurst(TypingData.Shuffled(apart, random), 3)));
        }
    }

    [Theory, MemberData(nameof(Ways))]
    public void Run_TypingSchemeOf18000Profiles_IsAForestOfMinimumWeight(bool byGroups)
    {
        var table = TypingData.Scheme(18_000, 7, 5);
        var edges = TypingData.GoeBurst(table, 3, new(2, byGroups));
        AssertForest(table, edges, 3);
        Assert.Equal(edges, TypingData.GoeBurst(table, 3, new(1, !byGroups)));
    }

    [Fact]
    public void Run_TypingScheme_LevelsOfFewerLociAreTheBeginningOfMore()
    {
        // Kruskal takes distances in turn: what lvs 1 joins is joined by as many edges when there are further levels.
        var table = TypingData.Scheme(3_000, 7, 11);
        var (one, three) = (TypingData.GoeBurst(table, 1), TypingData.GoeBurst(table, 3));
        Assert.Equal(one.Count, three.Count(e => e.Distance <= 1));
        Assert.True(three.Count > one.Count);
    }

    [Theory, InlineData(3, 90), InlineData(3_200, 24)]
    public void Run_ThousandsOfLoci_IsWhatKruskalFindsOverAllEdges(int lvs, int profiles)
    {
        // Three outbreaks of near profiles, far from each other.
        var random = new Random(3);
        const int loci = 3_200;
        var alleles = new int[profiles * loci];
        for (var i = 0; i < profiles; i++)
        {
            for (var l = 0; l < loci; l++) alleles[(i * loci) + l] = i < 3 ? random.Next(1_000_000) : alleles[((i % 3) * loci) + l];
            if (i >= 3)
                for (var c = random.Next(1, 4); c > 0; c--)
                    alleles[(i * loci) + random.Next(loci)] = random.Next(-1, 5);
        }

        var table = new ProfileTable([.. Enumerable.Range(0, loci).Select(i => "l" + i)], [.. Enumerable.Range(1, profiles).Select(i => i.ToString())], new int[profiles], alleles);
        Assert.Equal(TypingData.ByHand(table, lvs), TypingData.GoeBurst(table, lvs));
    }

    [Theory, InlineData(20, 1), InlineData(40, 2), InlineData(40, 40), InlineData(130, 100)]
    public void Run_EitherWay_FindsTheSameForManyLoci(int loci, int lvs)
    {
        var table = TypingData.Scheme(150, loci, 2);
        var wanted = TypingData.ByHand(table, lvs);
        Assert.Equal(wanted, TypingData.GoeBurst(table, lvs, new(2, false)));
        if (lvs <= 2) Assert.Equal(wanted, TypingData.GoeBurst(table, lvs, new(2, true)));
    }

    [Theory, MemberData(nameof(Ways))]
    public void Run_LvsIsTheNumberOfLoci_JoinsAllButEqualProfiles(bool byGroups)
    {
        var table = TypingData.Scheme(2_000, 7, 9);
        AssertForest(table, TypingData.GoeBurst(table, 7, new(2, byGroups)), 7);
    }

    [Fact]
    public void Run_TwentyThousandVariantsOfOneLocus_IsAStarWithoutItsTwoHundredMillionEdges()
    {
        var table = new ProfileTable(["a", "b"], [.. Enumerable.Range(1, 20_000).Select(i => i.ToString())], new int[20_000], [.. Enumerable.Range(0, 20_000).SelectMany(i => new[] { 1, i })]);
        var edges = TypingData.GoeBurst(table, 1);
        Assert.Equal(19_999, edges.Count);
        Assert.All(edges, e => Assert.Equal(("1", 1), (e.From, e.Distance)));
        var fewer = new ProfileTable(table.Loci, table.Ids[..4_000], table.Isolates[..4_000], table.Alleles[..8_000]);
        Assert.Equal(edges[..3_999], TypingData.GoeBurst(fewer, 1, new(2, false)));
    }

    [Fact]
    public void Run_MoreLociThanSixteenBitsCount_IsWhatKruskalFindsOverAllEdges()
    {
        const int loci = 66_000, profiles = 20;
        var random = new Random(1);
        var alleles = new int[profiles * loci];
        for (var i = 1; i < profiles; i++)
        {
            Array.Copy(alleles, random.Next(i) * loci, alleles, i * loci, loci);
            for (var c = 0; c < 2; c++) alleles[(i * loci) + random.Next(loci)] = random.Next(-1, 100);
        }

        var table = new ProfileTable([.. Enumerable.Range(0, loci).Select(i => "l" + i)], [.. Enumerable.Range(1, profiles).Select(i => i.ToString())], new int[profiles], alleles);
        Assert.Equal(TypingData.ByHand(table, 3), TypingData.GoeBurst(table, 3));
    }

    [Theory, MemberData(nameof(Ways))]
    public void Run_Progress_GrowsToOne(bool byGroups)
    {
        var told = new List<double>();
        TypingData.Run(new GoeBurst(2, byGroups), new(TypingData.Scheme(1_500, 7, 1), null, [3]), new Telling(told.Add));
        Assert.Equal(told.Order(), told);
        Assert.True(told.Count > 10);
        Assert.Equal(1, told[^1]);
    }

    [Theory, MemberData(nameof(Ways))]
    public void Run_CanceledAtAnyMoment_EndsByThat(bool byGroups)
    {
        var table = TypingData.Scheme(3_000, 7, 1);
        for (var at = 0.0; at < 1; at += 0.11)
        {
            using var cancel = new CancellationTokenSource();
            var stop = at;
            var output = new Collected();
            Assert.ThrowsAny<OperationCanceledException>(() => new GoeBurst(2, byGroups).Run(new(table, null, [3]), output, new Telling(share =>
            {
                if (share >= stop) cancel.Cancel();
            }), cancel.Token));
            Assert.Empty(output.Edges);
        }
    }

    private static void AssertForest(ProfileTable table, List<TreeEdge> edges, int lvs)
    {
        var positions = table.Ids.Index().ToDictionary(i => i.Item, i => i.Index);
        var trees = new int[table.Count];
        for (var i = 0; i < trees.Length; i++) trees[i] = i;
        Assert.All(edges, e =>
        {
            Assert.Equal(e.Distance, TypingData.Distance(table, positions[e.From], positions[e.To]));
            Assert.InRange(e.Distance, 1, lvs);
            Assert.NotEqual(Root(positions[e.From]), Root(positions[e.To]));
            trees[Root(positions[e.To])] = Root(positions[e.From]);
        });
        Assert.Equal(edges.Count, edges.Select(e => e.To).Distinct().Count());
        Assert.Equal(edges.Select(e => e.Distance).Order(), edges.Select(e => e.Distance));
        // The root is its tree's first profile.
        var into = edges.Select(e => e.To).ToHashSet();
        var firsts = new HashSet<int>();
        for (var i = 0; i < table.Count; i++) Assert.Equal(firsts.Add(Root(i)), !into.Contains(table.Ids[i]));

        int Root(int profile)
        {
            while (trees[profile] != profile) profile = trees[profile] = trees[trees[profile]];
            return profile;
        }
    }

    private static SortedSet<string> Trees(ProfileTable table, List<TreeEdge> edges)
    {
        var neighbours = edges.Concat(edges.Select(e => new TreeEdge(e.To, e.From, e.Distance))).ToLookup(e => e.From, e => e.To);
        return [.. table.Ids.Select(id =>
        {
            var (seen, waiting) = (new HashSet<string> { id }, new Stack<string>([id]));
            while (waiting.TryPop(out var next))
                foreach (var other in neighbours[next])
                    if (seen.Add(other))
                        waiting.Push(other);
            return string.Join(' ', seen.Order(StringComparer.Ordinal));
        })];
    }

    private static IEnumerable<(string, string, double)> Undirected(List<TreeEdge> edges) =>
        edges.Select(e => string.CompareOrdinal(e.From, e.To) < 0 ? (e.From, e.To, e.Distance) : (e.To, e.From, e.Distance)).Order();
}
