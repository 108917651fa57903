using System.Net;
using System.Text.Json.Nodes;
using JobHub.Api.Http.Access;
using JobHub.Api.Http.Auditing;
using JobHub.Engine.Accounts;
using JobHub.Engine.Auditing;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;

namespace JobHub.Api.Tests.Accounts;

[Collection(HubCollection.Name)]
public sealed class AuditTests(HubFixture fixture)
{
    private HubHost Hub => fixture.Hub;

    private AuditLog Log => Hub.Services.GetRequiredService<AuditLog>();

    [Fact]
    public async Task EveryRoute_ThatChangesSomething_IsAudited()
    {
        var middleware = new AuditMiddleware(static context =>
        {
            context.Response.StatusCode = 200;
            return Task.CompletedTask;
        }, Log, Hub.Services.GetRequiredService<JobProjects>());
        var covered = 0;
        foreach (var endpoint in Hub.Services.GetRequiredService<EndpointDataSource>().Endpoints.OfType<RouteEndpoint>())
        {
            var pattern = endpoint.RoutePattern.RawText!;
            foreach (var method in endpoint.Metadata.GetMetadata<IHttpMethodMetadata>()?.HttpMethods ?? ["GET"])
            {
                // The rule as the design has it, and not as the middleware asks it: reads and the protocols of workers alone are left out.
                var writes = method is not ("GET" or "HEAD") || pattern.Trim('/') is "json/addjob" or "json/clearjobs" or "xmlrpc/addjob";
                var workers = pattern.TrimStart('/').StartsWith("agent/v1", StringComparison.Ordinal) || pattern.TrimStart('/').StartsWith("workers/", StringComparison.Ordinal);
                var caller = $"caller-{Guid.NewGuid():N}";
                var context = new DefaultHttpContext { RequestServices = Hub.Services };
                context.Request.Method = method;
                foreach (var parameter in endpoint.RoutePattern.Parameters) context.Request.RouteValues[parameter.Name] = $"the-{parameter.Name}";
                context.SetEndpoint(endpoint);
                context.Features.Set(new Caller(caller, CallerRole.Admin));
                await middleware.InvokeAsync(context);
                var rows = (await Log.ReadAsync(new(Caller: caller), null, 10, CancellationToken.None)).Rows;
                Assert.True(rows.Count == (writes && !workers ? 1 : 0), $"{method} {pattern}: {rows.Count} rows");
                if (rows.Count == 0) continue;
                covered++;
                var entry = rows[0].Entry;
                Assert.Matches("^[a-z]+[.][a-z-]+$", entry.Action);
                Assert.Matches("^[a-z]+$", entry.Kind);
                if (pattern.EndsWith('}')) Assert.StartsWith("the-", entry.Object);
            }
        }

        Assert.True(covered > 30, $"{covered} routes");
    }

    [Fact]
    public async Task Change_OfAnyFamily_IsARowWithWhoWhatAndFromWhere()
    {
        var account = await Hub.AccountAsync(AccountRole.Admin);
        var (token, known) = await Hub.TokenAsync(account);
        using var client = Hub.NewClient(token);
        using var webhook = await client.PostAsync("/hub/v1/webhooks", """{"url":"http://receiver.invalid/x","secret":"a-secret-of-a-webhook"}""".AsJson());
        var id = (string)(await webhook.JsonAsync())["id"]!;
        await client.PatchAsync($"/hub/v1/webhooks/{id}", """{"enabled":false}""".AsJson());
        await client.DeleteAsync($"/hub/v1/webhooks/{id}");
        await client.DeleteAsync($"/hub/v1/webhooks/{id}");
        await client.PutAsync($"/files?path=/audited/{id}.txt&project=audited", new StringContent("x"));
        using var job = await client.PutAsync("/api/jobs", """{"title":"audited"}""".AsJson());
        var number = await job.Content.ReadAsStringAsync();

        var rows = (await Log.ReadAsync(new(Caller: account.Name), null, 50, CancellationToken.None)).Rows.Reverse().Select(static row => row.Entry).ToArray();

        Assert.Equal(["webhook.create", "webhook.change", "webhook.delete", "file.change", "job.submit"], rows.Select(static row => row.Action));
        Assert.All(rows, row => Assert.Equal((account.Number, known.Id, "127.0.0.1"), (row.Account, row.Token, row.Address)));
        Assert.Equal([id, id, id, $"/audited/{id}.txt", number], rows.Select(static row => row.Object));
        Assert.Equal(("audited", "default"), (rows[3].Project, rows[4].Project));
        Assert.DoesNotContain("a-secret-of-a-webhook", string.Join(' ', rows.Select(static row => row.ToString() + string.Join(' ', row.Details!.Values))));
    }

