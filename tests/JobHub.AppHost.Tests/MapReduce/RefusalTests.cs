using System.Net;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;

namespace JobHub.AppHost.Tests.MapReduce;

/// <summary>What is wrong is said at submit, and then nothing is stored.</summary>
[Collection(HubsCollection.Name)]
public sealed partial class RefusalTests(HubsFixture hubs) : IAsyncLifetime
{
    private HubClient hub = null!;
    private Bucket bucket = null!;

    public async Task InitializeAsync()
    {
        hub = await hubs.FilesAsync();
        bucket = new Bucket(hubs.S3);
        await bucket.CreateAsync();
        await bucket.PutAsync("in/there.txt", "x\n"u8.ToArray());
    }

    public Task DisposeAsync()
    {
        bucket.Dispose();
        return Task.CompletedTask;
    }

    public static TheoryData<string, string, string> Refused => new()
    {
        { "wrong secret", "input-access-denied", "inputPath" }, { "unknown user", "input-access-denied", "inputPath" }, { "no credentials", "input-access-denied", "inputPath" },
        { "missing key", "input-not-found", "inputPath" }, { "missing bucket", "input-not-found", "inputPath" }, { "empty folder", "input-not-found", "inputPath" },
        { "empty match", "input-not-found", "inputPath" }, { "missing file", "input-not-found", "inputPath" }, { "nobody listens", "input-unreachable", "inputPath" },
        { "not allowed", "endpoint-not-allowed", "inputPath" }, { "metadata service", "endpoint-not-allowed", "inputPath" }, { "output not allowed", "endpoint-not-allowed", "outputPath" },
        { "output's wrong secret", "output-access-denied", "outputPath" }, { "output unreachable", "output-unreachable", "outputPath" },
    };

    [Theory, MemberData(nameof(Refused))]
    public async Task Submit_ThatCannotWork_SaysWhyAndStoresNothing(string circumstance, string code, string field)
    {
        var before = (await hub.GetAsync("/api/v1/jobs")).AsArray().Count;
        using var output = new Bucket(hubs.S3);
        var place = $"{hubs.S3.Endpoint}/{bucket.Name}";
        var submission = hub.WordCount($"{place}/in/there.txt");
        (submission["outputPath"], submission["inputStorageCredentials"], submission["outputStorageCredentials"]) = ($"{hubs.S3.Endpoint}/{output.Name}/out", Right(), Right());
        JsonObject wrong = new() { ["username"] = hubs.S3.AccessKey, ["password"] = "wrong-secret-0123456789" };
        switch (circumstance)
        {
            case "wrong secret": submission["inputStorageCredentials"] = wrong; break;
            case "unknown user": submission["inputStorageCredentials"] = new JsonObject { ["username"] = "NOBODY", ["password"] = "wrong-secret-0123456789" }; break;
            case "no credentials": submission.Remove("inputStorageCredentials"); break;
            case "missing key": submission["inputPath"] = $"{place}/in/missing.txt"; break;
            case "missing bucket": submission["inputPath"] = $"{hubs.S3.Endpoint}/{output.Name}/in/there.txt"; break;
            case "empty folder": submission["inputPath"] = $"{place}/nothing/"; break;
            case "empty match": submission["inputPath"] = $"{place}/in/*.csv"; break;
            case "missing file": submission["inputPath"] = $"file://{hub.Folder}/missing.txt"; break;
            case "nobody listens": submission["inputPath"] = $"http://{hubs.SilentEndpoint}/bucket/key"; break;
            case "not allowed": submission["inputPath"] = "http://127.0.0.1:10/bucket/key"; break;
            case "metadata service": submission["inputPath"] = "http://169.254.169.254/latest/meta-data"; break;
            case "output not allowed": submission["outputPath"] = "http://localhost:10/bucket/out"; break;
            case "output's wrong secret": submission["outputStorageCredentials"] = wrong; break;
            default: submission["outputPath"] = $"http://{hubs.SilentEndpoint}/bucket/out"; break;
        }
        using var answer = await hub.PostAsync(submission);

        var problem = await hub.ProblemAsync(answer, HttpStatusCode.BadRequest, code);
        Assert.Equal(field, (string?)problem["field"]);
        if (code == "endpoint-not-allowed") Assert.Contains("JobHub:Storage:AllowedEndpoints", (string?)problem["detail"]);
        Assert.DoesNotContain("wrong-secret", problem.ToJsonString());
        Assert.Equal(before, (await hub.GetAsync("/api/v1/jobs")).AsArray().Count);
        Assert.False(await output.ExistsAsync());
    }

    [Theory, InlineData("mapperName"), InlineData("reducerName"), InlineData("combinerName")]
    public async Task Submit_OfAnUnknownProgram_Is404(string field)
    {
        var submission = hub.WordCount(hub.Write("known.txt", "x\n"));
        submission[field] = "nobody-uploaded-this";
        using var answer = await hub.PostAsync(submission);

        var problem = await hub.ProblemAsync(answer, HttpStatusCode.NotFound, "artifact-not-found");
        Assert.Equal(field, (string?)problem["field"]);
    }

    [Fact]
    public async Task Submit_CutTooFinely_IsAcceptedWithTheSplitSizeThatTheRefusalNames()
    {
        // 10 000 reducers may have 1 000 maps.
        var submission = hub.WordCount(hub.Write("fine.txt", new string('x', 4999)), 10_000);
        submission["splitSize"] = 1;
        using var refused = await hub.PostAsync(submission);
        var problem = await hub.ProblemAsync(refused, HttpStatusCode.BadRequest, "too-many-splits");
        var smallest = (string)problem["detail"]!;
        Assert.Contains(Numbers().Matches(smallest), static number => number.Value == "5");
        submission["splitSize"] = 4;
        using var still = await hub.PostAsync(submission);
        await hub.ProblemAsync(still, HttpStatusCode.BadRequest, "too-many-splits");

        submission["splitSize"] = 5;
        var id = await hub.SubmitAsync(submission);
        using var stop = await hub.Http.DeleteAsync($"/api/v1/jobs/{id}");
        Assert.Equal(HttpStatusCode.OK, stop.StatusCode);
        Assert.Equal("stopped", (string?)(await hub.EndAsync(id))["status"]);
    }

    private JsonObject Right() => new() { ["username"] = hubs.S3.AccessKey, ["password"] = hubs.S3.SecretKey };

    [GeneratedRegex("[0-9]+")]
    private static partial Regex Numbers();
}
