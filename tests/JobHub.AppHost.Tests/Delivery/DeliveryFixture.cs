using System.Text.Json;
using System.Text.Json.Nodes;
using JobHub.Engine;
using JobHub.Engine.Jobs;
using JobHub.Engine.Tasks;
using JobHub.Testing;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;

namespace JobHub.AppHost.Tests.Delivery;

/// <summary>A hub of real processes that tells every change to a real broker.</summary>
public sealed class DeliveryFixture : IAsyncLifetime
{
    private ServiceProvider? engine;

    public RabbitServer Broker { get; private set; } = null!;

    /// <summary>May be a webhook's although it is on loopback.</summary>
    public WebhookReceiver Receiver { get; private set; } = null!;

    public HubProcess Hub { get; private set; } = null!;

    public async Task InitializeAsync()
    {
        Broker = await RabbitServer.StartAsync();
        Receiver = await WebhookReceiver.StartAsync();
        Hub = await HubProcess.StartAsync(new HubOptions
        {
            Slots = 8, Arguments = ["--rabbitmq", Broker.ConnectionString],
            Environment = new Dictionary<string, string?>
            {
                ["JobHub__RabbitMq__Publish"] = "All", ["JobHub__RabbitMq__MaxBackoff"] = "00:00:00.5", ["ConnectionStrings__rabbitmq"] = Broker.ConnectionString,
                ["JobHub__Webhooks__AllowedEndpoints__0"] = Receiver.HostAndPort, ["JobHub__Webhooks__Backoff"] = "00:00:00.05", ["JobHub__Webhooks__MaxBackoff"] = "00:00:00.5",
            },
        });
        var settings = new Dictionary<string, string?>
        {
            ["ConnectionStrings:jobhub"] = Hub.ConnectionString, ["JobHub:Storage:Root"] = Path.Combine(Hub.DataFolder, "store"), ["JobHub:Secrets:File"] = Path.Combine(Hub.DataFolder, "secrets.key"),
        };
        var configuration = new ConfigurationBuilder().AddInMemoryCollection(settings).Build();
        engine = new ServiceCollection().AddSingleton<IConfiguration>(configuration).AddLogging().AddEngine(configuration).BuildServiceProvider();
    }

    public async Task DisposeAsync()
    {
        if (engine is not null) await engine.DisposeAsync();
        if (Hub is not null) await Hub.DisposeAsync();
        await Receiver.DisposeAsync();
        await Broker.DisposeAsync();
    }

    /// <summary>Stores many jobs of one command each, all at once.</summary>
    /// <returns>Their ids.</returns>
    public async Task<HashSet<string>> SubmitAsync(int count, string command = "true", double? timeout = null)
    {
        var details = JsonSerializer.Serialize(new CommandDetails { Command = command, Sandbox = false }, JsonSerializerOptions.Web);
        var specs = Enumerable.Range(0, count)
            .Select(_ => new JobSpec { Family = JobFamily.Commands, Details = details, Tasks = [new TaskGroup(TaskKind.Command, 1, false)], MaxAttempts = 1, TimeoutSeconds = timeout });
        return [.. (await engine!.GetRequiredService<JobService>().SubmitManyAsync([.. specs], "test", CancellationToken.None)).Select(id => id.ToString())];
    }

    /// <summary>How many jobs of the hub have ended.</summary>
    public async Task<long> EndedAsync()
    {
        await using var command = engine!.GetRequiredService<NpgsqlDataSource>().CreateCommand("SELECT count(*) FROM job WHERE state >= 4");
        return (long)(await command.ExecuteScalarAsync())!;
    }

    public Task WaitEndedAsync(long jobs) => Eventually.TrueAsync(async () => await EndedAsync() >= jobs, $"the end of {jobs} jobs", TimeSpan.FromMinutes(3));

    public async Task<JsonNode> JobAsync(string id)
    {
        using var http = Hub.CreateClient();
        return JsonNode.Parse(await http.GetStringAsync($"/hub/v1/jobs/{id}"))!;
    }

    public async Task StopReceiverAsync() => await Receiver.DisposeAsync();

    public async Task StartReceiverAsync(int port) => Receiver = await WebhookReceiver.StartAsync(port);

    /// <returns>The webhook's route and its secret.</returns>
    public async Task<(string Path, string Secret)> AddWebhookAsync(string path)
    {
        using var http = Hub.CreateClient();
        using var answer = await http.PostAsync("/hub/v1/webhooks", new StringContent(new JsonObject { ["url"] = $"{Receiver.Address}{path}", ["events"] = "all" }.ToJsonString(), System.Text.Encoding.UTF8, "application/json"));
        Assert.True(answer.IsSuccessStatusCode, await answer.Content.ReadAsStringAsync());
        return (answer.Headers.Location!.ToString(), (string)JsonNode.Parse(await answer.Content.ReadAsStringAsync())!["secret"]!);
    }

    public async Task CancelAsync(string id)
    {
        using var http = Hub.CreateClient();
        using var answer = await http.PostAsync($"/hub/v1/jobs/{id}/cancel", null);
        answer.EnsureSuccessStatusCode();
    }
}

[CollectionDefinition(Name)]
public sealed class DeliveryCollection : ICollectionFixture<DeliveryFixture>
{
    public const string Name = "delivery";
}
