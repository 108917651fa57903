using System.Net;
using System.Text.Json.Nodes;
using JobHub.Engine.Accounts;

namespace JobHub.Api.Tests.Accounts;

[Collection(HubCollection.Name)]
public sealed class TokenTests(HubFixture fixture)
{
    private HubHost Hub => fixture.Hub;

    [Fact]
    public async Task Token_Made_IsShownOnceWorksAndIsRevoked()
    {
        using var client = Hub.NewClient((await Hub.TokenAsync(await Hub.AccountAsync(AccountRole.Member), kind: TokenKind.Session)).Token);
        using var made = await client.PostAsync("/hub/v1/tokens", """{"name":"backup","scopes":["write"],"expiresInDays":2}""".AsJson());
        Assert.Equal(HttpStatusCode.Created, made.StatusCode);
        Assert.Equal("no-store", made.Headers.CacheControl?.ToString());
        var body = await made.JsonAsync();
        var (token, id) = ((string)body["token"]!, (string)body["id"]!);
        Assert.InRange((DateTimeOffset)body["expiresAt"]! - (DateTimeOffset)body["createdAt"]!, TimeSpan.FromDays(1.9), TimeSpan.FromDays(2.1));

        var listed = await client.GetStringAsync("/hub/v1/tokens");
        Assert.Contains(id, listed);
        Assert.DoesNotContain(token, listed);
        using var program = Hub.NewClient(token);
        Assert.Equal("member", (string?)(await (await program.GetAsync("/hub/v1/me")).JsonAsync())["role"]);

        Assert.Equal(HttpStatusCode.NoContent, (await client.DeleteAsync($"/hub/v1/tokens/{id}")).StatusCode);
        await (await program.GetAsync("/hub/v1/me")).IsProblemAsync(HttpStatusCode.Unauthorized, "token-unknown");
    }

    [Theory]
    [InlineData(AccountRole.Viewer, "read", null, """{"scopes":["write"]}""", 403, "scope-not-allowed")]
    [InlineData(AccountRole.Member, "read", null, """{"scopes":["write"]}""", 403, "scope-not-allowed")]
    [InlineData(AccountRole.Member, "write", null, """{"scopes":["admin"]}""", 403, "scope-not-allowed")]
    [InlineData(AccountRole.Member, "write", null, """{"scopes":["worker"]}""", 403, "scope-not-allowed")]
    [InlineData(AccountRole.Admin, "write", null, """{"scopes":["admin"]}""", 403, "scope-not-allowed")]
    [InlineData(AccountRole.Member, "write", "default", """{"project":"other"}""", 403, "project-not-allowed")]
    [InlineData(AccountRole.Member, "write", null, """{"project":"of-nobody"}""", 404, "project-not-found")]
    [InlineData(AccountRole.Member, "write", null, """{"user":"somebody"}""", 403, "role-not-allowed")]
    [InlineData(AccountRole.Admin, "admin", null, """{"scopes":["admin"],"project":"default"}""", 400, "invalid-field")]
    [InlineData(AccountRole.Admin, "admin", null, """{"scopes":["worker","read"]}""", 400, "invalid-field")]
    [InlineData(AccountRole.Member, "write", null, """{"scopes":[]}""", 400, "invalid-field")]
    [InlineData(AccountRole.Member, "write", null, """{"scopes":["all"]}""", 400, "invalid-field")]
    [InlineData(AccountRole.Member, "write", null, """{"expiresInDays":400}""", 400, "invalid-field")]
    [InlineData(AccountRole.Member, "write", null, """{"expiresInDays":30}""", 400, "invalid-field")]
    [InlineData(AccountRole.Member, "write", null, """{"expiresAt":"2020-01-01T00:00:00Z"}""", 400, "invalid-field")]
    public async Task Token_BeyondItsMaker_IsNotMade(AccountRole role, string scope, string? project, string body, int status, string code)
    {
        using var client = await Hub.ClientAsync(role, [scope], project);
        var wanted = JsonNode.Parse(body)!;
        wanted["name"] = "more";
        await (await client.PostAsync("/hub/v1/tokens", wanted)).IsProblemAsync((HttpStatusCode)status, code);
    }

