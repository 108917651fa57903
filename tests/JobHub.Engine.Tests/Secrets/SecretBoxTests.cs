using System.Security.Cryptography;
using System.Text;
using JobHub.Engine.Secrets;
using JobHub.Engine.Tests.Storage;
using Xunit;

namespace JobHub.Engine.Tests.Secrets;

public sealed class SecretBoxTests
{
    private static string NewKey() => Convert.ToBase64String(RandomNumberGenerator.GetBytes(32));

    private static SecretBox Box(params (string Id, string Key)[] keys)
    {
        var options = new SecretOptions();
        foreach (var (id, key) in keys) options.Keys.Add(id, key);
        return new SecretBox(options);
    }

    [Fact]
    public void Open_OfAnotherRowOrDamagedBytes_IsRefused()
    {
        var box = Box(("1", NewKey()));
        var sealedText = box.Seal("pässword", "job-1");
        Assert.Equal("pässword", box.Open(sealedText, "job-1"));
        Assert.NotEqual(sealedText, box.Seal("pässword", "job-1"));
        Assert.DoesNotContain("ssword", Encoding.Latin1.GetString(sealedText), StringComparison.Ordinal);
        Assert.Throws<SecretBoxException>(() => box.Open(sealedText, "job-2"));
        for (var i = 0; i < sealedText.Length; i++)
        {
            var damaged = sealedText.ToArray();
            damaged[i] ^= 1;
            Assert.Throws<SecretBoxException>(() => box.Open(damaged, "job-1"));
            Assert.Throws<SecretBoxException>(() => box.Open(sealedText[..i], "job-1"));
        }
    }

    [Fact]
    public void Seal_WithARing_UsesTheNewestAndOpensTheOld()
    {
        var (first, second) = (NewKey(), NewKey());
        var old = Box(("9", first)).Seal("text", "row");
        var ring = Box(("10", second), ("9", first));
        Assert.Equal("text", ring.Open(old, "row"));
        Assert.Equal("text", Box(("10", second)).Open(ring.Seal("text", "row"), "row"));
        Assert.Throws<SecretBoxException>(() => Box(("10", second)).Open(old, "row"));
    }

    [Fact]
    public void File_MadeByManyStartsAtOnce_IsOneKeyForTheOwnerAlone()
    {
        using var folder = new TemporaryFolder();
        var file = Path.Combine(folder.Path, "data", "secrets");
        var boxes = new SecretBox[8];
        Parallel.For(0, boxes.Length, i => boxes[i] = new SecretBox(new SecretOptions { File = file }));
        foreach (var box in boxes) Assert.Equal("text", boxes[0].Open(box.Seal("text", "row"), "row"));
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(file));
        Assert.Single(Directory.GetFiles(Path.GetDirectoryName(file)!));
        File.SetUnixFileMode(file, UnixFileMode.UserRead | UnixFileMode.GroupRead);
        Assert.Throws<SecretBoxException>(() => new SecretBox(new SecretOptions { File = file }));
    }
}
