using System.Net;
using System.Text.Json.Nodes;

namespace JobHub.Web.Tests;

/// <summary>/transfer: what browsers send past the pages, in Production.</summary>
public sealed class TransferTests(RealHub hub) : IClassFixture<RealHub>
{
    private readonly string name = $"t{Guid.NewGuid():N}";

    [Fact]
    public async Task Upload_OfAVisitorWithTheTokenOfForms_IsHisAtTheHub()
    {
        await using var web = await WebProcess.StartAsync(hub.Address, "Production");
        using var browser = new Browser(web.Http.BaseAddress!);
        var ada = await SignInAsync(browser);
        var token = await TokenAsync(browser);

        var sent = await SendAsync(browser, HttpMethod.Post, $"/transfer/artifacts?name={name}", token, new byte[300_000]);

        Assert.Equal(HttpStatusCode.OK, sent.Status);
        var audit = JsonNode.Parse(await hub.Admin.GetStringAsync($"/hub/v1/audit?object={name}"))!["items"]![0]!;
        Assert.Equal((ada, "artifact.create"), ((string)audit["caller"]!, (string)audit["action"]!));
        var back = await browser.GetAsync($"/transfer/artifacts/{name}/versions/1/content");
        Assert.Equal((HttpStatusCode.OK, 300_000), (back.Status, back.Body.Length));
    }

    [Fact]
    public async Task Upload_WithoutTheTokenOrFromAnotherSite_StoresNothing()
    {
        await using var web = await WebProcess.StartAsync(hub.Address, "Production");
        using var browser = new Browser(web.Http.BaseAddress!);
        await SignInAsync(browser);
        var token = await TokenAsync(browser);
        foreach (var (shown, site) in ((string?, string?)[])[(null, null), ("nonsense", null), (token, "cross-site"), (token, "same-site")])
        {
            var refused = await SendAsync(browser, HttpMethod.Put, $"/transfer/files?path=/{name}", shown, [1], site);
            Assert.Equal(HttpStatusCode.BadRequest, refused.Status);
            Assert.Contains("urn:jobhub:form-stale", refused.Body, StringComparison.Ordinal);
        }

        Assert.Equal(HttpStatusCode.NotFound, (await hub.Admin.GetAsync($"/hub/v1/files/content?path=/{name}")).StatusCode);
        var foreign = new HttpRequestMessage(HttpMethod.Get, new Uri(browser.Home, "/transfer/token"));
        foreign.Headers.Add("Sec-Fetch-Site", "cross-site");
        Assert.Equal(HttpStatusCode.Forbidden, (await browser.SendAsync(foreign)).Status);
    }

    [Fact]
    public async Task Upload_WithoutASession_SaysSo()
    {
        await using var web = await WebProcess.StartAsync(hub.Address, "Production");
        using var browser = new Browser(web.Http.BaseAddress!);
        var refused = await SendAsync(browser, HttpMethod.Put, $"/transfer/files?path=/{name}", await TokenAsync(browser), [1]);
        Assert.Equal(HttpStatusCode.Unauthorized, refused.Status);
        Assert.Contains("urn:jobhub:session-ended", refused.Body, StringComparison.Ordinal);
        Assert.Equal(HttpStatusCode.Found, (await browser.GetAsync($"/transfer/files/content?path=/{name}")).Status);
    }

    [Theory]
    [InlineData("GET", "/transfer/users"), InlineData("GET", "/transfer/jobs"), InlineData("GET", "/transfer/files"), InlineData("GET", "/transfer/artifacts/../users"), InlineData("GET", "/transfer/artifacts/%2e%2e/users")]
    [InlineData("POST", "/transfer/users"), InlineData("POST", "/transfer/tokens"), InlineData("PUT", "/transfer/projects/default"), InlineData("POST", "/transfer/sign-out")]
    public async Task Address_ThatIsNotOnTheList_IsNotForwarded(string method, string path)
    {
        await using var web = await WebProcess.StartAsync(hub.Address, "Production");
        using var browser = new Browser(web.Http.BaseAddress!);
        await SignInAsync(browser);
        var answer = await SendAsync(browser, new HttpMethod(method), path, await TokenAsync(browser), method == "GET" ? null : [1]);
        Assert.Equal(HttpStatusCode.NotFound, answer.Status);
    }

    /// <summary>Raw request lines, which clients that are no browsers may send: further on a backslash is a slash, and a # ends a path.</summary>
    [Theory]
    [InlineData("GET", @"/projects/a/datasets/b/inferences/x\..\..\..\..\..\..\audit"), InlineData("POST", @"/projects/x\..\..\bulk#/datasets/b/inferences"), InlineData("GET", "/jobs/a#/log")]
    public void Address_ThatMeansAnotherOneFurtherOn_IsNotOnTheList(string method, string path) => Assert.False(Transfers.TransferRoutes.Allows(method, path));

    private static async Task<string> TokenAsync(Browser browser) => (string)JsonNode.Parse((await browser.GetAsync("/transfer/token")).Body)!["token"]!;

    private static Task<Answer> SendAsync(Browser browser, HttpMethod method, string path, string? token, byte[]? body, string? site = null)
    {
        var request = new HttpRequestMessage(method, new Uri(browser.Home, path)) { Content = body is null ? null : new ByteArrayContent(body) };
        if (token is not null) request.Headers.Add("RequestVerificationToken", token);
        if (site is not null) request.Headers.Add("Sec-Fetch-Site", site);
        return browser.SendAsync(request);
    }

    private async Task<string> SignInAsync(Browser browser)
    {
        var user = await hub.UserAsync("member");
        Assert.Equal(HttpStatusCode.Found, (await browser.SubmitAsync("/sign-in", "password", ("name", user), ("password", RealHub.Password))).Status);
        return user;
    }
}
