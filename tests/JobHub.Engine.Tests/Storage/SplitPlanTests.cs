using JobHub.Engine.MapReduce;
using Xunit;

namespace JobHub.Engine.Tests.Storage;

public sealed class SplitPlanTests
{
    private static InputObject Of(long size, string name = "s3://b/a") => new(name, size, null);

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(7)]
    [InlineData(10)]
    [InlineData(1000)]
    [InlineData(long.MaxValue)]
    public void Cut_ThenAt_GivesEveryByteOnce(long splitSize)
    {
        var cut = SplitPlan.Cut([Of(10, "s3://b/1"), Of(0, "s3://b/2"), Of(1, "s3://b/3"), Of(9, "s3://b/4.gz"), Of(21, "s3://b/5")], splitSize, gzip: false, reducers: 3);
        Assert.Equal(41, cut.TotalSize);
        Assert.Equal(4, cut.Inputs.Count);
        var at = new Dictionary<string, long>();
        for (var map = 0; map < cut.Maps; map++)
        {
            var (input, start, end) = SplitPlan.At(cut.Inputs, splitSize, gzip: false, map);
            Assert.Equal(at.GetValueOrDefault(input.Path), start);
            Assert.InRange(end, start + 1, input.Size);
            at[input.Path] = end;
        }

        Assert.Equal(cut.Inputs.ToDictionary(input => input.Path, input => input.Size), at);
        Assert.Throws<ArgumentOutOfRangeException>(() => SplitPlan.At(cut.Inputs, splitSize, gzip: false, cut.Maps));
    }

    [Theory]
    [InlineData(1_000_000, 1, 10)]
    [InlineData(1_000_001, 1, 11)]
    [InlineData(1_000_000, 10_000, 1000)]
    [InlineData(long.MaxValue, 1, 92_233_720_368_548)]
    public void Cut_IntoTooMany_NamesTheSmallestSize(long size, int reducers, long smallest)
    {
        var refused = Assert.Throws<TooManySplitsException>(() => SplitPlan.Cut([Of(size)], smallest - 1, gzip: false, reducers));
        Assert.Equal(smallest, refused.SmallestSplitSize);
        Assert.True(SplitPlan.Cut([Of(size)], smallest, gzip: false, reducers).Maps > 0);
    }

    [Fact]
    public void Cut_OfTooManyObjects_HasNoSizeToOffer()
    {
        var objects = Enumerable.Range(0, 1001).Select(i => Of(5, $"s3://b/{i}")).ToList();
        Assert.Null(Assert.Throws<TooManySplitsException>(() => SplitPlan.Cut(objects, 100, gzip: false, reducers: 10_000)).SmallestSplitSize);
        Assert.Equal(1001, SplitPlan.Cut(objects, 1, gzip: true, reducers: 1).Maps);
    }
}
