using System.Net;
using System.Text.Json.Nodes;
using JobHub.Api.Tests.Accounts;
using JobHub.Engine.Accounts;
using JobHub.Testing;
using Microsoft.Extensions.DependencyInjection;

namespace JobHub.Api.Tests.Projects;

/// <summary>Projects and members: who sees what, who may change what, and that what may not be seen is not there.</summary>
[Collection(HubCollection.Name)]
public sealed class ProjectTests(HubFixture fixture) : IAsyncLifetime
{
    private HttpClient member = null!, other = null!, viewer = null!, admin = null!;
    private Account memberAccount = null!, viewerAccount = null!;

    private HubHost Hub => fixture.Hub;

    public async Task InitializeAsync()
    {
        memberAccount = await Hub.AccountAsync(AccountRole.Member);
        viewerAccount = await Hub.AccountAsync(AccountRole.Viewer);
        member = Hub.NewClient((await Hub.TokenAsync(memberAccount)).Token);
        viewer = Hub.NewClient((await Hub.TokenAsync(viewerAccount)).Token);
        other = await Hub.ClientAsync(AccountRole.Member);
        admin = Hub.NewClient(HubHost.AdminToken);
    }

    public Task DisposeAsync()
    {
        foreach (var client in (HttpClient[])[member, other, viewer, admin]) client.Dispose();
        return Task.CompletedTask;
    }

    [Fact]
    public async Task Projects_WithoutAToken_AreRefusedInDevelopmentToo()
    {
        using var answer = await Hub.Client.GetAsync("/projects");

        await answer.IsProblemAsync(HttpStatusCode.Unauthorized, "token-required");
        Assert.Equal("Bearer", answer.Headers.WwwAuthenticate.Single().Scheme);
    }

    [Fact]
    public async Task Project_Private_IsNotThereForOthers()
    {
        var project = await member.ProjectAsync();
        var missing = Guid.NewGuid().ToString("D");
        (string Method, string Path, string? Body)[] calls =
        [
            ("GET", "", null), ("PUT", "", "{}"), ("PUT", "", "nonsense"), ("DELETE", "", null), ("PUT", "/users/x", null), ("DELETE", "/users/x", null),
            ("GET", "/datasets", null), ("POST", "/datasets", "{}"), ("GET", $"/datasets/{missing}", null), ("DELETE", $"/datasets/{missing}", null),
            ("PUT", $"/datasets/{missing}/profiles/files", "ST\ta\n"), ("POST", $"/datasets/{missing}/profiles/files", "ST\ta\n"), ("GET", $"/datasets/{missing}/profiles", null),
            ("GET", $"/datasets/{missing}/profiles/1", null), ("PUT", $"/datasets/{missing}/isolates/files", "ID\tST\n"), ("POST", $"/datasets/{missing}/isolates/files", "ID\tST\n"),
            ("GET", $"/datasets/{missing}/isolates?page=x", null),
        ];
        foreach (var client in (HttpClient[])[other, viewer])
        {
            foreach (var (method, path, body) in calls)
            {
                using var hidden = await client.SendAsync(method, $"/projects/{project}{path}", body is null ? null : path.EndsWith("files", StringComparison.Ordinal) ? ProjectCalls.Tsv(body) : body.AsJson());
                using var absent = await client.SendAsync(method, $"/projects/{missing}{path}", body is null ? null : path.EndsWith("files", StringComparison.Ordinal) ? ProjectCalls.Tsv(body) : body.AsJson());
                Assert.Equal(HttpStatusCode.NotFound, hidden.StatusCode);
                Assert.Equal(await BytesAsync(absent), await BytesAsync(hidden));
                Assert.Equal(absent.StatusCode, hidden.StatusCode);
            }
        }

        foreach (var odd in (string[])[new string('x', 300), "%2F", "default%20"])
        {
            using var answer = await other.GetAsync($"/projects/{odd}");
            await answer.IsProblemAsync(HttpStatusCode.NotFound, "project-not-found");
        }

        Assert.DoesNotContain(project, await other.GetStringAsync("/projects"));
        Assert.Contains(project, await member.GetStringAsync("/projects"));
        Assert.Contains(project, await admin.GetStringAsync("/projects"));
    }

