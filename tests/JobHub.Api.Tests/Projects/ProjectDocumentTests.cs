using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using JobHub.Api.Tests.Accounts;
using JobHub.Engine.Accounts;

namespace JobHub.Api.Tests.Projects;

/// <summary>docs/api/projects.md is executed as it is printed: its requests are sent in their order, and what comes back is what stands there.</summary>
public sealed partial class ProjectDocumentTests(HubFixture fixture) : IClassFixture<HubFixture>
{
    // The ids that the page prints, and those that the hub gave.
    private readonly Dictionary<string, string> ids = [];

    [Fact]
    public async Task Page_SentAsPrinted_IsAnsweredAsPrinted()
    {
        using var client = fixture.Hub.NewClient((await fixture.Hub.TokenAsync(await fixture.Hub.AccountAsync(AccountRole.Member, "mia"))).Token);
        await fixture.Hub.AccountAsync(AccountRole.Member, "noah");
        var sent = 0;
        foreach (Match step in Step().Matches(File.ReadAllText(Path.Combine(Repository, "docs", "api", "projects.md")).ReplaceLineEndings("\n")))
        {
            using var request = new HttpRequestMessage(new HttpMethod(step.Groups["method"].Value), Ours(step.Groups["path"].Value));
            if (step.Groups["body"].Success)
                request.Content = new StringContent(Ours(step.Groups["body"].Value), Encoding.UTF8, step.Groups["type"].Success ? step.Groups["type"].Value : "application/json");
            using var answer = await client.SendAsync(request);
            var text = await answer.Content.ReadAsStringAsync();
            var said = $"{request.Method} {request.RequestUri}\n{(int)answer.StatusCode} {text}\nexpected {step.Groups["answer"].Value}";
            Assert.True((int)answer.StatusCode == (step.Groups["status"].Success ? int.Parse(step.Groups["status"].Value, CultureInfo.InvariantCulture) : 200), said);
            sent++;
            if (!step.Groups["answer"].Success)
            {
                Assert.True(text.Length == 0, said);
                continue;
            }

            var printed = JsonNode.Parse(step.Groups["answer"].Value);
            if (request.Method == HttpMethod.Post) Learn(printed!, JsonNode.Parse(text)!);
            Compare(printed, JsonNode.Parse(text), "", said);
        }

        Assert.True(sent >= 13, $"The page has {sent} requests.");
    }

    private void Learn(JsonNode printed, JsonNode given)
    {
        foreach (var (name, value) in printed.AsObject())
        {
            if (value is JsonValue text && text.TryGetValue(out string? id) && Guid.TryParse(id, out _)) ids[id] = (string)given[name]!;
        }
    }

    private string Ours(string text) => ids.Aggregate(text, static (all, id) => all.Replace(id.Key, id.Value, StringComparison.Ordinal));

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
                if (printed.GetValueKind() != JsonValueKind.String) Assert.True(printed.ToJsonString() == given.ToJsonString(), $"{place}: {said}");
                else if (DateTimeOffset.TryParse((string)printed!, CultureInfo.InvariantCulture, out _) && ((string)printed!).Contains('T')) Assert.EndsWith("+00:00", (string)given!);
                else Assert.True(Regex.IsMatch((string)given!, $@"\A{string.Join(".*?", Ours((string)printed!).Split('…').Select(Regex.Escape))}\z", RegexOptions.Singleline), $"{place}: {said}");
                break;
        }
    }

    private static string Repository
    {
        get
        {
            var folder = new DirectoryInfo(AppContext.BaseDirectory);
            while (!File.Exists(Path.Combine(folder.FullName, "JobHub.sln"))) folder = folder.Parent ?? throw new InvalidOperationException("JobHub.sln was not found.");
            return folder.FullName;
        }
    }

    [GeneratedRegex("^```http\n(?<method>[A-Z]+) (?<path>\\S+)\n(?:Content-Type: (?<type>\\S+)\n)?(?:\n(?<body>.*?))?```\n(?:```json(?: (?<status>\\d+))?\n(?<answer>.*?)```|`(?<status>\\d+)`)", RegexOptions.Multiline | RegexOptions.Singleline)]
    private static partial Regex Step();
}
