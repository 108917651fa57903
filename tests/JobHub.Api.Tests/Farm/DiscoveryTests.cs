using System.Net;
using System.Net.Sockets;
using System.Text;
using JobHub.Api.Features.Farm;
using JobHub.Testing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Options;

namespace JobHub.Api.Tests.Farm;

[Collection(HubCollection.Name)]
public sealed class DiscoveryTests(HubFixture fixture)
{
    [Fact]
    public async Task Question_OfAWorkerThatLooksForAServer_IsAnsweredAndNothingElseIs()
    {
        await using var hub = await HubHost.StartAsync(fixture.Postgres, "Development", "--JobHub:Farm:Discovery=127.0.0.1:0");
        using var worker = await ConnectAsync(hub);
        foreach (var other in (string[])["coalitio", "coalition ", "COALITION", "", new string('x', 5000), "roxor"]) await worker.SendAsync(Encoding.ASCII.GetBytes(other));
        await worker.SendAsync("coalition"u8.ToArray());
        Assert.Equal("roxor", Encoding.ASCII.GetString((await worker.ReceiveAsync(Limit())).Buffer));
        await worker.SendAsync("coalition"u8.ToArray());
        await worker.ReceiveAsync(Limit());
        Assert.Equal(0, worker.Available);
    }

    [Fact]
    public async Task Questions_InAFlood_AreAnsweredUpToTheLimitAndLaterAgain()
    {
        await using var hub = await HubHost.StartAsync(fixture.Postgres, "Development", "--JobHub:Farm:Discovery=127.0.0.1:0", "--JobHub:Farm:DiscoveryPerSecond=5");
        using var worker = await ConnectAsync(hub);
        var (asked, answered) = (0, 0);
        for (; asked < 2000; asked++) await worker.SendAsync("coalition"u8.ToArray());
        // The second of the flood passes; then there is an answer for who asks again.
        await Eventually.TrueAsync(async () =>
        {
            while (worker.Available > 0)
            {
                await worker.ReceiveAsync(Limit());
                answered++;
            }

            asked++;
            await worker.SendAsync("coalition"u8.ToArray());
            return answered > 5;
        }, "an answer after the flood");
        Assert.InRange(answered, 6, asked / 10);
    }

    [Fact]
    public async Task Discovery_NotAskedFor_IsOff()
    {
        Assert.Equal("", fixture.Hub.Services.GetRequiredService<IOptions<DiscoveryOptions>>().Value.Discovery);
        Assert.True(Of(fixture.Hub).ExecuteTask!.IsCompletedSuccessfully);
        await Assert.ThrowsAsync<OptionsValidationException>(() => HubHost.StartAsync(fixture.Postgres, "Development", "--JobHub:Farm:Discovery=everywhere"));
    }

    private static Discovery Of(HubHost hub) => hub.Services.GetServices<IHostedService>().OfType<Discovery>().Single();

    private static async Task<UdpClient> ConnectAsync(HubHost hub)
    {
        var client = new UdpClient(new IPEndPoint(IPAddress.Loopback, 0));
        client.Connect(await Of(hub).Bound.WaitAsync(TimeSpan.FromSeconds(30)));
        return client;
    }

    private static CancellationToken Limit() => new CancellationTokenSource(TimeSpan.FromSeconds(30)).Token;
}
