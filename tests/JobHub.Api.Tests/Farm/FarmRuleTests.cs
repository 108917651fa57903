using System.Net;
using JobHub.Api.Http.Access;

namespace JobHub.Api.Tests.Farm;

/// <summary>JobHub:Farm: the commands that users may run.</summary>
[Collection(FarmCollection.Name)]
public sealed class FarmRuleTests(HubFixture fixture)
{
    [Fact]
    public async Task Commands_OutsideOfAUsersList_AreRefusedWhereverTheyComeFrom()
    {
        await using var hub = await HubHost.StartAsync(fixture.Postgres, "Development", "--JobHub:Farm:Commands:0=echo .*", "--JobHub:Farm:Commands:1=true|false",
            "--JobHub:Farm:UserCommands:render:0=render -f \\d+");
        var client = hub.Client;

        foreach (var (user, command, allowed) in ((string, string, bool)[])
        [
            ("", "echo hello", true), ("", "true", true), ("", "false", true), ("", "", true), ("anybody", "echo x; rm -rf /", true), ("Render", "echo x", true),
            ("", "echo x\\nrm -rf /", false), ("", "xecho y", false), ("", "true\\n", false), ("", "truefalse", false), ("", "TRUE", false), ("", "render -f 1", false),
            ("render", "render -f 12", true), ("render", "echo hello", false), ("render", "render -f 1 2", false), ("render", "", true),
        ])
        {
            using var answer = await client.FarmAsync("PUT", "/api/jobs", $$"""{"user":"{{user}}","command":"{{command}}"}""");
            if (allowed) Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
            else await answer.IsProblemAsync(HttpStatusCode.Forbidden, "command-not-allowed", "command");
        }

        var made = await client.IdsAsync("/api/jobs");
        using (var many = await client.FarmAsync("PUT", "/api/jobs", """[{"command":"true"},{"command":"rm"}]""")) await many.IsProblemAsync(HttpStatusCode.Forbidden, "command-not-allowed", "[1].command");
        using (var old = await client.GetAsync("/json/addjob?cmd=rm")) await old.IsProblemAsync(HttpStatusCode.Forbidden, "command-not-allowed", "cmd");
        Assert.Equal("-1", await client.GetStringAsync("/xmlrpc/addjob?cmd=rm"));
        Assert.Equal(made, await client.IdsAsync("/api/jobs"));

        var id = await client.PutJobAsync("""{"command":"echo 1"}""");
        var before = await client.GetStringAsync($"/api/jobs/{id}");
        foreach (var (members, field) in ((string, string)[])[("\"command\":\"rm\"", "command"), ("\"user\":\"render\"", "user"), ("\"user\":\"render\",\"command\":\"echo 2\"", "command")])
        {
            using var answer = await client.FarmAsync("POST", "/api/jobs", "{\"" + id + "\":{\"title\":\"changed\"," + members + "}}");
            await answer.IsProblemAsync(HttpStatusCode.Forbidden, "command-not-allowed", $"{id}.{field}");
            Assert.Equal(before, await client.GetStringAsync($"/api/jobs/{id}"));
        }

        await client.IsOneAsync("POST", "/api/jobs", "{\"" + id + "\":{\"user\":\"render\",\"command\":\"render -f 7\"}}");
        await client.IsOneAsync("POST", "/api/jobs", "{\"" + id + "\":{\"title\":\"other\"}}");
    }

    [Theory, InlineData("("), InlineData("a)|(b"), InlineData("(a)\\1"), InlineData("(?=a)b")]
    public async Task Expression_ThatCannotBeUsed_KeepsTheHostFromStarting(string pattern)
    {
        var refusal = await Assert.ThrowsAsync<StartRefusedException>(() => HubHost.StartAsync(fixture.Postgres, "Development", "--JobHub:Farm:Commands:0=" + pattern));
        Assert.Contains("JobHub:Farm:Commands", refusal.Message);
    }
}
