using System.Net;
using System.Text;
using System.Text.Json.Nodes;
using JobHub.Engine.Attempts;

namespace JobHub.Api.Tests.Hub;

/// <summary>/hub/v1/files.</summary>
[Collection(HubCollection.Name)]
public sealed class HubFileTests(HubFixture fixture)
{
    private readonly HubHost hub = fixture.Hub;
    private readonly string project = "h" + Guid.NewGuid().ToString("N")[..12];

    [Fact]
    public async Task Folder_ByPages_HasEachEntryOnce()
    {
        foreach (var path in (string[])["/b/x/1", "/b/x/2", "/b/y", "/b/z!", "/b/z/1", "/b/é", "/a"]) (await PutAsync(path, "x")).EnsureSuccessStatusCode();

        var seen = new List<(string, string)>();
        string? after = null;
        do
        {
            var page = await GetAsync($"path=/b&limit=2{(after is null ? "" : $"&after={Uri.EscapeDataString(after)}")}");
            Assert.Equal((project, "/b"), ((string)page["project"]!, (string)page["path"]!));
            seen.AddRange(page["items"]!.AsArray().Select(static item => ((string)item!["name"]!, (string)item["kind"]!)));
            after = (string?)page["next"];
        }
        while (after is not null);

        Assert.Equal([("x", "folder"), ("y", "file"), ("z!", "file"), ("z", "folder"), ("é", "file")], seen);
        Assert.Equal(["a", "b"], (await GetAsync(""))["items"]!.AsArray().Select(static item => (string)item!["name"]!));
        using var none = await hub.Client.GetAsync($"/hub/v1/files?project={project}&path=/nowhere");
        await none.IsProblemAsync(HttpStatusCode.NotFound, "file-not-found");
    }

    [Fact]
    public async Task File_ThatAJobBroughtOrMade_NamesTheJob_UntilItIsUploadedAnew()
    {
        using var form = new MultipartFormDataContent { { new StringContent("true"), "command" }, { new StringContent("in"), "file[]", "/w/in" } };
        using var submitted = await hub.Client.PostAsync($"/jobs?project={project}", form);
        var id = (string)(await submitted.JsonAsync())["job_id"]!;
        var number = (long)JsonNode.Parse(await hub.Client.GetStringAsync($"/hub/v1/jobs/{id}"))!["number"]!;
        await using (var worker = await WorkerDouble.OpenAsync(hub))
        {
            var attempt = Assert.Single(await worker.ClaimAsync(1));
            // Jobs of other tests may wait in the queue, too.
            for (; attempt.TaskId >> 20 != number; attempt = Assert.Single(await worker.ClaimAsync(1))) await worker.CompleteAsync(attempt, AttemptOutcome.Succeeded);
            (await worker.SendAsync(attempt, "/w/out", new StringContent("made"))).EnsureSuccessStatusCode();
            await worker.CompleteAsync(attempt, AttemptOutcome.Succeeded, files: 1);
        }

        (await PutAsync("/w/own", "mine")).EnsureSuccessStatusCode();
        Assert.Equal([("in", number), ("out", number), ("own", 0L)], await MakersAsync());
        (await PutAsync("/w/out", "other")).EnsureSuccessStatusCode();
        Assert.Equal([("in", number), ("out", 0L), ("own", 0L)], await MakersAsync());
        Assert.Equal(id, (string)(await GetAsync("path=/w"))["items"]![0]!["job"]!["id"]!);
    }

    [Fact]
    public async Task Content_IsAnAttachmentOfTheRightBytes_WithRanges()
    {
        (await PutAsync("/p/page.html", "<script>alert(1)</script>")).EnsureSuccessStatusCode();
        using var request = new HttpRequestMessage(HttpMethod.Get, $"/hub/v1/files/content?project={project}&path=/p/page.html");
        request.Headers.Range = new(1, 6);
        using var answer = await hub.Client.SendAsync(request);
        Assert.Equal(HttpStatusCode.PartialContent, answer.StatusCode);
        Assert.Equal("script", await answer.Content.ReadAsStringAsync());
        Assert.Equal(("attachment", "nosniff"), (answer.Content.Headers.ContentDisposition?.DispositionType, answer.Headers.GetValues("X-Content-Type-Options").Single()));
        using (var folder = await hub.Client.GetAsync($"/hub/v1/files/content?project={project}&path=/p")) await folder.IsProblemAsync(HttpStatusCode.NotFound, "file-not-found");
        using (var kept = await hub.Client.DeleteAsync($"/hub/v1/files?project={project}&path=/p")) await kept.IsProblemAsync(HttpStatusCode.Conflict, "folder-not-empty");
        using (var removed = await hub.Client.DeleteAsync($"/hub/v1/files?project={project}&path=/p&recursive=true")) Assert.Equal(HttpStatusCode.NoContent, removed.StatusCode);
        using var form = new MultipartFormDataContent { { new StringContent("x"), "file", "x" } };
        using var refused = await hub.Client.PutAsync($"/hub/v1/files?project={project}&path=/x", form);
        await refused.IsProblemAsync(HttpStatusCode.UnsupportedMediaType, "unsupported-media-type");
    }

    private async Task<(string, long)[]> MakersAsync() =>
        [.. (await GetAsync("path=/w"))["items"]!.AsArray().Select(static item => ((string)item!["name"]!, (long?)item["job"]?["number"] ?? 0))];

    private Task<HttpResponseMessage> PutAsync(string path, string text) =>
        hub.Client.PutAsync($"/hub/v1/files?project={project}&path={Uri.EscapeDataString(path)}", new ByteArrayContent(Encoding.UTF8.GetBytes(text)));

    private async Task<JsonNode> GetAsync(string query)
    {
        using var answer = await hub.Client.GetAsync($"/hub/v1/files?project={project}&{query}");
        Assert.True(answer.StatusCode == HttpStatusCode.OK, await answer.Content.ReadAsStringAsync());
        return await answer.JsonAsync();
    }
}
