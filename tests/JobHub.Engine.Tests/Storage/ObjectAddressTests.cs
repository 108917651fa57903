using JobHub.Engine.Storage;
using Xunit;

namespace JobHub.Engine.Tests.Storage;

public sealed class ObjectAddressTests
{
    [Theory]
    [InlineData("http://host:9000/bucket/any/nested/key", "http://host:9000/bucket/any/nested/key")]
    [InlineData("HTTP://Host:80/bucket/key", "http://host/bucket/key")]
    [InlineData("host:9000/bucket/key", "http://host:9000/bucket/key")]
    [InlineData("http://h:1/bucket/a%20b", "http://h:1/bucket/a b")]
    [InlineData("http://h:1/bucket/%2525", "http://h:1/bucket/%2525")]
    [InlineData("http://h:1/bucket/%C3%A4/日本", "http://h:1/bucket/ä/日本")]
    [InlineData("http://2130706433:9/bucket/key", "http://127.0.0.1:9/bucket/key")]
    [InlineData("http://[::1]:9/bucket/key", "http://[::1]:9/bucket/key")]
    [InlineData("http://h:1", "http://h:1")]
    [InlineData("http://h:1/", "http://h:1")]
    [InlineData("http://h:1/bucket", "http://h:1/bucket/")]
    [InlineData("http://h:1/bucket/part-*", "http://h:1/bucket/part-*")]
    [InlineData("http://h:1/bucket/a*/b%2A", "http://h:1/bucket/a%2A/b%2A")]
    [InlineData("s3://bucket/a?b#c", "s3://bucket/a%3Fb%23c")]
    [InlineData("s3://", "s3://")]
    [InlineData("s3://bucket/folder/", "s3://bucket/folder/")]
    [InlineData("file:///data/in.txt", "file:///data/in.txt")]
    [InlineData("file:///", "file:///")]
    [InlineData("FILE:///data/", "file:///data/")]
    public void Parse_OfAPath_GivesTextThatParsesBack(string text, string canonical)
    {
        var address = ObjectAddress.Parse(text, useSsl: false);
        Assert.Equal(canonical, address.ToString());
        Assert.Equal(address, ObjectAddress.Parse(canonical, useSsl: true));
    }

    [Fact]
    public void Parse_WithoutAScheme_TakesUseSsl() => Assert.Equal("https://host:9000/bucket/key", ObjectAddress.Parse("host:9000/bucket/key", useSsl: true).ToString());

    [Theory]
    [InlineData("")]
    [InlineData("/etc/passwd")]
    [InlineData("ftp://host/bucket/key")]
    [InlineData("file://host/path")]
    [InlineData("file://relative")]
    [InlineData("http:///bucket/key")]
    [InlineData("http://user:secret@host/bucket/key")]
    [InlineData("http://host:0/bucket/key")]
    [InlineData("http://host:99999/bucket/key")]
    [InlineData("http://ho st/bucket/key")]
    [InlineData("http://host\\@other/bucket/key")]
    [InlineData("http://host#@other/bucket/key")]
    [InlineData("http://h/bucket/../other/key")]
    [InlineData("http://h/bucket/%2e%2e/key")]
    [InlineData("http://h/bucket/a%2F..%2Fb")]
    [InlineData("http://h/bucket//key")]
    [InlineData("http://h//key")]
    [InlineData("http://h/bucket/a/./b")]
    [InlineData("http://h/bucket/%00")]
    [InlineData("http://h/bucket/a%0Ab")]
    [InlineData("http://h/bucket/%zz")]
    [InlineData("http://h/bucket/%ff")]
    [InlineData("http://h/bucket/100%")]
    [InlineData("http://h/bucket/key?versionId=1")]
    [InlineData("http://h/.tmp/key")]
    [InlineData("s3:///key")]
    [InlineData("s3://../key")]
    [InlineData("file:///data/../etc/passwd")]
    [InlineData("file:///data/a\\b")]
    [InlineData("file:////etc/passwd")]
    [InlineData("file:///data/%2e%2e/x")]
    public void Parse_OfAnythingElse_IsRefused(string text) =>
        Assert.Equal(StoreFault.InvalidPath, Assert.Throws<StoreException>(() => ObjectAddress.Parse(text, useSsl: false)).Fault);

    [Theory]
    [InlineData("host:9000", "http://host:9000/reducers/job/part-00000")]
    [InlineData("http://host:9000/", "http://host:9000/reducers/job/part-00000")]
    [InlineData("s3://", "s3://reducers/job/part-00000")]
    [InlineData("s3://bucket", "s3://bucket/job/part-00000")]
    [InlineData("s3://bucket/pre/fix/", "s3://bucket/pre/fix/job/part-00000")]
    [InlineData("file:///out", "file:///out/job/part-00000")]
    public void ParseOutput_OfAPrefix_HasTheJobsObjectsBelow(string text, string child) =>
        Assert.Equal(child, ObjectAddress.ParseOutput(text, useSsl: false).Child("job/part-00000").ToString());

    [Theory]
    [InlineData("s3://b/d/part-*", "d/part-1", true)]
    [InlineData("s3://b/d/part-*", "d/part-", true)]
    [InlineData("s3://b/d/part-*", "d/part-1/x", false)]
    [InlineData("s3://b/d/part-*", "e/part-1", false)]
    [InlineData("s3://b/*", "x", true)]
    [InlineData("s3://b/a*a", "a", false)]
    [InlineData("s3://b/a*b*c", "a-b-c", true)]
    [InlineData("s3://b/a*b*c", "acb", false)]
    [InlineData("s3://b/%2A*", "*x", true)]
    [InlineData("s3://b/%2A*", "xx", false)]
    [InlineData("s3://b/d/", "d/x/y", true)]
    public void Matches_OfAPattern_StaysInTheLastPart(string pattern, string key, bool expected) =>
        Assert.Equal(expected, ObjectAddress.Parse(pattern, useSsl: false).Matches(key));
}
