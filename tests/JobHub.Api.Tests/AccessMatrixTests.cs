using System.Collections.Concurrent;
using System.Diagnostics;
using System.Net;
using System.Text;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using JobHub.Api.Http.Access;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;

namespace JobHub.Api.Tests;

/// <summary>
/// Every route of the host with every kind of token and with jobs and projects of others. Routes are read from the host: a new one is in here without being listed.
/// Outside development, where nothing is open.
/// </summary>
[Collection(HubCollection.Name)]
public sealed partial class AccessMatrixTests(HubFixture fixture) : IAsyncLifetime
{
    private HubHost hub = null!;
    private Callers callers = null!;

    /// <summary>Who passes a policy, by hand: reading and writing.</summary>
    private static readonly Dictionary<RoutePolicy, (string Reads, string Writes)> Passes = new()
    {
        [RoutePolicy.Public] = ("none bad worker viewer member admin", "none bad worker viewer member admin"),
        [RoutePolicy.Family] = ("viewer member admin", "member admin"),
        [RoutePolicy.Projects] = ("viewer member admin", "viewer member admin"),
        [RoutePolicy.Shared] = ("viewer member admin", "admin"),
        [RoutePolicy.Operators] = ("admin", "admin"),
        [RoutePolicy.Account] = ("viewer member admin", "viewer member admin"),
        [RoutePolicy.Admin] = ("admin", "admin"),
        [RoutePolicy.Agents] = ("worker admin", "worker admin"),
        // Off outside development unless it is asked for: then addresses decide.
        [RoutePolicy.FarmWorkers] = ("admin", "admin"),
    };

    public async Task InitializeAsync()
    {
        hub = await HubHost.StartAsync(fixture.Postgres, "Production", "--JobHub:Storage:AllowAnyFile=true");
        callers = new(hub);
        // Routes are tried with the id 1: an account that nobody uses.
        await callers.AccountAsync(Callers.Viewer);
    }

    public async Task DisposeAsync() => await hub.DisposeAsync();

    [Fact]
    public void EveryPolicy_IsInTheTableOfThisTest() => Assert.Equal(Enum.GetValues<RoutePolicy>().Order(), Passes.Keys.Order());

