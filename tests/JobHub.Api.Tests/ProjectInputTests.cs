using System.Net;
using System.Text.Json.Nodes;
using JobHub.Engine.Attempts;
using JobHub.Testing;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;

namespace JobHub.Api.Tests;

/// <summary>MapReduce over files of the job's project. A hub of its own: what is claimed is theirs.</summary>
public sealed class ProjectInputTests : IAsyncLifetime
{
    private PostgresServer postgres = null!;
    private HubHost hub = null!;
    private HttpClient client = null!;

    public async Task InitializeAsync()
    {
        postgres = await PostgresServer.StartAsync();
        hub = await HubHost.StartAsync(postgres);
        client = hub.NewClient(HubHost.AdminToken);
        foreach (var name in (string[])["mapper.sh", "reducer.sh"])
        {
            using var answer = await hub.UploadAsync(name, "#!/bin/sh\ncat\n");
            answer.EnsureSuccessStatusCode();
        }
    }

    public async Task DisposeAsync()
    {
        client.Dispose();
        await hub.DisposeAsync();
        await postgres.DisposeAsync();
    }

    [Fact]
    public async Task File_IsReadAsItWasAtTheSubmission_ByAWorkerThatSharesNothing()
    {
        await PutAsync("/in/a 100%.txt", "one\ntwo\n");
        var id = await SubmittedAsync("project:///in/a 100%25.txt");
        var input = Assert.Single((await GetAsync($"/hub/v1/jobs/{id}/inputs"))["items"]!.AsArray())!;
        Assert.Equal(("project:///in/a 100%25.txt", 8L), ((string)input["path"]!, (long)input["size"]!));
        await PutAsync("/in/a 100%.txt", "other text now\n");
        using (var gone = await client.DeleteAsync("/files?path=/in/a%20100%25.txt")) Assert.True(gone.IsSuccessStatusCode);

        await using var worker = await WorkerDouble.OpenAsync(hub);
        var map = Assert.Single(await worker.ClaimAsync(1));
        Assert.Equal((id, 0L, 8L), (map.JobId.ToString(), map.Map!.Start, map.Map.End));
        Assert.Equal("one\ntwo\n", await worker.InputAsync(map));
        await worker.CompleteAsync(map, AttemptOutcome.Failed, exitCode: 1, error: new("exit-code", "1"));
    }

    [Fact]
    public async Task FolderAndPattern_TakeTheFilesBelow_AndOnlyOfTheJobsProject()
    {
        foreach (var (path, project) in ((string, string?)[])[("/many/a.txt", null), ("/many/b.csv", null), ("/many/deep/c.txt", null), ("/many/d.txt", "elsewhere")]) await PutAsync(path, "x\n", project);
        async Task<string[]> OfAsync(string input, string? project = null) =>
            [.. (await GetAsync($"/hub/v1/jobs/{await SubmittedAsync(input, project)}/inputs"))["items"]!.AsArray().Select(static i => (string)i!["path"]!)];
        Assert.Equal(["project:///many/a.txt", "project:///many/b.csv", "project:///many/deep/c.txt"], await OfAsync("project:///many/"));
        Assert.Equal(["project:///many/a.txt"], await OfAsync("project:///many/*.txt"));
        Assert.Equal(["project:///many/d.txt"], await OfAsync("project:///many/", "elsewhere"));
    }

    [Fact]
    public async Task Pattern_TakesOneLevel_WhateverIsBesideAndBelow()
    {
        foreach (var path in (string[])["/level/part-1.txt", "/level/part-10/deep.txt", "/level/part-2.txt", "/level/part-2/a.txt", "/level/part%3.txt", "/level/part.txt", "/level/z.txt", "/levels.txt"]) await PutAsync(path, "x\n");
        async Task<string[]> OfAsync(string input) =>
            [.. (await GetAsync($"/hub/v1/jobs/{await SubmittedAsync(input)}/inputs"))["items"]!.AsArray().Select(static i => (string)i!["path"]!)];
        Assert.Equal(["project:///level/part-1.txt", "project:///level/part-2.txt"], await OfAsync("project:///level/part-*"));
        Assert.Equal(["project:///level/part%253.txt"], await OfAsync("project:///level/part%25*.txt"));
        Assert.Equal(["project:///level/part%253.txt", "project:///level/part-1.txt", "project:///level/part-2.txt", "project:///level/part.txt", "project:///level/z.txt"], await OfAsync("project:///level/*.txt"));
        Assert.Equal(["project:///levels.txt"], await OfAsync("project:///l*"));
    }

