using System.Net;
using JobHub.Engine.Accounts;
using JobHub.Testing;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;

namespace JobHub.Api.Tests.Accounts;

[Collection(HubCollection.Name)]
public sealed class TokenReadingTests(HubFixture fixture)
{
    private HubHost Hub => fixture.Hub;

    [Fact]
    public async Task Token_OfAnAdmin_IsLetInUntilItIsRevoked()
    {
        var account = await Hub.AccountAsync(AccountRole.Admin);
        var (token, known) = await Hub.TokenAsync(account);
        using var client = Hub.NewClient(token);
        Assert.Equal(HttpStatusCode.OK, (await client.GetAsync("/hub/v1/jobs")).StatusCode);
        Assert.Matches("^jh_[A-Za-z0-9_-]{43}$", token);

        Assert.True(await Hub.Services.GetRequiredService<TokenStore>().RevokeAsync(known.Id, null, CancellationToken.None));
        await (await client.GetAsync("/hub/v1/jobs")).IsProblemAsync(HttpStatusCode.Unauthorized, "token-unknown");
    }

    [Theory, InlineData("expired"), InlineData("revoked"), InlineData("disabled"), InlineData("deleted"), InlineData("unknown"), InlineData("cut")]
    public async Task Token_ThatIsNotValid_IsRefusedAlikeWhyever(string how)
    {
        var account = await Hub.AccountAsync(AccountRole.Admin);
        var (token, known) = await Hub.TokenAsync(account);
        var database = Hub.Services.GetRequiredService<NpgsqlDataSource>();
        await using var command = database.CreateCommand(how switch
        {
            "expired" => $"UPDATE access_token SET expires_at = clock_timestamp() WHERE id = '{known.Id}'",
            "revoked" => $"UPDATE access_token SET revoked_at = clock_timestamp() WHERE id = '{known.Id}'",
            "disabled" => $"UPDATE account SET disabled_at = clock_timestamp() WHERE number = {account.Number}",
            "deleted" => $"DELETE FROM account WHERE number = {account.Number}",
            _ => "SELECT 1",
        });
        await command.ExecuteNonQueryAsync();
        using var client = Hub.NewClient(how switch { "unknown" => TokenText.New(), "cut" => token[..^1], _ => token });

        var problem = await (await client.GetAsync("/hub/v1/jobs")).IsProblemAsync(HttpStatusCode.Unauthorized, "token-unknown");

        Assert.Equal("The bearer token is not valid here, or not any more.", (string?)problem["detail"]);
    }

    [Theory]
    [InlineData(AccountRole.Admin, "worker", null, "/agent/v1/sessions", true)]
    [InlineData(AccountRole.Worker, "worker", null, "/agent/v1/sessions", true)]
    [InlineData(AccountRole.Member, "write", null, "/agent/v1/sessions", false)]
    [InlineData(AccountRole.Admin, "worker", null, "/hub/v1/webhooks", false)]
    [InlineData(AccountRole.Admin, "write", null, "/hub/v1/webhooks", false)]
    [InlineData(AccountRole.Admin, "admin", "some-project", "/hub/v1/webhooks", false)]
    [InlineData(AccountRole.Member, "admin", null, "/hub/v1/webhooks", false)]
    [InlineData(AccountRole.Worker, "admin", null, "/hub/v1/webhooks", false)]
    public async Task Token_OfARole_MayWhatItsScopesLeave(AccountRole role, string scope, string? project, string path, bool allowed)
    {
        using var client = await Hub.ClientAsync(role, [scope], project);
        using var answer = path.StartsWith("/agent", StringComparison.Ordinal) ? await client.PostAsync(path, "{}".AsJson()) : await client.GetAsync(path);

        if (allowed) Assert.True(answer.StatusCode is not (HttpStatusCode.Unauthorized or HttpStatusCode.Forbidden), answer.StatusCode.ToString());
        else await answer.IsProblemAsync(HttpStatusCode.Forbidden, "role-not-allowed");
    }

    [Fact]
    public async Task Token_InUse_HasItsLastUseNotedOnceAMinute()
    {
        var account = await Hub.AccountAsync(AccountRole.Admin);
        var (token, known) = await Hub.TokenAsync(account);
        using var client = Hub.NewClient(token);
        async Task<DateTimeOffset?> UsedAsync() => (await Hub.Services.GetRequiredService<TokenStore>().ListAsync(account.Number, null, 10, CancellationToken.None).SingleAsync()).LastUsedAt;

        Assert.Null(await UsedAsync());
        await client.GetAsync("/hub/v1/jobs");
        await Eventually.TrueAsync(async () => await UsedAsync() is not null, "the token's last use");
        var first = await UsedAsync();
        await Hub.Services.GetRequiredService<TokenStore>().NoteUseAsync([known.Id], CancellationToken.None);

        Assert.Equal(first, await UsedAsync());
    }

    [Fact]
    public async Task Token_WhileTheDatabaseIsAway_IsNotCalledInvalid()
    {
        await using var postgres = await PostgresServer.StartAsync(isPrivate: true);
        await using var hub = await HubHost.StartAsync(postgres, "Production");
        using var client = hub.NewClient((await hub.TokenAsync(await hub.AccountAsync(AccountRole.Admin))).Token);
        Assert.Equal(HttpStatusCode.OK, (await client.GetAsync("/hub/v1/jobs")).StatusCode);
        await postgres.StopAsync();

        using var answer = await client.GetAsync("/hub/v1/jobs");

        await answer.IsProblemAsync(HttpStatusCode.ServiceUnavailable, "database-unavailable");
        Assert.Equal("1", answer.Headers.GetValues("Retry-After").Single());
    }
}
