using JobHub.Testing;

namespace JobHub.AppHost.Tests.Delivery;

/// <summary>Webhooks of a whole hub whose Api dies. Their rules are tested at the Api.</summary>
[Collection(DeliveryCollection.Name)]
public sealed class WebhookHubTests(DeliveryFixture fixture)
{
    [Fact]
    public async Task Deliveries_WhenTheApiIsKilledInTheMiddle_AreAllMadeInOrderPerJob()
    {
        var (_, secret) = await fixture.AddWebhookAsync("told");
        var jobs = await fixture.SubmitAsync(500);
        await Eventually.TrueAsync(() => Told().Length > 50, "the first deliveries");

        var killed = await fixture.Hub.KillAsync("api");
        await fixture.Hub.WaitRestartedAsync("api", killed);

        await Eventually.TrueAsync(() => Told().Where(m => m.Status == "COMPLETE").Select(m => m.Job).Distinct().Count() == jobs.Count, "the last deliveries", TimeSpan.FromMinutes(2));
        Assert.All(Told(), m => Assert.True(m.IsSignedWith(secret)));
        foreach (var job in Told().DistinctBy(m => m.Delivery).GroupBy(m => m.Job!))
        {
            Assert.Contains(job.Key, jobs);
            Assert.True(string.Join(' ', job.Select(m => m.Status)) is "QUEUED COMPLETE" or "QUEUED RUNNING COMPLETE");
        }

        ReceivedHook[] Told() => [.. fixture.Receiver.Received.Where(m => m.Path == "/told" && jobs.Contains(m.Job!))];
    }

    [Fact]
    public async Task Receiver_ThatWasAway_GetsWhatHappenedMeanwhile()
    {
        var port = new Uri($"http://{fixture.Receiver.HostAndPort}").Port;
        await fixture.AddWebhookAsync("away");
        await fixture.StopReceiverAsync();
        var before = await fixture.EndedAsync();
        var jobs = await fixture.SubmitAsync(20);
        await fixture.WaitEndedAsync(before + 20);

        await fixture.StartReceiverAsync(port);

        await Eventually.TrueAsync(
            () => fixture.Receiver.Received.Where(m => m.Path == "/away" && m.Status == "COMPLETE" && jobs.Contains(m.Job!)).Select(m => m.Job).Distinct().Count() == jobs.Count,
            "what happened meanwhile", TimeSpan.FromMinutes(2));
    }
}