    [Fact]
    public async Task Pattern_OfAFewFiles_IsFoundBesideAHundredThousandBelow_AndEmptyOnesAreNotCounted()
    {
        await PutAsync("/wide/a.csv", "x\n");
        await PutAsync("/wide/empty/z.txt", "x\n");
        await using (var fill = hub.Services.GetRequiredService<NpgsqlDataSource>().CreateCommand("""
            INSERT INTO file (project, job, path, object, size, executable)
            SELECT project, 0, '/wide/empty/' || n, object || n, 0, false FROM file CROSS JOIN generate_series(1, 100001) AS n WHERE job = 0 AND path = '/wide/a.csv'
            """)) await fill.ExecuteNonQueryAsync();
        foreach (var input in (string[])["project:///wide/*.csv", "project:///wide/empty/"])
        {
            using var check = await client.PostAsync("/hub/v1/submit/check", new JsonObject { ["inputPath"] = input });
            Assert.Equal((1, 2L, 1), ((int)(await check.JsonAsync())["objects"]!, (long)(await check.JsonAsync())["size"]!, (int)(await check.JsonAsync())["maps"]!));
        }
    }

    [Theory]
    [InlineData("project:///none.txt", "input-not-found"), InlineData("project:///none/", "input-not-found"), InlineData("project:///none/*", "input-not-found")]
    [InlineData("project://none.txt", "invalid-path"), InlineData("project:///in/../x", "invalid-path")]
    public async Task Input_ThatIsNotThere_IsRefused(string path, string code)
    {
        using var answer = await SubmitAsync(hub.Submission(path));
        await answer.IsProblemAsync(HttpStatusCode.BadRequest, code, "inputPath");
    }

    [Fact]
    public async Task Output_CannotBeAmongThem()
    {
        await PutAsync("/in.txt", "x\n");
        var submission = hub.Submission("project:///in.txt");
        submission["outputPath"] = "project:///out";
        using var answer = await SubmitAsync(submission);
        await answer.IsProblemAsync(HttpStatusCode.BadRequest, "invalid-path", "outputPath");
    }

    [Fact]
    public async Task RunAgain_ReadsTheFileAsItIsNow()
    {
        await PutAsync("/again.txt", "one\n");
        var id = await SubmittedAsync("project:///again.txt");
        await PutAsync("/again.txt", "one\ntwo\n");
        using var again = await client.PostAsync($"/hub/v1/jobs/{id}/run-again", null);
        Assert.Equal(HttpStatusCode.Created, again.StatusCode);
        var second = (string)(await again.JsonAsync())["id"]!;
        Assert.Equal(8, (long)Assert.Single((await GetAsync($"/hub/v1/jobs/{second}/inputs"))["items"]!.AsArray())!["size"]!);
    }

    private async Task PutAsync(string path, string text, string? project = null)
    {
        using var answer = await client.PutAsync($"/files?path={Uri.EscapeDataString(path)}{(project is null ? "" : $"&project={project}")}", new StringContent(text));
        Assert.True(answer.IsSuccessStatusCode, await answer.Content.ReadAsStringAsync());
    }

    private Task<HttpResponseMessage> SubmitAsync(JsonObject submission, string? project = null) => client.PostAsync("/api/v1/jobs" + (project is null ? "" : $"?project={project}"), submission);

    private async Task<string> SubmittedAsync(string input, string? project = null)
    {
        var submission = hub.Submission(input);
        submission["outputPath"] = "s3://results/of-files";
        using var answer = await SubmitAsync(submission, project);
        Assert.True(answer.StatusCode == HttpStatusCode.Created, await answer.Content.ReadAsStringAsync());
        return (string)(await answer.JsonAsync())["id"]!;
    }

    private async Task<JsonNode> GetAsync(string path) => JsonNode.Parse(await client.GetStringAsync(path))!;
}
