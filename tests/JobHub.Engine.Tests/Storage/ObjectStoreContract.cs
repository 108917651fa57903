using System.Security.Cryptography;
using System.Text;
using JobHub.Engine.Storage;
using Xunit;

namespace JobHub.Engine.Tests.Storage;

/// <summary>What every store must do, whatever it is made of.</summary>
public abstract class ObjectStoreContract
{
    protected abstract IObjectStore Store { get; }

    private static byte[] Bytes(int count) => RandomNumberGenerator.GetBytes(count);

    protected async Task<string> NewBucketAsync()
    {
        var bucket = $"t{Guid.NewGuid():N}";
        await Store.EnsureBucketAsync(bucket, default);
        return bucket;
    }

    protected async Task<byte[]> ReadAsync(ObjectPath path, long offset = 0, long? length = null)
    {
        await using var stream = await Store.OpenReadAsync(path, offset, length, default);
        using var copy = new MemoryStream();
        await stream.CopyToAsync(copy);
        return copy.ToArray();
    }

    protected Task<bool> PutAsync(ObjectPath path, byte[] bytes, bool onlyNew = false) => Store.PutAsync(path, new OneWayStream(bytes), onlyNew, default);

    protected async Task<List<string>> KeysAsync(string bucket, string prefix = "")
    {
        var keys = new List<string>();
        await foreach (var item in Store.ListAsync(new ObjectPath(bucket, prefix), default)) keys.Add(item.Key);
        return keys;
    }

