using System.Net;
using System.Text.Json.Nodes;

namespace JobHub.Api.Tests;

/// <summary>Addresses that can be no webhook's.</summary>
[Collection(HubCollection.Name)]
public sealed class WebhookRefusalTests(HubFixture fixture)
{
    private readonly HubHost hub = fixture.Hub;

    [Theory]
    [InlineData("""{}""", "url")]
    [InlineData("""{"url":"ftp://example.org/"}""", "url")]
    [InlineData("""{"url":"file:///etc/passwd"}""", "url")]
    [InlineData("""{"url":"//example.org/"}""", "url")]
    [InlineData("""{"url":"http:///path"}""", "url")]
    [InlineData("""{"url":"http://user@example.org/"}""", "url")]
    [InlineData("""{"url":"http://user:password@example.org/"}""", "url")]
    [InlineData("""{"url":"http://@example.org/"}""", "url")]
    [InlineData("""{"url":"http://example.org\\@127.0.0.1/"}""", "url")]
    [InlineData("""{"url":"http://exa mple.org/"}""", "url")]
    [InlineData("""{"url":"http://example.org/#part"}""", "url")]
    [InlineData("""{"url":"http://example.org:99999/"}""", "url")]
    [InlineData("""{"url":"http://%31%32%37.0.0.1/"}""", "url")]
    [InlineData("""{"url":"http://example.org/","events":"some"}""", "events")]
    [InlineData("""{"url":"http://example.org/","secret":"short"}""", "secret")]
    [InlineData("""{"url":"http://example.org/","project":"Not A Project"}""", "project")]
    [InlineData("""{"url":"http://example.org/","colour":"red"}""", "colour")]
    public async Task Create_WithABadField_NamesIt(string body, string field)
    {
        using var answer = await hub.Client.PostAsync("/hub/v1/webhooks", body.AsJson());

        await answer.IsProblemAsync(HttpStatusCode.BadRequest, field == "colour" ? "unknown-field" : "invalid-field", field);
    }

    public static TheoryData<string> InnerHosts =>
    [
        "127.0.0.1", "127.1", "127.0.1", "2130706433", "017700000001", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "0177.0x0.1", "127.255.255.254", "[::1]", "[0:0:0:0:0:0:0:1]",
        "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "localhost", "LOCALHOST", "localhost.",
        "169.254.169.254", "2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "[::ffff:169.254.169.254]", "[fe80::1]", "[fd00:ec2::254]", "100.100.100.200", "168.63.129.16",
        "0.0.0.0", "0", "[::]", "10.0.0.1", "10.1", "167772161", "172.16.0.1", "192.168.1.1", "192.168.257", "[fc00::1]", "[fec0::1]", "224.0.0.1", "255.255.255.255",
    ];

    [Theory, MemberData(nameof(InnerHosts))]
    public async Task Create_WithAnAddressOfTheInside_IsRefused(string host)
    {
        foreach (var url in new[] { $"http://{host}/", $"https://{host}:8443/x", $"http://{host}:{8081}/" })
        {
            using var answer = await hub.Client.PostAsync("/hub/v1/webhooks", new JsonObject { ["url"] = url });
            var problem = await answer.IsProblemAsync(HttpStatusCode.BadRequest, "invalid-field", "url");
            Assert.DoesNotContain("Exception", (string)problem["detail"]!);
        }
    }

    [Fact]
    public async Task Create_WithThisMachinesOwnName_IsRefused()
    {
        // However it resolves: to loopback or to a private address of this machine.
        var own = Dns.GetHostName();
        var addresses = await Dns.GetHostAddressesAsync(own);
        Assert.NotEmpty(addresses);
        using var answer = await hub.Client.PostAsync("/hub/v1/webhooks", new JsonObject { ["url"] = $"http://{own}:8080/" });
        await answer.IsProblemAsync(HttpStatusCode.BadRequest, "invalid-field", "url");
    }
}
