using System.Globalization;
using System.Net;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;

namespace JobHub.Api.Tests.Farm;

/// <summary>/json and /xmlrpc: what the command line of older farms calls.</summary>
[Collection(FarmCollection.Name)]
public sealed partial class FarmCommandLineTests(HubFixture fixture)
{
    private HttpClient Client => fixture.Hub.Client;

    [Fact]
    public async Task AddJob_WithEveryValue_MakesTheJob()
    {
        var (a, b) = (await AddAsync("cmd=true"), await AddAsync("command=true"));
        var parent = await AddAsync("title=Group");

        var id = await AddAsync($"parent={parent}&title=T%20%C3%A4%20%22q%22&cmd=echo+1&dir=%2Ftmp&priority=1000&retry=2&timeout=30&affinity=LINUX&dependencies={a}%20{b}&localprogress=%25percent&globalprogress=x&user=u&environment=A%3D1&url=l");

        var job = await Client.JobAsync(id);
        Assert.Equal((parent, "T ä \"q\"", "echo 1", "/tmp"), ((long)job["parent"]!, (string?)job["title"], (string?)job["command"], (string?)job["dir"]));
        Assert.Equal((255, 2, 30, "LINUX", "%percent"), ((int)job["priority"]!, (int)job["retry"]!, (int)job["timeout"]!, (string?)job["affinity"], (string?)job["progress_pattern"]));
        Assert.Equal(("u", "A=1", "l", "PENDING"), ((string?)job["user"], (string?)job["environment"], (string?)job["url"], (string?)job["state"]));
        Assert.Equal($"[{a},{b}]", job["dependencies"]!.ToJsonString());
        Assert.Equal("[" + a + "]", (await Client.JobAsync(await AddAsync($"cmd=x&dependencies={a},{a},")))["dependencies"]!.ToJsonString());
    }

    [Fact]
    public async Task AddJob_WithNoneForWhatWasNotSaid_IsAsIfItWereAbsent()
    {
        var names = (string[])["parent", "title", "cmd", "dir", "priority", "retry", "timeout", "affinity", "dependencies", "localprogress", "globalprogress", "user", "environment", "url"];
        var id = await AddAsync(string.Join('&', names.Select(static name => name + "=None")));
        var empty = await AddAsync("");
        var (job, other) = (await Client.JobAsync(id), await Client.JobAsync(empty));
        foreach (var (name, value) in other.Where(static member => member.Key != "id")) Assert.True(JsonNode.DeepEquals(value, job[name]), name);
    }

    [Theory]
    [InlineData("parent=999999999", 404, "parent-not-found"), InlineData("parent=x", 400, "invalid-field"), InlineData("parent=-1", 400, "invalid-field"), InlineData("parent=1.5", 400, "invalid-field")]
    [InlineData("priority=high", 400, "invalid-field"), InlineData("retry=-1", 400, "invalid-field"), InlineData("timeout=99999999999", 400, "invalid-field")]
    [InlineData("dependencies=x", 400, "invalid-field"), InlineData("dependencies=0", 400, "invalid-field"), InlineData("dependencies=999999999", 404, "dependency-not-found")]
    [InlineData("title=%00", 400, "invalid-field"), InlineData("title=a&title=b", 400, "invalid-field"), InlineData("affinity=a%0Ab", 400, "invalid-field"), InlineData("environment=JOBHUB_X%3D1", 400, "invalid-field")]
    public async Task AddJob_WithAWrongValue_IsRefused_AndByXmlRpcIsMinusOne(string query, int status, string code)
    {
        var roots = await Client.IdsAsync("/api/jobs");
        using var answer = await Client.GetAsync("/json/addjob?cmd=true&" + query);
        await answer.IsProblemAsync((HttpStatusCode)status, code);
        Assert.Equal("-1", await Client.GetStringAsync("/xmlrpc/addjob?cmd=true&" + query));
        Assert.Equal(roots, await Client.IdsAsync("/api/jobs"));
    }

    [Fact]
    public async Task XmlRpcAddJob_AnswersTheId()
    {
        var id = long.Parse(await Client.GetStringAsync("/xmlrpc/addjob?title=by%20xmlrpc&cmd=true"), CultureInfo.InvariantCulture);
        Assert.Equal("by xmlrpc", (string?)(await Client.JobAsync(id))["title"]);
    }

