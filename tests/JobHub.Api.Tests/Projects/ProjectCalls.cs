using System.Net;
using System.Text;
using System.Text.Json.Nodes;

namespace JobHub.Api.Tests.Projects;

/// <summary>Calls of the projects' routes.</summary>
internal static class ProjectCalls
{
    /// <summary>A new project's id.</summary>
    public static async Task<string> ProjectAsync(this HttpClient client, string visibility = "private", params string[] users)
    {
        using var answer = await client.PostAsync("/projects", new JsonObject { ["name"] = "Test", ["visibility"] = visibility, ["users"] = new JsonArray([.. users.Select(static u => (JsonNode)u)]) });
        Assert.Equal(HttpStatusCode.Created, answer.StatusCode);
        return (string)(await answer.JsonAsync())["id"]!;
    }

    /// <summary>The path of a new dataset.</summary>
    public static async Task<string> DatasetAsync(this HttpClient client, string project)
    {
        using var answer = await client.PostAsync($"/projects/{project}/datasets", new JsonObject { ["description"] = "Test" });
        Assert.Equal(HttpStatusCode.Created, answer.StatusCode);
        return $"/projects/{project}/datasets/{(string)(await answer.JsonAsync())["id"]!}";
    }

    public static async Task<HttpResponseMessage> SendAsync(this HttpClient client, string method, string path, HttpContent? content = null)
    {
        using var request = new HttpRequestMessage(new HttpMethod(method), path) { Content = content };
        return await client.SendAsync(request);
    }

    /// <summary>A file as the body itself.</summary>
    public static StringContent Tsv(string text) => new(text, Encoding.UTF8, "text/tab-separated-values");

    /// <summary>A file as a form's part.</summary>
    public static MultipartFormDataContent Form(string text, string name = "file") => new() { { new ByteArrayContent(Encoding.UTF8.GetBytes(text)), name, "profiles.tsv" } };
}
