using System.Collections.Concurrent;
using System.Net;
using System.Text.Json.Nodes;
using JobHub.Testing;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;

namespace JobHub.Api.Tests;

/// <summary>Webhooks through their routes, with a real receiver. Waits of the hub are shortened.</summary>
[Collection(HubCollection.Name)]
public sealed class WebhookTests(HubFixture fixture) : IAsyncLifetime
{
    private WebhookReceiver receiver = null!;
    private HubHost hub = null!;

    public async Task InitializeAsync()
    {
        receiver = await WebhookReceiver.StartAsync();
        hub = await StartHubAsync("00:00:01.5");
    }

    private Task<HubHost> StartHubAsync(string giveUpAfter) => HubHost.StartAsync(
        fixture.Postgres, "Development", $"--JobHub:Webhooks:AllowedEndpoints:0={receiver.HostAndPort}", "--JobHub:Webhooks:Backoff=00:00:00.02", "--JobHub:Webhooks:MaxBackoff=00:00:00.1",
        $"--JobHub:Webhooks:GiveUpAfter={giveUpAfter}", "--JobHub:Webhooks:Timeout=00:00:01");

    public async Task DisposeAsync()
    {
        await hub.DisposeAsync();
        await receiver.DisposeAsync();
    }

    [Fact]
    public async Task Webhook_OfItsWholeLife_IsMadeShownSwitchedAndRemoved()
    {
        using var made = await hub.Client.PostAsync("/hub/v1/webhooks", new JsonObject { ["url"] = $"{receiver.Address}a?b=c", ["project"] = "lab" });
        Assert.Equal(HttpStatusCode.Created, made.StatusCode);
        var webhook = await made.JsonAsync();
        var path = made.Headers.Location!.ToString();
        Assert.Equal($"/hub/v1/webhooks/{webhook["id"]}", path);
        Assert.Matches("^[0-9a-f]{64}$", (string)webhook["secret"]!);
        Assert.Equal(("lab", "final", true), ((string?)webhook["project"], (string?)webhook["events"], (bool)webhook["enabled"]!));

        var shown = JsonNode.Parse(await hub.Client.GetStringAsync(path))!.AsObject();
        Assert.False(shown.ContainsKey("secret"));
        Assert.Equal($"{receiver.Address}a?b=c", (string?)shown["url"]);
        var list = JsonNode.Parse(await hub.Client.GetStringAsync("/hub/v1/webhooks"))!["items"]!.AsArray();
        Assert.Contains(list, item => (string?)item!["id"] == (string?)webhook["id"] && !item.AsObject().ContainsKey("secret"));

        using var off = await hub.Client.PatchAsync(path, """{"enabled":false}""".AsJson());
        Assert.False((bool)(await off.JsonAsync())["enabled"]!);
        using var gone = await hub.Client.DeleteAsync(path);
        Assert.Equal(HttpStatusCode.NoContent, gone.StatusCode);
        foreach (var (method, at) in new[] { (HttpMethod.Get, ""), (HttpMethod.Delete, ""), (HttpMethod.Post, "/ping"), (HttpMethod.Get, "/deliveries") })
        {
            using var answer = await hub.Client.SendAsync(new HttpRequestMessage(method, path + at));
            await answer.IsProblemAsync(HttpStatusCode.NotFound, "webhook-not-found");
        }
    }

    [Fact]
    public async Task Delivery_ToANameThatLeadsInsideLater_IsAFailedOne()
    {
        var (path, _) = await MakeAsync();
        // What a name does that is given another address after the check.
        await ExecuteAsync($"UPDATE webhook SET url = 'http://localhost:{receiver.Address.Port}/'");
        var delivery = await PingAsync(path);

        var settled = await SettledAsync(path, delivery);
        Assert.Equal("dead", (string?)settled["state"]);
        Assert.Contains("AllowedEndpoints", (string?)settled["lastError"]);
        Assert.Empty(receiver.Received);
    }

    [Fact]
    public async Task Ping_ToAReceiver_IsSignedWithTheSecretGiven()
    {
        var (path, secret) = await MakeAsync(secret: "a-secret-of-the-receiver");
        Assert.Equal("a-secret-of-the-receiver", secret);

        var delivery = await PingAsync(path);

        Assert.Equal("delivered", (string?)(await SettledAsync(path, delivery))["state"]);
        var got = Assert.Single(receiver.Received);
        Assert.Equal(("ping", delivery, "application/json"), (got.Event, got.Delivery, got.ContentType));
        Assert.True(got.IsSignedWith(secret));
        Assert.False(got.IsSignedWith(secret + "x"));
        Assert.InRange(got.Timestamp, TimeProvider.System.GetUtcNow().ToUnixTimeSeconds() - 600, TimeProvider.System.GetUtcNow().ToUnixTimeSeconds());
    }