    [Theory]
    [InlineData("none", null), InlineData("bad", "unknown"), InlineData("bad", "expired"), InlineData("bad", "revoked"), InlineData("bad", "disabled"), InlineData("bad", "not bearer")]
    [InlineData("worker", "worker"), InlineData("worker", "worker of an admin"), InlineData("viewer", "viewer"), InlineData("viewer", "member that only reads"), InlineData("member", "member")]
    [InlineData("member", "admin without the scope"), InlineData("admin", "admin")]
    public async Task EveryRoute_WithEachKindOfToken_AnswersAsItsPolicySays(string kind, string? token)
    {
        var account = token is null ? 0 : await callers.AccountAsync(token switch
        {
            "worker" => Callers.Worker, "viewer" => Callers.Viewer, "admin" or "worker of an admin" or "admin without the scope" => Callers.Admin, _ => Callers.Member,
        }, disabled: token == "disabled");
        var wrong = new List<string>();
        foreach (var (method, pattern) in Routes())
        {
            using var request = new HttpRequestMessage(method, PathOf(pattern, "1", "1"));
            // A token for each call: some routes end the one they are called with.
            var text = token switch
            {
                null => null, "unknown" => "jh_" + new string('x', 43), "expired" => await callers.TokenAsync(account, expires: "2020-01-01"), "revoked" => await callers.TokenAsync(account, revoked: true),
                "worker" or "worker of an admin" => await callers.TokenAsync(account, "worker"), "member that only reads" => await callers.TokenAsync(account, "read"),
                "admin without the scope" => await callers.TokenAsync(account, "read write"), _ => await callers.TokenAsync(account),
            };
            if (text is not null) request.Headers.TryAddWithoutValidation("Authorization", token == "not bearer" ? "Basic " + text : "Bearer " + text);
            using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(60));
            using var answer = await hub.Client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, limit.Token);
            var said = $"{method} {pattern}: {(int)answer.StatusCode}";
            var (reads, writes) = Passes[RoutePolicies.Of(pattern)!.Value];
            var passes = (RoutePolicies.Writes(method.Method, pattern) ? writes : reads).Split(' ').Contains(kind);
            if (RoutePolicies.Of(pattern) == RoutePolicy.FarmWorkers && kind == "none") passes = true;
            // A new project is in no project yet: only whoever may change things makes one.
            if ((pattern is "/projects" or "/hub/v1/projects") && method == HttpMethod.Post && kind == "viewer") passes = false;
            // A HEAD is answered without words.
            var problem = (int)answer.StatusCode is 401 or 403 && method != HttpMethod.Head ? JsonNode.Parse(await answer.Content.ReadAsStringAsync(limit.Token))?["type"]?.ToString() : null;
            if (!passes && kind is ("none" or "bad"))
            {
                if (answer.StatusCode != HttpStatusCode.Unauthorized || answer.Headers.WwwAuthenticate.SingleOrDefault()?.Scheme != "Bearer") wrong.Add(said);
            }
            else if (!passes)
            {
                if (answer.StatusCode != HttpStatusCode.Forbidden || (method != HttpMethod.Head && problem?.Contains("role-not-allowed", StringComparison.Ordinal) != true)) wrong.Add(said);
            }
            else if ((int)answer.StatusCode >= 500 || (problem is not null && (problem.Contains("token-", StringComparison.Ordinal) || problem.Contains("role-not-allowed", StringComparison.Ordinal)))) wrong.Add(said);
        }

        Assert.Empty(wrong);
    }

    [Fact]
    public async Task EveryRoute_OfAProjectOrJobOfOthers_AnswersAsIfItWereNot()
    {
        var foreign = await callers.ProjectAsync();
        var jobs = await MakeJobsAsync(foreign);
        foreach (var role in (short[])[Callers.Member, Callers.Viewer])
        {
            var token = await callers.TokenAsync(await callers.AccountAsync(role));
            var compared = 0;
            foreach (var (method, pattern) in Routes())
            {
                foreach (var (theirs, nobodys) in Pairs(pattern, foreign, jobs))
                {
                    compared++;
                    var (first, firstQueries) = await AskAsync(method, theirs, token);
                    var (second, secondQueries) = await AskAsync(method, nobodys, token);
                    Assert.Equal($"{method} {pattern}\n{second}", $"{method} {pattern}\n{first}");
                    Assert.DoesNotContain("\n2", first, StringComparison.Ordinal);
                    Assert.Equal(secondQueries, firstQueries);
                }
            }

            Assert.True(compared > 40, $"{compared} routes were compared");
        }
    }

    [Fact]
    public async Task EveryRoute_OfAPublicProject_IsReadByEverybodyAndChangedByNobodyElse()
    {
        var project = await callers.ProjectAsync(isPublic: true);
        var jobs = await MakeJobsAsync(project);
        var token = await callers.TokenAsync(await callers.AccountAsync(Callers.Member));
        var wrong = new List<string>();
        foreach (var (method, pattern) in Routes())
        {
            foreach (var (theirs, _) in Pairs(pattern, project, jobs))
            {
                var (answer, _) = await AskAsync(method, theirs, token);
                var writes = RoutePolicies.Writes(method.Method, pattern);
                if (writes != answer.Contains("project-read-only", StringComparison.Ordinal) || answer.Contains("project-not-found", StringComparison.Ordinal)) wrong.Add($"{method} {theirs}: {answer}");
            }
        }

        Assert.Empty(wrong);
    }

    [Theory]
    [InlineData("POST", "/api/resetjobs", "[ID]"), InlineData("POST", "/api/reseterrorjobs", "[ID]"), InlineData("POST", "/api/startjobs", "[ID]"), InlineData("POST", "/api/pausejobs", "[ID]")]
    [InlineData("DELETE", "/api/jobs", "[ID]"), InlineData("POST", "/api/jobs", """{"ID":{"title":"mine now"}}"""), InlineData("PUT", "/api/jobs", """{"parent":ID}""")]
    [InlineData("PUT", "/api/jobs", """[{"title":"a"},{"command":"true","dependencies":[ID]}]"""), InlineData("POST", "/api/jobs", """{"MINE":{"parent":ID}}"""), InlineData("POST", "/api/jobs", """{"MINE":{"dependencies":[ID]}}""")]
    [InlineData("POST", "/api/jobs/MINE/dependencies", "[ID]"), InlineData("GET", "/json/clearjobs?id=ID", null), InlineData("GET", "/json/addjob?title=x&parent=ID", null), InlineData("GET", "/json/getjobs?id=ID", null)]
    [InlineData("GET", "/json/addjob?title=x&dependencies=ID", null), InlineData("GET", "/xmlrpc/addjob?title=x&parent=ID", null)]
    public async Task JobOfOthers_NamedInABodyOrQuery_IsNone(string method, string path, string? body)
    {
        var jobs = await MakeJobsAsync(await callers.ProjectAsync());
        var account = await callers.AccountAsync(Callers.Member);
        var own = await callers.ProjectAsync(members: account);
        var token = await callers.TokenAsync(account, project: own);
        using var made = await SendAsync(HttpMethod.Put, "/api/jobs", token, "{}");
        var mine = await made.Content.ReadAsStringAsync();
        Assert.Equal(HttpStatusCode.OK, made.StatusCode);
        string Fill(string text, string id) => text.Replace("ID", id, StringComparison.Ordinal).Replace("MINE", mine, StringComparison.Ordinal);
        async Task<string> AskAsync(string id)
        {
            using var answer = await SendAsync(new HttpMethod(method), Fill(path, id), token, body is null ? null : Fill(body, id));
            return $"{(int)answer.StatusCode} {Neutral(await answer.Content.ReadAsStringAsync(), id)}";
        }

        var theirs = await AskAsync(jobs.Tree);
        Assert.Equal(await AskAsync("999999999"), theirs);
        Assert.True(theirs.StartsWith("404", StringComparison.Ordinal) || theirs == "200 -1", theirs);
    }

    [Fact]
    public async Task EveryList_ShowsOwnProjectsOnly()
    {
        var jobs = await MakeJobsAsync(await callers.ProjectAsync());
        var account = await callers.AccountAsync(Callers.Member);
        var own = await callers.ProjectAsync(members: account);
        var mine = await MakeJobsAsync(own);
        var token = await callers.TokenAsync(account);
        foreach (var path in (string[])["/hub/v1/jobs?limit=500", "/api/v1/jobs", "/api/jobs", "/api/jobs/0/children", "/json/getjobs", $"/jobs?project={own}&status=all"])
        {
            using var answer = await SendAsync(HttpMethod.Get, path, token, null);
            var text = await answer.Content.ReadAsStringAsync();
            Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
            Assert.True(((string[])[mine.MapReduce, mine.Command, mine.Name]).Any(id => text.Contains(id, StringComparison.Ordinal)), path);
            Assert.DoesNotContain(jobs.MapReduce, text, StringComparison.Ordinal);
            Assert.DoesNotContain(jobs.Command, text, StringComparison.Ordinal);
            Assert.DoesNotContain(jobs.Name, text, StringComparison.Ordinal);
        }

        using var users = await SendAsync(HttpMethod.Get, "/api/jobs/users", token, null);
        var seen = await users.Content.ReadAsStringAsync();
        Assert.Contains(mine.Name, seen, StringComparison.Ordinal);
        Assert.DoesNotContain(jobs.Name, seen, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Events_OfAllJobs_AreThoseOfOwnProjects()
    {
        var account = await callers.AccountAsync(Callers.Member);
        var own = await callers.ProjectAsync(members: account);
        using var client = hub.NewClient(await callers.TokenAsync(account));
        using var request = new HttpRequestMessage(HttpMethod.Get, "/hub/v1/events");
        request.Headers.Add("Last-Event-ID", "0");
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        var theirs = await MakeJobsAsync(await callers.ProjectAsync());
        var mine = await MakeJobsAsync(own);
        using var answer = await client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, limit.Token);
        using var reader = new StreamReader(await answer.Content.ReadAsStreamAsync(limit.Token));
        var lines = new StringBuilder();
        // Theirs came before, so when mine is there theirs would be.
        while (!lines.ToString().Contains(mine.Command, StringComparison.Ordinal)) lines.Append(await reader.ReadLineAsync(limit.Token) ?? throw new EndOfStreamException());
        Assert.DoesNotContain(theirs.Command, lines.ToString(), StringComparison.Ordinal);
        Assert.DoesNotContain(theirs.MapReduce, lines.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Developer_WithoutAToken_SeesNothingOfProjectsThatWereMade()
    {
        var ours = new Callers(fixture.Hub);
        var project = await ours.ProjectAsync();
        using var made = await fixture.Hub.NewClient(HubHost.AdminToken).PostAsync($"/jobs?project={project}", new StringContent("""{"command":"true"}""", Encoding.UTF8, "application/json"));
        var id = made.Headers.Location!.ToString().Split('/')[^1];
        foreach (var (method, path) in ((string, string)[])[("GET", ""), ("GET", "/tasks"), ("GET", "/log"), ("GET", "/explain"), ("POST", "/cancel"), ("GET", "/tasks/c-0/attempts")])
        {
            using var answer = await fixture.Hub.Client.SendAsync(new HttpRequestMessage(new HttpMethod(method), $"/hub/v1/jobs/{id}{path}"));
            Assert.Equal(HttpStatusCode.NotFound, answer.StatusCode);
        }

        foreach (var path in (string[])[$"/hub/v1/events?job={id}", $"/jobs?project={project}", $"/files?path=/&project={project}"])
        {
            using var answer = await fixture.Hub.Client.GetAsync(path, HttpCompletionOption.ResponseHeadersRead);
            Assert.Equal(HttpStatusCode.NotFound, answer.StatusCode);
        }

        Assert.DoesNotContain(id, await fixture.Hub.Client.GetStringAsync("/hub/v1/jobs?limit=500"), StringComparison.Ordinal);
        using var admin = fixture.Hub.NewClient(HubHost.AdminToken);
        Assert.Contains(id, await admin.GetStringAsync("/hub/v1/jobs?limit=500"), StringComparison.Ordinal);
    }

    private sealed record Made(string MapReduce, string Command, string Tree, string Name);

    /// <summary>A job of each family in a project, by the admin.</summary>
    private async Task<Made> MakeJobsAsync(string project)
    {
        var name = $"somebody-{Guid.NewGuid():N}";
        foreach (var program in (string[])["mapper.sh", "reducer.sh"])
        {
            using var form = new MultipartFormDataContent { { new StringContent("streaming"), "type" }, { new ByteArrayContent("#!/bin/sh\ncat\n"u8.ToArray()), "program", program } };
            using var admin = hub.NewClient(HubHost.AdminToken);
            using var uploaded = await admin.PutAsync("/api/v1/artifacts", form);
            Assert.True(uploaded.IsSuccessStatusCode || uploaded.StatusCode == HttpStatusCode.Conflict);
        }

        var submission = hub.Submission(hub.WriteInput($"{name}.txt", "a\n"));
        using var mapReduce = await SendAsync(HttpMethod.Post, $"/api/v1/jobs?project={project}", HubHost.AdminToken, submission.ToJsonString());
        var made = await mapReduce.Content.ReadAsStringAsync();
        Assert.True(mapReduce.IsSuccessStatusCode, made);
        using var command = await SendAsync(HttpMethod.Post, $"/jobs?project={project}", HubHost.AdminToken, """{"command":"true"}""");
        var commandId = JsonNode.Parse(await command.Content.ReadAsStringAsync())!["unique_id"]?.ToString() ?? command.Headers.Location!.ToString().Split('/')[^1];
        using var tree = await SendAsync(HttpMethod.Put, $"/api/jobs?project={project}", HubHost.AdminToken, $$"""{"title":"{{name}}","command":"true","user":"{{name}}"}""");
        Assert.True(tree.IsSuccessStatusCode);
        return new(mapReduce.Headers.Location!.ToString().Split('/')[^1], commandId, await tree.Content.ReadAsStringAsync(), name);
    }

    /// <summary>Addresses of a route that name something of a project, each beside one that names nothing.</summary>
    private static IEnumerable<(string Theirs, string Nobodys)> Pairs(string pattern, string project, Made jobs)
    {
        var source = RoutePolicies.ProjectOf(pattern);
        var nobody = Guid.NewGuid().ToString();
        if (pattern.Contains("{project}", StringComparison.Ordinal)) yield return (PathOf(pattern, "1", project), PathOf(pattern, "1", nobody));
        else if (source == ProjectSource.Query) yield return ($"{PathOf(pattern, jobs.Command, "1")}?project={project}&path=/x", $"{PathOf(pattern, jobs.Command, "1")}?project={nobody}&path=/x");
        else if (!pattern.Contains("{id}", StringComparison.Ordinal)) yield break;
        else if (source == ProjectSource.TreeJob) yield return (PathOf(pattern, jobs.Tree, "1"), PathOf(pattern, "99999999", "1"));
        else if (source == ProjectSource.Job)
        {
            var id = pattern.StartsWith("/api/v1", StringComparison.Ordinal) ? jobs.MapReduce : jobs.Command;
            yield return (PathOf(pattern, id, "1"), PathOf(pattern, nobody, "1"));
        }
    }

    private async Task<(string Answer, string[] Queries)> AskAsync(HttpMethod method, string path, string token)
    {
        // The statements of this request alone: they carry its trace.
        var trace = ActivityTraceId.CreateRandom();
        var queries = new ConcurrentQueue<string>();
        using var listener = new ActivityListener
        {
            ShouldListenTo = static source => source.Name == "Npgsql", Sample = static (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllData,
            ActivityStopped = activity =>
            {
                if (activity.TraceId == trace) queries.Enqueue(activity.GetTagItem("db.query.text")?.ToString() ?? activity.GetTagItem("db.statement")?.ToString() ?? activity.DisplayName);
            },
        };
        ActivitySource.AddActivityListener(listener);
        using var answer = await SendAsync(method, path, token, null, trace);
        var ids = path.Split('/', '?', '&', '=').Where(part => part.Length > 7 && part.Any(char.IsDigit)).ToArray();
        return ($"\n{(int)answer.StatusCode} {Neutral(await answer.Content.ReadAsStringAsync(), ids)}", [.. queries]);
    }

    private async Task<HttpResponseMessage> SendAsync(HttpMethod method, string path, string token, string? body, ActivityTraceId? trace = null)
    {
        using var request = new HttpRequestMessage(method, path);
        request.Headers.TryAddWithoutValidation("Authorization", "Bearer " + token);
        if (trace is { } id) request.Headers.TryAddWithoutValidation("traceparent", $"00-{id}-0123456789abcdef-01");
        if (body is not null) request.Content = new StringContent(body, Encoding.UTF8, "application/json");
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        return await hub.Client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, limit.Token);
    }

    /// <summary>An answer without what names its own request.</summary>
    private static string Neutral(string text, params string[] ids)
    {
        foreach (var id in ids) text = text.Replace(id, "ID", StringComparison.Ordinal);
        return RequestId().Replace(text, "");
    }

    private IEnumerable<(HttpMethod Method, string Pattern)> Routes()
    {
        foreach (var endpoint in hub.Services.GetRequiredService<EndpointDataSource>().Endpoints.OfType<RouteEndpoint>())
        {
            var pattern = "/" + endpoint.RoutePattern.RawText!.Trim('/');
            foreach (var method in endpoint.Metadata.GetMetadata<IHttpMethodMetadata>()?.HttpMethods ?? ["GET"]) yield return (new HttpMethod(method), pattern);
        }
    }

    private static string PathOf(string pattern, string id, string project) => Parameter().Replace(pattern, match => match.Groups[1].Value switch
    {
        "id" => id, "project" => project, "documentName" => "hub", _ when match.Value.Contains(":guid", StringComparison.Ordinal) => Guid.Empty.ToString(), _ => "1",
    });

    [GeneratedRegex(@"\{\*{0,2}([A-Za-z_]+)[^}]*\}")]
    private static partial Regex Parameter();

    [GeneratedRegex("\"requestId\":\"[^\"]*\"")]
    private static partial Regex RequestId();
}
