using System.Security.Cryptography;
using JobHub.Engine.Protocol;
using JobHub.Engine.Storage;
using JobHub.Engine.Storage.Files;
using Xunit;

namespace JobHub.Engine.Tests.Storage;

public sealed class FileObjectStoreTests : ObjectStoreContract, IDisposable
{
    private readonly TemporaryFolder folder = new();
    private readonly FileObjectStore store;

    public FileObjectStoreTests() => store = new FileObjectStore(Path.Combine(folder.Path, "store"));

    protected override IObjectStore Store => store;

    private string Root => store.Root!;

    public void Dispose()
    {
        store.Dispose();
        folder.Dispose();
    }

    [Fact]
    public async Task Root_OfANewStore_IsTheOwnersAlone()
    {
        var bucket = await NewBucketAsync();
        await PutAsync(new ObjectPath(bucket, "a/b"), [1]);
        const UnixFileMode Others = (UnixFileMode)0b000_111_111;
        Assert.Equal(default, File.GetUnixFileMode(Root) & Others);
        Assert.Equal(default, File.GetUnixFileMode($"{Root}/{bucket}/a/b") & Others);
    }

    [Fact]
    public async Task TemporaryPath_WrittenByAnAgent_IsPromoted()
    {
        var (path, token) = (new ObjectPath(await NewBucketAsync(), "out/part-00000"), Guid.NewGuid());
        var bytes = RandomNumberGenerator.GetBytes(100_000);
        var temporary = store.TemporaryPath(path, token)!;
        await File.WriteAllBytesAsync(temporary, bytes);
        var pending = new PendingOutput(bytes.Length, Convert.ToHexStringLower(SHA256.HashData(bytes)), "/etc/passwd", null, null);
        Assert.Empty(await KeysAsync(path.Bucket));
        Assert.Equal(PromoteResult.Promoted, await store.PromoteAsync(path, token, pending, default));
        Assert.Equal(bytes, await ReadAsync(path));
        Assert.False(File.Exists(temporary));
        Assert.Equal($"{Root}/{path.Bucket}/out/part-00000", store.GrantRead(path, sharesFiles: true, TimeSpan.Zero)!.Path);
        Assert.Null(store.GrantRead(path, sharesFiles: false, TimeSpan.Zero));
    }

    [Fact]
    public async Task Promote_OfATemporaryLink_IsGoneAndTouchesNothing()
    {
        var (path, token) = (new ObjectPath(await NewBucketAsync(), "out/part-00000"), Guid.NewGuid());
        var secret = Path.Combine(folder.Path, "secret");
        await File.WriteAllTextAsync(secret, "secret");
        File.CreateSymbolicLink(store.TemporaryPath(path, token)!, secret);
        Assert.Equal(PromoteResult.Gone, await store.PromoteAsync(path, token, new PendingOutput(6, null, null, null, null), default));
        Assert.Null(await store.HeadAsync(path, default));
    }

    [Fact]
    public async Task Put_WhereAFolderOrAnObjectIs_SaysThatItCannotBeBoth()
    {
        var bucket = await NewBucketAsync();
        await PutAsync(new ObjectPath(bucket, "a/b"), [1]);
        foreach (var key in (string[])["a", "a/b/c", "a/b/c/d"])
        {
            foreach (var onlyNew in (bool[])[false, true])
            {
                if (onlyNew && key == "a") continue;
                var fault = await Assert.ThrowsAsync<StoreException>(() => PutAsync(new ObjectPath(bucket, key), [1], onlyNew));
                Assert.Equal(StoreFault.InvalidPath, fault.Fault);
                Assert.DoesNotContain(Root, fault.Message, StringComparison.Ordinal);
            }
        }

        Assert.Equal(["a/b"], await KeysAsync(bucket));
        Assert.Empty(Directory.GetFiles(Path.Combine(Root, ".tmp")));
    }