    [Fact]
    public async Task Token_MadeByOneOfAProject_IsOfThatProject()
    {
        using var client = await Hub.ClientAsync(AccountRole.Member, ["write"], "default");
        using var made = await client.PostAsync("/hub/v1/tokens", """{"name":"again"}""".AsJson());
        Assert.Equal("default", (string?)(await made.JsonAsync())["project"]);
    }

    [Fact]
    public async Task Token_OfSomebodyElse_IsNotThereAndStays()
    {
        var owner = await Hub.AccountAsync(AccountRole.Member);
        var (token, known) = await Hub.TokenAsync(owner);
        using var other = await Hub.ClientAsync(AccountRole.Member);
        using var his = Hub.NewClient(token);

        var foreign = await (await other.DeleteAsync($"/hub/v1/tokens/{known.Id}")).IsProblemAsync(HttpStatusCode.NotFound, "token-not-found");
        var none = await (await other.DeleteAsync($"/hub/v1/tokens/{Guid.NewGuid()}")).IsProblemAsync(HttpStatusCode.NotFound, "token-not-found");

        Assert.Equal((string?)none["detail"], (string?)foreign["detail"]);
        Assert.Equal(HttpStatusCode.OK, (await his.GetAsync("/hub/v1/me")).StatusCode);
        await (await other.GetAsync($"/hub/v1/tokens?user={owner.Name}")).IsProblemAsync(HttpStatusCode.Forbidden, "role-not-allowed");
    }

    [Fact]
    public async Task Token_ThatReads_EndsNoStrongerOne()
    {
        var owner = await Hub.AccountAsync(AccountRole.Admin);
        var strong = await Hub.TokenAsync(owner);
        using var weak = Hub.NewClient((await Hub.TokenAsync(owner, ["read"])).Token);

        await (await weak.DeleteAsync($"/hub/v1/tokens/{strong.Known.Id}")).IsProblemAsync(HttpStatusCode.NotFound, "token-not-found");
        Assert.DoesNotContain(strong.Known.Id.ToString(), await weak.GetStringAsync("/hub/v1/tokens"));
    }

    [Fact]
    public async Task Tokens_OfWorkers_AreMadeByAdminsAndRunTasks()
    {
        using var admin = Hub.NewClient(HubHost.AdminToken);
        var worker = await Hub.AccountAsync(AccountRole.Worker);
        await (await admin.PostAsync("/hub/v1/tokens", """{"name":"nobody's"}""".AsJson())).IsProblemAsync(HttpStatusCode.BadRequest, "invalid-field", "user");
        await (await admin.PostAsync("/hub/v1/tokens", new JsonObject { ["name"] = "node", ["user"] = worker.Name, ["scopes"] = new JsonArray("write") })).IsProblemAsync(HttpStatusCode.BadRequest, "invalid-field", "scopes");

        using var made = await admin.PostAsync("/hub/v1/tokens", new JsonObject { ["name"] = "node", ["user"] = worker.Name, ["scopes"] = new JsonArray("worker"), ["expiresInDays"] = 1000 });
        Assert.Equal(HttpStatusCode.Created, made.StatusCode);
        using var client = Hub.NewClient((string)(await made.JsonAsync())["token"]!);

        await (await client.PostAsync("/agent/v1/sessions", "{}".AsJson())).IsProblemAsync(HttpStatusCode.BadRequest, "invalid-field");
        await (await client.GetAsync("/hub/v1/jobs")).IsProblemAsync(HttpStatusCode.Forbidden, "role-not-allowed");
        await (await client.GetAsync("/hub/v1/me")).IsProblemAsync(HttpStatusCode.Forbidden, "role-not-allowed");
    }
}
