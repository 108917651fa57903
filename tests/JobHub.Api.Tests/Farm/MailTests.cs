using System.Net;
using System.Text.Json;
using System.Text.Json.Nodes;
using JobHub.Engine.Attempts;
using JobHub.Testing;
using Microsoft.Extensions.Options;

namespace JobHub.Api.Tests.Farm;

/// <summary>Mail to the users of farm jobs, over a real server of the protocol.</summary>
[Collection(HubCollection.Name)]
public sealed class MailTests(HubFixture fixture)
{
    [Fact]
    public async Task Group_OfOneUser_IsOneMailWhenItsLastJobHasEnded()
    {
        await using var inbox = new SmtpInbox();
        await using var hub = await StartAsync(inbox.Port);
        var group = await PutAsync(hub, new JsonObject { ["title"] = "shot 010", ["user"] = "render" });
        foreach (var i in Enumerable.Range(0, 5)) await PutAsync(hub, new JsonObject { ["parent"] = group, ["title"] = $"frame {i}", ["command"] = "true", ["user"] = "render" });
        await PutAsync(hub, new JsonObject { ["parent"] = group, ["title"] = "of another", ["command"] = "true", ["user"] = "ann@studio.example" });
        await PutAsync(hub, new JsonObject { ["parent"] = group, ["title"] = "of nobody", ["command"] = "true" });
        await RunAllAsync(hub, AttemptOutcome.Succeeded);
        await LastAsync(hub, inbox);

        var mails = inbox.Mails.ToArray();
        Assert.Equal(["ann@studio.example", "last@mail.example", "render@mail.example"], mails.SelectMany(m => m.To).Order(StringComparer.Ordinal));
        var mail = mails.Single(m => m.To.Contains("render@mail.example"));
        Assert.Equal($"shot 010 ({group}) has finished", mail.Header("Subject"));
        Assert.Contains("Jobs in it: 7, failed: 0", mail.Body, StringComparison.Ordinal);
        Assert.Contains("https://hub.example/jobs/", mail.Body, StringComparison.Ordinal);
        Assert.Equal("auto-generated", mail.Header("Auto-Submitted"));
    }

