using System.Net;
using System.Text;
using JobHub.Engine.Files;

namespace JobHub.Api.Tests;

/// <summary>Every spelling of a path that is not the file space's own: read, written, uploaded to, removed. Nothing outside is touched and each answer is a clear 4xx.</summary>
[Collection(HubCollection.Name)]
public sealed class PathTests(HubFixture fixture)
{
    /// <summary>As they stand in a query, percent signs and all.</summary>
    public static TheoryData<string> Spellings =>
    [
        "", "etc/passwd", "..", ".", "../etc/passwd", "../../../../etc/passwd", "/..", "/../etc/passwd", "/../../etc/passwd", "/tmp/../../etc/passwd", "/tmp/..", "/tmp/../etc", "/a/b/../../../x",
        "/./../etc/passwd", "//../etc/passwd", "/.//../etc/passwd", "/tmp/..//etc", "/...", "/..../x", "/....//....//etc/passwd",
        "%2e%2e/etc/passwd", "/%2e%2e/etc/passwd", "/%2e%2e%2fetc%2fpasswd", "%2f..%2fetc%2fpasswd", "/.%2e/etc/passwd", "/%2e./etc/passwd", "/tmp%2f..%2f..%2fetc%2fpasswd",
        "/%252e%252e/etc/passwd", "/%252e%252e%252fetc%252fpasswd", "/%25252e%25252e/etc/passwd", "/tmp/%252e%252e%255cetc", "/..%252fetc%252fpasswd", "/..%2500/etc", "/%252e./x",
        "/%00", "/etc/passwd%00", "/etc/passwd%00.png", "/tmp/a%00/../b", "/%2500", "%00/etc/passwd",
        "/..%5c..%5cetc%5cpasswd", "\\..\\..\\etc\\passwd", "/tmp\\..\\..\\etc", "C:\\Windows\\win.ini", "C:/Windows/win.ini", "\\\\host\\share\\x", "/tmp/a%5cb",
        "file:///etc/passwd", "http://127.0.0.1/x", "~/x", "$HOME/x",
        "/%c0%ae%c0%ae/etc/passwd", "/%c0%af..%c0%afetc", "/%e0%80%ae%e0%80%ae/x", "/%ff%fe/x",
        "/%ef%bc%8e%ef%bc%8e/etc/passwd", "/%e2%80%a5/etc/passwd", "/%e2%80%a4%e2%80%a4/etc/passwd", "/%e2%80%a6/x", "/%ef%b9%92%ef%b9%92/x",
        "/a%ef%bc%8fb", "/..%ef%bc%8fetc", "/a%e2%88%95b", "/a%e2%81%84b", "/a%e2%a7%b8b", "/..%ef%bc%bcetc", "/..%e2%88%96etc",
        "/..%20/etc", "/%20../etc", "/..;/etc/passwd", "/.%e2%80%8b./etc/passwd", "/..%e2%80%ae/x", "/%c2%a0../x",
        "/proc/self/environ", "/proc/1/root/etc/passwd", "/dev/sda", "/dev/../dev/mem", "/sys/kernel", "/dev", "/proc",
        "/tmp/a%0ab", "/tmp/a%0d%0aX-Evil:%20y", "/tmp/%1b[31m", "/tmp/%7f",
        "/" + new string('a', 256), "/" + new string('n', 4096), "/" + string.Join('/', Enumerable.Repeat(new string('d', 200), 6)), "/%f0%9f%98%80" + new string('b', 255),
    ];

    [Theory]
    [MemberData(nameof(Spellings))]
    public async Task Path_OutsideOrUnclear_IsRefused_HoweverItIsSpelt(string spelling)
    {
        var client = fixture.Hub.Client;
        var address = new Uri(fixture.Hub.Address, "/files?project=paths&path=placeholder").AbsoluteUri.Replace("placeholder", spelling.Replace("\\", "%5C", StringComparison.Ordinal), StringComparison.Ordinal);
        var uri = new Uri(address, new UriCreationOptions { DangerousDisablePathAndQueryCanonicalization = true });

        foreach (var method in (HttpMethod[])[HttpMethod.Get, HttpMethod.Put, HttpMethod.Delete])
        {
            using var request = new HttpRequestMessage(method, uri) { Content = method == HttpMethod.Put ? new ByteArrayContent("x"u8.ToArray()) : null };
            using var answer = await client.SendAsync(request);
            await IsClearAsync(answer);
        }

        await NothingIsThereAsync("paths");
    }

    [Theory]
    [MemberData(nameof(Spellings))]
    public async Task Destination_OutsideOrUnclear_IsRefused_HoweverItIsSpelt(string spelling)
    {
        // A relative name is below the working folder, and is fine when its parts are. An empty one is a field left empty.
        if (!spelling.StartsWith('/') && FilePath.Read("/job/" + spelling, null, out _) is null) return;
        var body = Encoding.UTF8.GetBytes($"--b\r\nContent-Disposition: form-data; name=\"command\"\r\n\r\ntrue\r\n--b\r\nContent-Disposition: form-data; name=\"file[]\"; filename=\"{spelling.Replace("\\", "\\\\", StringComparison.Ordinal)}\"\r\n\r\nx\r\n--b--\r\n");
        using var content = new ByteArrayContent(body);
        content.Headers.TryAddWithoutValidation("Content-Type", "multipart/form-data; boundary=b");

        using var answer = await fixture.Hub.Client.PostAsync("/jobs?project=paths-up", content);

        await IsClearAsync(answer);
        await NothingIsThereAsync("paths-up");
    }

    [Theory]
    [InlineData("/tmp/file.png")]
    [InlineData("/tmp//double")]
    [InlineData("/tmp/./dot")]
    [InlineData("/.hidden")]
    [InlineData("/..name")]
    [InlineData("/a..b/c")]
    [InlineData("/100%25")]
    [InlineData("/a%20b%2bc")]
    [InlineData("/%e6%9c%a8/%c3%bc.txt")]
    [InlineData("/%f0%9f%98%80")]
    [InlineData("/%c2%bd")]
    [InlineData("/etc/passwd")]
    [InlineData("/home/me/x")]
    public async Task Path_ThatIsOnlyUnusual_IsTaken(string spelling)
    {
        var address = $"/files?project=unusual&path={spelling}";
        using (var put = await fixture.Hub.Client.PutAsync(address, new ByteArrayContent("x"u8.ToArray()))) Assert.Equal(HttpStatusCode.Created, put.StatusCode);
        Assert.Equal("x", await fixture.Hub.Client.GetStringAsync(address));
        using var gone = await fixture.Hub.Client.DeleteAsync(address);
        Assert.Equal(HttpStatusCode.NoContent, gone.StatusCode);
    }

    private static async Task IsClearAsync(HttpResponseMessage answer)
    {
        var text = await answer.Content.ReadAsStringAsync();
        Assert.True((int)answer.StatusCode is 400 or 404 or 413 or 414, $"{answer.RequestMessage!.Method} {(int)answer.StatusCode} {text}");
        Assert.Equal("application/problem+json", answer.Content.Headers.ContentType?.MediaType);
        Assert.DoesNotContain("root:x:", text, StringComparison.Ordinal);
    }

    private async Task NothingIsThereAsync(string project)
    {
        using var answer = await fixture.Hub.Client.GetAsync($"/files?path=/&project={project}");
        Assert.Empty((await answer.JsonAsync())["entries"]!.AsArray());
    }
}
