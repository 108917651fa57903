using System.Net;
using System.Text.Json.Nodes;
using JobHub.Testing;
using RabbitMQ.Client;

namespace JobHub.Api.Tests;

/// <summary>The queue and who writes to it: Apis over a real broker. Nobody runs the jobs; they are cancelled.</summary>
[Collection(HubCollection.Name)]
public sealed class RabbitQueueTests(HubFixture fixture, RabbitQueueTests.BrokerFixture brokers) : IClassFixture<RabbitQueueTests.BrokerFixture>
{
    /// <summary>A broker for the tests of this class.</summary>
    public sealed class BrokerFixture : IAsyncLifetime
    {
        public RabbitServer Broker { get; private set; } = null!;

        public async Task InitializeAsync() => Broker = await RabbitServer.StartAsync();

        public async Task DisposeAsync() => await Broker.DisposeAsync();
    }

    private readonly RabbitServer broker = brokers.Broker;

    [Fact]
    public async Task Queue_OfOthersThatIsFull_IsUsedAsItIsAndLosesNothing()
    {
        await using (var connection = await ConnectAsync())
        await using (var channel = await connection.CreateChannelAsync())
        {
            await channel.QueueDeclareAsync("limited", durable: true, exclusive: false, autoDelete: false, new Dictionary<string, object?> { ["x-max-length"] = 5, ["x-overflow"] = "reject-publish" });
        }

        await using var hub = await StartAsync("limited");
        var jobs = await RunAsync(hub, 30);
        await using var inbox = await RabbitInbox.OpenAsync(broker, "limited", declare: false);
        Assert.Equal(30, (await inbox.OfAsync(jobs)).Count);
    }

    [Fact]
    public async Task Queue_ThatIsDeleted_IsMadeAgain()
    {
        await using var hub = await StartAsync("deleted");
        var first = await RunAsync(hub, 3);
        await using (var inbox = await RabbitInbox.OpenAsync(broker, "deleted")) await inbox.OfAsync(first);
        await using (var connection = await ConnectAsync())
        await using (var channel = await connection.CreateChannelAsync())
        {
            await channel.QueueDeleteAsync("deleted");
        }

        var second = await RunAsync(hub, 3);

        // Not made by this listener.
        await Eventually.TrueAsync(async () =>
        {
            await using var connection = await ConnectAsync();
            await using var channel = await connection.CreateChannelAsync();
            return (await channel.QueueDeclarePassiveAsync("deleted")).MessageCount >= 3;
        }, "the queue with its messages");
        await using var again = await RabbitInbox.OpenAsync(broker, "deleted", declare: false);
        Assert.Equal(3, (await again.OfAsync(second)).Count);
    }

    [Fact]
    public async Task Apis_OverOneDatabase_PublishEachMessageOnceAndTakeOver()
    {
        var database = $"--ConnectionStrings:jobhub={await fixture.Postgres.CreateDatabaseAsync()}";
        await using var inbox = await RabbitInbox.OpenAsync(broker, "shared");
        HashSet<string> all;
        await using (var second = await StartAsync("shared", database))
        {
            await using (var first = await StartAsync("shared", database))
            {
                all = await RunAsync(first, 20);
                all.UnionWith(await RunAsync(second, 20));
                await inbox.OfAsync(all);
            }

            // One of them had the turn, and it may be the one that is gone.
            var more = await RunAsync(second, 20);
            await inbox.OfAsync(more);
            all.UnionWith(more);
        }

        Assert.Equal(60, inbox.Messages.Count);
        Assert.Equal(60, inbox.Messages.Select(m => m.Id).Distinct().Count());
        Assert.Equal(all.Order(StringComparer.Ordinal), inbox.Messages.Select(m => m.Job).Order(StringComparer.Ordinal));
    }

    [Theory, InlineData("http://hub:sesame@127.0.0.1:5672"), InlineData("sesame"), InlineData("amqp://hub:sesame@/x y")]
    public async Task Api_WithAnAddressThatIsNone_DoesNotStartAndKeepsTheSecret(string address)
    {
        var refusal = await Assert.ThrowsAsync<JobHub.Api.Http.Access.StartRefusedException>(() => HubHost.StartAsync(fixture.Postgres, "Development", $"--ConnectionStrings:rabbitmq={address}"));
        Assert.Contains("ConnectionStrings:rabbitmq", refusal.Message);
        Assert.DoesNotContain("sesame", refusal.ToString());
    }

    private Task<IConnection> ConnectAsync() => new ConnectionFactory { Uri = new Uri(broker.ConnectionString) }.CreateConnectionAsync();

    private Task<HubHost> StartAsync(string queue, params string[] more) => HubHost.StartAsync(
        fixture.Postgres, "Development",
        [$"--ConnectionStrings:rabbitmq={broker.ConnectionString}", $"--JobHub:RabbitMq:Queue={queue}", "--JobHub:RabbitMq:MaxBackoff=00:00:00.3", .. more]);

    private static async Task<HashSet<string>> RunAsync(HubHost hub, int count)
    {
        var jobs = new HashSet<string>(StringComparer.Ordinal);
        for (var i = 0; i < count; i++)
        {
            using var answer = await hub.Client.PostAsync("/jobs", new JsonObject { ["command"] = "true", ["unique_id"] = $"job-{Guid.NewGuid():N}" });
            Assert.True(answer.StatusCode == HttpStatusCode.Created, await answer.Content.ReadAsStringAsync());
            var id = (string)(await answer.JsonAsync())["job_id"]!;
            using var cancel = await hub.Client.DeleteAsync($"/jobs/{id}");
            Assert.Equal(HttpStatusCode.Accepted, cancel.StatusCode);
            jobs.Add(id);
        }

        return jobs;
    }
}
