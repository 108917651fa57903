using System.Globalization;
using System.Net;
using System.Text;
using System.Text.Json.Nodes;

namespace JobHub.Api.Tests.Farm;

/// <summary>Calls of the farm family as its clients make them: bodies without a Content-Type.</summary>
internal static class FarmCalls
{
    public static async Task<HttpResponseMessage> FarmAsync(this HttpClient client, string method, string path, string? body = null, string? key = null)
    {
        using var request = new HttpRequestMessage(new HttpMethod(method), path);
        if (body is not null) request.Content = new ByteArrayContent(Encoding.UTF8.GetBytes(body));
        // A body that is refused by its length is not sent at all.
        request.Headers.ExpectContinue = body?.Length > 1 << 20;
        if (key is not null) request.Headers.Add("Idempotency-Key", key);
        return await client.SendAsync(request);
    }

    /// <summary>The text of a good answer.</summary>
    public static async Task<string> FarmTextAsync(this HttpClient client, string method, string path, string? body = null, string? key = null)
    {
        using var answer = await client.FarmAsync(method, path, body, key);
        var text = await answer.Content.ReadAsStringAsync();
        Assert.True(answer.StatusCode == HttpStatusCode.OK, $"{method} {path} {body}: {(int)answer.StatusCode} {text}");
        Assert.Equal("application/json", answer.Content.Headers.ContentType?.MediaType);
        return text;
    }

    /// <summary>PUT of one job; its id.</summary>
    public static async Task<long> PutJobAsync(this HttpClient client, string body) => long.Parse(await client.FarmTextAsync("PUT", "/api/jobs", body), CultureInfo.InvariantCulture);

    /// <summary>A write whose answer is 1.</summary>
    public static async Task IsOneAsync(this HttpClient client, string method, string path, string? body = null) => Assert.Equal("1", await client.FarmTextAsync(method, path, body));

    public static async Task<JsonObject> JobAsync(this HttpClient client, long id) => JsonNode.Parse(await client.GetStringAsync($"/api/jobs/{id}"))!.AsObject();

    public static async Task<long[]> IdsAsync(this HttpClient client, string path) => [.. JsonNode.Parse(await client.GetStringAsync(path))!.AsArray().Select(job => (long)job!["id"]!)];

    public static async Task<string> StateAsync(this HttpClient client, long id) => (string)(await client.JobAsync(id))["state"]!;
}