    [Fact]
    public async Task Changes_OfManyJobs_ArriveInOrderPerJobThoughTheReceiverFails()
    {
        await hub.DisposeAsync();
        hub = await StartHubAsync("00:10:00");
        var (_, secret) = await MakeAsync(events: "all");
        var tries = new ConcurrentDictionary<string, int>();
        // Each message is refused once or twice before it is taken.
        receiver.Answer = (hook, response) =>
        {
            var first = tries.AddOrUpdate(hook.Delivery, 1, (_, n) => n + 1) <= 1 + hook.Delivery[^1] % 2;
            response.StatusCode = first ? 500 : 200;
            return Task.CompletedTask;
        };

        var jobs = new List<string>();
        for (var i = 0; i < 20; i++) jobs.Add(await RunAsync());

        await Eventually.TrueAsync(() => Taken().Count(m => m.Event == "job-ended") == jobs.Count, "the last messages");
        Assert.All(receiver.Received, m => Assert.True(m.IsSignedWith(secret)));
        foreach (var job in jobs)
        {
            var told = Taken().Where(m => m.Job == job).ToArray();
            Assert.Equal(["QUEUED", "FAILED"], told.Select(m => m.Status));
            Assert.Equal(("cancelled", "command", "true"), ((string?)told[1].Body["error"]!["type"], (string?)told[1].Body["kind"], (string?)told[1].Body["command"]));
            // The second waited for the first: every try of the one lies before every try of the other.
            Assert.Equal(receiver.Received.Where(m => m.Job == job).Select(m => m.Event).Order(StringComparer.Ordinal).Reverse(), receiver.Received.Where(m => m.Job == job).Select(m => m.Event));
        }

        // Taken is the last try of each delivery.
        IEnumerable<ReceivedHook> Taken() => receiver.Received.GroupBy(m => m.Delivery).Where(g => g.Count() > 1 + g.Key[^1] % 2).Select(g => g.Last());
    }

    [Fact]
    public async Task Delivery_ThatIsRefusedToTheEnd_IsDeadAndCanBeSentAgain()
    {
        var (path, _) = await MakeAsync();
        receiver.Answer = (_, response) =>
        {
            response.StatusCode = 503;
            return Task.CompletedTask;
        };
        var job = await RunAsync();
        await Eventually.TrueAsync(async () => (await DeliveriesAsync(path, "dead")).Count == 1, "the dead delivery");
        var dead = (await DeliveriesAsync(path, "dead"))[0]!;
        Assert.Equal((503, job, "job-ended"), ((int)dead["lastStatus"]!, (string?)dead["jobId"], (string?)dead["event"]));
        Assert.True((int)dead["attempts"]! > 3);
        Assert.Equal(1, (int)JsonNode.Parse(await hub.Client.GetStringAsync(path))!["dead"]!);

        receiver.Answer = null;
        using var again = await hub.Client.PostAsync($"{path}/deliveries/{dead["id"]}/redeliver", null);
        Assert.Equal(HttpStatusCode.Accepted, again.StatusCode);
        Assert.Equal("delivered", (string?)(await SettledAsync(path, (string)dead["id"]!))["state"]);
        // The same delivery, so that a receiver that took it before knows it.
        Assert.Single(receiver.Received.Select(m => m.Delivery).Distinct());
    }

    [Fact]
    public async Task Redirect_OfAReceiver_IsNotFollowed()
    {
        await using var other = await WebhookReceiver.StartAsync();
        var (path, _) = await MakeAsync();
        receiver.Answer = (_, response) =>
        {
            response.StatusCode = 307;
            response.Headers.Location = other.Address.ToString();
            return Task.CompletedTask;
        };
        var settled = await SettledAsync(path, await PingAsync(path));
        Assert.Equal(("dead", 307), ((string?)settled["state"], (int)settled["lastStatus"]!));
        Assert.Empty(other.Received);
    }

    [Fact]
    public async Task Receiver_ThatAnswersGone_IsSwitchedOff()
    {
        var (path, _) = await MakeAsync();
        receiver.Answer = (_, response) =>
        {
            response.StatusCode = 410;
            return Task.CompletedTask;
        };
        var settled = await SettledAsync(path, await PingAsync(path));
        Assert.Equal(("dead", 1), ((string?)settled["state"], (int)settled["attempts"]!));
        var webhook = JsonNode.Parse(await hub.Client.GetStringAsync(path))!;
        Assert.False((bool)webhook["enabled"]!);
        Assert.Contains("410", (string?)webhook["disabledReason"]);
    }

    [Fact]
    public async Task Receiver_ThatNeverAnswers_DelaysNoOther()
    {
        var forever = new TaskCompletionSource();
        receiver.Answer = (hook, _) => hook.Path == "/slow" ? forever.Task : Task.CompletedTask;
        var (slow, _) = await MakeAsync("slow");
        var (quick, _) = await MakeAsync("quick");
        for (var i = 0; i < 40; i++) await RunAsync();

        await Eventually.TrueAsync(() => receiver.Received.Count(m => m.Path == "/quick") == 40, "all messages of the quick one");
        await Eventually.TrueAsync(async () => (await DeliveriesAsync(quick, "delivered", "&limit=500")).Count == 40, "their deliveries to be on record");
        Assert.Empty(await DeliveriesAsync(slow, "delivered"));
        forever.SetResult();
    }