    [Fact]
    public async Task Project_Public_IsReadByOthersAndChangedByMembersOnly()
    {
        var project = await member.ProjectAsync("public");
        var dataset = await member.DatasetAsync(project);
        foreach (var client in (HttpClient[])[other, viewer])
        {
            var seen = JsonNode.Parse(await client.GetStringAsync($"/projects/{project}"))!;
            Assert.Null(seen["users"]);
            Assert.False((bool)seen["member"]!);
            Assert.Contains(project, await client.GetStringAsync("/projects"));
            Assert.Contains(dataset[^36..], await client.GetStringAsync($"/projects/{project}/datasets"));
            foreach (var (method, path) in ((string, string)[])
            [
                ("PUT", $"/projects/{project}"), ("DELETE", $"/projects/{project}"), ("POST", $"/projects/{project}/datasets"), ("DELETE", dataset), ("PUT", $"{dataset}/profiles/files"),
                ("POST", $"{dataset}/isolates/files"), ("PUT", $"/projects/{project}/users/{memberAccount.Name}"), ("DELETE", $"/projects/{project}/users/{memberAccount.Name}"),
            ])
            {
                using var answer = await client.SendAsync(method, path);
                await answer.IsProblemAsync(HttpStatusCode.Forbidden, "project-read-only");
            }
        }
    }

    [Fact]
    public async Task Viewer_WhoIsAMember_ReadsAndChangesNothing()
    {
        var project = await member.ProjectAsync("private", viewerAccount.Name);

        Assert.Contains(viewerAccount.Name, await viewer.GetStringAsync($"/projects/{project}"));
        using var change = await viewer.SendAsync("PUT", $"/projects/{project}", "{}".AsJson());
        await change.IsProblemAsync(HttpStatusCode.Forbidden, "project-read-only");
        using var make = await viewer.PostAsync("/projects", new JsonObject { ["name"] = "x" });
        await make.IsProblemAsync(HttpStatusCode.Forbidden, "role-not-allowed");
    }

    [Fact]
    public async Task Token_OfOneProject_SeesNoOtherAndMakesNone()
    {
        var (project, second) = (await member.ProjectAsync(), await member.ProjectAsync());
        using var bound = Hub.NewClient((await Hub.TokenAsync(memberAccount, project: project)).Token);

        Assert.Equal([project], JsonNode.Parse(await bound.GetStringAsync("/projects"))!.AsArray().Select(static p => (string)p!["id"]!));
        using var foreign = await bound.GetAsync($"/projects/{second}");
        await foreign.IsProblemAsync(HttpStatusCode.NotFound, "project-not-found");
        using var make = await bound.PostAsync("/projects", new JsonObject { ["name"] = "x" });
        await make.IsProblemAsync(HttpStatusCode.Forbidden, "role-not-allowed");
    }

    [Fact]
    public async Task Members_AddedAndRemoved_MayAndMayNot()
    {
        var newcomer = await Hub.AccountAsync(AccountRole.Member);
        using var client = Hub.NewClient((await Hub.TokenAsync(newcomer)).Token);
        var project = await member.ProjectAsync();
        for (var again = 0; again < 2; again++)
        {
            using var added = await member.SendAsync("PUT", $"/projects/{project}/users/{newcomer.Name}");
            Assert.Equal(HttpStatusCode.NoContent, added.StatusCode);
        }

        await client.DatasetAsync(project);
        using var removed = await member.SendAsync("DELETE", $"/projects/{project}/users/{newcomer.Name}");
        Assert.Equal(HttpStatusCode.NoContent, removed.StatusCode);
        using var gone = await client.GetAsync($"/projects/{project}");
        await gone.IsProblemAsync(HttpStatusCode.NotFound, "project-not-found");
        foreach (var method in (string[])["PUT", "DELETE"])
        {
            using var nobody = await member.SendAsync(method, $"/projects/{project}/users/nobody-at-all");
            await nobody.IsProblemAsync(HttpStatusCode.NotFound, "user-not-found");
        }
    }