    [Fact]
    public async Task GetJobs_AnswersRowsInTheOrderOfTheFieldsAndTheWayUp()
    {
        var parent = await AddAsync("title=Upper");
        var group = await AddAsync($"title=Lower&parent={parent}");
        var id = await AddAsync($"title=Leaf&cmd=true&parent={group}&priority=255");
        await Client.IsOneAsync("POST", "/api/pausejobs", $"[{id}]");

        var text = await Client.GetStringAsync($"/json/getjobs?id={group}");

        // What Python evaluates: no null, true or false outside of its strings, and no escape that makes half a character.
        Assert.DoesNotMatch(@"null|true|false|None", Strings().Replace(text, ""));
        var answer = JsonNode.Parse(text)!;
        Assert.Equal(["Vars", "Jobs", "Parents"], answer.AsObject().Select(static member => member.Key));
        var names = answer["Vars"]!.AsArray().Select(static name => (string)name!).ToArray();
        Assert.Equal((await Client.JobAsync(id)).Select(static member => member.Key).SkipLast(1), names);
        Assert.Equal($$"""[{"ID":0,"Title":"Root"},{"ID":{{parent}},"Title":"Upper"},{"ID":{{group}},"Title":"Lower"}]""", answer["Parents"]!.ToJsonString());
        var row = Assert.Single(answer["Jobs"]!.AsArray())!.AsArray();
        var job = await Client.JobAsync(id);
        Assert.Equal("true", (string?)job["command"]);
        for (var index = 0; index < names.Length; index++) Assert.Equal(job[names[index]]?.ToJsonString() ?? "\"\"", row[index]!.ToJsonString());
        Assert.Contains("\"Jobs\":[]", await Client.GetStringAsync($"/json/getjobs?id={id}"));
        Assert.Contains(JsonNode.Parse(await Client.GetStringAsync("/json/getjobs"))!["Jobs"]!.AsArray(), root => (long)root![0]! == parent);
        using var unknown = await Client.GetAsync("/json/getjobs?id=999999999");
        await unknown.IsProblemAsync(HttpStatusCode.NotFound, "job-not-found");
        using var wrong = await Client.GetAsync("/json/getjobs?id=x");
        await wrong.IsProblemAsync(HttpStatusCode.BadRequest, "invalid-field", "id");
    }

    [Fact]
    public async Task GetJobs_OfTextOfAnyKind_HasNoEscapesThatPythonReadsOtherwise()
    {
        const string title = "😀 木 \"q\" 'q' \\ back\\n\n\t\u0001/";
        var group = await Client.PutJobAsync(new JsonObject { ["title"] = title }.ToJsonString());
        await Client.PutJobAsync(new JsonObject { ["title"] = title, ["parent"] = group }.ToJsonString());
        var text = await Client.GetStringAsync($"/json/getjobs?id={group}");
        Assert.Contains("\"😀 木 \\\"q\\\" 'q' \\\\ back\\\\n\\n\\t\\u0001/\"", text);
        Assert.Equal(title, (string?)JsonNode.Parse(text)!["Jobs"]![0]![2]);
    }

    [Fact]
    public async Task ClearJobs_RemovesWhatItNames()
    {
        var (a, b, c) = (await AddAsync("title=a"), await AddAsync("title=b"), await AddAsync("title=c"));
        var below = await AddAsync($"parent={a}&cmd=true");
        Assert.Equal("1", await Client.GetStringAsync($"/json/clearjobs?id={a}"));
        Assert.Equal("1", await Client.GetStringAsync($"/json/clearjobs?id={b}&id={c},{c}"));
        foreach (var id in (long[])[a, b, c, below])
        {
            using var gone = await Client.GetAsync($"/api/jobs/{id}");
            Assert.Equal(HttpStatusCode.NotFound, gone.StatusCode);
        }

        foreach (var (query, status) in ((string, HttpStatusCode)[])[("", HttpStatusCode.BadRequest), ("id=", HttpStatusCode.BadRequest), ("id=x", HttpStatusCode.BadRequest), ("id=0", HttpStatusCode.BadRequest), ($"id={a}", HttpStatusCode.NotFound)])
        {
            using var refused = await Client.GetAsync($"/json/clearjobs?{query}");
            Assert.Equal(status, refused.StatusCode);
        }
    }

    [Theory, InlineData("/json/addjob?cmd=evil"), InlineData("/xmlrpc/addjob?cmd=evil"), InlineData("/json/clearjobs?id=1")]
    public async Task Get_ThatWrites_IsRefusedToAnotherSitesPage(string path)
    {
        var roots = await Client.IdsAsync("/api/jobs");
        foreach (var (header, value) in ((string, string)[])[("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Site", "same-site"), ("Origin", "http://evil.example"), ("Host", "evil.example")])
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, path);
            request.Headers.TryAddWithoutValidation(header, value);
            using var answer = await Client.SendAsync(request);
            await answer.IsProblemAsync(HttpStatusCode.Forbidden, "cross-site-request");
        }

        Assert.Equal(roots, await Client.IdsAsync("/api/jobs"));
    }

    private async Task<long> AddAsync(string query) => long.Parse(await Client.GetStringAsync("/json/addjob?" + query), CultureInfo.InvariantCulture);

    [GeneratedRegex("\"(?:[^\"\\\\]|\\\\.)*\"")]
    private static partial Regex Strings();
}
