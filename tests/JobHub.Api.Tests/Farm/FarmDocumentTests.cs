using System.Globalization;
using System.Net;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using JobHub.Engine.Attempts;
using JobHub.Engine.Protocol;
using JobHub.Testing;

namespace JobHub.Api.Tests.Farm;

/// <summary>docs/api/farm.md is executed as it is printed: its requests are sent in their order, and what comes back is what stands there.</summary>
public sealed partial class FarmDocumentTests(HubFixture fixture) : IClassFixture<HubFixture>
{
    // What is printed is one of many: times, what the machine has, ids that no call answers.
    private static readonly string[] Varying = ["start_time", "duration", "ping_time", "start", "free_memory", "total_memory", "current_event"];

    // The ids that the page prints, and those that the hub gave.
    private readonly Dictionary<string, string> ids = [];
    private readonly Dictionary<long, AttemptSpec> held = [];

    private HttpClient Client => fixture.Hub.Client;

    [Fact]
    public async Task Page_SentAsPrinted_IsAnsweredAsPrinted()
    {
        await using var worker = await WorkerDouble.OpenAsync(fixture.Hub, tags: ["LINUX"], name: "worker-1");
        await using var other = await WorkerDouble.OpenAsync(fixture.Hub, tags: ["LINUX"], name: "worker-2");
        var sent = 0;
        foreach (Match step in Step().Matches(File.ReadAllText(Path.Combine(Repository, "docs", "api", "farm.md")).ReplaceLineEndings("\n")))
        {
            if (step.Groups["run"].Success)
            {
                await RunAsync(worker, step);
                continue;
            }

            var (method, path, body, expected) = (step.Groups["method"].Value, Ours(step.Groups["path"].Value), Ours(step.Groups["body"].Value), step.Groups["answer"].Value);
            using var answer = await Client.FarmAsync(method, path, body.Length == 0 ? null : body);
            var text = await answer.Content.ReadAsStringAsync();
            var said = $"{method} {path} {body}\n{(int)answer.StatusCode} {text}\nexpected {expected}";
            Assert.True((int)answer.StatusCode == (step.Groups["status"].Success ? int.Parse(step.Groups["status"].Value, CultureInfo.InvariantCulture) : 200), said);
            if (method == "PUT" || path.Contains("addjob", StringComparison.Ordinal)) Learn(JsonNode.Parse(expected)!, JsonNode.Parse(text)!);
            Compare(JsonNode.Parse(expected), JsonNode.Parse(text), "", said);
            sent++;
        }

        Assert.True(sent >= 35, $"The page has {sent} requests.");
    }

    /// <summary>A worker runs the job: an exit code, and what is printed.</summary>
    private async Task RunAsync(WorkerDouble worker, Match step)
    {
        var id = long.Parse(ids[step.Groups["run"].Value], CultureInfo.InvariantCulture);
        var attempt = await Eventually.GetAsync(async () =>
        {
            // What is given with it is held until its turn comes.
            foreach (var claimed in await worker.ClaimAsync(16)) held[claimed.TaskId >> 20] = claimed;
            return held.Remove(id, out var wanted) ? wanted : null;
        }, static found => found is not null, $"job {id} is given out");
        var code = int.Parse(step.Groups["code"].Value, CultureInfo.InvariantCulture);
        await worker.CompleteAsync(attempt!, code == 0 ? AttemptOutcome.Succeeded : AttemptOutcome.Failed, exitCode: code,
            error: code == 0 ? null : new("exit-code", "It failed."), log: Ours((string)JsonNode.Parse(step.Groups["print"].Value)!));
    }

    private void Learn(JsonNode printed, JsonNode given)
    {
        if (printed is JsonArray list)
        {
            foreach (var (one, other) in list.Zip(given.AsArray())) Learn(one!, other!);
        }
        else if (printed.GetValueKind() == System.Text.Json.JsonValueKind.Number && given.GetValueKind() == System.Text.Json.JsonValueKind.Number && printed.ToJsonString() != "-1")
        {
            ids[printed.ToJsonString()] = given.ToJsonString();
        }
    }

    private string Ours(string text) => Number().Replace(text, match => ids.GetValueOrDefault(match.Value, match.Value));

    private void Compare(JsonNode? printed, JsonNode? given, string place, string said)
    {
        switch (printed)
        {
            case JsonObject members:
                Assert.True(given is JsonObject, $"{place}: {said}");
                Assert.True(members.Select(static m => m.Key).SequenceEqual(given.AsObject().Select(static m => m.Key)), $"The members of {place}: {said}");
                foreach (var (name, value) in members) Compare(value, given[name], $"{place}.{name}", said);
                break;
            case JsonArray items:
                Assert.True(given is JsonArray list && list.Count == items.Count, $"{place}: {said}");
                for (var index = 0; index < items.Count; index++) Compare(items[index], given[index], $"{place}[{index}]", said);
                break;
            case null:
                Assert.True(given is null, $"{place}: {said}");
                break;
            default:
                Assert.True(given is not null && given.GetValueKind() == printed.GetValueKind(), $"{place}: {said}");
                if (printed.GetValueKind() == System.Text.Json.JsonValueKind.String)
                {
                    // A number in a text may be an id, or a word that was sent before the id was known.
                    Assert.True(Matches((string)printed!, (string)given!) || Matches(Ours((string)printed!), (string)given!), $"{place}: {said}");
                }
                else if (printed.ToJsonString() != "1234" && !Varying.Any(name => place.EndsWith("." + name, StringComparison.Ordinal)))
                {
                    Assert.True(Ours(printed.ToJsonString()) == given!.ToJsonString(), $"{place}: {said}");
                }

                break;
        }
    }

    private static bool Matches(string printed, string given) => Regex.IsMatch(given, $@"\A{string.Join(".*?", printed.Split('…').Select(Regex.Escape))}\z", RegexOptions.Singleline);

    private static string Repository
    {
        get
        {
            var folder = new DirectoryInfo(AppContext.BaseDirectory);
            while (!File.Exists(Path.Combine(folder.FullName, "JobHub.sln"))) folder = folder.Parent ?? throw new InvalidOperationException("JobHub.sln was not found.");
            return folder.FullName;
        }
    }

    [GeneratedRegex("<!-- run (?<run>\\d+): (?<code>\\d+) (?<print>\"[^\n]*?\") -->|^```http\n(?<method>[A-Z]+) (?<path>\\S+)\n(?:\n(?<body>.*?))?```\n```json(?: (?<status>\\d+))?\n(?<answer>.*?)```", RegexOptions.Multiline | RegexOptions.Singleline)]
    private static partial Regex Step();

    [GeneratedRegex(@"(?<![\w.])\d{3}(?!\w|\.\d)")]
    private static partial Regex Number();
}
