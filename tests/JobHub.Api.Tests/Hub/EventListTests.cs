using System.Net;
using System.Text.Json.Nodes;
using JobHub.Testing;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;

namespace JobHub.Api.Tests.Hub;

/// <summary>Past events as lists, and the end of a stream whose token is revoked.</summary>
public sealed class EventListTests(HubFixture fixture) : IClassFixture<HubFixture>
{
    private readonly HubHost hub = fixture.Hub;

    [Fact]
    public async Task Events_OfAJob_AreListedNewestFirstInPages()
    {
        var id = await EndedJobAsync(hub.Client, "");
        var all = await ListAsync(hub.Client, $"job={id}");
        Assert.Equal(("job-ended", "job-submitted"), (all[0].Kind, all[^1].Kind));
        Assert.Equal(all.OrderByDescending(static e => e.Position), all);
        Assert.All(all, happened => Assert.Equal(id, happened.Job));

        var paged = new List<(long Position, string Kind, string? Job)>();
        for (var before = ""; ;)
        {
            var page = await hub.Client.GetFromJsonNodeAsync($"/hub/v1/events/list?job={id}&limit=1{before}");
            paged.AddRange(Read(page));
            if (page["next"] is null) break;
            before = $"&before={page["next"]}";
        }

        Assert.Equal(all, paged);
        foreach (var query in (string[])[$"job={id}", "limit=500"])
        {
            var newer = await hub.Client.GetFromJsonNodeAsync($"/hub/v1/events/list?{query}&after={all[1].Position}");
            Assert.Equal(all[0], Read(newer).Single(e => e.Job == id));
            Assert.All(Read(newer), happened => Assert.True(happened.Position > all[1].Position));
            Assert.Null(newer["next"]);
        }

        Assert.Equal("job-submitted", Assert.Single(await ListAsync(hub.Client, $"job={id}&kind=job-submitted")).Kind);
        Assert.Contains(await ListAsync(hub.Client, "kind=job-ended&limit=500"), happened => happened.Job == id);
    }

    [Fact]
    public async Task Events_OfOtherProjects_AreNotListed()
    {
        var callers = new Callers(hub);
        var account = await callers.AccountAsync(Callers.Member);
        var (own, others) = (await callers.ProjectAsync(members: account), await callers.ProjectAsync());
        using var member = hub.NewClient(await callers.TokenAsync(account));
        using var admin = hub.NewClient(HubHost.AdminToken);
        var theirs = await EndedJobAsync(admin, others);
        var mine = await EndedJobAsync(admin, own);
        var seen = await ListAsync(member, "limit=500");
        Assert.Contains(seen, happened => happened.Job == mine);
        Assert.DoesNotContain(seen, happened => happened.Job == theirs);
        Assert.DoesNotContain(await ListAsync(hub.Client, "limit=500"), happened => happened.Job == theirs);
        Assert.Contains(await ListAsync(admin, "limit=500"), happened => happened.Job == theirs);
        Assert.All(await ListAsync(admin, $"limit=500&project={others}"), happened => Assert.Equal(theirs, happened.Job));
        Assert.NotEmpty(await ListAsync(admin, $"project={others}"));
        Assert.Empty(await ListAsync(member, $"project={others}"));
        using var hidden = await member.GetAsync($"/hub/v1/events/list?job={theirs}");
        await hidden.IsProblemAsync(HttpStatusCode.NotFound, "job-not-found");
    }

    [Theory, InlineData("limit=0", "limit"), InlineData("before=x", "before"), InlineData("after=-1", "after")]
    public async Task List_WithABadQuery_NamesIt(string query, string field)
    {
        using var answer = await hub.Client.GetAsync("/hub/v1/events/list?" + query);
        await answer.IsProblemAsync(HttpStatusCode.BadRequest, "invalid-field", field);
    }

