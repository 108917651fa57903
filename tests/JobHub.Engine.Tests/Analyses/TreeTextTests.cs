using JobHub.Engine.Analyses;
using Xunit;

namespace JobHub.Engine.Tests.Analyses;

public sealed class TreeTextTests
{
    private static readonly TreeEdge[] Two = [new("r", "a", 1), new("r", "b", 2.5), new("b", "c", 3), new("x", "y", 1)];

    [Fact]
    public void Newick_Write_IsATreeALine() => Assert.Equal("(a:1,(c:3)b:2.5)r;\n(y:1)x;\nz;\n", Newick(Two, "a", "z", "r"));

    [Fact]
    public void Nexus_Write_IsABlockOfTrees() =>
        Assert.Equal("#NEXUS\nBEGIN TREES;\n  Tree result = (a:1,(c:3)b:2.5)r;\n  Tree result_2 = (y:1)x;\n  Tree result_3 = z;\nEND;\n", Nexus(Two, "z"));

    [Fact]
    public void Newick_LabelsThatNeedIt_AreQuoted() =>
        Assert.Equal("('it''s':1,'a b':1,'ST_1':1,'(;':1,'[x]':1,'Zürich, 3':1)r.1-2;\n",
            Newick([.. new[] { "it's", "a b", "ST_1", "(;", "[x]", "Zürich, 3" }.Select(l => new TreeEdge("r.1-2", l, 1))]));

    [Fact]
    public async Task WriteAsync_IsWhatWriteGives()
    {
        var edges = TypingData.GoeBurst(TypingData.Scheme(4_000, 7, 2), 3);
        var (newick, nexus) = (new StringWriter(), new StringWriter());
        await NewickText.WriteAsync(newick, edges, ["alone"]);
        await NexusText.WriteAsync(nexus, edges, ["alone"]);
        Assert.Equal(Newick([.. edges], "alone"), newick.ToString());
        Assert.Equal(Nexus([.. edges], "alone"), nexus.ToString());
    }

    [Theory, InlineData(true), InlineData(false)]
    public void Read_WhatWasWritten_IsTheSameForest(bool newick)
    {
        string[] names = ["it's", "a b", "ST_1", "(;", "[x]", "Zürich, 3", "''", "🧬", "a:b=c", "\\", "\"q\"", "#NEXUS", "END", "*"];
        for (var seed = 0; seed < 50; seed++)
        {
            var random = new Random(seed);
            var table = TypingData.Scheme(200, 7, seed);
            for (var i = 0; i < names.Length; i++) table.Ids[random.Next(15) + (i * 14)] = names[i];
            table = table with { Ids = [.. table.Ids.Distinct()], Alleles = table.Alleles[..(table.Ids.Distinct().Count() * 7)] };
            var edges = TypingData.GoeBurst(table, 3).ConvertAll(e => e with { Distance = e.Distance * random.NextDouble() });
            var text = newick ? Newick([.. edges], table.Ids) : Nexus([.. edges], table.Ids);
            var read = newick ? NewickText.Read(new StringReader(text)) : NexusText.Read(new StringReader(text));
            Assert.Equal(edges.OrderBy(e => e.To, StringComparer.Ordinal), read.Edges.OrderBy(e => e.To, StringComparer.Ordinal));
            Assert.Equal(table.Ids.Except(edges.SelectMany(e => new[] { e.From, e.To })).Order(StringComparer.Ordinal), read.Alone.Order(StringComparer.Ordinal));
            // Written again it is the same text: order of children and trees is kept.
            Assert.Equal(text, newick ? Newick([.. read.Edges], [.. read.Alone]) : Nexus([.. read.Edges], [.. read.Alone]));
        }
    }

    [Theory, InlineData(true), InlineData(false)]
    public void Read_ChainOf200000Levels_IsReadAndWritten(bool newick)
    {
        TreeEdge[] chain = [.. Enumerable.Range(1, 200_000).Select(i => new TreeEdge($"n{i - 1}", $"n{i}", 1))];
        var read = newick ? NewickText.Read(new StringReader(Newick(chain))) : NexusText.Read(new StringReader(Nexus(chain)));
        Assert.Equal(chain, read.Edges);
    }