    [Fact]
    public async Task Job_ThatFails_IsToldWithItsReason()
    {
        await using var inbox = new SmtpInbox();
        await using var hub = await StartAsync(inbox.Port);
        var id = await PutAsync(hub, new JsonObject { ["title"] = "größe", ["command"] = "false", ["user"] = "render" });
        await RunAllAsync(hub, AttemptOutcome.Failed, new("exit-code", "The program ended with exit code 1."));
        await LastAsync(hub, inbox);
        var mail = inbox.Mails.Single(m => m.To.Contains("render@mail.example"));
        Assert.Contains($"Job größe ({id}) has failed.", mail.Body, StringComparison.Ordinal);
        Assert.Contains("The program ended with exit code 1.", mail.Body, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("shot\r\nBcc: everybody@evil.example\r\n\r\nbuy", "render")]
    [InlineData("shot\nBcc: everybody@evil.example", "render")]
    [InlineData("shot\r\n.\r\nMAIL FROM:<x@evil.example>", "render")]
    public async Task Title_WithLinesOfItsOwn_StaysOneLineOfText(string title, string user)
    {
        await using var inbox = new SmtpInbox();
        await using var hub = await StartAsync(inbox.Port);
        await PutAsync(hub, new JsonObject { ["title"] = title, ["command"] = "true", ["user"] = user });
        await RunAllAsync(hub, AttemptOutcome.Succeeded);
        await LastAsync(hub, inbox);
        Assert.Equal(2, inbox.Mails.Count);
        var mail = inbox.Mails.First();
        Assert.Equal(["render@mail.example"], mail.To);
        Assert.DoesNotContain("\r\nBcc", mail.Text, StringComparison.OrdinalIgnoreCase);
        Assert.StartsWith("shot ", mail.Header("Subject"), StringComparison.Ordinal);
        Assert.DoesNotContain("\nBcc", mail.Body, StringComparison.Ordinal);
        Assert.Contains("has finished.", mail.Body, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Users_ThatAreNoAddressOrAreRefused_NeverKeepTheOthersWaiting()
    {
        await using var inbox = new SmtpInbox { AnswerRecipient = to => to.StartsWith("gone", StringComparison.Ordinal) ? "550 no such user" : to.StartsWith("later", StringComparison.Ordinal) ? "450 greylisted" : "250 ok" };
        await using var hub = await StartAsync(inbox.Port);
        foreach (var user in (string[])["gone", "later", "two words", "a,b@x.example", "x@y@z", "<x@evil.example>", "a@b.example\r\nRCPT TO:<c@evil.example>", new string('x', 300) + "@x.example", "render"])
            await PutAsync(hub, new JsonObject { ["title"] = "job", ["command"] = "true", ["user"] = user });
        await RunAllAsync(hub, AttemptOutcome.Succeeded);
        await LastAsync(hub, inbox);
        Assert.Equal(["render@mail.example", "last@mail.example"], inbox.Mails.SelectMany(m => m.To));
    }

    [Fact]
    public async Task Server_ThatIsAway_GetsEveryMailWhenItIsBackAndAfterARestartOfTheApi()
    {
        int port;
        await using (var found = new SmtpInbox()) port = found.Port;
        var database = $"--ConnectionStrings:jobhub={await fixture.Postgres.CreateDatabaseAsync()}";
        long id;
        await using (var hub = await StartAsync(port, database))
        {
            id = await PutAsync(hub, new JsonObject { ["title"] = "first", ["command"] = "true", ["user"] = "render" });
            await RunAllAsync(hub, AttemptOutcome.Succeeded);
            await Eventually.TrueAsync(async () => (string?)(await JobAsync(hub, id))["state"] == "FINISHED", "the job's end");
        }

        await using var again = await StartAsync(port, database);
        await PutAsync(again, new JsonObject { ["title"] = "second", ["command"] = "true", ["user"] = "render" });
        await RunAllAsync(again, AttemptOutcome.Succeeded);
        await using var inbox = new SmtpInbox(port);
        await Eventually.TrueAsync(() => inbox.Mails.Count >= 2, "both mails");
        Assert.Equal(["first", "second"], inbox.Mails.Select(m => m.Header("Subject").Split(' ')[0]));
    }

    [Theory]
    [InlineData("--JobHub:Mail:From=nobody")]
    [InlineData("--JobHub:Mail:User=hub")]
    [InlineData("--JobHub:Mail:Dashboard=hub.example")]
    public async Task Settings_ThatCannotWork_AreRefusedAtStart(string setting) =>
        await Assert.ThrowsAsync<OptionsValidationException>(() => HubHost.StartAsync(fixture.Postgres, "Development", "--JobHub:Mail:Host=mail.example", "--JobHub:Mail:From=hub@mail.example", setting));

    /// <summary>Mails go out in the order of the ends: with this one, all before it have been sent or passed over.</summary>
    private static async Task LastAsync(HubHost hub, SmtpInbox inbox)
    {
        await PutAsync(hub, new JsonObject { ["title"] = "last", ["command"] = "true", ["user"] = "last" });
        await RunAllAsync(hub, AttemptOutcome.Succeeded);
        await Eventually.TrueAsync(() => inbox.Mails.Any(m => m.To.Contains("last@mail.example")), "the last mail");
    }

    private Task<HubHost> StartAsync(int port, params string[] more) => HubHost.StartAsync(fixture.Postgres, "Development",
    [
        "--JobHub:Mail:Host=127.0.0.1", $"--JobHub:Mail:Port={port}", "--JobHub:Mail:From=hub@mail.example", "--JobHub:Mail:Domain=mail.example", "--JobHub:Mail:Dashboard=https://hub.example/",
        "--JobHub:Mail:MaxBackoff=00:00:00.3", .. more,
    ]);

    private static async Task<long> PutAsync(HubHost hub, JsonObject job)
    {
        using var answer = await hub.Client.PutAsync("/api/jobs", job.ToJsonString().AsJson());
        Assert.True(answer.StatusCode == HttpStatusCode.OK, await answer.Content.ReadAsStringAsync());
        return JsonSerializer.Deserialize<long>(await answer.Content.ReadAsStringAsync());
    }

    private static async Task<JsonNode> JobAsync(HubHost hub, long id) => JsonNode.Parse(await hub.Client.GetStringAsync($"/api/jobs/{id}"))!;

    private static async Task RunAllAsync(HubHost hub, AttemptOutcome outcome, JobHub.Engine.Protocol.AttemptError? error = null)
    {
        await using var worker = await WorkerDouble.OpenAsync(hub);
        foreach (var attempt in await worker.ClaimAsync(100)) await worker.CompleteAsync(attempt, outcome, exitCode: outcome == AttemptOutcome.Succeeded ? 0 : 1, error: error);
    }
}
