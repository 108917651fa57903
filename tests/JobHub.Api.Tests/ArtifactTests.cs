using System.Net;
using System.Net.Http.Headers;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;

namespace JobHub.Api.Tests;

[Collection(HubCollection.Name)]
public sealed class ArtifactTests(HubFixture fixture)
{
    private readonly HubHost hub = fixture.Hub;

    [Theory, InlineData(true), InlineData(false)]
    public async Task Put_WithPartsInAnyOrder_AnswersTheArtifact(bool typeFirst)
    {
        using var answer = await hub.UploadAsync($"order-{typeFirst}.py", "#!/usr/bin/env python3\n", "streaming", typeFirst);
        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        var body = await answer.JsonAsync();
        Assert.Equal("""{"name":"order-X.py","type":"streaming","size":23,"hash":"HASH"}"""
            .Replace("X", typeFirst.ToString()).Replace("HASH", Convert.ToHexStringLower(SHA256.HashData("#!/usr/bin/env python3\n"u8))), body.ToJsonString());
    }

    [Fact]
    public async Task Put_WithoutType_IsExecutable()
    {
        using var answer = await hub.UploadAsync("plain", "x", type: null);
        Assert.Equal("executable", (string?)(await answer.JsonAsync())["type"]);
        using var empty = await hub.UploadAsync("plain", "x", type: "");
        Assert.Equal("executable", (string?)(await empty.JsonAsync())["type"]);
    }

    [Fact]
    public async Task Put_WithFolderInTheFileName_TakesTheBaseName()
    {
        using var answer = await hub.UploadAsync("C:\\tools/based.sh", "x");
        Assert.Equal("based.sh", (string?)(await answer.JsonAsync())["name"]);
    }

    [Theory, InlineData(".."), InlineData("."), InlineData("a/"), InlineData("tab\tname")]
    public async Task Put_WithImpossibleName_IsRefusedAndStoresNothing(string name)
    {
        using var form = new MultipartFormDataContent("b");
        var part = new ByteArrayContent([1]);
        part.Headers.TryAddWithoutValidation("Content-Disposition", $"form-data; name=\"program\"; filename=\"{name}\"");
        form.Add(part);
        using var answer = await hub.Client.PutAsync("/api/v1/artifacts", form);
        await answer.IsProblemAsync(HttpStatusCode.BadRequest, "invalid-field", "program");
    }

    [Fact]
    public async Task Put_ThatIsNoForm_IsRefusedByItsFault()
    {
        using var json = await hub.Client.PutAsync("/api/v1/artifacts", "{}".AsJson());
        await json.IsProblemAsync(HttpStatusCode.UnsupportedMediaType, "unsupported-media-type", "Content-Type");

        using var noProgram = new MultipartFormDataContent { { new StringContent("streaming"), "type" } };
        using var missing = await hub.Client.PutAsync("/api/v1/artifacts", noProgram);
        await missing.IsProblemAsync(HttpStatusCode.BadRequest, "missing-field", "program");

        using var wrongType = await hub.UploadAsync("wrong", "x", "java");
        await wrongType.IsProblemAsync(HttpStatusCode.BadRequest, "invalid-field", "type");

        using var cut = new StringContent("--b\r\nContent-Disposition: form-data; name=\"program\"; filename=\"cut\"\r\n\r\nhalf");
        cut.Headers.ContentType = MediaTypeHeaderValue.Parse("multipart/form-data; boundary=b");
        using var broken = await hub.Client.PutAsync("/api/v1/artifacts", cut);
        await broken.IsProblemAsync(HttpStatusCode.BadRequest, "invalid-multipart");

        foreach (var name in (string[])["wrong", "cut"])
        {
            using var found = await hub.Client.GetAsync("/api/v1/artifacts/" + name);
            await found.IsProblemAsync(HttpStatusCode.NotFound, "artifact-not-found");
        }
    }

    [Fact]
    public async Task Put_OverTheLimit_Is413()
    {
        using var request = new HttpRequestMessage(HttpMethod.Put, "/api/v1/artifacts");
        request.Headers.ExpectContinue = true;
        using var form = new MultipartFormDataContent { { new ByteArrayContent(new byte[3_100_000]), "program", "huge" } };
        request.Content = form;
        using var answer = await hub.Client.SendAsync(request);
        await answer.IsProblemAsync(HttpStatusCode.RequestEntityTooLarge, "body-too-large");
    }