    [Fact]
    public async Task Answer_OfAnyLength_IsNotReadOn()
    {
        var (path, _) = await MakeAsync();
        var ended = new TaskCompletionSource();
        receiver.Answer = async (_, response) =>
        {
            response.StatusCode = 200;
            var chunk = new byte[64 * 1024];
            try
            {
                // Without an end: only who hangs up gets away.
                while (true) await response.Body.WriteAsync(chunk, response.HttpContext.RequestAborted);
            }
            catch (Exception fault) when (fault is OperationCanceledException or IOException)
            {
                // It hung up.
                ended.SetResult();
            }
        };
        Assert.Equal("delivered", (string?)(await SettledAsync(path, await PingAsync(path)))["state"]);
        await ended.Task.WaitAsync(TimeSpan.FromSeconds(60));
    }

    [Fact]
    public async Task Webhook_OfAProject_HearsOfItsJobsAlone()
    {
        var (path, _) = await MakeAsync(project: "lab");
        await RunAsync();
        var own = await RunAsync("lab");

        await Eventually.TrueAsync(() => receiver.Received.Count > 0, "its message");
        Assert.Equal(own, Assert.Single(receiver.Received).Job);
        Assert.Equal("lab", (string?)receiver.Received[0].Body["project"]);
        Assert.Single(await DeliveriesAsync(path, "delivered"));
    }

    [Fact]
    public async Task Deliveries_InPages_AreAllSeenOnce()
    {
        var (path, _) = await MakeAsync();
        var sent = new List<string>();
        for (var i = 0; i < 7; i++) sent.Add(await PingAsync(path));
        var seen = new List<string>();
        string? after = null;
        do
        {
            var page = JsonNode.Parse(await hub.Client.GetStringAsync($"{path}/deliveries?limit=3" + (after is null ? "" : $"&after={after}")))!;
            seen.AddRange(page["items"]!.AsArray().Select(d => (string)d!["id"]!));
            after = (string?)page["next"];
        }
        while (after is not null);

        Assert.Equal(sent.Order(StringComparer.Ordinal), seen.Order(StringComparer.Ordinal));
        using var bad = await hub.Client.GetAsync($"{path}/deliveries?state=lost");
        await bad.IsProblemAsync(HttpStatusCode.BadRequest, "invalid-field", "state");
        using var none = await hub.Client.GetAsync($"{path}/deliveries/{Guid.NewGuid()}");
        await none.IsProblemAsync(HttpStatusCode.NotFound, "delivery-not-found");
    }

    [Fact]
    public async Task Secret_InTheDatabase_IsSealed()
    {
        var (_, secret) = await MakeAsync();
        await using var command = hub.Services.GetRequiredService<NpgsqlDataSource>().CreateCommand("SELECT encode(secret, 'escape') FROM webhook");
        Assert.DoesNotContain(secret, (string)(await command.ExecuteScalarAsync())!);
    }

    private async Task<(string Path, string Secret)> MakeAsync(string at = "", string events = "final", string? secret = null, string? project = null)
    {
        var body = new JsonObject { ["url"] = $"{receiver.Address}{at}", ["events"] = events };
        if (secret is not null) body["secret"] = secret;
        if (project is not null) body["project"] = project;
        using var answer = await hub.Client.PostAsync("/hub/v1/webhooks", body);
        Assert.True(answer.StatusCode == HttpStatusCode.Created, await answer.Content.ReadAsStringAsync());
        return (answer.Headers.Location!.ToString(), (string)(await answer.JsonAsync())["secret"]!);
    }

    private async Task<string> PingAsync(string path)
    {
        using var answer = await hub.Client.PostAsync($"{path}/ping", null);
        Assert.Equal(HttpStatusCode.Accepted, answer.StatusCode);
        return (string)(await answer.JsonAsync())["id"]!;
    }

    private Task<JsonNode> SettledAsync(string path, string delivery) => Eventually.GetAsync(
        async () => JsonNode.Parse(await hub.Client.GetStringAsync($"{path}/deliveries/{delivery}"))!, d => (string?)d["state"] != "pending", $"the end of delivery {delivery}");

    private async Task<JsonArray> DeliveriesAsync(string path, string state, string more = "") =>
        JsonNode.Parse(await hub.Client.GetStringAsync($"{path}/deliveries?state={state}{more}"))!["items"]!.AsArray();

    /// <summary>A job that nobody runs, and its end.</summary>
    private async Task<string> RunAsync(string? project = null)
    {
        using var answer = await hub.Client.PostAsync(project is null ? "/jobs" : $"/jobs?project={project}", new JsonObject { ["command"] = "true" });
        Assert.True(answer.StatusCode == HttpStatusCode.Created, await answer.Content.ReadAsStringAsync());
        var id = (string)(await answer.JsonAsync())["job_id"]!;
        using var cancel = await hub.Client.PostAsync($"/hub/v1/jobs/{id}/cancel", null);
        cancel.EnsureSuccessStatusCode();
        return id;
    }

    private async Task ExecuteAsync(string sql)
    {
        await using var command = hub.Services.GetRequiredService<NpgsqlDataSource>().CreateCommand(sql);
        await command.ExecuteNonQueryAsync();
    }
}