    [Theory]
    [InlineData("""{"visibility": "private"}""", "invalid-field", "name")]
    [InlineData("""{"name": "  "}""", "invalid-field", "name")]
    [InlineData("""{"name": "a\u0000b"}""", "invalid-field", "name")]
    [InlineData("""{"name": "x", "visibility": "Public"}""", "invalid-field", "visibility")]
    [InlineData("""{"name": "x", "description": "\u0000"}""", "invalid-field", "description")]
    [InlineData("""{"name": "x", "users": [""]}""", "invalid-field", "users")]
    [InlineData("""{"name": "x", "users": ["nobody-at-all"]}""", "user-not-found", "users")]
    [InlineData("""{"name": "x", "owner": "y"}""", "unknown-field", "owner")]
    public async Task Project_WithABadField_IsRefused(string body, string code, string field)
    {
        using var answer = await member.PostAsync("/projects", body.AsJson());

        await answer.IsProblemAsync(HttpStatusCode.BadRequest, code, field);
    }

    [Fact]
    public async Task Default_IsEverybodysAndStays()
    {
        foreach (var client in (HttpClient[])[member, admin])
        {
            Assert.True((bool)JsonNode.Parse(await client.GetStringAsync("/projects/default"))!["member"]!);
            foreach (var (method, path) in ((string, string)[])[("DELETE", ""), ("PUT", ""), ("PUT", "/users/x"), ("DELETE", "/users/x")])
            {
                using var answer = await client.SendAsync(method, "/projects/default" + path, method == "PUT" ? "{}".AsJson() : null);
                await answer.IsProblemAsync(HttpStatusCode.Conflict, "project-default");
            }
        }
    }

    [Theory]
    [InlineData("page=-1")]
    [InlineData("page=x")]
    [InlineData("size=0")]
    [InlineData("size=501")]
    public async Task Lists_WithABadPage_AreRefused(string query)
    {
        var project = await member.ProjectAsync();
        var dataset = await member.DatasetAsync(project);
        foreach (var path in (string[])["/projects", $"/projects/{project}/datasets", $"{dataset}/profiles", $"{dataset}/isolates"])
        {
            using var answer = await member.GetAsync($"{path}?{query}");
            await answer.IsProblemAsync(HttpStatusCode.BadRequest, "invalid-field", query.Split('=')[0]);
        }
    }

    [Fact]
    public async Task Project_Deleted_TakesItsJobsAndDataAlong()
    {
        var project = await member.ProjectAsync();
        var dataset = await member.DatasetAsync(project);
        using (var upload = await member.SendAsync("PUT", $"{dataset}/profiles/files", ProjectCalls.Tsv("ST\ta\n1\t1\n"))) upload.EnsureSuccessStatusCode();
        using var job = await admin.SendAsync("PUT", $"/api/jobs?project={project}", """{"command": "sleep 100", "affinity": "NOBODY"}""".AsJson());
        var number = await job.Content.ReadAsStringAsync();

        using var deleted = await member.SendAsync("DELETE", $"/projects/{project}");
        Assert.Equal(HttpStatusCode.NoContent, deleted.StatusCode);
        foreach (var path in (string[])[$"/projects/{project}", dataset])
        {
            using var gone = await member.GetAsync(path);
            await gone.IsProblemAsync(HttpStatusCode.NotFound, "project-not-found");
        }

        await Eventually.TrueAsync(async () => await CountAsync($"SELECT count(*) FROM dataset WHERE project = '{project}'") == 0 && await CountAsync($"SELECT count(*) FROM profile WHERE dataset = '{dataset[^36..]}'") == 0
            && await CountAsync($"SELECT count(*) FROM job WHERE number = {number} AND cancel_requested_at IS NULL") == 0, "what the project held is removed");
    }

    private async Task<long> CountAsync(string sql)
    {
        await using var command = Hub.Services.GetRequiredService<Npgsql.NpgsqlDataSource>().CreateCommand(sql);
        return (long)(await command.ExecuteScalarAsync())!;
    }

    /// <summary>Head and body of an answer, without what names the request.</summary>
    private static async Task<string> BytesAsync(HttpResponseMessage answer)
    {
        var id = answer.Headers.GetValues("X-Request-Id").Single();
        var head = answer.Headers.Where(static h => !h.Key.Equals("X-Request-Id", StringComparison.OrdinalIgnoreCase) && h.Key != "Date").Concat(answer.Content.Headers).Select(static h => $"{h.Key}: {string.Join(',', h.Value)}");
        return string.Join('\n', head) + "\n" + (await answer.Content.ReadAsStringAsync()).Replace(id, "", StringComparison.Ordinal);
    }
}