    private static async Task<StoreException> FaultAsync(Func<Task> call) => await Assert.ThrowsAsync<StoreException>(call);

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(70_001)]
    [InlineData(16 << 20)]
    [InlineData((40 << 20) + 13)]
    public async Task Put_OfAStreamThatCannotSeek_IsReadBackWhole(int size)
    {
        var path = new ObjectPath(await NewBucketAsync(), "a/b/object");
        var bytes = Bytes(size);
        Assert.True(await PutAsync(path, bytes));
        Assert.Equal(bytes, await ReadAsync(path));
        var stat = await Store.HeadAsync(path, default);
        Assert.Equal(size, stat!.Size);
        Assert.False(string.IsNullOrEmpty(stat.ETag));
        Assert.Equal("a/b/object", stat.Key);
    }

    [Fact]
    public async Task Put_OverAnObject_ReplacesIt()
    {
        var path = new ObjectPath(await NewBucketAsync(), "object");
        await PutAsync(path, "first, longer"u8.ToArray());
        var before = (await Store.HeadAsync(path, default))!.ETag;
        Assert.True(await PutAsync(path, "second"u8.ToArray()));
        Assert.Equal("second", Encoding.UTF8.GetString(await ReadAsync(path)));
        Assert.NotEqual(before, (await Store.HeadAsync(path, default))!.ETag);
    }

    [Theory]
    [InlineData(10)]
    [InlineData(17 << 20)]
    public async Task Put_OnlyNewWhereAnObjectIs_LeavesIt(int size)
    {
        var path = new ObjectPath(await NewBucketAsync(), "x/object");
        Assert.True(await PutAsync(path, "first"u8.ToArray(), onlyNew: true));
        Assert.False(await PutAsync(path, Bytes(size), onlyNew: true));
        Assert.Equal("first", Encoding.UTF8.GetString(await ReadAsync(path)));
    }

    [Fact]
    public async Task Put_OnlyNewByManyAtOnce_HasOneWinner()
    {
        var path = new ObjectPath(await NewBucketAsync(), "race/object");
        var results = await Task.WhenAll(Enumerable.Range(0, 8).Select(i => Task.Run(async () => (Number: i, Won: await PutAsync(path, Encoding.UTF8.GetBytes($"{i}"), onlyNew: true)))));
        var winner = Assert.Single(results, result => result.Won);
        Assert.Equal($"{winner.Number}", Encoding.UTF8.GetString(await ReadAsync(path)));
    }

    [Theory]
    [InlineData(3)]
    [InlineData(20 << 20)]
    public async Task Put_OfAStreamThatBreaks_LeavesNothing(int before)
    {
        var bucket = await NewBucketAsync();
        var path = new ObjectPath(bucket, "broken");
        await Assert.ThrowsAnyAsync<IOException>(() => Store.PutAsync(path, new OneWayStream(Bytes(before)) { Breaks = true }, onlyNew: false, default));
        Assert.Null(await Store.HeadAsync(path, default));
        Assert.Empty(await KeysAsync(bucket));
    }

    [Fact]
    public async Task Put_IntoAMissingBucket_IsNotFound()
    {
        var fault = await FaultAsync(() => PutAsync(new ObjectPath($"t{Guid.NewGuid():N}", "key"), [1]));
        Assert.Equal(StoreFault.NotFound, fault.Fault);
    }

    [Theory]
    [InlineData(0, null, "0123456789")]
    [InlineData(3, null, "3456789")]
    [InlineData(3, 4L, "3456")]
    [InlineData(8, 100L, "89")]
    [InlineData(10, null, "")]
    [InlineData(10, 5L, "")]
    [InlineData(99, 5L, "")]
    [InlineData(4, 0L, "")]
    public async Task Read_OfARange_GivesThoseBytes(long offset, long? length, string expected)
    {
        var path = new ObjectPath(await NewBucketAsync(), "digits");
        await PutAsync(path, "0123456789"u8.ToArray());
        Assert.Equal(expected, Encoding.UTF8.GetString(await ReadAsync(path, offset, length)));
    }

    [Theory]
    [InlineData(null)]
    [InlineData(0L)]
    [InlineData(5L)]
    public async Task Read_OfWhatIsNotThere_IsNotFound(long? length)
    {
        var bucket = await NewBucketAsync();
        await PutAsync(new ObjectPath(bucket, "folder/object"), [1]);
        foreach (var key in (string[])["none", "folder", "folder/object/below", "a/b/c"])
        {
            Assert.Null(await Store.HeadAsync(new ObjectPath(bucket, key), default));
            Assert.Equal(StoreFault.NotFound, (await FaultAsync(() => ReadAsync(new ObjectPath(bucket, key), 0, length))).Fault);
        }
    }

    [Fact]
    public async Task List_OfManyKeys_IsWholeAndInOrderOfTheirBytes()
    {
        var bucket = await NewBucketAsync();
        // U+FF5E sorts after U+1F600 as UTF-16 and before it as UTF-8; '-' and '.' come before '/', '0' after it.
        string[] special = ["a-b", "a.txt", "a/b", "a/b.c/d", "a/b-c", "a0", "z/\uFF5E", "z/\U0001F600", "Z", "ä/ö", "~"];
        var keys = special.Concat(Enumerable.Range(0, 1_100).Select(i => $"many/{i}")).ToList();
        await Parallel.ForEachAsync(keys, new ParallelOptions { MaxDegreeOfParallelism = 8 }, async (key, _) => await PutAsync(new ObjectPath(bucket, key), [1]));
        var expected = keys.OrderBy(Encoding.UTF8.GetBytes, Comparer<byte[]>.Create((x, y) => x.AsSpan().SequenceCompareTo(y))).ToList();
        Assert.Equal(expected, await KeysAsync(bucket));
        Assert.Equal(expected.Where(key => key.StartsWith("many/1", StringComparison.Ordinal)), await KeysAsync(bucket, "many/1"));
        Assert.Equal(["a/b", "a/b-c", "a/b.c/d"], await KeysAsync(bucket, "a/b"));
        Assert.Equal(["a/b", "a/b-c", "a/b.c/d"], await KeysAsync(bucket, "a/"));
        Assert.Empty(await KeysAsync(bucket, "none/"));

        await Store.DeleteAsync([.. keys.Select(key => new ObjectPath(bucket, key)), new ObjectPath(bucket, "was/never/there")], default);
        Assert.Empty(await KeysAsync(bucket));
    }

    [Fact]
    public async Task List_OfAMissingBucket_IsEmpty() => Assert.Empty(await KeysAsync($"t{Guid.NewGuid():N}"));

    [Fact]
    public async Task Delete_InAMissingBucket_IsFine()
    {
        var bucket = $"t{Guid.NewGuid():N}";
        await Store.DeleteAsync([new ObjectPath(bucket, "a")], default);
        await Store.DeleteAsync([new ObjectPath(bucket, "a"), new ObjectPath(bucket, "b/c")], default);
    }

    [Fact]
    public async Task Delete_ThenAKeyWhereAFolderWas_IsPossible()
    {
        var bucket = await NewBucketAsync();
        await PutAsync(new ObjectPath(bucket, "a/b/c"), [1]);
        await Store.DeleteAsync([new ObjectPath(bucket, "a/b/c")], default);
        Assert.True(await PutAsync(new ObjectPath(bucket, "a"), [2]));
        Assert.Equal(["a"], await KeysAsync(bucket));
    }

    [Theory]
    [InlineData("with space/and  two")]
    [InlineData("plus+and&and=and;and,")]
    [InlineData("percent%20and%")]
    [InlineData("question?and#hash*star")]
    [InlineData("quote'and\"double")]
    [InlineData("ümlaut/日本語/😀.txt")]
    [InlineData("<xml>&amp;")]
    [InlineData("~tilde/(round)[square]{curly}|^`@:$!")]
    [InlineData(".hidden/..almost/...")]
    [InlineData(" leading and trailing ")]
    public async Task Keys_OfAnyText_AreKeptAsTheyAre(string key)
    {
        var path = new ObjectPath(await NewBucketAsync(), key);
        var bytes = Encoding.UTF8.GetBytes(key);
        Assert.True(await PutAsync(path, bytes));
        Assert.Equal(bytes, await ReadAsync(path));
        Assert.Equal([key], await KeysAsync(path.Bucket));
        var token = Guid.NewGuid();
        var pending = await Store.WritePendingAsync(path, token, new MemoryStream([1, 2]), durable: true, default);
        Assert.Equal(PromoteResult.Promoted, await Store.PromoteAsync(path, token, pending, default));
        Assert.Equal(2, (await Store.HeadAsync(path, default))!.Size);
        await Store.DeleteAsync([path], default);
        Assert.Null(await Store.HeadAsync(path, default));
    }

    [Theory]
    [InlineData("")]
    [InlineData("/")]
    [InlineData("/a")]
    [InlineData("a/")]
    [InlineData("a//b")]
    [InlineData("a/../b")]
    [InlineData("..")]
    [InlineData("a/./b")]
    [InlineData("a\0b")]
    [InlineData("a\nb")]
    public async Task Keys_ThatCouldMeanSomethingElse_AreRefused(string key)
    {
        var path = new ObjectPath(await NewBucketAsync(), key);
        Assert.Equal(StoreFault.InvalidPath, (await FaultAsync(() => PutAsync(path, [1]))).Fault);
        Assert.Equal(StoreFault.InvalidPath, (await FaultAsync(() => Store.HeadAsync(path, default))).Fault);
        Assert.Equal(StoreFault.InvalidPath, (await FaultAsync(() => ReadAsync(path))).Fault);
        Assert.Equal(StoreFault.InvalidPath, (await FaultAsync(() => Store.DeleteAsync([path], default))).Fault);
    }

    // Broken surrogates do not survive as a theory's data.
    [Fact]
    public Task Keys_ThatAreNotUnicode_AreRefused() => Keys_ThatCouldMeanSomethingElse_AreRefused("a\ud800b");

    [Theory]
    [InlineData(0)]
    [InlineData(5)]
    [InlineData(20 << 20)]
    public async Task Pending_UntilPromoted_IsNotThere(int size)
    {
        var bucket = await NewBucketAsync();
        var (path, token, bytes) = (new ObjectPath(bucket, "out/part-00000"), Guid.NewGuid(), Bytes(size));
        var pending = await Store.WritePendingAsync(path, token, new OneWayStream(bytes), durable: true, default);
        Assert.Equal(size, pending.Size);
        Assert.Equal(Convert.ToHexStringLower(SHA256.HashData(bytes)), pending.Sha256);
        Assert.Null(await Store.HeadAsync(path, default));
        Assert.Empty(await KeysAsync(bucket));

        Assert.Equal(PromoteResult.Promoted, await Store.PromoteAsync(path, token, pending, default));
        Assert.Equal(bytes, await ReadAsync(path));
        Assert.Equal(PromoteResult.Promoted, await Store.PromoteAsync(path, token, pending, default));
        // Cleaning up after the winner must not hurt what it won.
        await Store.DiscardAsync(path, token, pending.UploadId, default);
        await Store.DiscardAllAsync(new ObjectPath(bucket, "out/"), default);
        Assert.Equal(PromoteResult.Promoted, await Store.PromoteAsync(path, token, pending, default));
        Assert.Equal(bytes, await ReadAsync(path));
    }

    [Fact]
    public async Task Promote_ByManyAtOnce_IsPromotedForAll()
    {
        var (path, token) = (new ObjectPath(await NewBucketAsync(), "out/part-00001"), Guid.NewGuid());
        var pending = await Store.WritePendingAsync(path, token, new MemoryStream(Bytes(100_000)), durable: true, default);
        var results = await Task.WhenAll(Enumerable.Range(0, 6).Select(_ => Task.Run(() => PromoteRetryingAsync(path, token, pending))));
        Assert.All(results, result => Assert.Equal(PromoteResult.Promoted, result));
        Assert.Equal(100_000, (await Store.HeadAsync(path, default))!.Size);
    }

    [Fact]
    public async Task Promote_AfterTheBytesWereDiscarded_IsGone()
    {
        var (path, token) = (new ObjectPath(await NewBucketAsync(), "out/part-00002"), Guid.NewGuid());
        var pending = await Store.WritePendingAsync(path, token, new MemoryStream(Bytes(1000)), durable: true, default);
        await Store.DiscardAsync(path, token, pending.UploadId, default);
        await Store.DiscardAsync(path, token, pending.UploadId, default);
        Assert.Equal(PromoteResult.Gone, await Store.PromoteAsync(path, token, pending, default));

        // Another attempt's object under the same name is not ours.
        await PutAsync(path, Bytes(1000));
        Assert.Equal(PromoteResult.Gone, await Store.PromoteAsync(path, token, pending, default));
    }

    [Fact]
    public async Task Pending_OfTwoAttempts_DoNotMeet()
    {
        var path = new ObjectPath(await NewBucketAsync(), "out/part-00003");
        var (first, second) = (Guid.NewGuid(), Guid.NewGuid());
        var one = await Store.WritePendingAsync(path, first, new MemoryStream("one"u8.ToArray()), durable: true, default);
        var two = await Store.WritePendingAsync(path, second, new MemoryStream("two!"u8.ToArray()), durable: true, default);
        Assert.Equal(PromoteResult.Promoted, await Store.PromoteAsync(path, second, two, default));
        await Store.DiscardAsync(path, first, one.UploadId, default);
        Assert.Equal("two!", Encoding.UTF8.GetString(await ReadAsync(path)));
    }

    /// <summary>A store may answer "busy" while another completes the same upload; upkeep comes again, and so does this.</summary>
    private async Task<PromoteResult> PromoteRetryingAsync(ObjectPath path, Guid token, Engine.Protocol.PendingOutput pending)
    {
        for (var tries = 0; ; tries++)
        {
            try
            {
                var result = await Store.PromoteAsync(path, token, pending, default);
                // Within the instant in which the upload is gone and the object not yet there, only the next look is right.
                if (result == PromoteResult.Promoted || tries == 20) return result;
            }
            catch (StoreException e) when (e.Transient && tries < 20)
            {
                await Task.Yield();
            }
        }
    }

    /// <summary>Gives its bytes in uneven pieces, once, and cannot seek, as a request's body does.</summary>
    protected sealed class OneWayStream(byte[] bytes) : Stream
    {
        private int position;

        public bool Breaks { get; init; }
        public override bool CanRead => true;
        public override bool CanSeek => false;
        public override bool CanWrite => false;
        public override long Length => throw new NotSupportedException();
        public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

        public override int Read(byte[] buffer, int offset, int count)
        {
            var next = Math.Min(Math.Min(count, bytes.Length - position), 77_777);
            if (next == 0 && Breaks && count > 0) throw new IOException("The sender went away.");
            bytes.AsSpan(position, next).CopyTo(buffer.AsSpan(offset));
            position += next;
            return next;
        }

        public override void Flush() { }
        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();
        public override void SetLength(long value) => throw new NotSupportedException();
        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    }
}
