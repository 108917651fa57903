using JobHub.Web.Components.Shared;

namespace JobHub.Web.Tests;

public class ShownTests
{
    [Theory]
    [InlineData(0, "0 B")]
    [InlineData(999, "999 B")]
    [InlineData(1024, "1.00 KiB")]
    [InlineData(22_978_494_464, "21.4 GiB")]
    public void Bytes_OfAnySize_HaveThreeDigits(long bytes, string expected) => Assert.Equal(expected, Shown.Bytes(bytes));

    [Theory]
    [InlineData(0.42, "0.4 s")]
    [InlineData(48, "48 s")]
    [InlineData(231, "3 m 51 s")]
    [InlineData(8040, "2 h 14 m")]
    [InlineData(792000, "9 d 4 h")]
    public void Durations_OfAnyLength_HaveTwoUnits(double seconds, string expected) => Assert.Equal(expected, Shown.Duration(TimeSpan.FromSeconds(seconds)));

    [Fact]
    public void Names_FromOutside_AreShortAndShowTheirControlCharacters()
    {
        Assert.Equal("a␛[31mb␛c", Shown.Name("a\e[31mb\nc"));
        Assert.Equal(301, Shown.Name(new string('x', 100_000)).Length);
        Assert.Equal("␛txt.exe ␛x␛", Shown.Name("\u202Etxt.exe \u2067x\u2069"));
        Assert.Equal("–", Shown.Name(null));
    }
}