    [Fact]
    public async Task Get_AfterPutAndDelete_ListsShowsAndForgets()
    {
        (await hub.UploadAsync("gone.sh", "one")).Dispose();
        using (var second = await hub.UploadAsync("gone.sh", "two"))
        {
            Assert.Equal(Convert.ToHexStringLower(SHA256.HashData("two"u8)), (string?)(await second.JsonAsync())["hash"]);
        }

        var list = JsonNode.Parse(await hub.Client.GetStringAsync("/api/v1/artifacts/"))!.AsArray();
        Assert.Single(list, item => (string?)item!["name"] == "gone.sh");
        using var deleted = await hub.Client.DeleteAsync("/api/v1/artifacts/gone.sh");
        Assert.Equal(HttpStatusCode.NoContent, deleted.StatusCode);
        using var again = await hub.Client.DeleteAsync("/api/v1/artifacts/gone.sh");
        await again.IsProblemAsync(HttpStatusCode.NotFound, "artifact-not-found");
        using var got = await hub.Client.GetAsync("/api/v1/artifacts/gone.sh");
        await got.IsProblemAsync(HttpStatusCode.NotFound, "artifact-not-found");
    }

    [Fact]
    public async Task Content_OfALargeProgram_AnswersHeadRangesAndTags()
    {
        var text = string.Concat(Enumerable.Range(0, 60_000).Select(i => $"line {i}\n"));
        using (var put = await hub.UploadAsync("large.bin", text)) put.EnsureSuccessStatusCode();
        using (var twice = await hub.UploadAsync("large.bin", text)) twice.EnsureSuccessStatusCode();

        using var whole = await hub.Client.GetAsync("/api/v1/artifacts/large.bin/content");
        Assert.Equal(text, await whole.Content.ReadAsStringAsync());
        Assert.Equal("attachment", whole.Content.Headers.ContentDisposition?.DispositionType);
        Assert.Equal("nosniff", whole.Headers.GetValues("X-Content-Type-Options").Single());

        using var head = await hub.Client.SendAsync(new HttpRequestMessage(HttpMethod.Head, "/api/v1/artifacts/large.bin/content"));
        Assert.Equal(text.Length, head.Content.Headers.ContentLength);

        foreach (var (range, from, length) in ((string, int, int)[])[("bytes=5-9", 5, 5), ("bytes=-7", text.Length - 7, 7), ($"bytes={text.Length - 3}-", text.Length - 3, 3)])
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, "/api/v1/artifacts/large.bin/content");
            request.Headers.Range = RangeHeaderValue.Parse(range);
            using var part = await hub.Client.SendAsync(request);
            Assert.Equal(HttpStatusCode.PartialContent, part.StatusCode);
            Assert.Equal(text.Substring(from, length), await part.Content.ReadAsStringAsync());
        }

        using var outside = new HttpRequestMessage(HttpMethod.Get, "/api/v1/artifacts/large.bin/content");
        outside.Headers.Range = new RangeHeaderValue(text.Length, null);
        using var refused = await hub.Client.SendAsync(outside);
        await refused.IsProblemAsync(HttpStatusCode.RequestedRangeNotSatisfiable, "range-not-satisfiable");
        Assert.Equal(text.Length, refused.Content.Headers.ContentRange?.Length);

        using var known = new HttpRequestMessage(HttpMethod.Get, "/api/v1/artifacts/large.bin/content");
        known.Headers.IfNoneMatch.Add(whole.Headers.ETag!);
        using var unchanged = await hub.Client.SendAsync(known);
        Assert.Equal(HttpStatusCode.NotModified, unchanged.StatusCode);

        // What was staged on its way is gone.
        var incoming = Path.Combine(hub.Folder, "store", "jobhub", "incoming");
        Assert.Empty(Directory.Exists(incoming) ? Directory.GetFiles(incoming, "*", SearchOption.AllDirectories) : []);
    }

    [Fact]
    public async Task Name_WithAnEscapedSlash_IsNotAPathAndNotTheSameAsItsText()
    {
        (await hub.UploadAsync("a%2Fb", "x")).Dispose();
        using var text = await hub.Client.GetAsync("/api/v1/artifacts/a%252Fb");
        Assert.Equal("a%2Fb", (string?)(await text.JsonAsync())["name"]);
        using var slash = await hub.Client.GetAsync("/api/v1/artifacts/a%2Fb");
        await slash.IsProblemAsync(HttpStatusCode.NotFound, "artifact-not-found");
        (await hub.UploadAsync("Ünï cödé+.sh", "x")).Dispose();
        using var unicode = await hub.Client.GetAsync("/api/v1/artifacts/" + Uri.EscapeDataString("Ünï cödé+.sh"));
        Assert.Equal("Ünï cödé+.sh", (string?)(await unicode.JsonAsync())["name"]);
    }
}
