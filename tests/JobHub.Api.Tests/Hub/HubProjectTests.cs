using System.Net;
using System.Text.Json.Nodes;

namespace JobHub.Api.Tests.Hub;

/// <summary>/hub/v1/projects and /hub/v1/settings.</summary>
[Collection(HubCollection.Name)]
public sealed class HubProjectTests(HubFixture fixture)
{
    private readonly HubHost hub = fixture.Hub;
    private readonly Callers callers = new(fixture.Hub);

    [Fact]
    public async Task List_ShowsReadableProjects_WithWhatTheyHold()
    {
        var account = await callers.AccountAsync(Callers.Member);
        using var member = hub.NewClient(await callers.TokenAsync(account));
        var foreign = await callers.ProjectAsync();
        var open = await callers.ProjectAsync(isPublic: true);
        using var made = await member.PostAsync("/hub/v1/projects", new JsonObject { ["name"] = "Mine & <b>yours</b>", ["description"] = "d" });
        Assert.Equal(HttpStatusCode.Created, made.StatusCode);
        var id = (string)(await made.JsonAsync())["id"]!;
        Assert.Equal($"/hub/v1/projects/{id}", made.Headers.Location!.ToString());
        using var dataset = await member.PostAsync($"/hub/v1/projects/{id}/datasets", new JsonObject { ["description"] = "set" });
        Assert.StartsWith($"/hub/v1/projects/{id}/datasets/", dataset.Headers.Location!.ToString(), StringComparison.Ordinal);

        var seen = new Dictionary<string, JsonNode>();
        string? after = null;
        do
        {
            var page = JsonNode.Parse(await member.GetStringAsync($"/hub/v1/projects?limit=2{(after is null ? "" : $"&after={after}")}"))!;
            foreach (var item in page["items"]!.AsArray()) seen.Add((string)item!["id"]!, item);
            after = (string?)page["next"];
        }
        while (after is not null);

        Assert.Equal((1, 1, true, true), ((int)seen[id]["members"]!, (int)seen[id]["datasets"]!, (bool)seen[id]["member"]!, (bool)seen[id]["mayChange"]!));
        Assert.Equal((false, false), ((bool)seen[open]["member"]!, (bool)seen[open]["mayChange"]!));
        Assert.Contains("default", seen.Keys);
        Assert.DoesNotContain(foreign, seen.Keys);
        Assert.Equal(id, (string)Assert.Single(JsonNode.Parse(await member.GetStringAsync("/hub/v1/projects?q=%26%20%3CB"))!["items"]!.AsArray(), item => (string)item!["id"]! == id)!["id"]!);
    }

    [Fact]
    public async Task One_CountsItsJobs_AndNamesMembersToMembersOnly()
    {
        var account = await callers.AccountAsync(Callers.Member);
        var other = await callers.AccountAsync(Callers.Member);
        var project = await callers.ProjectAsync(isPublic: true, account);
        using var member = hub.NewClient(await callers.TokenAsync(account));
        using var stranger = hub.NewClient(await callers.TokenAsync(other));
        foreach (var _ in (int[])[1, 2]) (await member.PostAsync($"/jobs?project={project}", new JsonObject { ["command"] = "true" })).EnsureSuccessStatusCode();

        var one = JsonNode.Parse(await member.GetStringAsync($"/hub/v1/projects/{project}"))!;
        Assert.Equal((2, 0, false), ((int)one["jobs"]!["open"]!, (int)one["jobs"]!["succeeded"]!, (bool)one["jobs"]!["more"]!));
        Assert.Single(one["users"]!.AsArray());
        Assert.Null(JsonNode.Parse(await stranger.GetStringAsync($"/hub/v1/projects/{project}"))!["users"]);
        using var refused = await stranger.DeleteAsync($"/hub/v1/projects/{project}");
        await refused.IsProblemAsync(HttpStatusCode.Forbidden, "project-read-only");
        using var anonymous = await hub.Client.GetAsync("/hub/v1/projects");
        await anonymous.IsProblemAsync(HttpStatusCode.Unauthorized, "token-required");
    }

    [Fact]
    public async Task Dataset_AtTheHubsAddress_IsUploadedAndReadAsAtTheFamilys()
    {
        var account = await callers.AccountAsync(Callers.Member);
        var project = await callers.ProjectAsync(members: account);
        using var member = hub.NewClient(await callers.TokenAsync(account));
        using var made = await member.PostAsync($"/hub/v1/projects/{project}/datasets", new JsonObject { ["description"] = "" });
        var dataset = (string)(await made.JsonAsync())["id"]!;
        (await member.PutAsync($"/hub/v1/projects/{project}/datasets/{dataset}/profiles/files", new StringContent("ST\ta\n1\t1\n2\t2\n"))).EnsureSuccessStatusCode();
        using var tree = await member.PostAsync($"/hub/v1/projects/{project}/datasets/{dataset}/inferences", new StringContent("(2:1)1;"));
        var path = tree.Headers.Location!.ToString();
        Assert.StartsWith($"/hub/v1/projects/{project}/datasets/{dataset}/inferences/", path, StringComparison.Ordinal);
        Assert.Equal("(2:1)1;\n", await member.GetStringAsync($"{path}?format=newick"));
        using var none = await member.GetAsync($"{path}/visualizations/{Guid.NewGuid()}.svg");
        await none.IsProblemAsync(HttpStatusCode.NotFound, "visualization-not-found");
    }

    [Fact]
    public async Task Settings_TellLimitsAndHealth_AndNoSecrets()
    {
        var text = await hub.Client.GetStringAsync("/hub/v1/settings");
        var settings = JsonNode.Parse(text)!;
        Assert.Equal(("development", "files", 3_000_000L), ((string)settings["environment"]!, (string)settings["storage"]!["kind"]!, (long)settings["limits"]!["artifactBytes"]!));
        Assert.Equal(["database", "store", "upkeep", "workers"], settings["health"]!.AsArray().Select(static part => (string)part!["name"]!));
        Assert.All(settings["health"]!.AsArray().Take(2), static part => Assert.NotEqual("away", (string)part!["state"]!));
        foreach (var secret in (string[])[HubHost.AdminToken, HubHost.WorkerToken, hub.Folder, "Password", Convert.ToBase64String(new byte[32])]) Assert.DoesNotContain(secret, text, StringComparison.OrdinalIgnoreCase);
        using var worker = hub.NewClient(HubHost.WorkerToken);
        using var refused = await worker.GetAsync("/hub/v1/settings");
        await refused.IsProblemAsync(HttpStatusCode.Forbidden, "role-not-allowed");
    }
}