    [Fact]
    public void Newick_CommentsBlanksAndExponents_AreRead()
    {
        var read = NewickText.Read(new StringReader("\uFEFF[&R] (\n a_1 : 1e-1 [0.9 [nested; (]] ,\r\n'b ''x''':0.25)root:0.0 ; \n lone;\n"));
        Assert.Equal([new("root", "a_1", 0.1), new("root", "b 'x'", 0.25)], read.Edges);
        Assert.Equal(["lone"], read.Alone);
    }

    [Fact]
    public void Nexus_TranslateAndOtherBlocks_AreUnderstood()
    {
        const string text = """
            #nexus
            [made by hand]
            Begin taxa;
              Dimensions ntax=3; Taxlabels 'a;b' c d;
            End;
            begin Trees;
              Title 'some trees';
              Translate 1 'ST 1', 2 ST2,
                3 three;
              tree * one = [&R] (1:1,2:2)3;
              utree two = (x:0.5)4;
            endblock;
            BEGIN NOTES; Text anything = (goes [even this ;] here); END;
            """;
        var read = NexusText.Read(new StringReader(text));
        Assert.Equal([new("three", "ST 1", 1), new("three", "ST2", 2), new("4", "x", 0.5)], read.Edges);
    }

    [Theory]
    [InlineData("", "there is no tree", 1, 1)]
    [InlineData("  \n", "there is no tree", 2, 1)]
    [InlineData(";", "the tree is empty", 1, 1)]
    [InlineData("(a:1,b:1);", "has no label", 1, 10)]
    [InlineData("((a:1):2,b:1)r;", "has no label", 1, 7)]
    [InlineData("(a:1,\n(b:1,c:1):2)r;", "has no label", 2, 10)]
    [InlineData("(,a:1)r;", "expected the label", 1, 2)]
    [InlineData("()r;", "expected the label", 1, 2)]
    [InlineData("(a:1,b:1)r", "expected ; at the end of the tree, but the text ends", 1, 11)]
    [InlineData("(a:1,b:1", "expected , or )", 1, 9)]
    [InlineData("(a:1,(b:1;", "expected , or )|still open", 1, 10)]
    [InlineData("(a:1))r;", "has no label", 1, 6)]
    [InlineData("a:1)r;", "a ) without its (", 1, 4)]
    [InlineData("(a:1,a:2)r;", "'a' is there twice", 1, 6)]
    [InlineData("(a:1)r;\n(b:1)a;", "'a' is there twice", 2, 6)]
    [InlineData("(a,b:1)r;", "'a' has no distance", 1, 3)]
    [InlineData("(a:)r;", "a distance is a number", 1, 4)]
    [InlineData("(a:-1)r;", "a distance is a number", 1, 4)]
    [InlineData("(a:1,5)r;", "'5' has no distance", 1, 7)]
    [InlineData("(a:NaN)r;", "a distance is a number", 1, 4)]
    [InlineData("(a:1e999)r;", "a distance is a number", 1, 4)]
    [InlineData("(a:0x10)r;", "a distance is a number", 1, 4)]
    [InlineData("(a:1 b:1)r;", "expected , or )", 1, 6)]
    [InlineData("(a:1)r s;", "expected ; at the end", 1, 8)]
    [InlineData("('a:1)r;", "has no end", 1, 2)]
    [InlineData("('':1)r;", "may not be empty", 1, 2)]
    [InlineData("('a\nb':1)r;", "line break", 1, 2)]
    [InlineData("(a'b:1)r;", "must be quoted", 1, 3)]
    [InlineData("(a:1[x)r;", "comment that starts here has no end", 1, 5)]
    [InlineData("(a:1])r;", "a ] without its [", 1, 5)]
    [InlineData("(\0:1)r;", "control character", 1, 2)]
    [InlineData("(a:1)r;=", "expected a tree", 1, 8)]
    [InlineData("(a:1,b:2)r,c;", "expected ; at the end", 1, 11)]
    public void Newick_Wrong_IsRefusedWithPlaceAndReason(string text, string reason, long line, long column)
    {
        var refusal = Assert.Throws<TreeTextException>(() => NewickText.Read(new StringReader(text)));
        Assert.True(Array.Exists(reason.Split('|'), r => refusal.Reason.Contains(r, StringComparison.Ordinal)), refusal.Message);
        Assert.Equal((line, column), (refusal.Line, refusal.Column));
    }