    [Fact]
    public async Task Stream_WhoseTokenIsRevoked_Ends()
    {
        var callers = new Callers(hub);
        var token = await callers.TokenAsync(await callers.AccountAsync(Callers.Member));
        using var client = hub.NewClient(token);
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(120));
        using var answer = await client.GetAsync("/hub/v1/events", HttpCompletionOption.ResponseHeadersRead, limit.Token);
        using var lines = new StreamReader(await answer.Content.ReadAsStreamAsync(limit.Token));
        Assert.Equal(": connected", await lines.ReadLineAsync(limit.Token));
        await using (var revoke = hub.Services.GetRequiredService<NpgsqlDataSource>().CreateCommand("UPDATE access_token SET revoked_at = now() WHERE hash = $1"))
        {
            revoke.Parameters.AddWithValue(System.Security.Cryptography.SHA256.HashData(System.Text.Encoding.UTF8.GetBytes(token)));
            Assert.Equal(1, await revoke.ExecuteNonQueryAsync(limit.Token));
        }

        while (await lines.ReadLineAsync(limit.Token) is not null)
        {
        }
    }

    [Fact]
    public async Task Stream_OfAMember_LeavesOutWhatWasOfAJobThatIsGone()
    {
        var callers = new Callers(hub);
        using var member = await callers.ClientAsync(Callers.Member);
        using var admin = hub.NewClient(HubHost.AdminToken);
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(120));
        using var heard = await FollowAsync(member, limit.Token);
        using var all = await FollowAsync(admin, limit.Token);
        using var unnamed = await FollowAsync(hub.Client, limit.Token);
        await using (var gone = hub.Services.GetRequiredService<NpgsqlDataSource>().CreateCommand("INSERT INTO ledger (job, kind, payload) VALUES (987654321, 'of-a-removed-job', '{}')"))
            await gone.ExecuteNonQueryAsync(limit.Token);
        await Eventually.TrueAsync(async () => (await ListAsync(admin, "kind=of-a-removed-job")).Count > 0, "it has its place");
        await EndedJobAsync(admin, "default");
        Assert.DoesNotContain("event: of-a-removed-job", await UntilAsync(heard, limit.Token));
        Assert.DoesNotContain("event: of-a-removed-job", await UntilAsync(unnamed, limit.Token));
        Assert.Contains("event: of-a-removed-job", await UntilAsync(all, limit.Token));

        static async Task<StreamReader> FollowAsync(HttpClient client, CancellationToken ct)
        {
            var answer = await client.GetAsync("/hub/v1/events", HttpCompletionOption.ResponseHeadersRead, ct);
            return new(await answer.Content.ReadAsStreamAsync(ct));
        }

        static async Task<List<string>> UntilAsync(StreamReader stream, CancellationToken ct)
        {
            var lines = new List<string>();
            while (await stream.ReadLineAsync(ct) is { } line && line != "event: job-ended") lines.Add(line);
            return lines;
        }
    }

    private static async Task<string> EndedJobAsync(HttpClient client, string project)
    {
        using var made = await client.PostAsync("/jobs" + (project.Length > 0 ? $"?project={project}" : ""), """{"command":"true"}""".AsJson());
        Assert.True(made.IsSuccessStatusCode);
        var id = made.Headers.Location!.ToString().Split('/')[^1];
        using var cancel = await client.PostAsync($"/hub/v1/jobs/{id}/cancel", null);
        await Eventually.TrueAsync(async () => (await ListAsync(client, $"job={id}")).Any(static e => e.Kind == "job-ended"), "the end of the job is told");
        return id;
    }

    private static async Task<List<(long Position, string Kind, string? Job)>> ListAsync(HttpClient client, string query) => Read(await client.GetFromJsonNodeAsync("/hub/v1/events/list?" + query));

    private static List<(long Position, string Kind, string? Job)> Read(JsonNode page) =>
        [.. page["items"]!.AsArray().Select(static e => ((long)e!["position"]!, (string)e["kind"]!, (string?)e["job"]))];
}
