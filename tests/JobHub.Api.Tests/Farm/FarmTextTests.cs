using System.Globalization;
using System.Text.Json.Nodes;

namespace JobHub.Api.Tests.Farm;

/// <summary>What callers write reads back as they wrote it, wherever it is shown.</summary>
[Collection(FarmCollection.Name)]
public sealed class FarmTextTests(HubFixture fixture)
{
    private static readonly string[] Everywhere = ["title", "command", "dir", "environment", "user", "url", "progress_pattern"];

    private HttpClient Client => fixture.Hub.Client;

    [Theory]
    [InlineData("Grüße, 木の下 😀 👩‍👩‍👧‍👦 é")]
    [InlineData("it's \"quoted\" `and` \\ back\\\\slashed \\n \\u0041 \\x41")]
    [InlineData("two\nlines\r\nand\ta tab\u0001\u001b[31m\u007f\u0085\u2028\u2029\ufeff")]
    [InlineData("<script>alert(1)</script> &amp; <b>&lt;")]
    [InlineData("'; DROP TABLE job; -- $1 %s {0} %(x)s $(NAME) ${HOME}")]
    [InlineData("None")]
    [InlineData("null"), InlineData("True"), InlineData("  spaced  "), InlineData("\uffff\ufffd\U0010ffff")]
    public async Task Text_OfAnyKind_ReadsBackFromNewAndChangedJobs(string text)
    {
        var members = new JsonObject();
        foreach (var field in Everywhere) members[field] = text;
        var parent = await Client.PutJobAsync(new JsonObject { ["title"] = text }.ToJsonString());
        members["parent"] = parent;

        var made = await Client.PutJobAsync(members.ToJsonString());
        var changed = await Client.PutJobAsync($$"""{"command":"true","parent":{{parent}}}""");
        members.Remove("parent");
        await Client.IsOneAsync("POST", "/api/jobs", new JsonObject { [changed.ToString(CultureInfo.InvariantCulture)] = members }.ToJsonString());

        var list = JsonNode.Parse(await Client.GetStringAsync($"/api/jobs/{parent}/children"))!.AsArray();
        var rows = JsonNode.Parse(await Client.GetStringAsync($"/json/getjobs?id={parent}"))!;
        var names = rows["Vars"]!.AsArray().Select(name => (string)name!).ToArray();
        Assert.Equal(text, (string?)rows["Parents"]![1]!["Title"]);
        foreach (var (id, index) in ((long, int)[])[(made, 0), (changed, 1)])
        {
            var job = await Client.JobAsync(id);
            foreach (var field in Everywhere)
            {
                Assert.Equal(text, (string?)job[field]);
                Assert.Equal(text, (string?)list[index]![field]);
                Assert.Equal(text, (string?)rows["Jobs"]![index]![Array.IndexOf(names, field)]);
            }
        }

        if (!text.Any(char.IsControl))
        {
            Assert.Equal([made, changed], await Client.IdsAsync($"/api/jobs/{parent}/children?user={Uri.EscapeDataString(text)}&q={Uri.EscapeDataString(text)}"));
            Assert.Contains(JsonNode.Parse(await Client.GetStringAsync("/api/jobs/users/"))!.AsArray(), value => (string?)value!["user"] == text);
        }
    }

    [Theory, InlineData("LINUX, with space ,LINUX"), InlineData("Grüße 木,\"quoted\",it's,<b>"), InlineData(",,"), InlineData("'; DROP TABLE job; --")]
    public async Task Affinity_ReadsBackAsWritten(string text)
    {
        var id = await Client.PutJobAsync(new JsonObject { ["command"] = "true", ["affinity"] = text }.ToJsonString());
        Assert.Equal(text, (string?)(await Client.JobAsync(id))["affinity"]);
        await Client.IsOneAsync("DELETE", "/api/jobs", $"[{id}]");
    }
}
