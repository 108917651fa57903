using System.Net;
using System.Text;
using System.Text.Json.Nodes;

namespace JobHub.Api.Tests.Hub;

/// <summary>/hub/v1/artifacts.</summary>
[Collection(HubCollection.Name)]
public sealed class HubArtifactTests(HubFixture fixture)
{
    private readonly HubHost hub = fixture.Hub;
    private readonly string prefix = "p" + Guid.NewGuid().ToString("N")[..10];

    [Fact]
    public async Task List_ByAPartOfTheName_IsPagedByName()
    {
        foreach (var name in (string[])["c.sh", "a.sh", "b.py", "B2.sh"]) (await PostAsync($"{prefix}-{name}", "x")).EnsureSuccessStatusCode();

        var seen = new List<string>();
        string? after = null;
        do
        {
            var page = await GetAsync($"/hub/v1/artifacts?q={prefix.ToUpperInvariant()}&limit=3{(after is null ? "" : $"&after={Uri.EscapeDataString(after)}")}");
            seen.AddRange(page["items"]!.AsArray().Select(static item => (string)item!["name"]!));
            after = (string?)page["next"];
        }
        while (after is not null);

        Assert.Equal(4, seen.Count);
        Assert.Equal(4, seen.Distinct().Count());
        Assert.Equal($"{prefix}-b.py", (string)Assert.Single((await GetAsync($"/hub/v1/artifacts?q={prefix}-b."))["items"]!.AsArray())!["name"]!);
    }

    [Fact]
    public async Task Post_OfBodyAndForm_MakesVersionsThatCanBeReadEach()
    {
        var name = $"{prefix} ä.sh";
        using (var first = await PostAsync(name, "one")) Assert.Equal((1, "streaming"), ((int)(await first.JsonAsync())["version"]!, (string)(await first.JsonAsync())["type"]!));
        using (var form = new MultipartFormDataContent { { new StringContent("executable"), "type" }, { new ByteArrayContent("two!"u8.ToArray()), "program", name } })
        using (var second = await hub.Client.PostAsync("/hub/v1/artifacts", form)) Assert.Equal(2, (int)(await second.JsonAsync())["version"]!);
        using (var same = await PostAsync(name, "two!", "executable")) Assert.Equal(2, (int)(await same.JsonAsync())["version"]!);

        var one = await GetAsync($"/hub/v1/artifacts/{Uri.EscapeDataString(name)}");
        Assert.Equal([(2, 4), (1, 3)], one["versions"]!.AsArray().Select(static v => ((int)v!["version"]!, (int)v["size"]!)));
        using var old = await hub.Client.GetAsync($"/hub/v1/artifacts/{Uri.EscapeDataString(name)}/versions/1/content");
        Assert.Equal("one", await old.Content.ReadAsStringAsync());
        Assert.Equal("attachment", old.Content.Headers.ContentDisposition?.DispositionType);
        Assert.Equal("nosniff", old.Headers.GetValues("X-Content-Type-Options").Single());
        using (var none = await hub.Client.GetAsync($"/hub/v1/artifacts/{Uri.EscapeDataString(name)}/versions/3/content")) await none.IsProblemAsync(HttpStatusCode.NotFound, "artifact-not-found");
        using (var gone = await hub.Client.DeleteAsync($"/hub/v1/artifacts/{Uri.EscapeDataString(name)}")) Assert.Equal(HttpStatusCode.NoContent, gone.StatusCode);
        using var after = await hub.Client.GetAsync($"/hub/v1/artifacts/{Uri.EscapeDataString(name)}");
        await after.IsProblemAsync(HttpStatusCode.NotFound, "artifact-not-found");
    }

    [Fact]
    public async Task Post_WithAMistake_NamesTheField()
    {
        using (var none = await hub.Client.PostAsync("/hub/v1/artifacts", new StringContent("x"))) await none.IsProblemAsync(HttpStatusCode.BadRequest, "missing-field", "name");
        using (var bad = await PostAsync("a/b", "x")) await bad.IsProblemAsync(HttpStatusCode.BadRequest, "invalid-field", "name");
        using (var type = await PostAsync("a", "x", "java")) await type.IsProblemAsync(HttpStatusCode.BadRequest, "invalid-field", "type");
        using var request = new HttpRequestMessage(HttpMethod.Post, $"/hub/v1/artifacts?name={prefix}") { Content = new ByteArrayContent(new byte[3_100_000]) };
        request.Headers.ExpectContinue = true;
        using var large = await hub.Client.SendAsync(request);
        await large.IsProblemAsync(HttpStatusCode.RequestEntityTooLarge, "body-too-large");
    }

