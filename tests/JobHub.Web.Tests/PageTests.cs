using System.Net;

namespace JobHub.Web.Tests;

public class PageTests
{
    [Fact]
    public async Task Pages_WhenTheApiIsAway_HaveTheirFrameAtOnce()
    {
        await using var web = await WebProcess.StartAsync($"http://127.0.0.1:{WebProcess.FreePort()}");
        // What is no number in an address is left out.
        foreach (var path in new[]
        {
            "/", "/jobs", "/jobs/0199a5f0-0000-7000-8000-000000000000", "/jobs/0199a5f0-0000-7000-8000-000000000000?tab=programs&at=%FF%FE&attempt=one",
            "/jobs/0199a5f0-0000-7000-8000-000000000000/log?at=99999999999999999999&attempt=-", "/artifacts?version=last",
        })
        {
            using var answer = await web.Http.GetAsync(path);
            Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
            Assert.Contains("aria-label=\"Main\"", await answer.Content.ReadAsStringAsync());
        }
    }

    [Fact]
    public async Task Pages_AskedByWhomProgramsRunAs_AreRefused()
    {
        await using var web = await WebProcess.StartAsync($"http://127.0.0.1:{WebProcess.FreePort()}");
        Assert.Equal("200", await StatusAsync(["curl"], web));
        // Only root can become another user to try it; for others that user is the caller itself.
        if (Environment.UserName == "root") Assert.Equal("403", await StatusAsync(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "curl"], web));
    }

    private static async Task<string> StatusAsync(string[] program, WebProcess web)
    {
        using var curl = System.Diagnostics.Process.Start(new System.Diagnostics.ProcessStartInfo(program[0], [.. program[1..], "-s", "-o", "/dev/null", "-w", "%{http_code}", web.Http.BaseAddress!.ToString()])
        {
            RedirectStandardOutput = true, UseShellExecute = false,
        })!;
        var said = await curl.StandardOutput.ReadToEndAsync();
        await curl.WaitForExitAsync();
        return said;
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
        foreach (var file in new[] { "tokens.css", "app.css", "pages.css", "js/shell.js", "_framework/blazor.web.js" })
            Assert.Equal(HttpStatusCode.OK, (await web.Http.GetAsync($"/{file}")).StatusCode);

        using var foreign = new HttpRequestMessage(HttpMethod.Get, "/") { Headers = { Host = "evil.example" } };
        Assert.Equal(HttpStatusCode.BadRequest, (await web.Http.SendAsync(foreign)).StatusCode);
    }
}