    [Theory]
    [InlineData("", "starts with #NEXUS")]
    [InlineData("(a:1)r;", "starts with #NEXUS")]
    [InlineData("#NEXUS", "there is no tree")]
    [InlineData("#NEXUS\nBEGIN TAXA; END;", "there is no tree")]
    [InlineData("#NEXUS\nTREE x = (a:1)r;", "expected BEGIN")]
    [InlineData("#NEXUS\nBEGIN TREES;\nTREE x = (a:1)r;", "no END;")]
    [InlineData("#NEXUS\nBEGIN TREES", "expected ;")]
    [InlineData("#NEXUS\nBEGIN TREES;\nTREE x (a:1)r; END;", "expected =")]
    [InlineData("#NEXUS\nBEGIN TREES;\nTREE = (a:1)r; END;", "expected the name")]
    [InlineData("#NEXUS\nBEGIN TREES;\nTRANSLATE 1 a, 1 b; END;", "'1' is in TRANSLATE twice")]
    [InlineData("#NEXUS\nBEGIN TREES;\nTRANSLATE 1 a, 2 a; END;", "'a' is in TRANSLATE twice")]
    [InlineData("#NEXUS\nBEGIN TREES;\nTRANSLATE 1; END;", "expected the label")]
    [InlineData("#NEXUS\nBEGIN TREES;\nTRANSLATE 1 a 2 b; END;", "expected , or ;")]
    [InlineData("#NEXUS\nBEGIN TREES;\nTRANSLATE 1 a; TREE x = (1:1)a; END;", "'a' is there twice")]
    public void Nexus_Wrong_IsRefusedWithTheReason(string text, string reason) =>
        Assert.Contains(reason, Assert.Throws<TreeTextException>(() => NexusText.Read(new StringReader(text))).Message, StringComparison.Ordinal);

    [Fact]
    public void Read_MoreThanTheLimits_IsRefused()
    {
        Assert.Contains("characters", Refusal("(a:1,b:1)r;", new(Characters: 10)), StringComparison.Ordinal);
        Assert.Contains("more than 2 nodes", Refusal("(a:1,b:1)r;", new(Labels: 2)), StringComparison.Ordinal);
        Assert.Contains("levels deep", Refusal("(((a:1)b:1)c:1)d;", new(Depth: 2)), StringComparison.Ordinal);
        Assert.Contains("levels deep", Refusal(new string('(', 2_000_000), TreeTextLimits.Default), StringComparison.Ordinal);
        Assert.Contains("more than 5 characters", Refusal("(abcdef:1)r;", new(LabelLength: 5)), StringComparison.Ordinal);
        // A text without an end is read no further than the limit.
        Assert.Contains("characters", Assert.Throws<TreeTextException>(() => NewickText.Read(new Endless(), new(Characters: 1 << 20))).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Write_EdgesThatAreNoTrees_IsRefused()
    {
        Assert.Throws<InvalidDataException>(() => Newick([new("a", "b", 1), new("b", "a", 1)]));
        Assert.Throws<InvalidDataException>(() => Newick([new("a", "b", 1), new("c", "b", 1)]));
    }

    private static string Refusal(string text, TreeTextLimits limits) => Assert.Throws<TreeTextException>(() => NewickText.Read(new StringReader(text), limits)).Message;

    private static string Newick(TreeEdge[] edges, params string[] profiles)
    {
        var writer = new StringWriter();
        NewickText.Write(writer, edges, profiles);
        return writer.ToString();
    }

    private static string Nexus(TreeEdge[] edges, params string[] profiles)
    {
        var writer = new StringWriter();
        NexusText.Write(writer, edges, profiles);
        return writer.ToString();
    }

    private sealed class Endless : TextReader
    {
        public override int Read(char[] buffer, int index, int count)
        {
            buffer.AsSpan(index, count).Fill('[');
            return count;
        }
    }
}
