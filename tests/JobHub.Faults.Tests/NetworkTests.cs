using JobHub.AppHost.LocalHosting;
using JobHub.Faults.Tests.Hubs;
using JobHub.Faults.Tests.Ledger;
using JobHub.Faults.Tests.Proxy;
using JobHub.Faults.Tests.Runs;
using JobHub.Testing;
using Xunit.Abstractions;

namespace JobHub.Faults.Tests;

/// <summary>A network between agent and Api that drops, delays, repeats and cuts.</summary>
public class NetworkTests(ITestOutputHelper output)
{
    private const int Seed = 301;

    [Fact]
    public async Task Job_OverABadNetwork_EndsWithTheRightResult()
    {
        var port = LoopbackPort.Free();
        await using var proxy = await FaultProxy.StartAsync(new Uri($"http://127.0.0.1:{port}"), Seed, 0.2);
        await using var hub = await FaultHub.StartAsync(new HubOptions
        {
            ApiPort = port, Slots = 4, Environment = new Dictionary<string, string?> { ["JobHub__Worker__Api"] = proxy.Address.AbsoluteUri },
        });
        await WordCount.UploadAsync(hub);
        await using var watch = new HubWatch(hub);
        proxy.IsOn = true;
        var jobs = new Dictionary<string, WordCount?>();
        var enough = FaultHub.IsLong ? 20 : 2;
        // Until each fault has happened.
        while (proxy.Done.Count < 6 || proxy.Done.Values.Min() < enough)
        {
            var text = new WordCount(Seed + jobs.Count, 60_000);
            var id = await hub.SubmitAsync(text.Job(hub, maps: 12, work: 0.02));
            jobs.Add(id, text);
            watch.Add(id, text.Lines);
            await hub.EndAsync(id);
        }

        proxy.IsOn = false;
        var checker = new LedgerChecker(hub);
        var findings = await checker.CheckAsync(jobs, watch);
        output.WriteLine($"seed {Seed}, jobs {jobs.Count}, faults {string.Join(' ', proxy.Done.OrderBy(d => d.Key).Select(d => $"{d.Key}={d.Value}"))}, lost {checker.Lost}, doubled {checker.Doubled}, "
            + $"duplicate starts {checker.DuplicateStarts}, fenced {hub.Refused}; answers {string.Join(' ', proxy.Answers.Select(a => $"{a.Key}={a.Value}"))}");
        Assert.True(findings.Count == 0, string.Join('\n', findings));
    }

    [Fact]
    public void Proxy_OfTheSameSeed_BreaksTheSameCalls()
    {
        CallFault[] Of(int seed) => [.. Enumerable.Range(0, 500).Select(n => FaultProxy.FaultOf(seed, n, 0.3))];
        Assert.Equal(Of(7), Of(7));
        Assert.NotEqual(Of(7), Of(8));
        Assert.Equal(7, Of(7).Distinct().Count());
    }
}