    [Fact]
    public async Task Change_OfWhatTheAnswerOrTheBodyNames_HasItAsItsObject()
    {
        var account = await Hub.AccountAsync(AccountRole.Admin);
        using var client = Hub.NewClient((await Hub.TokenAsync(account)).Token);
        async Task<string> MadeAsync(string path, HttpContent body, string id = "id") => (string)(await (await client.PostAsync(path, body)).JsonAsync())[id]!;
        var project = await MadeAsync("/projects", """{"name":"audited"}""".AsJson());
        var dataset = await MadeAsync($"/projects/{project}/datasets", """{"description":""}""".AsJson());
        (await client.PutAsync($"/projects/{project}/datasets/{dataset}/profiles/files", new StringContent("ST\ta\n1\t1\n2\t2\n"))).EnsureSuccessStatusCode();
        var job = await MadeAsync($"/projects/{project}/jobs", $$"""{"analysis":"inference","algorithm":"goeburst","parameters":["{{dataset}}",1]}""".AsJson(), "job_id");
        var inference = await MadeAsync($"/projects/{project}/datasets/{dataset}/inferences", new StringContent("(2:1)1;"));
        var other = await Hub.AccountAsync(AccountRole.Member);
        await client.PutAsync($"/projects/{project}/users/{other.Name}", null);
        await client.DeleteAsync($"/projects/{project}/users/{other.Name}");
        await client.DeleteAsync($"/projects/{project}/jobs/{job}");
        var first = await (await client.PutAsync($"/api/jobs?project={project}", """{"title":"one"}""".AsJson())).Content.ReadAsStringAsync();
        var second = await (await client.PutAsync($"/api/jobs?project={project}", """{"title":"two"}""".AsJson())).Content.ReadAsStringAsync();
        var third = await (await client.PutAsync("/api/jobs", """{"title":"elsewhere"}""".AsJson())).Content.ReadAsStringAsync();
        await client.PostAsync("/api/pausejobs", $"[{first},{second}]".AsJson());
        await client.PostAsync("/api/jobs", $$$"""{"{{{first}}}":{"title":"other"}}""".AsJson());
        await client.PostAsync("/api/startjobs", $"[{first},{third}]".AsJson());
        await client.GetAsync($"/json/clearjobs?id={first},{second}");
        await client.PostAsync("/api/affinities", """{"63":"AUDITED"}""".AsJson());
        await client.PostAsync("/api/affinities", """{"63":""}""".AsJson());

        var rows = (await Log.ReadAsync(new(Caller: account.Name), null, 50, CancellationToken.None)).Rows.Reverse().Select(static row => row.Entry);

        (string, string, string, string?)[] expected =
        [
            ("project.create", "project", project, project), ("dataset.create", "dataset", dataset, project), ("dataset.change", "dataset", dataset, project), ("job.submit", "job", job, project),
            ("inference.create", "inference", inference, project), ("member.add", "user", other.Name, project), ("member.remove", "user", other.Name, project), ("job.cancel", "job", job, project),
            ("job.submit", "job", first, project), ("job.submit", "job", second, project), ("job.submit", "job", third, "default"),
            ("job.pause", "job", $"{first},{second}", project), ("job.change", "job", first, project), ("job.resume", "job", $"{first},{third}", null), ("job.delete", "job", $"{first},{second}", project),
            ("affinity.change", "affinity", "63", null), ("affinity.change", "affinity", "63", null),
        ];
        Assert.Equal(expected, rows.Select(static row => (row.Action, row.Kind, row.Object, row.Project)));
    }

