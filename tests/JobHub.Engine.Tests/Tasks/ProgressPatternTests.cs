using System.Text;
using JobHub.Engine.Tasks;
using Xunit;

namespace JobHub.Engine.Tests.Tasks;

public sealed class ProgressPatternTests
{
    private static byte[] Bytes(string text) => Encoding.UTF8.GetBytes(text);

    [Theory]
    [InlineData("", "PROGRESS:25\n", 0.25)]
    [InlineData(null, "a\nPROGRESS:10%\nPROGRESS:62.5%\nb\n", 0.625)]
    [InlineData("#%percent", "frame #7 of 9\n", 0.07)]
    [InlineData("done %one of all", "done 0.5 of all\ndone 0.75 of everything\n", 0.5)]
    [InlineData("%one", "0.25 .5 0.125", 0.125)]
    [InlineData("%one", "at .5", 0.5)]
    [InlineData("%one|", "1e-05|", 0.00001)]
    [InlineData("%one|", "1e|", null)]
    [InlineData("P%percent", "P250", 1.0)]
    [InlineData("P%percent", "P-5 P", null)]
    [InlineData("P%percent", "P50. Now the next", 0.5)]
    [InlineData("P%percent.", "P50.5. P60", 0.505)]
    [InlineData("1%percent1", "1501", null)]
    [InlineData("1%percent 1", "115 2 150 11", 0.5)]
    [InlineData("ab%percentc", "aab5d ab6c", 0.06)]
    [InlineData("%percent then %one", "5 then %one", 0.05)]
    [InlineData("größe=%percent €", "größe=30 €", 0.3)]
    [InlineData("(%percent).*", "(5).* (7)", 0.05)]
    public void LastIn_Text_IsTheLastMatch(string? pattern, string text, double? expected)
    {
        var found = ProgressPattern.Of(pattern).LastIn(Bytes(text));
        Assert.Equal(expected is null, found is null);
        Assert.Equal(expected ?? 0, found ?? 0, 12);
    }

    [Theory]
    [InlineData("PROGRESS:%percent")]
    [InlineData("%percent")]
    [InlineData("%one ")]
    [InlineData("aab%percentab")]
    [InlineData("5%percent5")]
    [InlineData("P:%percent.")]
    public void Read_TextCutAnywhere_SaysWhatTheWholeTextSays(string pattern)
    {
        var random = new Random(4711);
        string[] parts = ["PROGRESS:", "P:", "aab", "ab", "a", "5", "50", "12.5", ".", "e", "-", "1e1", " ", "\n", "0", pattern[0] == '%' ? "7" : new string('9', 80)];
        for (var round = 0; round < 3000; round++)
        {
            var text = Bytes(string.Concat(Enumerable.Range(0, random.Next(1, 14)).Select(_ => parts[random.Next(parts.Length)])) + "\n");
            var reader = new ProgressReader(ProgressPattern.Of(pattern));
            for (var at = 0; at < text.Length;)
            {
                var size = Math.Min(random.Next(round % 3 == 0 ? 2 : 20) + 1, text.Length - at);
                reader.Read(text.AsSpan(at, size));
                at += size;
            }
            Assert.Equal(ProgressPattern.Of(pattern).LastIn(text), reader.Fraction);
        }
    }

    [Fact]
    public void Read_NumberCutInTwo_NeverShowsLessThanBefore()
    {
        var reader = new ProgressReader(ProgressPattern.Default);
        Assert.True(reader.Read(Bytes("PROGRESS:49\nPROGRESS:5")));
        Assert.Equal(0.49, reader.Fraction);
        Assert.True(reader.Read(Bytes("0")));
        Assert.Equal(0.5, reader.Fraction);
        Assert.False(reader.Read(Bytes(" of 100\nPROG")));
        Assert.True(reader.Read(Bytes("RESS:20\n")));
        Assert.Equal(0.2, reader.Fraction);
    }

    [Theory]
    [InlineData("nothing in it")]
    [InlineData("%")]
    [InlineData("%PERCENT")]
    public void Pattern_WithoutAPlaceholder_MatchesNothing(string pattern)
    {
        Assert.False(ProgressPattern.Of(pattern).CanMatch);
        var reader = new ProgressReader(ProgressPattern.Of(pattern));
        Assert.False(reader.Read(Bytes("nothing in it 50 PROGRESS:50")));
        Assert.Null(reader.Fraction);
    }

    [Fact]
    public void Pattern_LongerThanAnyProgressLine_MatchesNothing()
    {
        Assert.False(ProgressPattern.Of(new string('x', 10_000) + "%percent").CanMatch);
        Assert.True(ProgressPattern.Of(new string('x', ProgressPattern.MaxLiteralBytes - "%percent".Length) + "%percent").CanMatch);
    }

    [Theory]
    [InlineData("PROGRESS:%percent", "PROGRESS:")]
    [InlineData("%percent", "1")]
    [InlineData("%percent!", "11 ")]
    [InlineData("1%percentx", "1")]
    [InlineData("PROGRESS:%percent", "PROGRESS:1")]
    public void Read_ManyPieces_AllocatesNothing(string pattern, string text)
    {
        var piece = Bytes(string.Concat(Enumerable.Repeat(text, 4000)));
        var reader = new ProgressReader(ProgressPattern.Of(pattern));
        for (var i = 0; i < 100; i++) reader.Read(piece);
        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var i = 0; i < 100; i++) reader.Read(piece);
        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());
    }

    [Fact]
    public void Read_OutputMadeToBeSlow_TakesTimeInProportion()
    {
        // 64 MiB against the worst pattern allowed: were the work quadratic in anything but the pattern, this would not end.
        var reader = new ProgressReader(ProgressPattern.Of(new string('a', 900) + "b%percent"));
        var piece = new byte[64 << 10];
        piece.AsSpan().Fill((byte)'a');
        for (var i = 0; i < 64; i++) reader.Read(piece);
        Assert.Null(reader.Fraction);
    }
}
