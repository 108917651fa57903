using System.Net;

namespace JobHub.Api.Tests.Hub;

/// <summary>What a form asks before it is sent.</summary>
public sealed class SubmitCheckTests(HubFixture fixture) : IClassFixture<HubFixture>
{
    private readonly HubHost hub = fixture.Hub;

    [Fact]
    public async Task Check_OfAnInput_SaysWhatItComesToAndStoresNothing()
    {
        var input = hub.WriteInput($"{Guid.NewGuid():N}.txt", "one\ntwo\nsix\n");
        using var answer = await hub.Client.PostAsync("/hub/v1/submit/check", $$"""{"inputPath":"{{input}}","inputType":"file/txt","splitSize":4}""".AsJson());
        var found = await answer.JsonAsync();
        Assert.Equal((1, 12L, 3), ((int)found["objects"]!, (long)found["size"]!, (int)found["maps"]!));
        Assert.Equal(0, (int)(await hub.Client.GetFromJsonNodeAsync("/hub/v1/jobs/counts"))["total"]!);
        using var admin = hub.NewClient(HubHost.AdminToken);
        Assert.DoesNotContain("submit", await admin.GetStringAsync("/hub/v1/audit?limit=500"), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("file:///no/such/place", "endpoint-not-allowed,invalid-path,input-not-found,input-access-denied", "inputPath"), InlineData("http://169.254.169.254/bucket/key", "endpoint-not-allowed", "inputPath")]
    [InlineData("s3://bucket", "invalid-path", "inputPath"), InlineData("", "missing-field", "inputPath")]
    public async Task Check_OfWhatTheSubmissionRefuses_IsRefusedAlike(string path, string codes, string field)
    {
        using var answer = await hub.Client.PostAsync("/hub/v1/submit/check", $$"""{"inputPath":"{{path}}"}""".AsJson());
        Assert.Equal(HttpStatusCode.BadRequest, answer.StatusCode);
        var problem = await answer.JsonAsync();
        Assert.Contains(((string)problem["type"]!).Split(':')[^1], codes.Split(','));
        Assert.Equal(field, (string?)problem["field"]);
    }
}