    [Fact]
    public async Task Audit_InPages_IsNewestFirstAndWhole()
    {
        var (caller, kind) = ($"c-{Guid.NewGuid():N}", "thing");
        for (var n = 0; n < 7; n++) Assert.True(await Log.AppendAsync(new(caller, null, null, "thing.change", n % 2 == 0 ? kind : "other", $"o-{n}", "p", null)));
        using var admin = Hub.NewClient(HubHost.AdminToken);
        async Task<List<string>> AllAsync(string query)
        {
            var (seen, after) = (new List<string>(), "");
            while (true)
            {
                var page = await (await admin.GetAsync($"/hub/v1/audit?limit=2&caller={caller}{query}{after}")).JsonAsync();
                seen.AddRange(page["items"]!.AsArray().Select(static row => (string)row!["object"]!));
                if ((string?)page["next"] is not { } next) return seen;
                after = $"&after={next}";
            }
        }

        Assert.Equal(["o-6", "o-5", "o-4", "o-3", "o-2", "o-1", "o-0"], await AllAsync(""));
        Assert.Equal(["o-6", "o-4", "o-2", "o-0"], await AllAsync("&kind=thing"));
        Assert.Equal(["o-3"], await AllAsync("&object=o-3&project=p&action=thing.change"));
        Assert.Empty(await AllAsync("&project=q"));
        await (await admin.GetAsync("/hub/v1/audit?after=x")).IsProblemAsync(HttpStatusCode.BadRequest, "invalid-field", "after");
    }

    [Fact]
    public async Task Audit_OfManyAtOnce_HasEachOnceAndNoneSpoilsAnother()
    {
        var caller = $"c-{Guid.NewGuid():N}";
        var written = await Task.WhenAll(Enumerable.Range(0, 500).Select(n => Log.AppendAsync(new(caller, null, null, "thing.change", "thing", n % 50 == 0 ? $"{n}\0\ud800{new string('x', 5000)}" : $"{n}", null, null))));
        var rows = (await Log.ReadAsync(new(Caller: caller), null, 1000, CancellationToken.None)).Rows;

        Assert.All(written, Assert.True);
        Assert.Equal(500, rows.Select(static row => row.Entry.Object).Distinct().Count());
    }

    [Fact]
    public async Task Audit_ThatCannotBeWritten_DoesNotUndoTheChange()
    {
        await using var hub = await HubHost.StartAsync(fixture.Postgres);
        using var admin = hub.NewClient(HubHost.AdminToken);
        var database = hub.Services.GetRequiredService<NpgsqlDataSource>();
        await using (var command = database.CreateCommand("ALTER TABLE audit RENAME TO away")) await command.ExecuteNonQueryAsync();
        Assert.Equal(HttpStatusCode.Created, (await admin.PostAsync("/hub/v1/users", """{"name":"made-anyway"}""".AsJson())).StatusCode);
        await using (var command = database.CreateCommand("ALTER TABLE away RENAME TO audit")) await command.ExecuteNonQueryAsync();
        Assert.Equal(HttpStatusCode.OK, (await admin.GetAsync("/hub/v1/users/made-anyway")).StatusCode);
    }

    [Fact]
    public async Task Audit_ByAnybody_IsNotChanged()
    {
        Assert.True(await Log.AppendAsync(new("c", null, null, "thing.change", "thing", "o", null, null)));
        foreach (var sql in (string[])["UPDATE audit SET caller = 'x'", "DELETE FROM audit", "TRUNCATE audit"])
        {
            await using var command = Hub.Services.GetRequiredService<NpgsqlDataSource>().CreateCommand(sql);
            Assert.Contains("not changed", (await Assert.ThrowsAsync<PostgresException>(() => command.ExecuteNonQueryAsync())).MessageText);
        }
    }

    [Fact]
    public async Task SignIns_GoodAndBad_AreRowsWithoutThePassword()
    {
        using var admin = Hub.NewClient(HubHost.AdminToken);
        var name = $"a-{Guid.NewGuid():N}";
        (await admin.PostAsync("/hub/v1/users", new JsonObject { ["name"] = name, ["password"] = "correct horse battery" })).EnsureSuccessStatusCode();
        await Hub.Client.PostAsync("/hub/v1/sign-in", new JsonObject { ["name"] = name, ["password"] = "a wrong password" });
        await Hub.Client.PostAsync("/hub/v1/sign-in", new JsonObject { ["name"] = name, ["password"] = "correct horse battery" });
        await Hub.Client.PostAsync("/hub/v1/sign-in", new JsonObject { ["name"] = "oops-my-password-is-here", ["password"] = "correct horse battery" });

        var rows = (await Log.ReadAsync(new(Object: name), null, 10, CancellationToken.None)).Rows.Select(static row => (row.Entry.Action, row.Entry.Caller)).Reverse();

        Assert.Equal([("user.create", "admin"), ("user.sign-in-failed", "anonymous"), ("user.sign-in", name)], rows);
        Assert.Empty((await Log.ReadAsync(new(Object: "oops-my-password-is-here"), null, 10, CancellationToken.None)).Rows);
    }
}
