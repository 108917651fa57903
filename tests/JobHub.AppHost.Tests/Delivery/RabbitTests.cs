using System.Text.Json.Nodes;
using JobHub.Testing;

namespace JobHub.AppHost.Tests.Delivery;

/// <summary>What listeners on the broker get, whatever dies in between.</summary>
[Collection(DeliveryCollection.Name)]
public sealed class RabbitTests(DeliveryFixture fixture)
{
    private const int Many = 5000;

    [Fact]
    public async Task Messages_OfManyJobs_AreCompleteAndInOrderPerJob()
    {
        await using var inbox = await RabbitInbox.OpenAsync(fixture.Broker);

        var jobs = await fixture.SubmitAsync(Many);

        CheckOrder(await inbox.OfAsync(jobs), jobs);
    }

    [Fact]
    public async Task Messages_WhenTheBrokerIsKilledInTheMiddle_AreAllThere()
    {
        var before = await fixture.EndedAsync();
        var jobs = await fixture.SubmitAsync(Many);
        await fixture.WaitEndedAsync(before + 300);

        await fixture.Broker.KillAsync();
        await fixture.Broker.StartAgainAsync();

        await using var inbox = await RabbitInbox.OpenAsync(fixture.Broker);
        CheckOrder(await inbox.OfAsync(jobs), jobs);
    }

    [Fact]
    public async Task Jobs_WhileTheBrokerIsAway_EndAndTheirMessagesFollow()
    {
        await fixture.Broker.KillAsync();
        var before = await fixture.EndedAsync();
        var jobs = await fixture.SubmitAsync(Many);
        await fixture.WaitEndedAsync(before + Many);

        await fixture.Broker.StartAgainAsync();

        await using var inbox = await RabbitInbox.OpenAsync(fixture.Broker);
        CheckOrder(await inbox.OfAsync(jobs), jobs);
        Assert.Contains(fixture.Hub.Output, line => line.Contains("is away", StringComparison.Ordinal) && line.Contains("messages wait", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Messages_WhenTheApiIsKilledInTheMiddle_AreAllThere()
    {
        await using var inbox = await RabbitInbox.OpenAsync(fixture.Broker);
        var before = await fixture.EndedAsync();
        var jobs = await fixture.SubmitAsync(2000);
        await fixture.WaitEndedAsync(before + 300);

        var killed = await fixture.Hub.KillAsync("api");
        await fixture.Hub.WaitRestartedAsync("api", killed);

        CheckOrder(await inbox.OfAsync(jobs), jobs);
    }

    [Fact]
    public async Task Jobs_WhileTheBrokerTakesNothing_EndAndTheirMessagesFollow()
    {
        await fixture.Broker.AlarmAsync(on: true);
        var before = await fixture.EndedAsync();
        var jobs = await fixture.SubmitAsync(200);
        await fixture.WaitEndedAsync(before + 200);

        await fixture.Broker.AlarmAsync(on: false);

        await using var inbox = await RabbitInbox.OpenAsync(fixture.Broker);
        CheckOrder(await inbox.OfAsync(jobs), jobs);
        Assert.Contains(fixture.Hub.Output, line => line.Contains("takes nothing for now", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Message_OfEachEnding_SaysHowTheJobEnded()
    {
        await using var inbox = await RabbitInbox.OpenAsync(fixture.Broker);

        var good = await EndOfAsync("true");
        Assert.Equal(("COMPLETE", 0, null), ((string?)good["status"], (int)good["exit_code"]!, good["error"]));
        Assert.Equal(("command", "true", "default"), ((string?)good["kind"], (string?)good["command"], (string?)good["project"]));
        Assert.Matches(@"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$", (string)good["started"]!);
        Assert.Matches(@"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$", (string)good["ended"]!);

        var bad = await EndOfAsync("exit 3");
        Assert.Equal(("FAILED", 3, "exit-code"), ((string?)bad["status"], (int)bad["exit_code"]!, (string?)bad["error"]!["type"]));

        var shot = await EndOfAsync("kill -9 $$");
        Assert.Equal(("FAILED", null, "signal", 9), ((string?)shot["status"], shot["exit_code"], (string?)shot["error"]!["type"], (int)shot["error"]!["signal"]!));

        var late = await EndOfAsync("exec sleep 600", timeout: 1);
        Assert.Equal(("FAILED", "timeout"), ((string?)late["status"], (string?)late["error"]!["type"]));

        var unwanted = await EndOfAsync("exec sleep 601", cancel: true);
        Assert.Equal(("FAILED", "cancelled"), ((string?)unwanted["status"], (string?)unwanted["error"]!["type"]));

        async Task<JsonObject> EndOfAsync(string command, double? timeout = null, bool cancel = false)
        {
            var jobs = await fixture.SubmitAsync(1, command, timeout);
            if (cancel)
            {
                // It has been told that it runs, so all three are.
                await Eventually.TrueAsync(() => inbox.Messages.Any(m => jobs.Contains(m.Job) && m.Status == "RUNNING"), "the message that it runs");
                await fixture.CancelAsync(jobs.Single());
            }

            var told = (await inbox.OfAsync(jobs))[jobs.Single()].ToArray();
            if (cancel) Assert.Equal(["QUEUED", "RUNNING", "FAILED"], told.Select(m => m.Status));
            Assert.All(told, m => Assert.Equal(("application/json", true, jobs.Single()), (m.ContentType, m.Persistent, (string?)m.Body["job_id"])));
            return told[^1].Body;
        }
    }

    [Fact]
    public void Hub_WithABroker_ShowsWhereMessagesGoAndNotThePassword()
    {
        var (hub, broker) = (fixture.Hub, fixture.Broker);

        Assert.Contains(hub.Output, line => line.StartsWith("JobHub is ready", StringComparison.Ordinal) && line.Contains($"messages to job_response at 127.0.0.1:{broker.Port}", StringComparison.Ordinal));
        Assert.DoesNotContain(hub.Output, line => line.Contains(broker.Password, StringComparison.Ordinal));
        foreach (var name in new[] { "api", "worker", "postgres" })
            Assert.DoesNotContain(broker.Password, File.ReadAllText($"/proc/{hub.ProcessOf(name)}/cmdline"));
        foreach (var name in new[] { "worker", "postgres" })
            Assert.DoesNotContain(broker.Password, File.ReadAllText($"/proc/{hub.ProcessOf(name)}/environ"));
    }

    // Of each job its first word is that it is queued and its last how it ended, and no message overtook another.
    private static void CheckOrder(ILookup<string, RabbitMessage> told, IReadOnlySet<string> jobs)
    {
        Assert.Equal(jobs.Count, told.Count);
        foreach (var job in told)
        {
            var messages = job.ToArray();
            var words = string.Join(' ', messages.Select(m => m.Status));
            Assert.True(words is "QUEUED COMPLETE" or "QUEUED RUNNING COMPLETE", $"{job.Key}: {words}");
            Assert.Equal(messages.OrderBy(m => m.Id), messages);
        }
    }
}
