using System.Globalization;
using System.Net;
using System.Security.Cryptography;
using System.Text.Json.Nodes;

namespace JobHub.AppHost.Tests.Commands;

/// <summary>A gigabyte goes in and comes out, and neither Api nor worker ever holds much of it.</summary>
[Collection(CommandHubsCollection.Name)]
public sealed class BigFileTests(CommandHubs hubs)
{
    private const long Size = 1_000_000_000;

    [Theory]
    [InlineData(CommandHubs.Sandbox)]
    [InlineData(CommandHubs.S3)]
    public async Task Gigabyte_InAndOut_IsTheSame_WithinThreeHundredMegabytesOfMemory(string where)
    {
        var hub = await hubs.GetAsync(where);
        var project = CommandHub.NewProject();
        using (var put = await hub.Http.PutAsync(CommandHub.At(project, "/data/big.bin"), new StreamContent(new Pattern(Size)))) Assert.Equal(HttpStatusCode.Created, put.StatusCode);

        var ended = await hub.RunAsync(project, new JsonObject
        {
            ["command"] = "sha256sum < /data/big.bin; tail -c +2 /data/big.bin > out.bin; printf X >> out.bin; sha256sum < out.bin",
            ["files"] = new JsonArray(new JsonObject { ["path"] = "/data/big.bin" }),
        });

        Assert.True(ended.Word == "COMPLETE", ended.ToString());
        var hashes = ended.Log.Split('\n');
        using (var given = new Pattern(Size)) Assert.StartsWith(Convert.ToHexStringLower(await SHA256.HashDataAsync(given)), hashes[0]);
        await using var result = await hub.Http.GetStreamAsync(CommandHub.At(project, "/job/out.bin", ended.Id));
        Assert.StartsWith(Convert.ToHexStringLower(await SHA256.HashDataAsync(result)), hashes[1]);
        foreach (var name in (string[])["api", "worker"])
        {
            var peak = File.ReadLines($"/proc/{hub.Hub.ProcessOf(name)}/status").First(line => line.StartsWith("VmHWM:", StringComparison.Ordinal));
            Assert.True(long.Parse(peak.AsSpan(6).Trim().TrimEnd("kB").Trim(), CultureInfo.InvariantCulture) < 300 * 1024, $"{name}: {peak}");
        }

        using var removed = await hub.Http.DeleteAsync(CommandHub.At(project, "/") + "&recursive=true");
        Assert.Equal(HttpStatusCode.NoContent, removed.StatusCode);
    }

    /// <summary>Bytes that no block repeats, made as they are read.</summary>
    private sealed class Pattern(long size) : Stream
    {
        private long at;

        public override bool CanRead => true;
        public override bool CanSeek => false;
        public override bool CanWrite => false;
        public override long Length => size;
        public override long Position { get => at; set => throw new NotSupportedException(); }

        public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

        public override int Read(Span<byte> buffer)
        {
            var count = (int)Math.Min(buffer.Length & ~7, size - at);
            for (var i = 0; i + 8 <= count; i += 8) BitConverter.TryWriteBytes(buffer[i..], (ulong)(at + i) * 0x9E3779B97F4A7C15UL);
            at += count;
            return count;
        }

        public override void Flush() { }

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    }
}