    [Fact]
    public async Task Jobs_OfAVersion_AreThoseThatPinnedIt()
    {
        var name = $"{prefix}-used.sh";
        (await PostAsync(name, "#!/bin/sh\ncat\n")).EnsureSuccessStatusCode();
        var asMapper = await SubmitAsync(mapper: name);
        var asBoth = await SubmitAsync(mapper: name, reducer: name);
        (await PostAsync(name, "#!/bin/sh\ncat -\n")).EnsureSuccessStatusCode();
        var later = await SubmitAsync(reducer: name);

        var first = await GetAsync($"/hub/v1/artifacts/{name}/jobs?version=1");
        Assert.Equal([(asBoth, "mapper"), (asMapper, "mapper")], first["items"]!.AsArray().Select(static u => ((string)u!["id"]!, (string)u["role"]!)));
        Assert.Equal([(later, "reducer", "Queued")], (await GetAsync($"/hub/v1/artifacts/{name}/jobs"))["items"]!.AsArray().Select(static u => ((string)u!["id"]!, (string)u["role"]!, (string)u["state"]!)));
        var paged = await GetAsync($"/hub/v1/artifacts/{name}/jobs?version=1&limit=1");
        var rest = await GetAsync($"/hub/v1/artifacts/{name}/jobs?version=1&limit=1&after={(string)paged["next"]!}");
        Assert.Equal(asMapper, (string)rest["items"]![0]!["id"]!);
        using var unknown = await hub.Client.GetAsync($"/hub/v1/artifacts/{name}/jobs?version=9");
        await unknown.IsProblemAsync(HttpStatusCode.NotFound, "artifact-not-found");
    }

    [Fact]
    public async Task Jobs_OfProjectsOfOthers_AreNotShown()
    {
        var (name, callers) = ($"{prefix}-hidden.sh", new Callers(hub));
        (await PostAsync(name, "#!/bin/sh\ncat\n")).EnsureSuccessStatusCode();
        var account = await callers.AccountAsync(Callers.Member);
        var (own, foreign) = (await callers.ProjectAsync(members: account), await callers.ProjectAsync());
        using var admin = hub.NewClient(HubHost.AdminToken);
        var mine = await SubmitAsync(mapper: name, project: own, client: admin);
        var theirs = await SubmitAsync(mapper: name, project: foreign, client: admin);
        using var member = hub.NewClient(await callers.TokenAsync(account));

        Assert.Equal([mine], IdsOf(JsonNode.Parse(await member.GetStringAsync($"/hub/v1/artifacts/{name}/jobs"))!));
        Assert.Equal([theirs, mine], IdsOf(JsonNode.Parse(await admin.GetStringAsync($"/hub/v1/artifacts/{name}/jobs"))!));
        Assert.Empty(IdsOf(await GetAsync($"/hub/v1/artifacts/{name}/jobs")));
    }

    private static IEnumerable<string> IdsOf(JsonNode page) => page["items"]!.AsArray().Select(static u => (string)u!["id"]!);

    private Task<HttpResponseMessage> PostAsync(string name, string text, string type = "streaming") =>
        hub.Client.PostAsync($"/hub/v1/artifacts?name={Uri.EscapeDataString(name)}&type={type}", new ByteArrayContent(Encoding.UTF8.GetBytes(text)));

    private async Task<JsonNode> GetAsync(string path)
    {
        using var answer = await hub.Client.GetAsync(path);
        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        return await answer.JsonAsync();
    }

    private async Task<string> SubmitAsync(string mapper = "mapper.sh", string reducer = "reducer.sh", string? project = null, HttpClient? client = null)
    {
        var body = hub.Submission(hub.WriteInput($"{prefix}.txt", "a\n"));
        (body["mapperName"], body["reducerName"]) = (mapper, reducer);
        using var answer = await (client ?? hub.Client).PostAsync($"/api/v1/jobs{(project is null ? "" : $"?project={project}")}", body);
        Assert.True(answer.IsSuccessStatusCode, await answer.Content.ReadAsStringAsync());
        return answer.Headers.Location!.ToString().Split('/')[^1];
    }
}