    [Fact]
    public async Task Keys_WithAPartOver255Bytes_AreRefused()
    {
        var bucket = await NewBucketAsync();
        Assert.True(await PutAsync(new ObjectPath(bucket, $"a/{new string('x', 255)}/b"), [1]));
        foreach (var part in (string[])[new string('x', 256), new string('ä', 128)])
        {
            var fault = await Assert.ThrowsAsync<StoreException>(() => PutAsync(new ObjectPath(bucket, $"a/{part}/b"), [1]));
            Assert.Equal(StoreFault.InvalidPath, fault.Fault);
            Assert.Contains("255", fault.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Links_InsideTheRoot_AreNeverFollowed()
    {
        var bucket = await NewBucketAsync();
        await File.WriteAllTextAsync(Path.Combine(folder.Path, "secret"), "secret");
        Directory.CreateDirectory($"{Root}/{bucket}/d");
        File.CreateSymbolicLink($"{Root}/{bucket}/d/file", Path.Combine(folder.Path, "secret"));
        Directory.CreateSymbolicLink($"{Root}/{bucket}/d/folder", folder.Path);
        foreach (var key in (string[])["d/file", "d/folder/secret", "d/folder"])
        {
            var path = new ObjectPath(bucket, key);
            await NothingIsReadAsync(path);
            if (key == "d/folder/secret") await Assert.ThrowsAsync<StoreException>(() => PutAsync(path, "x"u8.ToArray()));
        }

        Assert.Empty(await KeysAsync(bucket));
        // A whole bucket that is a link, too.
        Directory.CreateSymbolicLink($"{Root}/linked", folder.Path);
        await NothingIsReadAsync(new ObjectPath("linked", "secret"));
        await Assert.ThrowsAsync<StoreException>(() => PutAsync(new ObjectPath("linked", "x"), [1]));
        Assert.Equal("secret", await File.ReadAllTextAsync(Path.Combine(folder.Path, "secret")));
    }

    /// <summary>Whatever a caller writes as bucket or key, nothing outside of the root is read, made or changed.</summary>
    [Theory]
    [MemberData(nameof(HostilePaths))]
    public async Task Paths_ThatAreHostile_StayInsideTheRoot(string bucket, string key)
    {
        bucket = bucket.Length == 0 ? await NewBucketAsync() : bucket;
        await File.WriteAllTextAsync(Path.Combine(folder.Path, "secret"), "secret");
        var before = Outside();
        var path = new ObjectPath(bucket, key);
        await NothingIsReadAsync(path);
        await Assert.ThrowsAsync<StoreException>(() => PutAsync(path, "x"u8.ToArray()));
        await Assert.ThrowsAsync<StoreException>(() => store.WritePendingAsync(path, Guid.NewGuid(), new MemoryStream([1]), true, default));
        Assert.Throws<StoreException>(() => store.TemporaryPath(path, Guid.NewGuid()));
        try
        {
            await store.DeleteAsync([path], default);
        }
        catch (StoreException)
        {
            // Refusing is as good as finding nothing.
        }

        Assert.Equal(before, Outside());
        Assert.Empty(Directory.GetFiles(Path.Combine(Root, ".tmp")));

        string[] Outside() => [.. Directory.EnumerateFileSystemEntries(folder.Path, "*", SearchOption.AllDirectories).Order(StringComparer.Ordinal)];
    }

    public static TheoryData<string, string> HostilePaths()
    {
        var all = new TheoryData<string, string>();
        foreach (var key in (string[])
        [
            "..", ".", "/", "//", "", "../secret", "../../secret", "../../../etc/passwd", "a/../../secret", "a/../../../secret", "a/b/../../../../secret", "./secret", "a/./b",
            "a/.", "a/..", "a/", "/secret", "/etc/passwd", "//etc/passwd", "a//b", "a///b", "..//secret", ".././secret", "a/b/..", "../.tmp/x", "../jobhub/x", "..\\secret",
            "..\\..\\secret", "a\\..\\..\\secret", "a\\b", "\\etc\\passwd", "C:\\windows", "\\\\host\\share", "a\0", "\0", "a\0/../secret", "secret\0.txt", "a\nb", "a\rb", "a\tb",
            "\u007f", "a\u0085b", "a\u001bb", "../", "../../", "....//..", "a/../", "a/b/../c", "/../secret", "/./secret", "../secret/", "x/../../.tmp/y",
            "/proc/self/environ", "/dev/null", "/proc/self/cwd/secret", "../store/../secret",
        ])
        {
            all.Add("", key);
        }

        foreach (var bucket in (string[])["..", ".", ".tmp", "a/b", "/", "/etc", "../x", "a\\b", "a\0b", "-x", "a..b", "ä", "a b", "_x", new string('a', 64)]) all.Add(bucket, "secret");
        all.Add("..", "passwd");
        all.Add(".tmp", "a");
        return all;
    }

    private async Task NothingIsReadAsync(ObjectPath path)
    {
        try
        {
            Assert.Null(await store.HeadAsync(path, default));
        }
        catch (StoreException e)
        {
            Assert.NotEqual(StoreFault.Other, e.Fault);
        }

        var fault = await Assert.ThrowsAsync<StoreException>(() => ReadAsync(path));
        Assert.NotEqual(StoreFault.Other, fault.Fault);
        Assert.DoesNotContain(Root, fault.Message, StringComparison.Ordinal);
    }
}
