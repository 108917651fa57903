using System.Net;
using System.Text.Json.Nodes;
using JobHub.Engine.Accounts;

namespace JobHub.Api.Tests.Accounts;

[Collection(HubCollection.Name)]
public sealed class UserTests(HubFixture fixture) : IDisposable
{
    private const string Password = "correct horse battery";

    private readonly HttpClient admin = fixture.Hub.NewClient(HubHost.AdminToken);

    private static string NewName() => $"u-{Guid.NewGuid():N}";

    [Fact]
    public async Task User_MadeChangedAndRemoved_IsShownAsHeIs()
    {
        var name = NewName();
        using var made = await admin.PostAsync("/hub/v1/users", new JsonObject { ["name"] = name, ["role"] = "viewer", ["password"] = Password });
        Assert.Equal(HttpStatusCode.Created, made.StatusCode);
        Assert.Equal($"/hub/v1/users/{name}", made.Headers.Location!.ToString());
        Assert.Equal("viewer", (string?)(await made.JsonAsync())["role"]);
        await (await admin.PostAsync("/hub/v1/users", new JsonObject { ["name"] = name })).IsProblemAsync(HttpStatusCode.Conflict, "user-exists", "name");

        using var changed = await admin.PatchAsync($"/hub/v1/users/{name}", """{"role":"member","disabled":true}""".AsJson());
        var user = await changed.JsonAsync();
        Assert.Equal(("member", true, true), ((string?)user["role"], (bool)user["disabled"]!, (bool)user["hasPassword"]!));
        Assert.DoesNotContain("hash", (await admin.GetStringAsync($"/hub/v1/users/{name}")).Replace("hasPassword", "", StringComparison.Ordinal), StringComparison.OrdinalIgnoreCase);

        Assert.Equal(HttpStatusCode.NoContent, (await admin.DeleteAsync($"/hub/v1/users/{name}")).StatusCode);
        await (await admin.GetAsync($"/hub/v1/users/{name}")).IsProblemAsync(HttpStatusCode.NotFound, "user-not-found");
        await (await admin.DeleteAsync($"/hub/v1/users/{name}")).IsProblemAsync(HttpStatusCode.NotFound, "user-not-found");
    }

    [Theory]
    [InlineData("""{"name":"admin"}""", "name"), InlineData("""{"name":"anonymous"}""", "name"), InlineData("""{"name":"Ada"}""", "name"), InlineData("""{"name":"a/b"}""", "name")]
    [InlineData("""{"role":"member"}""", "name"), InlineData("""{"name":"new","role":"root"}""", "role"), InlineData("""{"name":"new","password":"too-short"}""", "password")]
    [InlineData("""{"name":"new","role":"worker","password":"long enough password"}""", "password")]
    public async Task User_ThatCannotBe_IsRefusedByItsField(string body, string field) =>
        await (await admin.PostAsync("/hub/v1/users", body.AsJson())).IsProblemAsync(HttpStatusCode.BadRequest, "invalid-field", field);

    [Fact]
    public async Task Users_InPages_AreAllThereOnceByName()
    {
        var names = Enumerable.Range(0, 5).Select(_ => NewName()).Order(StringComparer.Ordinal).ToArray();
        foreach (var name in names) await fixture.Hub.AccountAsync(AccountRole.Viewer, name);
        var seen = new List<string>();
        string? after = null;
        do
        {
            var page = (await (await admin.GetAsync($"/hub/v1/users?limit=2{(after is null ? "" : $"&after={Uri.EscapeDataString(after)}")}")).JsonAsync()).AsObject();
            seen.AddRange(page["items"]!.AsArray().Select(static user => (string)user!["name"]!));
            after = (string?)page["next"];
        }
        while (after is not null);

        Assert.Equal(names, seen.Where(names.Contains));
        Assert.Equal(seen.Order(StringComparer.Ordinal), seen);
        Assert.Equal(seen.Count, seen.Distinct().Count());
    }

    [Fact]
    public async Task Users_ForOthersThanAdmins_AreNotThere()
    {
        foreach (var role in (AccountRole[])[AccountRole.Member, AccountRole.Viewer])
        {
            using var client = await fixture.Hub.ClientAsync(role);
            await (await client.GetAsync("/hub/v1/users")).IsProblemAsync(HttpStatusCode.Forbidden, "role-not-allowed");
            await (await client.PostAsync("/hub/v1/users", new JsonObject { ["name"] = NewName(), ["role"] = "admin" })).IsProblemAsync(HttpStatusCode.Forbidden, "role-not-allowed");
        }

        // Not open to developers without a token either.
        await (await fixture.Hub.Client.GetAsync("/hub/v1/users")).IsProblemAsync(HttpStatusCode.Unauthorized, "token-required");
    }

