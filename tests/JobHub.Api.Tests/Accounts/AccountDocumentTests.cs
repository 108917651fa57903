namespace JobHub.Api.Tests.Accounts;

/// <summary>docs/api/accounts.md, sent by the first administrator.</summary>
public sealed class AccountDocumentTests(HubFixture fixture) : IClassFixture<HubFixture>
{
    [Fact]
    public async Task Page_SentAsPrinted_IsAnsweredAsPrinted()
    {
        using var client = fixture.Hub.NewClient(HubHost.AdminToken);

        Assert.InRange(await new PrintedPage(client).SendAsync("accounts.md"), 12, int.MaxValue);
    }
}
