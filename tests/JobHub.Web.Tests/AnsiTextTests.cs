using JobHub.Web.Client;
using JobHub.Web.Components.Pages.Log;

namespace JobHub.Web.Tests;

/// <summary>Lines of logs as pages show them, and the window over a log.</summary>
public class AnsiTextTests
{
    [Theory]
    [InlineData("plain <b>text</b>", "plain <b>text</b>()")]
    [InlineData("\e[31mred\e[0m plain", "red(a-r)| plain()")]
    [InlineData("\e[1;4;92mloud\e[22m less\e[m none", "loud(a-g a-bold a-under)| less(a-g a-under)| none()")]
    [InlineData("\e[43;30mon\e[49m off", "on(a-k o-y)| off(a-k)")]
    [InlineData("\e[38;5;196mx\e[38;5;3my\e[48;5;240mz", "x( color:color-mix(in oklab, #ff0000 60%, var(--ink)))|y(a-y)|z(a-y background:color-mix(in oklab, #585858 30%, transparent))")]
    [InlineData("\e[38;2;1;2;300mtrue", "true( color:color-mix(in oklab, #0102ff 60%, var(--ink)))")]
    [InlineData("\e[38:2:9:9:9mcolons", "colons( color:color-mix(in oklab, #090909 60%, var(--ink)))")]
    [InlineData("\e[38;2;1m\e[38m\e[999999999999m\e[;mok", "ok()")]
    [InlineData("\e[2Jclear\e]0;title\a\0\b\u007f", "␛[2Jclear␛]0;title␛␛␛␛()")]
    [InlineData("\e[31", "␛[31()")]
    [InlineData("a\u202Eb\u2066c\u200Fd", "a␛b␛c\u200Fd()")]
    [InlineData("\e[31;\"onload=x m", "␛[31;\"onload=x m()")]
    [InlineData("", "")]
    public void Line_WithSequences_IsReadAsATerminalWould(string line, string expected) =>
        Assert.Equal(expected, string.Join('|', AnsiText.Read(line).Select(static run => $"{run.Text}({run.Classes}{(run.Colours is null ? "" : " " + run.Colours)})")));

    [Fact]
    public void Line_ThatHoldsWhatIsSearched_IsMarkedAcrossColours()
    {
        var runs = AnsiText.Read("a wa\e[31mrn\e[0m b WARN", "warn");
        Assert.Equal(["a ", "[wa]", "[rn]", " b ", "[WARN]"], runs.Select(static run => run.Mark ? $"[{run.Text}]" : run.Text));
        Assert.Equal(["a wa", "rn", " b ", "[WARN]"], AnsiText.Read("a wa\e[31mrn\e[0m b WARN", "WARN", exact: true).Select(static run => run.Mark ? $"[{run.Text}]" : run.Text));
    }

    [Fact]
    public void Piece_WithAGap_IsLinesAtTheirPlaces()
    {
        var piece = new LogPiece("one\r\ntwo\nthr\u00FF"u8.ToArray(), 0, 1014, 1014, 1, true, [new(9, 1000)]);
        Assert.Equal(["0-5 one", "5-9 two", "9-1009 +1000", "1009-1014 thr"], LogWindow.RowsOf(piece).Select(static row => $"{row.Offset}-{row.End} {(row.Gap > 0 ? $"+{row.Gap}" : row.Text[..3])}"));
    }

    [Fact]
    public void Window_ThatFollows_ReadsALineThatWasNotWholeAgain()
    {
        var window = new LogWindow();
        window.Append(new LogPiece("one\ntw"u8.ToArray(), 0, 6, 6, 1, false, []));
        Assert.Equal(4, window.Next);
        Assert.True(window.Append(new LogPiece("two\n"u8.ToArray(), 4, 8, 8, 1, false, [])));
        Assert.Equal(["one", "two"], window.Rows.Select(static row => row.Text));
        Assert.True(window.AtEnd);
        Assert.False(window.Append(new LogPiece([], 8, 8, 8, 1, true, [])));
        for (var i = 0L; i < 3; i++) window.Append(new LogPiece([.. Enumerable.Repeat((byte)'\n', 1000)], 8 + (i * 1000), 1008 + (i * 1000), 9000, 1, false, []));
        Assert.Equal((LogWindow.MostRows, 1008L), (window.Rows.Count, window.Start));
    }

    [Fact]
    public void Line_ThatWasReadInPart_IsReplacedByTheWholeAndNeverTheOtherWay()
    {
        var window = new LogWindow();
        window.Add([Line(0, "first"), Line(6, "half")]);
        window.Add([Line(6, "half and the rest"), Line(24, "last")]);
        Assert.Equal(["first", "half and the rest", "last"], window.Rows.Select(static row => row.Text));

        window.Add([Line(6, "half"), Line(24, "last")]);
        window.Add([Line(0, "first"), Line(6, "half")], front: true);
        Assert.Equal(["first", "half and the rest", "last"], window.Rows.Select(static row => row.Text));
        Assert.Equal([true, false, false], window.Rows.Select(static row => row.Begins));
    }

    private static HubLogLine Line(long offset, string text) => new("4af95b39-7ca8-40f8-87f8-617dd961fb73-m-0", 1, offset, offset + text.Length, text, null, null);
}
