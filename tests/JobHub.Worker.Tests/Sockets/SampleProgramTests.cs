using Xunit;

namespace JobHub.Worker.Tests.Sockets;

public sealed class SampleProgramTests
{
    [Theory]
    [InlineData("wordcount/mapper.awk", "wordcount/reducer.awk")]
    [InlineData("streaming/python/mapper.py", "streaming/python/reducer.py")]
    [InlineData("wordcount/mapper.awk", "streaming/python/reducer.py")]
    public void WordCount_OfAStreamingSample_IsThatOfTheUsualToolsByteForByte(string mapper, string reducer)
    {
        // Latin1 carries the bytes.
        var text = " lead a b  1 1.0 01 1 \xff \xc3\xa9\r\n\n \t \n c a\vb\tx\fy\r\n$1 \\n \" ' a\nlong" + string.Concat(Enumerable.Range(0, 5000).Select(i => $" w{i % 97}")) + " \nend";
        var expected = SocketJob.Shell("tr ' \\t\\n\\v\\f\\r' '\\n\\n\\n\\n\\n\\n' | grep -av '^$' | sort | uniq -c | sed 's/^ *\\([0-9]*\\) \\(.*\\)/\\2\\t\\1/'", text);
        var counted = SocketJob.Shell("\"$0\" 2>/dev/null | sort -k1,1 -t \"$(printf '\\t')\" | \"$1\"", text, SocketJob.Sample(mapper), SocketJob.Sample(reducer));
        Assert.Equal(expected, counted);
        // Its own combiner: what it prints it can read.
        Assert.Equal(expected, SocketJob.Shell("\"$0\" 2>/dev/null | sort | \"$1\" | sort | \"$1\"", text, SocketJob.Sample(mapper), SocketJob.Sample(reducer)));
    }
}
