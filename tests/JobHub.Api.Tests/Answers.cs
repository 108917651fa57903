using System.Net;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json.Nodes;

namespace JobHub.Api.Tests;

/// <summary>Reading answers.</summary>
internal static class Answers
{
    public static async Task<JsonNode> JsonAsync(this HttpResponseMessage answer) => JsonNode.Parse(await answer.Content.ReadAsStringAsync())!;

    public static async Task<JsonNode> GetFromJsonNodeAsync(this HttpClient client, string path) => JsonNode.Parse(await client.GetStringAsync(path))!;

    public static StringContent AsJson(this string text) => new(text, Encoding.UTF8, "application/json");

    public static Task<HttpResponseMessage> PostAsync(this HttpClient client, string path, JsonNode body) => client.PostAsync(path, body.ToJsonString().AsJson());

    /// <summary>The answer is a problem of the one shape.</summary>
    public static async Task<JsonNode> IsProblemAsync(this HttpResponseMessage answer, HttpStatusCode status, string code, string? field = null)
    {
        var text = await answer.Content.ReadAsStringAsync();
        Assert.True(answer.StatusCode == status, $"{(int)answer.StatusCode}: {text}");
        Assert.Equal("application/problem+json", answer.Content.Headers.ContentType?.MediaType);
        var body = JsonNode.Parse(text)!;
        Assert.Equal($"urn:jobhub:{code}", (string?)body["type"]);
        Assert.Equal((int)status, (int)body["status"]!);
        Assert.False(string.IsNullOrWhiteSpace((string?)body["detail"]));
        Assert.Equal(answer.Headers.GetValues("X-Request-Id").Single(), (string?)body["requestId"]);
        if (field is not null) Assert.Equal(field, (string?)body["field"]);
        return body;
    }
}