    [Theory, InlineData("""{"disabled":true}""", HttpStatusCode.Unauthorized), InlineData("""{"role":"viewer"}""", HttpStatusCode.Forbidden), InlineData(null, HttpStatusCode.Unauthorized)]
    public async Task Change_OfAUser_HoldsFromTheNextRequest(string? patch, HttpStatusCode after)
    {
        var account = await fixture.Hub.AccountAsync(AccountRole.Admin);
        using var his = fixture.Hub.NewClient((await fixture.Hub.TokenAsync(account)).Token);
        Assert.Equal(HttpStatusCode.OK, (await his.GetAsync("/hub/v1/audit?limit=1")).StatusCode);

        using var changed = patch is null ? await admin.DeleteAsync($"/hub/v1/users/{account.Name}") : await admin.PatchAsync($"/hub/v1/users/{account.Name}", patch.AsJson());
        Assert.True(changed.IsSuccessStatusCode, await changed.Content.ReadAsStringAsync());

        Assert.Equal(after, (await his.GetAsync("/hub/v1/audit?limit=1")).StatusCode);
    }

    [Fact]
    public async Task Me_OfEachCaller_SaysWhoHeIs()
    {
        Assert.Equal("admin", (string?)(await (await admin.GetAsync("/hub/v1/me")).JsonAsync())["role"]);
        var account = await fixture.Hub.AccountAsync(AccountRole.Member);
        using var reader = fixture.Hub.NewClient((await fixture.Hub.TokenAsync(account, ["read"], "some")).Token);

        var me = await (await reader.GetAsync("/hub/v1/me")).JsonAsync();

        Assert.Equal((account.Name, "viewer", "some", "member"), ((string?)me["name"], (string?)me["role"], (string?)me["project"], (string?)me["user"]!["role"]));
        Assert.Equal("read", (string?)me["token"]!["scopes"]![0]);
        Assert.Null(me["token"]!["token"]);
    }

    [Fact]
    public async Task Password_ChangedByItsOwner_EndsHisOtherSessionsOnly()
    {
        var name = NewName();
        (await admin.PostAsync("/hub/v1/users", new JsonObject { ["name"] = name, ["password"] = Password })).EnsureSuccessStatusCode();
        var (first, second) = (await SignInAsync(name, Password), await SignInAsync(name, Password));
        var made = await fixture.Hub.TokenAsync((await AccountOfAsync(name))!);
        using var one = fixture.Hub.NewClient(first!);
        using var other = fixture.Hub.NewClient(second!);
        using var program = fixture.Hub.NewClient(made.Token);

        await (await one.PostAsync("/hub/v1/me/password", new JsonObject { ["old"] = "not the password", ["new"] = "another long password" })).IsProblemAsync(HttpStatusCode.Forbidden, "password-wrong", "old");
        await (await one.PostAsync("/hub/v1/me/password", new JsonObject { ["old"] = Password, ["new"] = "short" })).IsProblemAsync(HttpStatusCode.BadRequest, "invalid-field", "new");
        Assert.Equal(HttpStatusCode.NoContent, (await one.PostAsync("/hub/v1/me/password", new JsonObject { ["old"] = Password, ["new"] = "another long password" })).StatusCode);

        Assert.Equal(HttpStatusCode.OK, (await one.GetAsync("/hub/v1/me")).StatusCode);
        Assert.Equal(HttpStatusCode.OK, (await program.GetAsync("/hub/v1/me")).StatusCode);
        Assert.Equal(HttpStatusCode.Unauthorized, (await other.GetAsync("/hub/v1/me")).StatusCode);
        Assert.Null(await SignInAsync(name, Password));
        Assert.NotNull(await SignInAsync(name, "another long password"));
    }

    public void Dispose() => admin.Dispose();

    private async Task<Account?> AccountOfAsync(string name) =>
        await Microsoft.Extensions.DependencyInjection.ServiceProviderServiceExtensions.GetRequiredService<AccountStore>(fixture.Hub.Services).GetAsync(name, CancellationToken.None);

    private async Task<string?> SignInAsync(string name, string password)
    {
        using var answer = await fixture.Hub.Client.PostAsync("/hub/v1/sign-in", new JsonObject { ["name"] = name, ["password"] = password });
        return answer.IsSuccessStatusCode ? (string?)(await answer.JsonAsync())["token"] : null;
    }
}
