using System.Net;
using JobHub.Api.Http.Access;
using JobHub.Testing;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;

namespace JobHub.Api.Tests.Farm;

/// <summary>Who may speak by forms.</summary>
public sealed class FarmWorkerRuleTests(FarmWorkerRuleTests.Server server) : IClassFixture<FarmWorkerRuleTests.Server>
{
    /// <summary>One Postgres for all of them.</summary>
    public sealed class Server : IAsyncLifetime
    {
        public PostgresServer Postgres { get; private set; } = null!;

        public async Task InitializeAsync() => Postgres = await PostgresServer.StartAsync();

        public async Task DisposeAsync() => await Postgres.DisposeAsync();
    }

    [Fact]
    public async Task Protocol_OutsideDevelopment_IsThereOnlyWhenItIsSwitchedOn()
    {
        await using (var hub = await HubHost.StartAsync(server.Postgres, "Production"))
        {
            using var worker = new FarmWorkerDouble(hub.Address, "w");
            using var answer = await worker.PostAsync("pickjob", "hostname=w");
            Assert.Equal(HttpStatusCode.NotFound, answer.StatusCode);
        }

        await using (var hub = await HubHost.StartAsync(server.Postgres, "Production", "--JobHub:Farm:WorkerProtocol=On"))
        {
            using var worker = new FarmWorkerDouble(hub.Address, "w");
            Assert.Equal("(-1, '', '', '', None)", await worker.PickTextAsync());
            foreach (var (header, value) in new[] { ("X-Forwarded-For", "8.8.8.8"), ("Forwarded", "for=8.8.8.8"), ("Origin", "http://evil.example"), ("Sec-Fetch-Site", "cross-site") })
            {
                using var answer = await worker.PostAsync("pickjob", "hostname=w", headers: (header, value));
                await answer.IsProblemAsync(HttpStatusCode.Forbidden, "worker-address-refused");
            }

            using (var answer = await hub.Client.GetAsync("/api/workers")) await answer.IsProblemAsync(HttpStatusCode.Unauthorized, "token-required");
        }
    }

    [Fact]
    public async Task Protocol_InDevelopment_CanBeSwitchedOff()
    {
        await using var hub = await HubHost.StartAsync(server.Postgres, "Development", "--JobHub:Farm:WorkerProtocol=Off");
        using var worker = new FarmWorkerDouble(hub.Address, "w");
        using var answer = await worker.PostAsync("pickjob", "hostname=w");
        Assert.Equal(HttpStatusCode.NotFound, answer.StatusCode);
    }

    [Theory]
    [InlineData("10.1.2.3", true)]
    [InlineData("172.31.0.1", true)]
    [InlineData("192.168.7.7", true)]
    [InlineData("127.9.9.9", true)]
    [InlineData("::1", true)]
    [InlineData("fd00::7", true)]
    [InlineData("::ffff:10.0.0.1", true)]
    [InlineData("8.8.8.8", false)]
    [InlineData("172.32.0.1", false)]
    [InlineData("2001:4860:4860::8888", false)]
    [InlineData("::ffff:8.8.8.8", false)]
    public async Task Requests_FromPublicAddresses_NeedAProxyThatVouchesForThem(string address, bool taken)
    {
        await using var hub = await HubHost.StartAsync(server.Postgres, "Production", "--JobHub:Farm:WorkerProtocol=On");
        await using var behind = await HubHost.StartAsync(server.Postgres, "Production", "--JobHub:Farm:WorkerProtocol=On", "--JobHub:Farm:BehindProxy=true");
        var context = new DefaultHttpContext { Connection = { RemoteIpAddress = IPAddress.Parse(address) } };
        Assert.Equal(taken, hub.Services.GetRequiredService<FormWorkerRule>().Objection(context) is null);
        Assert.Null(behind.Services.GetRequiredService<FormWorkerRule>().Objection(context));
    }

    [Fact]
    public async Task Hub_OnAPublicAddress_DoesNotStartWithoutAProxy()
    {
        var refused = await Assert.ThrowsAsync<StartRefusedException>(() => HubHost.StartAsync(server.Postgres, "Production", "--JobHub:Farm:WorkerProtocol=On", "--urls=http://203.0.113.7:4750"));
        Assert.Contains("BehindProxy", refused.Message, StringComparison.Ordinal);
    }
}
