using System.Text;
using JobHub.Engine.Protocol;
using JobHub.Testing;
using JobHub.Worker.Runtime.Streaming;
using Xunit;

namespace JobHub.Worker.Tests.Runtime;

public sealed class SplitReaderTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("jobhub-split-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData("")]
    [InlineData("\n")]
    [InlineData("\r\n")]
    [InlineData("\r")]
    [InlineData("\r\r\n\r")]
    [InlineData("a")]
    [InlineData("\n\n\na\n\n")]
    [InlineData("one\r\ntwo\nthree\r\r\nfour\rfive")]
    [InlineData("no end\0 in\0sight")]
    public Task Splits_OfHandMadeTexts_GiveEachLineOnce(string text) => EachSplitSizeGivesTheLines(Encoding.UTF8.GetBytes(text));

    [Fact]
    public async Task Splits_OfRandomTexts_GiveEachLineOnce()
    {
        var random = new Random(11);
        for (var round = 0; round < 60; round++)
        {
            var text = new byte[random.Next(1, 200)];
            foreach (ref var b in text.AsSpan()) b = "\r\n\r\nab\0\xff"u8[random.Next(8)];
            await EachSplitSizeGivesTheLines(text);
        }
    }

    [Fact]
    public async Task Splits_OfOneByteOverTenKilobytes_GiveEachLineOnce()
    {
        var random = new Random(12);
        var text = new byte[10_000];
        foreach (ref var b in text.AsSpan()) b = random.Next(40) == 0 ? (byte)'\n' : (byte)random.Next(256);
        await SplitsGiveTheLines(text, 1, 64 << 10);
        await SplitsGiveTheLines(text, 7, 33);
    }

    [Fact]
    public async Task Split_WhoseLastLineIsLongerThanTheFirstRequests_ReadsOn()
    {
        var text = new byte[12 << 20];
        text.AsSpan().Fill((byte)'x');
        text[100] = text[^5] = (byte)'\n';
        await SplitsGiveTheLines(text, 4 << 20, 256 << 10);
    }

    private async Task EachSplitSizeGivesTheLines(byte[] text)
    {
        for (var splitSize = 1; splitSize <= text.Length + 1; splitSize = splitSize < 20 ? splitSize + 1 : splitSize * 2)
        {
            await SplitsGiveTheLines(text, splitSize, 16);
            await SplitsGiveTheLines(text, splitSize, 64);
        }
    }

    private async Task SplitsGiveTheLines(byte[] text, long splitSize, int bufferSize)
    {
        var path = Path.Combine(_folder, "text");
        await File.WriteAllBytesAsync(path, text);
        using var got = new MemoryStream();
        long lines = 0, bytes = 0;
        for (long start = 0; start < text.Length; start += splitSize)
        {
            using var split = new SplitReader(new LocalAttemptStore(), Spec(path, start, Math.Min(text.Length, start + splitSize), text.Length), CancellationToken.None);
            await split.OpenAsync();
            var buffer = new byte[bufferSize];
            int length;
            while ((length = split.Read(buffer)) > 0) got.Write(buffer, 0, length);
            lines += split.Lines;
            bytes += split.Bytes;
        }

        var expected = Encoding.Latin1.GetString(text).Replace("\r\n", "\n");
        if (expected.Length > 0 && expected[^1] != '\n') expected += '\n';
        Assert.Equal(expected, Encoding.Latin1.GetString(got.ToArray()));
        Assert.Equal(expected.Count(c => c == '\n'), lines);
        Assert.Equal(text.Length, bytes);
    }

    private static MapSpec Spec(string path, long start, long end, long size) => new()
    {
        Mapper = new ProgramSpec("none", ProgramType.Streaming, 0, "", new ObjectGrant(null, null)), Input = new ObjectGrant(path, null), InputPath = path,
        ObjectSize = size, Start = start, End = end, Partitions = 1, Output = new OutputGrant(null, null, null, false),
    };
}
