using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;

namespace JobHub.Api.Tests;

/// <summary>A page of docs/api that is executed as it is printed: its requests are sent in their order, and what comes back is what stands there.</summary>
/// <param name="client">Sends the requests that print no Authorization.</param>
internal sealed partial class PrintedPage(HttpClient client)
{
    // The ids and tokens that pages print, and those that the hub gave.
    private readonly Dictionary<string, string> given = [];

    /// <summary>Sends a page; how many requests it has.</summary>
    /// <param name="before">What is to happen before a request is sent.</param>
    public async Task<int> SendAsync(string page, Func<HttpRequestMessage, Task>? before = null)
    {
        var sent = 0;
        foreach (Match step in Step().Matches(File.ReadAllText(Path.Combine(Repository, "docs", "api", page)).ReplaceLineEndings("\n")))
        {
            using var request = RequestOf(step);
            if (before is not null) await before(request);
            using var answer = await client.SendAsync(request);
            var text = await answer.Content.ReadAsStringAsync();
            var expected = step.Groups["answer"].Value;
            var said = $"{request.Method} {request.RequestUri}\n{(int)answer.StatusCode} {text}\nexpected {expected}";
            Assert.True((int)answer.StatusCode == (step.Groups["status"].Success ? int.Parse(step.Groups["status"].Value, CultureInfo.InvariantCulture) : 200), said);
            sent++;
            if (step.Groups["kind"].Value != "json")
            {
                Assert.True(text == expected, said);
                continue;
            }

            var printed = JsonNode.Parse(expected);
            if (request.Method == HttpMethod.Post) Learn(printed!, JsonNode.Parse(text)!);
            Compare(printed, JsonNode.Parse(text), "", said);
        }

        return sent;
    }

    private HttpRequestMessage RequestOf(Match step)
    {
        var request = new HttpRequestMessage(new HttpMethod(step.Groups["method"].Value), Ours(step.Groups["path"].Value));
        if (step.Groups["body"].Success) request.Content = new StringContent(Ours(step.Groups["body"].Value), Encoding.UTF8, "application/json");
        for (var i = 0; i < step.Groups["header"].Captures.Count; i++)
        {
            var (name, value) = (step.Groups["header"].Captures[i].Value, Ours(step.Groups["value"].Captures[i].Value));
            if (name == "Content-Type") request.Content!.Headers.ContentType = new(value);
            else request.Headers.Add(name, value);
        }

        return request;
    }

    private void Learn(JsonNode printed, JsonNode answer)
    {
        foreach (var (name, value) in printed.AsObject())
        {
            if (value is JsonValue text && text.TryGetValue(out string? id) && (Guid.TryParse(id, out _) || id.StartsWith("jh_", StringComparison.Ordinal))) given[id] = (string)answer[name]!;
        }
    }

    private string Ours(string text) => given.Aggregate(text, static (all, id) => all.Replace(id.Key, id.Value, StringComparison.Ordinal));

    private void Compare(JsonNode? printed, JsonNode? answer, string place, string said)
    {
        switch (printed)
        {
            case JsonObject members:
                Assert.True(answer is JsonObject, $"{place}: {said}");
                // A token's last use is noted behind the request that uses it: it may be there yet or not.
                static IEnumerable<string> Names(JsonNode of) => of.AsObject().Select(static m => m.Key).Where(static name => name != "lastUsedAt");
                Assert.True(Names(members).SequenceEqual(Names(answer)), $"The members of {place}: {said}");
                foreach (var (name, value) in members.Where(member => answer.AsObject().ContainsKey(member.Key))) Compare(value, answer[name], $"{place}.{name}", said);
                break;
            case JsonArray items:
                Assert.True(answer is JsonArray list && list.Count == items.Count, $"{place}: {said}");
                for (var index = 0; index < items.Count; index++) Compare(items[index], answer[index], $"{place}[{index}]", said);
                break;
            case null:
                Assert.True(answer is null, $"{place}: {said}");
                break;
            default:
                Assert.True(answer is not null && answer.GetValueKind() == printed.GetValueKind(), $"{place}: {said}");
                if (printed.GetValueKind() == JsonValueKind.String) CompareText((string)printed!, (string)answer!, place, said);
                // Rows of lists that others write too are numbered as they come.
                else if (printed.GetValueKind() != JsonValueKind.Number) Assert.True(printed.ToJsonString() == answer.ToJsonString(), $"{place}: {said}");
                else if (!place.EndsWith(".id", StringComparison.Ordinal)) Assert.True(Math.Abs((double)printed - (double)answer) < 1e-9, $"{place}: {said}");
                break;
        }
    }

    private void CompareText(string printed, string answer, string place, string said)
    {
        if (printed.Contains('T', StringComparison.Ordinal) && DateTimeOffset.TryParse(printed, CultureInfo.InvariantCulture, out _)) Assert.EndsWith("+00:00", answer);
        else Assert.True(Regex.IsMatch(answer, $@"\A{string.Join(".*?", Ours(printed).Split('…').Select(Regex.Escape))}\z", RegexOptions.Singleline), $"{place}: {said}");
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

    [GeneratedRegex("^```http\n(?<method>[A-Z]+) (?<path>\\S+)\n(?:(?<header>[A-Z][A-Za-z-]+): (?<value>[^\n]+)\n)*(?:\n(?<body>.*?))?```\n(?:```(?<kind>json|text)(?: (?<status>\\d+))?\n(?<answer>.*?)```|`(?<status>\\d+)`)", RegexOptions.Multiline | RegexOptions.Singleline)]
    private static partial Regex Step();
}
