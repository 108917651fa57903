using System.Net;

namespace JobHub.Web.Tests;

public class PageTests
{
    [Fact]
    public async Task Pages_WhenTheApiIsAway_SaySoAndStayReadable()
    {
        await using var web = await WebProcess.StartAsync($"http://127.0.0.1:{WebProcess.FreePort()}");
        foreach (var path in new[] { "/", "/?state=Running", "/jobs/0199a5f0-0000-7000-8000-000000000000" })
        {
            using var answer = await web.Http.GetAsync(path);
            Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
            Assert.Contains("does not answer", await answer.Content.ReadAsStringAsync());
        }
    }

    [Fact]
    public async Task Pages_Always_AllowNoScriptButOurFilesAndNoForeignName()
    {
        await using var web = await WebProcess.StartAsync($"http://127.0.0.1:{WebProcess.FreePort()}");
        using var page = await web.Http.GetAsync("/");
        var policy = Assert.Single(page.Headers.GetValues("Content-Security-Policy"));
        Assert.Contains("default-src 'none'", policy);
        Assert.Contains("script-src 'self';", policy);
        var body = await page.Content.ReadAsStringAsync();
        Assert.DoesNotContain("onclick", body);
        foreach (var file in new[] { "tokens.css", "app.css", "pages.css", "live.js" })
            Assert.Equal(HttpStatusCode.OK, (await web.Http.GetAsync($"/{file}")).StatusCode);

        using var foreign = new HttpRequestMessage(HttpMethod.Get, "/") { Headers = { Host = "evil.example" } };
        Assert.Equal(HttpStatusCode.BadRequest, (await web.Http.SendAsync(foreign)).StatusCode);
    }
}
