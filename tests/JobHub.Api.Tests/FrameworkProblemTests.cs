using System.Net;

namespace JobHub.Api.Tests;

[Collection(HubCollection.Name)]
public sealed class FrameworkProblemTests(HubFixture fixture)
{
    private readonly HttpClient client = fixture.Hub.Client;

    [Fact]
    public async Task Route_ThatIsNotThere_IsAProblemWhateverIsAccepted()
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, "/nope");
        request.Headers.Add("Accept", "text/html");
        request.Headers.Add("X-Request-Id", "mine-7");
        using var answer = await client.SendAsync(request);
        var body = await answer.IsProblemAsync(HttpStatusCode.NotFound, "route-not-found");
        Assert.Equal("mine-7", (string?)body["requestId"]);
    }

    [Fact]
    public async Task RequestId_ThatCouldHarmALog_IsReplaced()
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, "/alive");
        request.Headers.TryAddWithoutValidation("X-Request-Id", "a b\"c");
        using var answer = await client.SendAsync(request);
        Assert.Matches("^[0-9a-f]{32}$", answer.Headers.GetValues("X-Request-Id").Single());
    }

    [Fact]
    public async Task Method_ThatIsNotAnswered_Is405WithAllow()
    {
        using var answer = await client.PatchAsync("/api/v1/jobs", null);
        await answer.IsProblemAsync(HttpStatusCode.MethodNotAllowed, "method-not-allowed");
        Assert.Contains("POST", answer.Content.Headers.Allow);
    }

    [Fact]
    public async Task Body_OfAnotherType_Is415()
    {
        using var answer = await client.PostAsync("/api/v1/jobs", new StringContent("a=b", null, "application/x-www-form-urlencoded"));
        await answer.IsProblemAsync(HttpStatusCode.UnsupportedMediaType, "unsupported-media-type", "Content-Type");
    }

    [Fact]
    public async Task Body_OverItsLimit_Is413()
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, "/api/v1/jobs");
        request.Headers.ExpectContinue = true;
        request.Content = new string(' ', 5 << 20).AsJson();
        using var answer = await client.SendAsync(request);
        await answer.IsProblemAsync(HttpStatusCode.RequestEntityTooLarge, "body-too-large");
    }

    [Theory]
    [InlineData("", "body-missing"), InlineData("{", "invalid-json"), InlineData("{} {}", "invalid-json"), InlineData("[]", "invalid-field"), InlineData("null", "invalid-field")]
    public async Task Body_ThatIsNoJsonObject_IsRefused(string body, string code)
    {
        using var answer = await client.PostAsync("/api/v1/jobs", body.AsJson());
        await answer.IsProblemAsync(HttpStatusCode.BadRequest, code);
    }

    [Theory, InlineData("/health"), InlineData("/alive")]
    public async Task Probe_OfAHealthyHub_Is200(string path)
    {
        using var answer = await client.GetAsync(path);
        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
    }

    [Theory, InlineData("mapreduce", "/api/v1/jobs"), InlineData("hub", "/hub/v1/events"), InlineData("agents", "/agent/v1/sessions")]
    public async Task Description_OfAFamily_HasItsRoutesOnly(string family, string route)
    {
        using var answer = await client.GetAsync($"/openapi/{family}.json");
        var paths = (await answer.JsonAsync())["paths"]!.AsObject();
        Assert.Contains(paths, path => path.Key.TrimEnd('/') == route);
        Assert.All(paths, path => Assert.StartsWith("/" + route.Split('/')[1] + "/", path.Key));
    }

    [Fact]
    public async Task DescriptionPage_RunsNoInlineScript()
    {
        using var answer = await client.GetAsync("/openapi/index.html");
        var page = await answer.Content.ReadAsStringAsync();
        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        Assert.DoesNotMatch("<script(?![^>]*src=)[^>]*>\\s*[^<\\s]", page);
        Assert.Contains("script-src 'self'", answer.Headers.GetValues("Content-Security-Policy").Single());
    }

    [Fact]
    public async Task Description_OfFiles_NamesWhatTheAddressHolds()
    {
        using var answer = await fixture.Hub.Client.GetAsync("/openapi/commands.json");

        var paths = (await answer.JsonAsync())["paths"]!;
        string[] Names(string path, string method) => [.. paths[path]![method]!["parameters"]!.AsArray().Select(p => $"{p!["in"]}:{p["name"]}").Order()];
        Assert.Equal(["query:job_id", "query:path", "query:project"], Names("/files", "get"));
        Assert.Equal(["path:id", "query:project"], Names("/jobs/{id}", "delete"));
        Assert.Equal(["query:after", "query:limit", "query:project", "query:status"], Names("/jobs", "get"));
        Assert.Contains("multipart/form-data", paths["/jobs"]!["post"]!["requestBody"]!["content"]!.AsObject().Select(c => c.Key));
    }
}
